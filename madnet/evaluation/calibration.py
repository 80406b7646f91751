"""Whether a score of 0.8 is right eight times in ten, and what makes it so.

Guo et al., "On calibration of modern neural networks", ICML 2017; Platt, "Probabilistic outputs for support
vector machines", 1999.
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


def fit_scaling(logits: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Temperature and bias of least cross entropy of ``sigmoid(logits / temperature + bias)``: Platt scaling.

    It changes no order. The temperature alone, which Guo et al. fit, leaves a score of 0.5 as it is; but a
    network trained with an IoU loss says 0.5 where four in ten are target, which takes a bias.

    Args:
        logits: (n,), finite.
        truth: (n,) bool.

    Returns:
        The temperature, within :data:`RANGE`, and the bias.
    """
    from scipy.optimize import minimize  # prediction from exported networks does without SciPy
    from scipy.special import expit

    logits, truth = np.asarray(logits, np.float64), np.asarray(truth, bool)
    # Platt's targets: what is perfectly told apart would have no optimum
    count, hits = len(truth), int(truth.sum())
    truth = np.where(truth, (hits + 1) / (hits + 2), 1 / (count - hits + 2))

    def cross_entropy(scaling: np.ndarray) -> tuple[float, list[float]]:
        scaled = logits * scaling[0] + scaling[1]
        wrong = expit(scaled) - truth
        value = np.mean(np.logaddexp(0, scaled) - truth * scaled)
        return float(value), [float(np.mean(wrong * logits)), float(np.mean(wrong))]

    slopes = (1 / RANGE[1], 1 / RANGE[0])
    found = minimize(cross_entropy, [1.0, 0.0], jac=True, method='L-BFGS-B', bounds=[slopes, (-16, 16)]).x
    return 1 / float(found[0]), float(found[1])
