"""A resolved config, whose text is wanted again and again."""

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from madnet.errors import UserError


class StaticConfig(Config):
    """A config whose text is formatted anew only where it has changed: that takes YAPF some tenths of a
    second, and logs and every checkpoint hold it."""

    @property
    def pretty_text(self) -> str:
        """The config as a Python file.

        Raises:
            UserError: A value cannot be written as Python, such as a function.
        """
        content = repr(self._cfg_dict.to_dict())
        known = self.__dict__.get('_formatted')
        if known is None or known[0] != content:
            try:
                known = content, super().pretty_text
            except SyntaxError:
                raise UserError(f'config {self.filename}: {_unwritable(self)}') from None
            self.__dict__['_formatted'] = known  # beside the keys, which mmengine's __setattr__ would set
        return known[1]


def _unwritable(cfg: Config) -> str:
    """Which value of a config is no Python when written."""
    for key, value in leaves(cfg):
        try:
            ast.parse(str(value), mode='exec' if isinstance(value, (str, type)) else 'eval')
        except SyntaxError:
            if not isinstance(value, (str, type)):
                return f'{key}: found {value}, expected what can be written into a file: checkpoints hold it.'
    return 'found what cannot be written into a file, as checkpoints hold it.'


def leaves(value: Any, key: str = '') -> Iterator[tuple[str, Any]]:
    """Dotted key and value of whatever is no dict, nor a list of dicts or lists, in nested ones of these."""
    items = enumerate(value) if isinstance(value, list) else value.items()
    for name, item in items:
        dotted = f'{key}.{name}' if key else str(name)
        several = isinstance(item, list) and any(isinstance(i, Mapping | list) for i in item)
        if isinstance(item, Mapping) or several:
            yield from leaves(item, dotted)
        else:
            yield dotted, item
