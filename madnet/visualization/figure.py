"""Figures at the size that papers print, without any state shared between them."""

import io
import os
import re
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from madnet.files import write_whole
from madnet.visualization.palette import LINE_STYLES, SERIES

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
    return rc_context(_STYLE | (_SERIF if serif else {}))


def page_style():
    """The same for figures of a page, in colours that :func:`svg_text` can turn to a dark page's."""
    return rc_context({**_STYLE, **_PAGE})


def new_figure(width: str = 'single', height: float | None = None) -> Figure:
    """An empty figure with an Agg canvas; call it, and draw, inside of :func:`paper_style`.

    ``width`` is a key of :data:`WIDTHS`; ``height`` is in inches, by default 3/4 of a single column.
    """
    figure = Figure((WIDTHS[width], height or 0.75 * WIDTHS['single']), layout='constrained')
    FigureCanvasAgg(figure)
    return figure


def series_style(index: int) -> dict:
    """Colour and line style of the ``index``-th method, so that a grey print tells them apart too."""
    return {'color': SERIES[index % len(SERIES)], 'linestyle': LINE_STYLES[index % len(LINE_STYLES)]}


def add_legend(axes: Axes, count: int, **kwargs) -> None:
    """A legend inside of the axes, or below them where it has many entries."""
    if count <= 4:
        axes.legend(**kwargs)
    else:
        columns = 2 if count <= 8 else 3
        axes.legend(**{**kwargs, 'loc': 'upper center'}, bbox_to_anchor=(0.5, -0.2), ncols=columns)


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
