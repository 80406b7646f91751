"""Data sets inside mmengine's wrappers."""

from collections.abc import Mapping
from functools import partial
from typing import Any


def inner_datasets(dataset: Any) -> list:
    """The data sets inside wrappers (``ConcatDataset``, ``RepeatDataset``, …), in order.

    Args:
        dataset: A data set, or a config of one.

    Returns:
        The innermost ones, of the same kind as ``dataset``; ``dataset`` alone where it wraps nothing.
    """
    get = dataset.get if isinstance(dataset, Mapping) else partial(getattr, dataset)
    wrapped = get('datasets', None) or [d for d in [get('dataset', None)] if d is not None]
    return [inner for each in wrapped for inner in inner_datasets(each)] or [dataset]
