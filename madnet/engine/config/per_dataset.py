"""What a config says of one data set, and what of it holds for a config that is built on that one."""

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mmengine.config import Config, ConfigDict

from madnet.datasets.catalogue import find_entry
from madnet.datasets.wrappers import inner_datasets
from madnet.engine.config.steps import LOADERS, names_of, steps_of

_plain_merge = Config._merge_a_into_b


def merge_over_base(said: dict, base: dict, allow_list_keys: bool = False) -> dict:
    """``Config._merge_a_into_b``, by which a base's ``per_dataset`` gives way to what a file says itself.

    Of each value the file nearest to the one that is read decides, and within one file its ``per_dataset``.

    Args:
        said: What the file says, however it is written there.
        base: What its bases come to.
        allow_list_keys: As of mmengine.

    Returns:
        Both, with what is left of the bases' ``per_dataset`` below the file's own.
    """
    merge = partial(_plain_merge, allow_list_keys=allow_list_keys)
    by_set = base.get('per_dataset') if isinstance(base, Mapping) else None
    if not isinstance(by_set, Mapping):
        return merge(said, base)
    own = {_data_set(name): name for name in said.get('per_dataset') or {}}
    left = ConfigDict()
    for name, changes in by_set.items():
        part = {own.get(_data_set(name), name): _left(changes, said)}
        left = merge(part, _undeleted(left, part))
    left = _undeleted(left, said.get('per_dataset'))
    found = [changes.get('replace_steps') for changes in left.values() if isinstance(changes, Mapping)]
    if steps := [changed for changed in found if isinstance(changed, dict)]:
        whole = ConfigDict(merge(copy.deepcopy(said), base))  # merging takes _delete_ out of what is said
        for changed in steps:
            for kind in [kind for kind in changed if _has_own(whole, base, kind)]:
                del changed[kind]
    return merge(said, {**base, 'per_dataset': left})


def _left(changes: Any, said: Mapping) -> Any:
    """Changes of a config without the values that a file says itself."""
    if not isinstance(changes, Mapping):
        return changes
    left = ConfigDict()
    for key, value in changes.items():
        if key not in said:
            left[key] = value
        elif all(isinstance(v, Mapping) and not v.get('_delete_') for v in (value, said[key])):
            inner = _left(value, said[key])
            if inner:  # an empty dict in the place of None or a list would be something else
                left[key] = inner
    return left


def _data_set(name: str) -> str:
    entry = find_entry(name)
    return entry.name if entry else name


def _undeleted(changes: Any, said: Any) -> Any:
    """Changes of a config without the parts that others delete. Merging would use up the ``_delete_``, which
    has yet to delete what the config itself says."""
    if not isinstance(changes, Mapping) or not isinstance(said, Mapping):
        return changes
    deleted = {key for key, value in said.items() if isinstance(value, Mapping) and value.get('_delete_')}
    return ConfigDict({k: _undeleted(v, said.get(k)) for k, v in changes.items() if k not in deleted})


def _has_own(whole: Mapping, base: Mapping, kind: str) -> bool:
    """Whether a file brings pipelines with other steps of a kind than its bases have."""
    # what tests share with the training, such as how images are read, is not the training's own
    shared, drawn = LOADERS[1:], LOADERS[:1]
    loaders = shared if _steps(base, kind, shared) else drawn
    return _steps(whole, kind, loaders) != _steps(base, kind, loaders)


def _steps(values: Mapping, kind: str, loaders: Sequence[str]) -> list:
    parts = [part for loader in loaders if isinstance(part := values.get(loader), Mapping)]
    found = [dataset for part in parts if isinstance(dataset := part.get('dataset'), Mapping)]
    sets = [each for dataset in found for each in inner_datasets(dataset)]
    return [step for each in sets for step in steps_of(each) if kind in names_of(step)]
