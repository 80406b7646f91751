"""Where the score maps and pictures of a test lie until its numbers are known."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from mmengine.dist import barrier, is_main_process

from madnet.engine.folder_lock import own_folder
from madnet.errors import UserError
from madnet.files import own_folders
from madnet.records import MAPS, PICTURES, MetricsFile


@contextmanager
def new_maps(folder: Path, show_dir: str | None, save_scores: bool) -> Iterator[tuple[Path, list[dict]]]:
    """Keep maps of a new test apart from those of a former one, which a test that fails leaves as they were,
    and other tests out of a folder as long as one is in the ``with`` block.

    Args:
        folder: Of the results.
        show_dir: Folder for pictures; in the place of pictures beside the numbers, they go with these.
        save_scores: Whether score maps are kept.

    Yields:
        ``maps`` of :func:`~madnet.records.write_results`, and the configs of hooks that fill it; it is
        removed at the end.

    Raises:
        UserError: Maps are in the folder that are not a test's.
        FolderInUse: Another process tests with results in this folder.
    """
    maps = folder / '.new-maps'
    hooks = []
    if show_dir is not None:
        ours = Path(show_dir).resolve() == (folder / PICTURES).resolve()
        hooks.append({'type': 'ShowHook', 'show_dir': str(maps / PICTURES) if ours else show_dir})
    if save_scores:
        hooks.append({'type': 'SaveScoresHook', 'folder': str(maps / MAPS)})
    with _made(folder, maps) if is_main_process() else nullcontext():
        barrier()
        yield maps, hooks


@contextmanager
def _made(folder: Path, maps: Path) -> Iterator[None]:
    _refuse_maps_of_others(folder)
    with own_folder(maps):
        for name in (MAPS, PICTURES):  # a killed test's
            shutil.rmtree(maps / name, ignore_errors=True)
        try:
            yield
        finally:
            shutil.rmtree(maps, ignore_errors=True)


def _refuse_maps_of_others(folder: Path) -> None:
    predicted = own_folders(folder)
    tested = any((folder / name).exists() for name in (MetricsFile.FILE, 'per_image.csv'))
    for place in (folder / MAPS, folder / PICTURES):
        if (place.name in predicted or not tested) and any(place.rglob('*')):
            raise UserError(
                f'{place}: holds files that no earlier test is known to have written; give another --out, or '
                'move that folder away.'
            )
