"""Progress bars that look the same everywhere."""

import multiprocessing
import os
import sys
from collections.abc import Iterable

from tqdm import tqdm


def progress_bar(
    iterable: Iterable | None = None,
    *,
    total: int | None = None,
    initial: int = 0,
    what: str = '',
    unit: str = 'image',
) -> tqdm:
    """A bar on standard error, none where that is no terminal, nor in processes that share the work.

    Args:
        iterable: What to walk through; None to move the bar by hand, with ``update``.
        total: Steps in all.
        initial: Steps already done.
        what: What is going on.
        unit: What a step is.
    """
    here = sys.stderr.isatty() and multiprocessing.parent_process() is None
    # A terminal without a size (a log recorder, some CI systems) reports none, and tqdm then draws nothing.
    width = os.get_terminal_size(sys.stderr.fileno()).columns if here else 0
    return tqdm(
        iterable,
        total=total,
        initial=initial,
        desc=what,
        unit=unit,
        disable=not here,
        dynamic_ncols=width > 0,
        ncols=None if width else 100,
        nrows=None if width else 24,
        smoothing=0.05,
    )
