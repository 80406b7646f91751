"""Measured parts side by side: quantiles, distances between distributions, and what differs most."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from madnet.curation.measures import FREQUENCIES, MEASURES, Measured
from madnet.curation.sources import Part

QUANTILES = (0.1, 0.5, 0.9)
#: Distances below this are no difference worth a word, however sure.
WORTH_A_WORD = 0.1


@dataclass(frozen=True)
class Distance:
    """How far one measure's distributions lie apart in two groups of images.

    Attributes:
        d: Kolmogorov–Smirnov distance: the largest gap between the cumulative distributions, 0 (alike) to 1
            (no value in common); NaN where a group has no value.
        by_chance: What two samples of these sizes from one distribution exceed once in twenty times.
    """

    d: float
    by_chance: float

    @property
    def stands_out(self) -> bool:
        """Whether it is neither small nor within chance."""
        return bool(self.d >= max(self.by_chance, WORTH_A_WORD))


@dataclass(frozen=True)
class Comparison:
    """Two groups of images compared: their names, measure → how far apart, and what differs most in words."""

    first: str
    second: str
    distances: dict[str, Distance]
    words: str

    @property
    def sentence(self) -> str:
        """The words, with the names before them."""
        return f'{self.first} against {self.second}: {self.words}'


def quantiles(values: np.ndarray) -> list[float | None]:
    """The 10, 50 and 90 % quantiles of the known values: values that occur, so that infinite ones may; None
    where there is no value."""
    known = values[~np.isnan(values)]
    if not len(known):
        return [None] * len(QUANTILES)
    return np.quantile(known, QUANTILES, method='inverted_cdf').tolist()


def distance(first: np.ndarray, second: np.ndarray) -> Distance:
    """Kolmogorov–Smirnov distance of two samples; NaN values are left out."""
    first, second = (np.sort(v[~np.isnan(v)]) for v in (first, second))
    n, m = len(first), len(second)
    if not n or not m:
        return Distance(float('nan'), float('nan'))
    both = np.concatenate([first, second])
    below = (np.searchsorted(v, both, side='right') / len(v) for v in (first, second))
    gap = np.abs(np.subtract(*below)).max()
    return Distance(float(gap), float(1.36 * np.sqrt((n + m) / (n * m))))


def compare(parts: Sequence[tuple[Part, Measured]]) -> list[Comparison]:
    """Every data set with every other, all splits together; then the splits of each data set."""
    sets: dict[str, list[tuple[Part, Measured]]] = {}
    for part, measured in parts:
        sets.setdefault(part.set_name, []).append((part, measured))
    pooled = {name: _pool([m for _, m in group]) for name, group in sets.items()}
    found = [_compare(a, pooled[a], b, pooled[b]) for a, b in combinations(sets, 2)]
    for group in sets.values():
        for (one, a), (other, b) in combinations(group, 2):
            found.append(_compare(one.name, a.values, other.name, b.values))
    return found


def _pool(measured: Sequence[Measured]) -> dict[str, np.ndarray]:
    return {key: np.concatenate([m.values[key] for m in measured]) for key in MEASURES}


def _compare(first: str, a: Mapping[str, np.ndarray], second: str, b: Mapping[str, np.ndarray]) -> Comparison:
    distances = {key: distance(a[key], b[key]) for key in MEASURES}
    ranked = sorted((key for key in MEASURES if distances[key].stands_out), key=lambda key: -distances[key].d)
    phrases = []
    for of, count in (('image', 2), ('target', 3)):
        keys = [key for key in ranked if MEASURES[key].of == of][:count]
        if keys:
            found = [_phrase(key, a[key], b[key], distances[key]) for key in keys]
            phrases.append(f'{of}s differ in {", ".join(found)}')
    words = '; '.join(phrases) or f'nothing differs beyond D = {WORTH_A_WORD:g} and chance'
    return Comparison(first, second, distances, f'{words}.')


def _phrase(key: str, a: np.ndarray, b: np.ndarray, found: Distance) -> str:
    """``'area (median 20 against 31 px, D 0.24)'``; another quantile where it says far more than the
    median."""
    measure, one, other = MEASURES[key], quantiles(a), quantiles(b)
    with np.errstate(invalid='ignore'):
        gaps = np.nan_to_num(np.abs(np.array(one, float) - np.array(other, float)), nan=0.0)
    index = 1 if gaps[1] >= gaps.max() / 2 else int(gaps.argmax())
    name = 'median' if index == 1 else f'{100 * QUANTILES[index]:.0f} % quantile'
    values = f'{name} {as_text(one[index])} against {as_text(other[index])}'
    return f'{measure.name} ({values}{" " * bool(measure.unit)}{measure.unit}, D {found.d:.2f})'


def as_text(value: float | None) -> str:
    """Three significant digits, ``'–'`` for nothing, no sign before zero."""
    if value is None or np.isnan(value):
        return '–'
    if np.isinf(value):
        return '∞' if value > 0 else '−∞'
    digits = f'{value:.3g}'
    text = f'{value:.0f}' if abs(value) >= 100 else digits
    return text.replace('-', '−') if float(text) else '0'


def facts(measured: Measured) -> dict[str, float]:
    """Counts and shares that quantiles do not show: ``images``, ``targets``, then shares from 0 to 1."""
    v = measured.values
    with np.errstate(invalid='ignore'):
        return {
            'images': measured.images,
            'targets': measured.targets,
            'images_without_target': int((v['targets'] == 0).sum()),
            'sizes': len(measured.sizes),
            'lowest_grey': measured.low,
            'highest_grey': measured.high,
            'one_pixel': _share(v['area'] == 1),
            'at_border': _share(v['border'] == 0),
            'darker': _share(v['contrast'] < 0),
            'scr_below_2': _share(v['scr'] < 2),
        }


def _share(which: np.ndarray) -> float:
    return float(which.mean()) if len(which) else float('nan')


def sizes_text(measured: Measured) -> str:
    """``'256 × 256'``, or the range of widths and heights where there are several."""
    widths, heights = zip(*measured.sizes, strict=True)
    if len(measured.sizes) == 1:
        return f'{widths[0]} × {heights[0]}'
    return f'{min(widths)}–{max(widths)} × {min(heights)}–{max(heights)}'


def spectrum_quantiles(measured: Measured) -> np.ndarray:
    """(3, frequencies) 10, 50 and 90 % quantiles over the images; NaN where no image has the frequency."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', 'All-NaN slice', RuntimeWarning)
        return np.nanquantile(measured.spectra, QUANTILES, axis=0)


