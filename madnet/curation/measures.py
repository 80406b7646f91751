"""What images and targets are like, in numbers: one table of measures, and how they are taken."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from madnet.curation.sources import Sample
from madnet.evaluation.components import Components, grown
from madnet.evaluation.strata import local_contrast


@dataclass(frozen=True)
class Measure:
    """One property of targets or of images."""

    name: str
    unit: str  # empty for a plain number
    of: str  # 'target' or 'image': what has one value of it
    about: str  # how it is taken, in one sentence
    log: bool = False  # whether its axis is logarithmic


MEASURES = {
    'area': Measure('area', 'px', 'target', 'Pixels of an 8-connected component of the mask.', log=True),
    'scr': Measure(
        'local SCR',
        '',
        'target',
        'Signal-to-clutter ratio: contrast over clutter. The background is the bounding box widened by 20 '
        'pixels on each side, less all target pixels.',
        log=True,
    ),
    'contrast': Measure(
        'contrast',
        'grey levels',
        'target',
        'Mean of the target less that of its background, as for the SCR. Negative: darker than it.',
    ),
    'clutter': Measure(
        'clutter', 'grey levels', 'target', 'Standard deviation of the background, as for the SCR.', log=True
    ),
    'elongation': Measure(
        'elongation',
        '',
        'target',
        'Length over width: the ratio of the principal axes of its pixels’ second moments; 1 is round.',
        log=True,
    ),
    'extent': Measure('extent', '', 'target', 'Share of its bounding box that the target fills.'),
    'border': Measure(
        'distance to the border', 'px', 'target', 'Pixels between its box and the nearest border; 0 touches.'
    ),
    'across': Measure('position across', '', 'target', 'Centroid, in image widths from the left.'),
    'down': Measure('position down', '', 'target', 'Centroid, in image heights from the top.'),
    'targets': Measure('number of targets', '', 'image', '8-connected components of the mask.'),
    'side': Measure('size', 'px', 'image', 'Side of the square of its area, √(width · height).'),
    'mean': Measure('mean grey value', 'grey levels', 'image', 'Mean of the luma on the 0–255 scale.'),
    'deviation': Measure('deviation', 'grey levels', 'image', 'Standard deviation of the luma.'),
    'range': Measure(
        'grey range', 'grey levels', 'image', 'From the 1st to the 99th percentile of the luma.'
    ),
    'slope': Measure(
        'spectral slope β',
        '',
        'image',
        'The background’s power falls as 1/f^β; fitted from 1/64 to 1/4 cycles per pixel. Larger is '
        'smoother.',
    ),
    'fine': Measure(
        'fine texture and noise',
        'grey levels',
        'image',
        'Deviation of the background at wavelengths below 4 pixels.',
        log=True,
    ),
}

#: Edges, in cycles per pixel, of the bins over which the power spectrum is averaged.
FREQUENCY_EDGES = np.geomspace(1 / 128, 0.5, 25)
#: Their geometric centres.
FREQUENCIES = np.sqrt(FREQUENCY_EDGES[1:] * FREQUENCY_EDGES[:-1])
_FIT = (FREQUENCIES > 1 / 64) & (FREQUENCIES < 1 / 4)
_FINE = 0.25  # cycles per pixel
_MARGIN = 2  # pixels around a target that are filled with it


@dataclass(frozen=True)
class Measured:
    """What was found in the images of a part."""

    #: Measure → one value a target, or one an image; NaN where there is none.
    values: dict[str, np.ndarray]
    #: (images, frequencies) power density of the backgrounds, grey levels² / (cycles/px)².
    spectra: np.ndarray
    #: (width, height) → number of images.
    sizes: Counter
    #: The lowest and the highest grey value of all, on the 0–255 scale.
    low: float
    high: float

    @property
    def images(self) -> int:
        return len(self.values['side'])

    @property
    def targets(self) -> int:
        return len(self.values['area'])


def measure(samples: Iterable[Sample]) -> Measured:
    """Take all measures of some images."""
    columns: dict[str, list[np.ndarray]] = {key: [] for key in MEASURES}
    spectra, extremes = [], []
    sizes: Counter[tuple[int, int]] = Counter()
    for sample in samples:
        spectrum, fine = background_spectrum(without_targets(sample.grey, sample.targets))
        height, width = sample.grey.shape
        low, black, white, high = np.percentile(sample.grey, (0, 1, 99, 100))
        found = {
            **_target_values(sample),
            'targets': len(sample.targets),
            'side': np.sqrt(width * height),
            'mean': sample.grey.mean(dtype=np.float64),
            'deviation': sample.grey.std(dtype=np.float64),
            'range': white - black,
            'slope': spectral_slope(spectrum),
            'fine': fine,
        }
        for key, column in columns.items():
            column.append(np.atleast_1d(np.asarray(found[key], np.float64)))
        spectra.append(spectrum)
        sizes[width, height] += 1
        extremes += [low, high]
    values = {key: np.concatenate(column) for key, column in columns.items()}
    return Measured(values, np.array(spectra), sizes, float(min(extremes)), float(max(extremes)))


def _target_values(sample: Sample) -> dict[str, np.ndarray]:
    targets = sample.targets
    height, width = sample.grey.shape
    # The SCR of the metrics is that of the pixels as read; it does not depend on their scale.
    contrast, clutter = local_contrast(sample.pixels, targets).T
    with np.errstate(divide='ignore', invalid='ignore'):
        scr = abs(contrast) / clutter
    contrast, clutter = local_contrast(sample.grey, targets).T
    x0, y0, x1, y1 = targets.boxes.T
    return {
        'area': targets.areas,
        'scr': scr,
        'contrast': contrast,
        'clutter': clutter,
        'elongation': np.array([_elongation(targets, i) for i in range(len(targets))]),
        'extent': targets.areas / ((x1 - x0) * (y1 - y0)),
        'border': np.minimum.reduce([x0, y0, width - x1, height - y1]),
        'across': (targets.centroids[:, 0] + 0.5) / width,
        'down': (targets.centroids[:, 1] + 0.5) / height,
    }


def _elongation(targets: Components, index: int) -> float:
    x0, y0, x1, y1 = targets.boxes[index]
    pixels = np.argwhere(targets.labels[y0:y1, x0:x1] == index + 1)
    # A pixel is a square, whose own second moment is 1/12: a single one is round, not a point.
    moments = np.cov(pixels.T, bias=True) + np.eye(2) / 12
    small, large = np.linalg.eigvalsh(moments)
    return float(np.sqrt(large / small))


def without_targets(grey: np.ndarray, targets: Components) -> np.ndarray:
    """An image whose targets, and two pixels around each, are filled from their surroundings."""
    if not len(targets):
        return grey
    return cv2.inpaint(grey, grown(targets.labels, _MARGIN).view(np.uint8), 3, cv2.INPAINT_NS)


def background_spectrum(grey: np.ndarray) -> tuple[np.ndarray, float]:
    """Radially averaged power spectrum of an image, and its deviation at wavelengths below 4 pixels.

    The image less its mean is multiplied by a Hann window, so that what its borders lack of continuity does
    not pass for power. The density is normalised such that its integral over all frequencies is the variance.

    Args:
        grey: (H, W) grey levels.

    Returns:
        (frequencies,) grey levels² / (cycles/px)², NaN where no frequency of this image falls into a bin; and
        the deviation in grey levels.
    """
    height, width = grey.shape
    window, bins, weights, fine = _frequency_plan(height, width)
    power = abs(np.fft.rfft2((grey - grey.mean()) * window)) ** 2 * weights / np.sum(window**2)
    total = np.bincount(bins.ravel(), power.ravel(), len(FREQUENCIES) + 2)[1:-1]
    count = np.bincount(bins.ravel(), weights.ravel(), len(FREQUENCIES) + 2)[1:-1]
    with np.errstate(invalid='ignore'):
        return total / count, float(np.sqrt(power[fine].sum() / (height * width)))


@lru_cache(maxsize=8)
def _frequency_plan(height: int, width: int) -> tuple[np.ndarray, ...]:
    """Window, and for each coefficient of the half plane its bin, how often it counts, whether it is fine."""
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]).astype(np.float32)
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    # of a real image the other half plane mirrors this one, except for its first and, if even, last column
    weights = np.full(f.shape, 2.0)
    weights[:, 0] = 1
    if width % 2 == 0:
        weights[:, -1] = 1
    return window, np.digitize(f, FREQUENCY_EDGES), weights, f >= _FINE


def spectral_slope(spectrum: np.ndarray) -> float:
    """β of 1/f^β by least squares on logarithms, from 1/64 to 1/4 cycles per pixel; NaN without power."""
    power = spectrum[_FIT]
    seen = np.isfinite(power) & (power > 0)
    if seen.sum() < 3:
        return float('nan')
    return float(-np.polyfit(np.log(FREQUENCIES[_FIT][seen]), np.log(power[seen]), 1)[0])
