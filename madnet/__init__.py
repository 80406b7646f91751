"""madnet: infrared small target detection, trained, tested, compared and put to use.

Importing it costs nothing: a room is imported when it is first used, and the registered components when a
registry is first asked for one (see :mod:`madnet.registration`).
"""

import os
import sys
from importlib import import_module

# Python's -m puts the current folder before all others, and a module there before what ours and a config mean
# by its name; the command madnet does not. Before anything else is imported, it goes, unless the package lies
# in it. orig_argv tells -m madnet from -m of another package, which may need its folder.
if (
    sys.argv[:1] == ['-m']
    and sys.orig_argv[-len(sys.argv)].endswith('madnet')
    and sys.path[:1] == [os.getcwd()] != [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
):
    del sys.path[0]

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
