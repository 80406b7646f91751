"""Processes that share the images of a detector."""

import multiprocessing
import signal
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import cv2

from madnet.errors import UserError
from madnet.overlap import end_with_parent


def start_pool(workers: int) -> ProcessPoolExecutor:
    """Processes for detectors, each with one thread of OpenCV."""
    # before the fork: a process that thinks it has the threads of the one before waits for them forever
    cv2.setNumThreads(1)
    # forked where that exists: a fresh interpreter would take seconds to import torch
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context('fork' if 'fork' in methods else None)
    return ProcessPoolExecutor(workers, context, initializer=_start)


def _start() -> None:
    end_with_parent()
    cv2.setNumThreads(1)
    # a terminal sends Ctrl-C to all processes, and the first one ends the others
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def map_in_pool(pool: ProcessPoolExecutor, function: Callable, *arguments: Iterable) -> list:
    """The values of a function, in order.

    Raises:
        UserError: A process was killed.
    """
    try:
        return list(pool.map(function, *arguments))
    except BrokenProcessPool:
        raise UserError('--workers: a process was killed (out of memory?); use fewer.') from None
