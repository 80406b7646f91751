"""From counts, maps and curves that exist to pictures, tables and reports."""

from madnet import _quiet_import  # isort: skip
from madnet.visualization.local_backend import LocalVisBackend
from madnet.visualization.overlay import draw_overlay
from madnet.visualization.visualizer import IRSTDVisualizer
