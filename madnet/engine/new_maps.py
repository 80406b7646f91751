"""Where the score maps and pictures of a test lie until its numbers are known."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.dist import barrier, is_main_process

from madnet.records import MAPS, PICTURES


@contextmanager
def new_maps(folder: Path, show_dir: str | None, save_scores: bool) -> Iterator[tuple[Path, list[dict]]]:
    """Keep maps of a new test apart from those of a former one, which a test that fails leaves as they were.

    Args:
        folder: Of the results.
        show_dir: Folder for pictures; in the place of pictures beside the numbers, they go with these.
        save_scores: Whether score maps are kept.

    Yields:
        ``maps`` of :func:`~madnet.records.write_results`, and the configs of hooks that fill it; it is
        removed at the end.
    """
    maps = folder / '.new-maps'

    def remove() -> None:
        if is_main_process():
            shutil.rmtree(maps, ignore_errors=True)

    hooks = []
    if show_dir is not None:
        ours = Path(show_dir).resolve() == (folder / PICTURES).resolve()
        hooks.append({'type': 'ShowHook', 'show_dir': str(maps / PICTURES) if ours else show_dir})
    if save_scores:
        hooks.append({'type': 'SaveScoresHook', 'folder': str(maps / MAPS)})
    remove()  # a killed test's
    barrier()
    try:
        yield maps, hooks
    finally:
        remove()
