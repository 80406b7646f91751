"""The parts of a config that are data sets: those inside mmengine's wrappers, and what a part is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from madnet.postponed import real

if TYPE_CHECKING:
    from mmengine.registry import Registry


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


def sets_of(cfg: Any, loader: str) -> list:
    """The data sets in a loader of a config, as :func:`inner_datasets` finds them.

    Args:
        cfg: A config, or the dict of one.
        loader: Its key, such as ``'test_dataloader'``.

    Returns:
        Their dicts; none where the config lacks the loader.
    """
    dataset = (cfg.get(loader) or {}).get('dataset')
    return [] if dataset is None else inner_datasets(dataset)


def validation_split(datasets: Iterable) -> str:
    """Which part of the images is validated on, by the data sets or their dicts: ``'test'`` where one is, and
    ``'validation'`` where none says so."""
    found = (d.get('split') if isinstance(d, Mapping) else getattr(d, 'split', None) for d in datasets)
    parts = {str(split) for split in found if split}
    return 'test' if 'test' in parts else min(parts, default='validation')


def kind_of(part: Mapping) -> str:
    """The name of the class that a part of a config has as its ``type``, by name or itself.

    Returns:
        The name without its registry's scope, as that in ``'mmseg.LoadSIRSTImage'``; ``''`` without a type.
    """
    kind = part.get('type', '')
    return str(getattr(kind, '__name__', kind)).rpartition('.')[2]


def by_name(value: Any) -> Any:
    """A copy of a part of a config that JSON can hold as well: classes and functions, as those that a
    ``type`` may be itself, by their names in full, by which mmengine finds them too."""
    if isinstance(value, Mapping):
        return {key: by_name(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([by_name(each) for each in value])
    return f'{value.__module__}.{value.__qualname__}' if hasattr(value, '__qualname__') else value


def is_kind(kind: Any, registry: Registry, *bases: type) -> bool:
    """Whether what a config names as a ``type``, or has itself there, is one of these classes or derived from
    one.

    Nothing is imported for it, as the registry does with names that it does not know: configs in checkpoints
    may come from anywhere. So a class of one's own must have been imported by then.
    """
    if isinstance(kind, str):
        place, _, name = kind.rpartition('.')
        registry.import_from_location()
        known = [vars(sys.modules[place])] if place in sys.modules else []  # as types are written in full
        known += [each.module_dict for each in (registry, registry.parent) if each is not None]
        kind = next((names[name] for names in known if name in names), None)
    kind = real(kind)
    return isinstance(kind, type) and issubclass(kind, bases)
