"""The kinds of object that a picture tells apart, and how each one looks everywhere in this package.

Colours differ in hue and in lightness, so that they stay apart for the common colour-vision deficiencies
and in a grey print; each kind also has a mark of its own, so that colour is never the only cue.
"""

from dataclasses import dataclass

from madnet.text import counted

RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Kind:
    """How one kind of object is drawn: its words, its colour (RGB, 0–255) and the shape of its mark."""

    one: str
    many: str
    colour: RGB
    mark: str

    def count(self, n: int) -> str:
        """``n`` with the right word behind it: ``'1 hit'``, ``'3 false alarms'``."""
        return counted(n, self.one, self.many)

    @property
    def hex(self) -> str:
        """The colour as ``#rrggbb``, for matplotlib and CSS."""
        return '#{:02x}{:02x}{:02x}'.format(*self.colour)


HIT = Kind('hit', 'hits', (0, 222, 170), 'brackets')
MISSED = Kind('missed', 'missed', (255, 70, 170), 'circle')
FALSE_ALARM = Kind('false alarm', 'false alarms', (255, 190, 0), 'diamond')
TARGET = Kind('target', 'targets', (90, 190, 255), 'brackets')
DETECTION = Kind('detection', 'detections', (90, 190, 255), 'brackets')

PAPER: RGB = (24, 26, 30)
INK: RGB = (236, 238, 240)
QUIET: RGB = (150, 156, 164)

# Okabe and Ito's set without its yellow, too light for thin lines on white paper.
SERIES = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00', '#000000', '#7f7f7f')
LINE_STYLES = ('-', '--', '-.', ':', (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 1)), (0, (3, 4)))
HATCHES = ('', '////', '....', 'xxxx')
