"""Names of a package that are imported when they are first used."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def importing(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package that offers names without importing their modules.

    Args:
        package: Its ``__name__``.
        homes: Name → the module of the package that holds it.
    """

    def __getattr__(name: str) -> Any:
        if name in homes:
            return getattr(import_module(f'{package}.{homes[name]}'), name)
        raise AttributeError(f'module {package!r} has no attribute {name!r}')

    return __getattr__
