"""From the content of a JSON file to a dataclass: strict about what is missing, lenient about what is new."""

import os
import types
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from madnet.errors import UserError
from madnet.files import json_text, plain, read_json, write_whole

SCHEMA = 1
#: Metadata of a field that is left out of the file where it is None.
OMITTED = {'omit': True}
_Record = TypeVar('_Record', bound='Record')
_File = TypeVar('_File', bound='RecordFile')
_WORDS = {int: 'a whole number', float: 'a number', str: 'a text', bool: 'true or false', dict: 'an object'}


@dataclass
class Record:
    """What one JSON object holds.

    The types of the fields are the format: a field without a default must be there and of its type; unknown
    keys, which a later version may have added, are passed over.
    """

    @classmethod
    def from_json(cls: type[_Record], content: Any, path: str | os.PathLike = '') -> _Record:
        """A record from a JSON value.

        Args:
            content: As :func:`json.loads` gives it.
            path: The file, for errors.

        Raises:
            UserError: A key is missing, or a value has another type than expected.
        """
        return decode(cls, content, str(path) or cls.__name__)

    def to_json(self) -> dict[str, Any]:
        """The JSON object, of plain values."""
        return plain(_encode(self))


@dataclass
class RecordFile(Record):
    """A record that is a file of its own, with the number of the format under ``schema``.

    Keys may be added to a format without a new number; files of another number are refused.

    Attributes:
        FILE: The file's usual name.
        WRITER: What writes it.
    """

    FILE: ClassVar[str]
    WRITER: ClassVar[str]

    @classmethod
    def read(cls: type[_File], path: str | os.PathLike) -> _File:
        """The content of a file.

        Raises:
            UserError: It cannot be read, is no JSON, is of another schema, or lacks a key.
        """
        content = read_json(path)
        schema = content.get('schema', SCHEMA) if isinstance(content, dict) else SCHEMA
        if not isinstance(schema, (int, float)) or int(schema) != SCHEMA:
            raise UserError(f'{path}: schema {schema} is not known here, expected {SCHEMA}; update madnet.')
        try:
            return cls.from_json(content, path)
        except UserError as e:
            raise UserError(f'{e} Expected is a {cls.FILE} as {cls.WRITER} writes it.') from None

    @classmethod
    def read_if_whole(cls: type[_File], path: str | os.PathLike) -> _File | None:
        """The content of a file; None where there is none, or half of one."""
        try:
            return cls.read(path)
        except UserError:
            return None

    def write(self, path: str | os.PathLike) -> Path:
        """Write the file, whole or not at all; returns the path.

        Raises:
            UserError: It cannot be written.
        """
        return write_whole(path, self.whole_text())

    def whole_text(self) -> str:
        """What the file holds."""
        return json_text({'schema': SCHEMA, **self.to_json()}, indent=2)


def _encode(value: Any) -> Any:
    if is_dataclass(value):
        known = ((f, getattr(value, f.name)) for f in fields(value))
        return {f.name: _encode(v) for f, v in known if v is not None or not f.metadata.get('omit')}
    if isinstance(value, Mapping):
        return {k: _encode(v) for k, v in value.items()}
    return [_encode(v) for v in value] if isinstance(value, (list, tuple)) else value


def decode(kind: Any, value: Any, path: str, key: str = '') -> Any:
    """A JSON value as a type hint says: a dataclass, named tuple, list, dict, ``Literal`` or optional value.

    Args:
        kind: The type hint.
        value: As :func:`json.loads` gives it.
        path: The file, for errors.
        key: Where in the file, for errors.

    Raises:
        UserError: A key is missing, or the value is of another type.
    """
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin is Literal:
        _check(value in inner, path, key, value, ' or '.join(map(repr, inner)))
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        (kind,) = (k for k in inner if k is not type(None))
        return decode(kind, value, path, key)
    if isinstance(kind, type) and is_dataclass(kind):
        _check(isinstance(value, dict), path, key, value, 'an object')
        return kind(**{f.name: _field(f, hint, value, path, key) for f, hint in _hints(kind) if f.init})
    if origin is dict:
        _check(isinstance(value, dict), path, key, value, 'an object')
        return {k: decode(inner[1], v, path, f'{key}.{k}'.lstrip('.')) for k, v in value.items()}
    if origin is list:
        _check(isinstance(value, (list, tuple)), path, key, value, 'a list')
        return [decode(inner[0], v, path, f'{key}[{i}]') for i, v in enumerate(value)]
    if hasattr(kind, '_fields'):
        _check(isinstance(value, (list, tuple)), path, key, value, 'a list')
        _check(len(value) == len(kind._fields), path, key, value, f'{len(kind._fields)} values')
        return kind(*value)
    if kind is Path:
        return Path(decode(str, value, path, key))
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    accepted = (int, float) if kind is float else kind
    fits = isinstance(value, accepted) and (kind is bool or not isinstance(value, bool))
    _check(fits, path, key, value, _WORDS[kind])
    return value


def _field(f: Field, hint: Any, content: dict, path: str, key: str) -> Any:
    if f.name in content:
        return decode(hint, content[f.name], path, f'{key}.{f.name}'.lstrip('.'))
    if f.default is not MISSING:
        return f.default
    if f.default_factory is not MISSING:
        return f.default_factory()
    raise UserError(f'{path}: found no key {f"{key}.{f.name}".lstrip(".")!r}.')


@cache
def _hints(kind: type) -> list[tuple[Field, Any]]:
    hints = get_type_hints(kind)
    return [(f, hints[f.name]) for f in fields(kind)]


def _check(fits: bool, path: str, key: str, value: Any, expected: str) -> None:
    if not fits:
        found = 'null' if value is None else repr(value)[:40]
        where = f'key {key!r}: ' if key else ''
        raise UserError(f'{path}: {where}found {found}, expected {expected}.')
