"""From counts, maps and curves that exist to pictures, tables and reports.

Names are imported when they are first used: pictures of targets need neither torch nor mmseg.
"""

from typing import TYPE_CHECKING

from madnet.lazy import importing

if TYPE_CHECKING:
    from madnet.visualization.local_backend import LocalVisBackend
    from madnet.visualization.overlay import draw_overlay
    from madnet.visualization.visualizer import IRSTDVisualizer

__all__ = ['IRSTDVisualizer', 'LocalVisBackend', 'draw_overlay']

__getattr__ = importing(
    __name__,
    {
        'IRSTDVisualizer': 'visualizer',
        'LocalVisBackend': 'local_backend',
        'draw_overlay': 'overlay',
    },
)