def statistics_json(parts: Sequence[tuple[Part, Measured]], comparisons: Sequence[Comparison]) -> dict:
    """All of it as JSON has it."""
    return {
        'schema': 1,
        'measures': {
            key: {'name': m.name, 'unit': m.unit, 'of': m.of, 'about': m.about} for key, m in MEASURES.items()
        },
        'frequencies': [round(f, 5) for f in FREQUENCIES.tolist()],
        'parts': [_part_json(part, measured) for part, measured in parts],
        'comparisons': [
            {
                'first': c.first,
                'second': c.second,
                'sentence': c.sentence,
                'D': {key: _short(d.d) for key, d in c.distances.items()},
                'by_chance': {key: _short(d.by_chance) for key, d in c.distances.items()},
            }
            for c in comparisons
        ],
    }


def _part_json(part: Part, measured: Measured) -> dict:
    return {
        **part.dataset.describe(),
        'name': part.set_name,
        'measured': {key: _short(v) for key, v in facts(measured).items()},
        'most_common_sizes': [[w, h, n] for (w, h), n in measured.sizes.most_common(5)],
        'quantiles': {
            key: [v if v is None else _short(v) for v in quantiles(measured.values[key])] for key in MEASURES
        },
        'spectrum': [[_short(v) for v in row] for row in spectrum_quantiles(measured).tolist()],
    }


def _short(value: float) -> float:
    """Four significant digits; whole numbers stay."""
    return value if isinstance(value, int) or not np.isfinite(value) else float(f'{value:.4g}')
