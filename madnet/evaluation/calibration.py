"""Whether a score of 0.8 is right eight times in ten, and what makes it so.

Guo et al., "On calibration of modern neural networks", ICML 2017; Platt, "Probabilistic outputs for support
vector machines", 1999.
"""

from math import nan
from typing import NamedTuple

import numpy as np

from madnet.evaluation.arrays import sigmoid

#: Bins of a reliability diagram, of equal width.
BINS = 15
#: Pixels around a target within which its pixels and those of its surroundings are judged: elsewhere nearly
#: all pixels are background that no network doubts, and any average over them is 0.
NEAR = 5
#: Temperatures between which the best is looked for.
RANGE = (0.05, 100.0)

# Below 1 the next float32 is 1 − 2^-24: what a sigmoid has rounded to 1 counts as that.
_CLOSEST = 2.0**-24


class PlattScaling(NamedTuple):
    """What makes probabilities of logits: ``sigmoid(logit / temperature + bias)``."""

    temperature: float = 1.0
    bias: float = 0.0

    @classmethod
    def of(cls, said: object) -> 'PlattScaling':
        """What a calibration, an exported file's metadata or a ``test_cfg`` says."""
        return cls(getattr(said, 'temperature', 1.0), getattr(said, 'bias', 0.0))

    def scaled(self, logits: np.ndarray) -> np.ndarray:
        """What the sigmoid takes, of the logits' shape and type."""
        return logits / self.temperature + self.bias

    def logits_of(self, probabilities: np.ndarray) -> np.ndarray:
        """Float64 logits of float32 probabilities: finite, at most 16.6 times the temperature."""
        p = np.clip(np.asarray(probabilities, np.float64), _CLOSEST, 1 - _CLOSEST)
        return self.temperature * (np.log(p) - np.log1p(-p) - self.bias)

    def moved(self, threshold: float) -> float:
        """Where a threshold (0–1) of plain scores comes to, so that masks stay as they are."""
        if not 0 < threshold < 1 or self == PLAIN:
            return threshold
        return float(sigmoid(self.scaled(PLAIN.logits_of(np.array(threshold)))))


#: Leaves logits as they are.
PLAIN = PlattScaling()


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


def fit_scaling(logits: np.ndarray, truth: np.ndarray) -> PlattScaling:
    """Temperature and bias of least cross entropy.

    It changes no order. The temperature alone, which Guo et al. fit, leaves a score of 0.5 as it is; but a
    network trained with an IoU loss says 0.5 where four in ten are target, which takes a bias.

    Args:
        logits: (n,), finite.
        truth: (n,) bool.

    Returns:
        Its temperature is within :data:`RANGE`.
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
    return PlattScaling(1 / float(found[0]), float(found[1]))
