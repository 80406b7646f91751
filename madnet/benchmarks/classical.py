"""How fast training-free detectors are: CPU seconds an image.

What they find is measured by ``madnet test`` and ``madnet compare --networks classical``.
"""

import statistics
import time
from collections.abc import Sequence

import cv2
import numpy as np

from madnet.classical.detectors import DETECTORS, get_detector
from madnet.datasets import SIRSTDataset
from madnet.datasets.sources import find_sources
from madnet.errors import UserError
from madnet.records import text_table

_LOAD = ({'type': 'LoadSIRSTImage', 'channels': 1},)


def benchmark(
    data: str = 'NUAA-SIRST',
    split: str = 'test',
    methods: Sequence[str] | None = None,
    images: int | None = 20,
    threads: int = 1,
) -> dict:
    """Time detectors on images of a data set, one after the other in this process, and print a table.

    Args:
        data: Name of a data set, found under ``$MADNET_DATA_ROOT``, or its folder.
        split: Part of it.
        methods: Names of :data:`~madnet.classical.detectors.DETECTORS`; None for all.
        images: How many, spread over the part; None for all.
        threads: Of OpenCV.

    Returns:
        ``data``: which part it was; ``images``: how many were timed; ``seconds``: by method ``mean`` and
        ``median`` of the CPU seconds an image.

    Raises:
        UserError: A name is unknown, a data set is not found, or ``images`` is below 1.
    """
    detectors = [get_detector(name) for name in methods or DETECTORS]
    if images is not None and images < 1:
        raise UserError(f'--images {images}: expected 1 or more')
    dataset = SIRSTDataset(**find_sources([data])[0].arguments, split=split, pipeline=_LOAD)
    count = min(images or len(dataset), len(dataset))
    chosen = [dataset[int(i)]['img'] for i in np.linspace(0, len(dataset) - 1, count).round()]
    cv2.setNumThreads(threads)
    seconds: dict[str, dict[str, float]] = {}
    rows = [['method', 'mean', 'median']]
    for detector in detectors:
        detector(chosen[0])  # what is made at the first call does not count
        taken = [_seconds(detector, image) for image in chosen]
        mean, median = statistics.fmean(taken), statistics.median(taken)
        seconds[detector.name] = {'mean': mean, 'median': median}
        rows.append([detector.title, f'{mean:.2g}', f'{median:.2g}'])
    print(f'{dataset.dataset_name} {split}: CPU seconds an image, of {len(chosen)} images')
    print(text_table(rows))
    return {'data': dataset.describe(), 'images': len(chosen), 'seconds': seconds}


def _seconds(detector, image) -> float:
    start = time.process_time()
    detector(image)
    return time.process_time() - start
