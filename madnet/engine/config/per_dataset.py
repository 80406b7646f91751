"""What a config says of one data set, and what of it a config built on that one has changed."""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from madnet.config_files import find_base
from madnet.datasets.wrappers import inner_datasets, kind_of
from madnet.engine.config.steps import LOADERS, names_of, steps_of

_NOTHING = object()


@dataclass(frozen=True)
class _Layer:
    """A config file, or the bases of the layer before.

    Attributes:
        values: All that they come to, with their own bases.
        said: The dotted keys of the values that are written out in them.
    """

    values: Mapping
    said: frozenset[str]


def changes_for(name: str, cfg: Config, path: Path, read: Callable[[Path], Config]) -> ConfigDict:
    """The part of ``per_dataset[name]`` that holds for a config file.

    A base's ``per_dataset`` must not beat what a file built on that base says itself: of each value the file
    nearest to ``path`` decides, and within one file ``per_dataset``. A file says a value where it is written
    out, and, however it is brought about, where it is not what the bases come to.

    Args:
        name: The data set, as ``per_dataset`` names it.
        cfg: The whole config.
        path: Its file.
        read: Reads a config file.

    Returns:
        ``per_dataset[name]`` without the values that a file between says itself.
    """
    layers = list(_layers(cfg, path, read))
    return _kept(ConfigDict(cfg.per_dataset[name]), [], name, layers)


def _kept(changes: Mapping, above: list[str], name: str, layers: Sequence[_Layer]) -> ConfigDict:
    kept = ConfigDict()
    for key, value in changes.items():
        keys = [*above, key]
        if isinstance(value, Mapping):
            inner = _kept(value, keys, name, layers)
            if inner:  # an empty dict in the place of None or a list would be something else
                kept[key] = inner
        elif not _said_above(keys, value, name, layers):
            kept[key] = value
    return kept


def _said_above(keys: list[str], value: Any, name: str, layers: Sequence[_Layer]) -> bool:
    """Whether a file says a value that a base of it has in ``per_dataset``."""
    inside, there = ['per_dataset', name, *keys], 0
    while '.'.join(inside) not in layers[there].said:
        if there + 1 == len(layers) or _at(layers[there + 1].values, inside) != value:
            break
        there += 1
    if any('.'.join(keys) in layer.said for layer in layers[:there]):
        return True
    return there > 0 and _differ(layers[0].values, layers[there].values, keys)


def _differ(values: Mapping, base: Mapping, keys: list[str]) -> bool:
    """Whether a config has another value than its bases, another part around it, or another such step."""
    kinds: tuple = (None, None)  # of the innermost part around it
    for n in range(1, len(keys)):
        pair = _at(values, keys[:n]), _at(base, keys[:n])
        if all(isinstance(each, Mapping) for each in pair):
            kinds = kinds if 'type' not in pair[0] else tuple(map(kind_of, pair))
        elif pair[0] != pair[1] and not all(v is _NOTHING or isinstance(v, Mapping) for v in pair):
            return True
    if kinds[0] != kinds[1]:
        return True
    if keys[0] == 'replace_steps' and len(keys) > 1:
        # what tests share with the training, such as how images are read, is not the training's own
        shared, drawn = LOADERS[1:], LOADERS[:1]
        loaders = shared if _steps(base, keys[1], shared) else drawn
        if _steps(values, keys[1], loaders) != _steps(base, keys[1], loaders):
            return True
    return _at(values, keys) != _at(base, keys)


def _at(values: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        if not isinstance(values, Mapping) or key not in values:
            return _NOTHING
        values = values[key]
    return values


def _steps(values: Mapping, kind: str, loaders: Sequence[str]) -> list:
    found = (_at(values, [loader, 'dataset']) for loader in loaders)
    sets = [each for dataset in found if isinstance(dataset, Mapping) for each in inner_datasets(dataset)]
    return [step for each in sets for step in steps_of(each) if kind in names_of(step)]


def _layers(cfg: Config, path: Path, read: Callable[[Path], Config]) -> Iterator[_Layer]:
    """The config file, then its bases, then theirs, and so on down."""
    values, level = cfg._cfg_dict, [path]
    while level:
        trees = [(p, _assignments(p)) for p in level if p.suffix == '.py' and p.is_file()]
        yield _Layer(
            values, frozenset(k for _, tree in trees for name, v in tree.items() for k in _keys(name, v))
        )
        level = [find_base(base, p.parent) for p, tree in trees for base in _strings(tree.get('_base_'))]
        values = ConfigDict()
        level = [base for base in level if base.is_file()]  # not those of another package
        for base in level:
            values.merge(read(base)._cfg_dict)


def _assignments(path: Path) -> dict[str, ast.expr]:
    statements = ast.parse(path.read_text(encoding='utf-8')).body
    return {
        target.id: s.value
        for s in statements
        if isinstance(s, ast.Assign)
        for target in s.targets
        if isinstance(target, ast.Name)
    }


def _strings(value: ast.expr | None) -> list[str]:
    items = value.elts if isinstance(value, (ast.List, ast.Tuple)) else [value]
    return [i.value for i in items if isinstance(i, ast.Constant) and isinstance(i.value, str)]


def _keys(prefix: str, value: ast.expr) -> Iterator[str]:
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == 'dict':
        items = [(k.arg, k.value) for k in value.keywords if k.arg]
    elif isinstance(value, ast.Dict):
        items = [
            (str(k.value), v)
            for k, v in zip(value.keys, value.values, strict=True)
            if isinstance(k, ast.Constant)
        ]
    else:
        items = []
        yield prefix
    for key, inner in items:
        yield from _keys(f'{prefix}.{key}', inner)
