"""Configs in JSON and YAML: data, which name registered components and nothing else."""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mmengine.registry
import mmseg.registry
from mmengine.config import Config
from mmengine.registry import Registry

from madnet.errors import UserError, nearest
from madnet.files import read_json
from madnet.plain_yaml import read_yaml

DATA_ENDINGS = ('.json', '.yaml', '.yml')

#: Keys under which a registry looks for a name, and, where none is registered, imports a module of it.
_NAMES = ('type', 'constructor', 'runner_type')
#: Keys that import a package.
_SCOPES = ('_scope_', 'default_scope')
_KNOWN_SCOPES = ('mmengine', 'mmseg', 'mmcv')


def read_data_config(path: Path) -> Config:
    """The config in a JSON or YAML file.

    Raises:
        UserError: Not readable, or it names what runs code: a ``_base_``, an import, a function or class that
            is not registered.
    """
    try:
        text = path.read_text(encoding='utf-8')
        content = read_json(path) if path.suffix.lower() == '.json' else read_yaml(text)
        if not isinstance(content, dict):
            raise UserError(f'found {type(content).__name__}, expected keys and values.')
        for number, (key, value) in enumerate(_pairs(content)):
            if number > 100_000:
                raise UserError('unfolds to more than 100,000 values.')
            _refuse_code(key, value)
        return Config(content, text, str(path))
    except (UserError, OSError, ValueError, KeyError, RecursionError) as e:
        raise UserError(f'config {path}: {getattr(e, "strerror", None) or e}') from None


def _pairs(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every key and value, however deep, as often as it is mentioned."""
    for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        yield key, item
        if isinstance(item, (Mapping, list, tuple)):
            yield from _pairs(item)


def _refuse_code(key: Any, value: Any) -> None:
    if key in ('_base_', 'custom_imports', 'module_folders'):
        raise UserError(f'{key}: would run code, and a JSON or YAML file is data. Write a config in Python.')
    if key in _SCOPES and value not in _KNOWN_SCOPES:
        raise UserError(f'{key}: found {value!r}, expected {", ".join(_KNOWN_SCOPES)}.')
    if key in _NAMES and isinstance(value, str):
        scope, _, name = value.rpartition('.')
        if scope not in ('', *_KNOWN_SCOPES) or name not in _registered():
            raise UserError(
                f'{key}: {value!r} is not registered; a JSON or YAML config is data and names nothing '
                f'else.{nearest(name, _registered())}'
            )


@functools.cache
def _registered() -> frozenset[str]:
    """The names in all registries of mmengine, of mmseg and of those below them."""
    names: set[str] = set()
    waiting = [
        registry
        for holder in (mmengine.registry, mmseg.registry)
        for registry in vars(holder).values()
        if isinstance(registry, Registry)
    ]
    while waiting:
        registry = waiting.pop()
        registry.import_from_location()
        names.update(registry.module_dict)
        waiting += registry.children.values()
    return frozenset(names)
