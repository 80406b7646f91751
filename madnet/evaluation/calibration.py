"""Whether a score of 0.8 is right eight times in ten, and the temperature that makes it so.

Guo et al., "On calibration of modern neural networks", ICML 2017.
"""

from math import nan

import numpy as np

#: Bins of a reliability diagram, of equal width.
BINS = 15
#: Pixels around a target within which its pixels and those of its surroundings are judged: elsewhere nearly
#: all pixels are background that no network doubts, and any average over them is 0.
NEAR = 5
#: Temperatures between which the best is looked for.
RANGE = (0.05, 100.0)


def reliability(probabilities: np.ndarray, truth: np.ndarray, bins: int = BINS) -> dict[str, list]:
    """What was said and what was so, by bins of probability.

    Args:
        probabilities: (n,) in 0–1.
        truth: (n,) bool.
        bins: Of equal width.

    Returns:
        ``count``, ``said`` (mean probability, NaN in an empty bin) and ``true`` (share) of each bin.
    """
    p, y = np.asarray(probabilities, np.float64), np.asarray(truth, np.float64)
    k = np.minimum((p * bins).astype(np.int64), bins - 1)
    count = np.bincount(k, minlength=bins)
    with np.errstate(invalid='ignore'):
        said, true = np.bincount(k, p, bins) / count, np.bincount(k, y, bins) / count
    return {'count': count.tolist(), 'said': said.tolist(), 'true': true.tolist()}


def expected_calibration_error(diagram: dict[str, list]) -> float:
    """ECE of a :func:`reliability` diagram: the mean gap of said and true, weighted by count; NaN of none."""
    count = np.array(diagram['count'], np.float64)
    gap = np.nan_to_num(abs(np.array(diagram['said']) - np.array(diagram['true'])))
    return float((count * gap).sum() / count.sum()) if count.sum() else nan


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The temperature T of least cross entropy of ``sigmoid(logits / T)``, within :data:`RANGE`, for (n,)
    finite logits and (n,) bool truth. It changes no order and no decision at 0.5."""
    from scipy.optimize import minimize_scalar  # prediction from exported networks does without SciPy

    logits, truth = np.asarray(logits, np.float64), np.asarray(truth, np.float64)

    def cross_entropy(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0, scaled) - truth * scaled))

    bounds = tuple(np.log(RANGE))
    return float(np.exp(minimize_scalar(cross_entropy, bounds=bounds, method='bounded').x))
