"""madnet: infrared small target detection, trained, tested, compared and put to use.

Importing it costs nothing: a room is imported when it is first used, and the registered components when a
registry is first asked for one (see :mod:`madnet.registration`).
"""

from importlib import import_module

from madnet.postponed import postpone_imports
from madnet.registration import offer_components

__version__ = '0.2.0'
__all__ = [
    'classical',
    'datasets',
    'engine',
    'evaluation',
    'images',
    'inference',
    'models',
    'ops',
    'pretrained',
    'visualization',
]

offer_components()
postpone_imports()


def __getattr__(name: str):
    if name in __all__:
        return import_module(f'madnet.{name}')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
