"""What a config says of one data set, and what of it a config built on that one has changed."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from mmengine.config import ConfigDict

from madnet.config_files import find_base

#: What a file says where it writes the steps of training itself.
_PIPELINE = re.compile(r'train_dataloader\.(.*\.)?pipeline$')


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
            inner = _kept(value, f'{dotted}.', inside, layers)
            if inner:  # an empty dict in the place of None or a list would be something else
                kept[key] = inner
        elif not _said_above(dotted, inside, layers):
            kept[key] = value
    return kept


def _said_above(key: str, inside: str, layers: list[set[str]]) -> bool:
    """Whether a file says the value, or a whole that holds it, before one says it in ``per_dataset``."""
    parts = key.split('.')
    wholes = {'.'.join(parts[:n]) for n in range(1, len(parts) + 1)}
    for said in layers:
        if any(f'{inside}{whole}' in said for whole in wholes):
            return False
        own_steps = parts[0] == 'replace_steps' and any(_PIPELINE.match(each) for each in said)
        if own_steps or wholes & said:
            return True
    return False


def _layers(path: Path) -> Iterator[set[str]]:
    """The dotted keys that a config file says itself, then those of its bases, and so on down."""
    level = [path]
    while level:
        read = [(p, list(_assignments(p))) for p in level if p.suffix == '.py' and p.is_file()]
        yield {key for _, said in read for name, value in said for key in _keys(name, value)}
        bases = [
            (p, base)
            for p, said in read
            for name, value in said
            if name == '_base_'
            for base in _strings(value)
        ]
        level = [find_base(base, p.parent) for p, base in bases]


def _assignments(path: Path) -> Iterator[tuple[str, ast.expr]]:
    """(Dotted key, value) of each assignment, those under ``if`` and the like included."""
    for statement in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                yield from ((key, statement.value) for key in _target(target))
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            yield from ((key, statement.value) for key in _target(statement.target))


def _target(target: ast.expr) -> list[str]:
    """The dotted key of ``name`` or ``name['key']['key']``, in a list; none of anything else."""
    if isinstance(target, ast.Name):
        return [target.id]
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        key = str(target.slice.value)
        return [f'{outer}.{key}' for outer in _target(target.value)]
    return []


def _strings(value: ast.expr | None) -> list[str]:
    items = value.elts if isinstance(value, (ast.List, ast.Tuple)) else [value]
    return [i.value for i in items if isinstance(i, ast.Constant) and isinstance(i.value, str)]


def _keys(prefix: str, value: ast.expr) -> Iterator[str]:
    """The dotted keys of the values in a dict that is written out; else ``prefix`` as a whole."""
    whole = False
    items: list[tuple[str, ast.expr]] = []
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == 'dict':
        whole = bool(value.args) or any(k.arg is None for k in value.keywords)
        items = [(k.arg, k.value) for k in value.keywords if k.arg]
    elif isinstance(value, ast.Dict):
        named = list(zip(value.keys, value.values, strict=True))
        whole = not all(isinstance(k, ast.Constant) for k, _ in named)
        items = [(str(k.value), v) for k, v in named if isinstance(k, ast.Constant)]
    else:
        whole = True
    if whole:
        yield prefix
    for key, inner in items:
        yield from _keys(f'{prefix}.{key}', inner)
