"""Letters of Chinese, Japanese and Korean names, where a font that has them is installed."""

import functools

from matplotlib.font_manager import FontProperties, findfont, fontManager

#: Usual ones of Linux, Windows and macOS, those of even strokes first.
_FAMILIES = (
    *('Noto Sans CJK SC', 'Noto Sans CJK JP', 'Noto Sans SC', 'Source Han Sans SC', 'Source Han Sans CN'),
    *('WenQuanYi Micro Hei', 'WenQuanYi Zen Hei', 'Droid Sans Fallback'),
    *('Microsoft YaHei', 'SimHei', 'SimSun', 'Yu Gothic', 'MS Gothic', 'Malgun Gothic'),
    *('PingFang SC', 'Hiragino Sans GB', 'Heiti SC', 'Arial Unicode MS', 'AppleGothic'),
)


@functools.cache
def east_asian() -> tuple[str, ...]:
    """Families of matplotlib's that stand in for what a figure's own font lacks: of none or one for Chinese
    and what else there is of the usual ones, in the order in which they are asked."""
    installed = {font.name for font in fontManager.ttflist}
    return tuple(name for name in _FAMILIES if name in installed)


def font_files() -> list[tuple[str, int]]:
    """File and number of the face in it, of matplotlib's own font and of :func:`east_asian`."""
    found = [findfont(FontProperties(family=[name])) for name in ('DejaVu Sans', *east_asian())]
    return [(str(path), getattr(path, 'face_index', 0)) for path in found]
