"""Processes that share the images of a detector."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import cv2


def start_pool(workers: int) -> ProcessPoolExecutor:
    """Processes for detectors, each with one thread of OpenCV."""
    # forked where that exists: a fresh interpreter would take seconds to import torch
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context('fork' if 'fork' in methods else None)
    return ProcessPoolExecutor(workers, context, initializer=cv2.setNumThreads, initargs=(1,))
