"""Mean and deviation of a data set: from the catalogue, or measured once and kept in the user's cache."""

import os
from collections.abc import Sequence

import numpy as np

from madnet.images import read_image, to_channels
from madnet.images.frames import bits_in_use
from madnet.images.values import ValueRange

from .checks import kept
from .sirst_dataset import SIRSTDataset


def measure_statistics(
    files: Sequence[str | os.PathLike],
    channels: int = 1,
    bit_depth: int = 16,
    value_range: ValueRange = None,
) -> dict:
    """Mean and standard deviation of some images' pixels, each image with the same weight.

    Args:
        files: Image files.
        channels, bit_depth, value_range: See :func:`~madnet.images.to_channels`.

    Returns:
        ``mean`` and ``std``, a list of one value or of three (RGB), on the 0–255 scale, to three decimals.

    Raises:
        UserError: A file can't be read as an image.
    """
    first = second = np.zeros(channels)
    for file in files:
        pixels = read_image(file)
        depth = min(bit_depth, bits_in_use(pixels, file))
        pixels = to_channels(pixels, channels, depth, value_range, file)
        pixels = pixels.reshape(-1, channels).astype(np.float64)
        first = first + pixels.mean(0)
        second = second + (pixels**2).mean(0)
    mean = first / len(files)
    std = np.sqrt(second / len(files) - mean**2)
    return {'mean': mean[::-1].round(3).tolist(), 'std': std[::-1].round(3).tolist()}


def folder_statistics(dataset: SIRSTDataset, channels: int = 1, bit_depth: int = 16) -> tuple[dict, bool]:
    """:func:`measure_statistics` of a data set's images under its ``value_range``, and whether they were
    measured now: they are found in the user's cache until a file changes."""
    files = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    settings = channels, bit_depth, dataset.value_range
    return kept('statistics', settings, files, lambda: measure_statistics(files, *settings))
