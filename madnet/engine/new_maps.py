"""Where the score maps and pictures of a test lie until its numbers are known."""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from mmengine.dist import barrier, is_main_process

from madnet.engine.folder_lock import own_folder
from madnet.errors import UserError
from madnet.files import own_folders
from madnet.records import MAPS, PICTURES, MetricsFile


@contextmanager
def new_maps(
    folder: Path, show_dir: str | None, save_scores: bool
) -> Iterator[tuple[Mapping[Path, Path], list[dict]]]:
    """Keep maps of a new test apart from those of a former one, which a test that fails leaves as they were,
    and other tests out of a folder as long as one is in the ``with`` block.

    Args:
        folder: Of the results.
        show_dir: Folder for pictures; in that of pictures beside the numbers, they go with these.
        save_scores: Whether score maps are kept.

    Yields:
        ``maps`` of :func:`~madnet.records.write_results`, and the configs of hooks that fill it; it is
        removed at the end.

    Raises:
        UserError: Maps are in the folder that are not a test's, or pictures are to go among score maps.
        FolderInUse: Another process tests with results in this folder.
    """
    # a link leads to another disk, where the new ones have to be as well
    scores, pictures = ((folder / name).resolve() for name in (MAPS, PICTURES))
    if scores == pictures:
        raise UserError(f'{folder / PICTURES}: leads where {MAPS} does; give each a folder of its own.')
    new = {place: place.with_name(f'.new-{place.name}') / 'new' for place in (scores, pictures)}
    hooks = []
    if show_dir is not None:
        shown = Path(show_dir).resolve()
        if shown.is_relative_to(scores):
            raise UserError(f'--show-dir {show_dir}: is for score maps; give another folder.')
        if shown.is_relative_to(pictures):
            shown = new[pictures] / shown.relative_to(pictures)
        hooks.append({'type': 'ShowHook', 'show_dir': str(shown)})
    if save_scores:
        hooks.append({'type': 'SaveScoresHook', 'folder': str(new[scores])})
    with _made(folder, new) if is_main_process() else nullcontext():
        barrier()
        yield new, hooks


@contextmanager
def _made(folder: Path, new: Mapping[Path, Path]) -> Iterator[None]:
    _refuse_maps_of_others(folder, new)
    parents = [maps.parent for maps in new.values()]
    was_there = folder.exists()
    with own_folder(parents[0]):
        for maps in new.values():  # a killed test's
            shutil.rmtree(maps, ignore_errors=True)
        try:
            yield
        finally:
            for parent in parents:
                shutil.rmtree(parent, ignore_errors=True)
            if not was_there:
                with suppress(OSError):  # it holds results
                    folder.rmdir()


def _refuse_maps_of_others(folder: Path, places: Iterable[Path]) -> None:
    predicted = own_folders(folder)
    numbers = MetricsFile.read_if_whole(folder / MetricsFile.FILE)
    scored = numbers is not None and numbers.predictions is not None  # by madnet evaluate
    tested = not scored and any((folder / name).exists() for name in (MetricsFile.FILE, 'per_image.csv'))
    for name, place in zip((MAPS, PICTURES), places, strict=True):
        if (name in predicted or not tested) and any(place.rglob('*')):
            raise UserError(
                f'{place}: holds files that no earlier test is known to have written; give another --out, or '
                'move that folder away.'
            )
