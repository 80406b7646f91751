"""Figures at the size that papers print, without any state shared between them."""

import functools
import io
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context, rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.text import Text

from madnet.files import write_whole
from madnet.visualization.fonts import east_asian
from madnet.visualization.palette import HATCHES, LINE_STYLES, SERIES

#: Widths in inches of one and of two columns (IEEE transactions).
WIDTHS = {'single': 3.5, 'double': 7.16}

_STYLE = {
    'font.size': 8,
    'axes.titlesize': 8,
    'axes.labelsize': 8,
    'xtick.labelsize': 7,
    'ytick.labelsize': 7,
    'legend.fontsize': 7,
    'axes.linewidth': 0.6,
    'lines.linewidth': 1.2,
    'grid.linewidth': 0.4,
    'grid.color': '#d8d8d8',
    'axes.grid': True,
    'axes.axisbelow': True,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'legend.frameon': False,
    # Type 42 fonts: submission systems refuse Type 3
    'pdf.fonttype': 42,
    'savefig.dpi': 300,
}
#: STIX comes with matplotlib and has the shapes and widths of Times.
_SERIF = {'font.family': ['STIXGeneral'], 'mathtext.fontset': 'stix'}

#: Colours of a page's figures → the light and the dark page's.
_SCHEMES = {
    '#1b1d21': ('--figure-ink', '#1b1d21', '#e6e8eb'),
    '#d9dce1': ('--figure-line', '#d9dce1', '#353a42'),
    '#000000': ('--black', '#000000', '#ffffff'),
    '#0072b2': ('--blue', '#0072b2', '#3f9be0'),
    '#56b4e9': ('--sky', '#56b4e9', '#a9dcff'),
}
_PAGE = {
    **dict.fromkeys(
        ('text.color', 'axes.edgecolor', 'axes.labelcolor', 'xtick.color', 'ytick.color'), '#1b1d21'
    ),
    'grid.color': '#d9dce1',
    'svg.hashsalt': 'madnet',
}


def paper_style(serif: bool = False):
    """A context in which matplotlib draws for paper; outside of it nothing changes. ``serif`` gives letters
    as Times has them, for journals that set figures in the font of their text."""
    return rc_context(_with_fonts(_STYLE | (_SERIF if serif else {})))


def page_style():
    """The same for figures of a page, in colours that :func:`svg_text` can turn to a dark page's."""
    return rc_context(_with_fonts({**_STYLE, **_PAGE}))


def _with_fonts(style: dict) -> dict:
    families = style.get('font.family', rcParams['font.family'])
    return {**style, 'font.family': [*dict.fromkeys([*families, *east_asian()])]}


