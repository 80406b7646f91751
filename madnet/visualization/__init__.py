"""From counts, maps and curves that exist to pictures, tables and reports.

Names are imported when they are first used: pictures of targets need neither torch nor mmseg.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from madnet.visualization.local_backend import LocalVisBackend
    from madnet.visualization.overlay import draw_overlay
    from madnet.visualization.visualizer import IRSTDVisualizer

__all__ = ['IRSTDVisualizer', 'LocalVisBackend', 'draw_overlay']

_HOMES = {
    'IRSTDVisualizer': 'visualizer',
    'LocalVisBackend': 'local_backend',
    'draw_overlay': 'overlay',
}


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f'{__name__}.{_HOMES[name]}'), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
