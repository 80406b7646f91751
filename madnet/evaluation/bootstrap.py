"""How far a number can be trusted: bootstrap over images, and spread over seeds."""

from collections.abc import Iterator, Mapping, Sequence
from math import nan, sqrt

import numpy as np

from madnet.errors import UserError
from madnet.evaluation.pixel import mean

#: Columns of per-image counts that the resampled numbers are made of.
COLUMNS = ('intersection', 'union', 'IoU', 'targets', 'matched', 'false_pixels', 'pixels')
METRICS = ('IoU', 'nIoU', 'Pd', 'Fa')
# Resamples of many images are drawn in portions of about this many weights.
_PORTION = 2_000_000


def bootstrap_intervals(
    images: Mapping[str, np.ndarray],
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    empty: float = nan,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of IoU, nIoU, Pd and Fa, resampling whole images; equal seeds draw equal ones.

    Args:
        images: The ``COLUMNS`` of per-image counts, each (n,).
        confidence: Share of the resamples inside the interval.
        empty: IoU of a resample without foreground, true or predicted, by the protocol; NaN leaves it out.

    Returns:
        ``{'IoU': (low, high), …}``; NaN where a number is undefined in every resample.
    """
    weights = _weights(len(images['IoU']), resamples, seed)
    values = np.concatenate([_metrics(images, w, empty) for w in weights])
    return _percentiles(values, confidence)


def paired_bootstrap(
    a: Mapping[str, np.ndarray],
    b: Mapping[str, np.ndarray],
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    empty: float = nan,
) -> dict[str, dict[str, float | tuple[float, float]]]:
    """Whether one of two methods is better on the same images: both are scored on the same resamples.

    Args:
        a, b: ``COLUMNS`` of the two methods, the same images in the same order.
        confidence: Of the interval of the difference.
        empty: As of :func:`bootstrap_intervals`, also for all images.

    Returns:
        Per metric ``{'a', 'b', 'difference', 'interval', 'p'}``: difference is b − a, p the two-sided
        bootstrap p-value of no difference, at least 2 / (resamples + 1).

    Raises:
        UserError: The two differ in the number of images.
    """
    n = len(a['IoU'])
    if len(b['IoU']) != n:
        raise UserError(f'comparison needs the same images: {n} on one side, {len(b["IoU"])} on the other')
    of_a, of_b = (_metrics(counts, np.ones((1, n)), empty)[0].tolist() for counts in (a, b))
    difference = np.concatenate(
        [_metrics(b, w, empty) - _metrics(a, w, empty) for w in _weights(n, resamples, seed)]
    )
    intervals = _percentiles(difference, confidence)
    result: dict[str, dict[str, float | tuple[float, float]]] = {}
    for k, metric in enumerate(METRICS):
        defined = difference[~np.isnan(difference[:, k]), k]
        p = nan
        if len(defined):
            tail = min((defined <= 0).sum(), (defined >= 0).sum())
            p = min(1.0, 2 * (tail + 1) / (len(defined) + 1))
        numbers = {'a': of_a[k], 'b': of_b[k], 'difference': of_b[k] - of_a[k]}
        result[metric] = {**numbers, 'interval': intervals[metric], 'p': float(p)}
    return result


def mean_std(results: Sequence[Mapping[str, float | None]]) -> dict[str, tuple[float, float, int]]:
    """Mean, sample standard deviation and number of runs of every number that all results share, one flat
    result per seed: ``{'IoU': (mean, std, n), …}``; the deviation of a single run is NaN."""
    n = len(results)
    spread = {}
    for name in results[0] if results else ():
        values = [v for r in results if isinstance(v := r.get(name), (int, float))]
        if len(values) == n:
            centre = mean(values)
            deviation = sqrt(mean([(v - centre) ** 2 for v in values]) * n / (n - 1)) if n > 1 else nan
            spread[name] = (centre, deviation, n)
    return spread


def _weights(n: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each of n images is drawn, in portions (r, n)."""
    if not n:
        raise UserError('bootstrap needs at least one image')
    rng = np.random.default_rng(seed)
    portion = max(1, _PORTION // n)
    for start in range(0, resamples, portion):
        yield rng.multinomial(n, np.full(n, 1 / n), size=min(portion, resamples - start))


def _metrics(images: Mapping[str, np.ndarray], weights: np.ndarray, empty: float) -> np.ndarray:
    """(r, n) weights → (r, 4) IoU, nIoU, Pd, Fa."""
    counts = np.stack([np.asarray(images[c], np.float64) for c in COLUMNS], 1)
    total = dict(zip(COLUMNS, (weights @ counts).T, strict=True))
    pairs = (
        (total['intersection'], total['union']),
        (total['IoU'], weights.sum(1)),
        (total['matched'], total['targets']),
        (total['false_pixels'], total['pixels']),
    )
    with np.errstate(divide='ignore', invalid='ignore'):
        values = np.stack([numerator / denominator for numerator, denominator in pairs], 1)
    values[total['union'] == 0, 0] = empty
    return values


def _percentiles(values: np.ndarray, confidence: float) -> dict[str, tuple[float, float]]:
    tails = (50 * (1 - confidence), 50 * (1 + confidence))
    intervals = {}
    for k, metric in enumerate(METRICS):
        defined = values[~np.isnan(values[:, k]), k]
        low, high = np.percentile(defined, tails) if len(defined) else (nan, nan)
        intervals[metric] = (float(low), float(high))
    return intervals
