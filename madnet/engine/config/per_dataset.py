"""What a config says of one data set, and what of it a config built on that one has changed."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmengine.config import ConfigDict

from madnet.config_files import find_base


def changes_for(name: str, changes: Mapping, path: Path) -> ConfigDict:
    """The part of ``per_dataset[name]`` that holds for a config file.

    A base's ``per_dataset`` must not beat what a file built on that base says itself: of each value the file
    nearest to ``path`` decides, and within one file ``per_dataset``.

    Args:
        name: The data set, as ``per_dataset`` names it.
        changes: ``per_dataset[name]`` of the whole config.
        path: The config file.

    Returns:
        ``changes`` without the values that a file between says itself.
    """
    layers = list(_layers(path))
    return _kept(ConfigDict(changes), '', f'per_dataset.{name}.', layers)


def _kept(changes: Mapping, prefix: str, inside: str, layers: list[set[str]]) -> ConfigDict:
    kept = ConfigDict()
    for key, value in changes.items():
        dotted = f'{prefix}{key}'
        if isinstance(value, Mapping):
            kept[key] = _kept(value, f'{dotted}.', inside, layers)
        elif not _said_above(dotted, inside, layers):
            kept[key] = value
    return kept


def _said_above(key: str, inside: str, layers: list[set[str]]) -> bool:
    for said in layers:
        if f'{inside}{key}' in said:
            return False
        if key in said:
            return True
    return False


def _layers(path: Path) -> Iterator[set[str]]:
    """The dotted keys that a config file says itself, then those of its bases, and so on down."""
    level = [path]
    while level:
        trees = [(p, _assignments(p)) for p in level if p.suffix == '.py' and p.is_file()]
        yield {key for _, tree in trees for name, value in tree.items() for key in _keys(name, value)}
        level = [find_base(base, p.parent) for p, tree in trees for base in _strings(tree.get('_base_'))]


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