def new_figure(width: str = 'single', height: float | None = None) -> Figure:
    """An empty figure with an Agg canvas; call it, and draw, inside of :func:`paper_style`.

    ``width`` is a key of :data:`WIDTHS`; ``height`` is in inches, by default 3/4 of a single column.
    """
    figure = Figure((WIDTHS[width], height or 0.75 * WIDTHS['single']), layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def series_style(index: int) -> dict:
    """Colour and line style of the ``index``-th method, so that a grey print tells them apart too; from the
    ninth on the colours come again with other styles."""
    again, colour = divmod(index, len(SERIES))
    return {'color': SERIES[colour], 'linestyle': LINE_STYLES[(colour + again) % len(LINE_STYLES)]}


def bar_style(index: int) -> dict:
    """Colour and hatch of the ``index``-th method's bars, which have no line style."""
    again, colour = divmod(index, len(SERIES))
    hatch = HATCHES[again % len(HATCHES)]
    return {'facecolor': SERIES[colour], 'hatch': hatch, 'edgecolor': 'white', 'linewidth': 0}


def add_legend(axes: Axes, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """A legend inside of the axes where it hides least, or below them where it has many or long entries."""
    if len(labels) <= 4:
        legend = axes.legend(handles, [*map(drawable, labels)], loc='best')
        if legend.get_window_extent().width <= 0.7 * axes.get_window_extent().width:
            return
        legend.remove()
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes of a figure
    add_legend_below(figure, handles, labels)


def add_legend_below(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """A legend below all axes of a figure, in as many columns as there is room for; each line after the first
    makes the figure taller, so that the axes keep their height."""
    if not labels:
        return
    labels = [*map(drawable, labels)]
    room = 0.97 * figure.bbox.width
    for columns in range(min(4, len(labels)), 0, -1):
        legend = figure.legend(handles, labels, loc='outside lower center', ncols=columns)
        if legend.get_window_extent().width <= room or columns == 1:
            break
        legend.remove()
    texts = legend.get_texts()
    widest = max(text.get_window_extent().width for text in texts)
    for text in texts:
        fit_text(text, room - (legend.get_window_extent().width - widest))
    line = 1.6 * float(texts[0].get_fontsize()) / 72
    figure.set_figheight(figure.get_figheight() + (math.ceil(len(labels) / columns) - 1) * line)


def drawable(text: str) -> str:
    """A name from outside as matplotlib draws it: no TeX between two ``$``, and ``?`` for what the figure's
    font lacks, of which matplotlib would draw boxes, and warn."""
    known = _characters(tuple(rcParams['font.family']))
    return ''.join(c if c == '\n' or ord(c) in known else '?' for c in text).replace('$', r'\$')


@functools.cache
def _characters(families: tuple[str, ...]) -> frozenset[int]:
    fonts = (get_font(findfont(FontProperties(family=[family]))) for family in families)
    return frozenset(character for font in fonts for character in font.get_charmap())


def fit_text(text: Text, room: float) -> None:
    """Make a :func:`drawable` text no longer than ``room`` pixels: by smaller letters, down to five points,
    then by leaving out the middle of its longest line, since names often differ at their ends."""

    def length() -> float:
        box = text.get_window_extent()
        return box.height if text.get_rotation() == 90 else box.width

    if length() > room:
        text.set_fontsize(max(5, float(text.get_fontsize()) * room / length()))
    lines = text.get_text().replace(r'\$', '$').split('\n')
    while length() > room and max(map(len, lines)) > 3:
        k = max(range(len(lines)), key=lambda i: len(lines[i]))
        half = (len(lines[k]) - 1) // 2
        lines[k] = (
            f'{lines[k][:half].removesuffix("…")}…{lines[k][len(lines[k]) - half + 1 :].removeprefix("…")}'
        )
        text.set_text('\n'.join(lines).replace('$', r'\$'))


def save_figure(figure: Figure, stem: str | os.PathLike) -> tuple[Path, Path]:
    """Write ``<stem>.pdf`` and ``<stem>.png`` (300 dpi) at the figure's own size, and return the two paths;
    folders are made."""
    # no date inside: the same figure gives the same file
    pdf = save_picture(figure, f'{stem}.pdf', metadata={'CreationDate': None})
    return pdf, save_picture(figure, f'{stem}.png')


def save_picture(figure: Figure, path: str | os.PathLike, **kwargs) -> Path:
    """Write a figure to one file, whole or not at all; its folder is made, its ending says the format. More
    arguments are those of matplotlib's ``savefig``, such as ``dpi`` (default 300).

    Raises:
        UserError: It cannot be written.
    """
    picture = io.BytesIO()  # matplotlib's PDF writer turns a full disk into errors of its own
    with paper_style():
        figure.savefig(picture, format=Path(path).suffix[1:], **kwargs)
    return write_whole(path, picture.getvalue())


def svg_text(figure: Figure) -> str:
    """A figure drawn in :func:`page_style` as SVG, which follows its reader's light or dark colour scheme."""
    buffer = io.StringIO()
    with page_style():
        figure.savefig(buffer, format='svg', transparent=True, metadata={'Date': None})
    # a hundredth of a point is finer than a screen shows, and halves the file; a scale is no length
    text = re.sub(r'(scale\([^)]*\))|(\d+\.\d\d)\d+', r'\1\2', css_colours(buffer.getvalue()))
    return text.replace('<defs>', f'<defs><style>{colour_scheme("svg")}</style>', 1)


def css_colours(text: str) -> str:
    """A text whose colours ``#rrggbb`` become the variables that :func:`colour_scheme` sets."""
    for colour, (name, _, _) in _SCHEMES.items():
        text = text.replace(colour, f'var({name})')
    return text


def colour_scheme(selector: str) -> str:
    """CSS rules that set the variables of :func:`css_colours`, by the reader's light or dark scheme."""
    light = '; '.join(f'{name}: {colour}' for name, colour, _ in _SCHEMES.values())
    dark = '; '.join(f'{name}: {colour}' for name, _, colour in _SCHEMES.values())
    return f'{selector} {{ {light} }} @media (prefers-color-scheme: dark) {{ {selector} {{ {dark} }} }}'
