"""What a detector makes of an image as an image: SCRG, BSF and CG, the measures of the classical papers."""

import numpy as np

from madnet.evaluation.components import Components
from madnet.evaluation.strata import local_contrast
from madnet.images import luma


def enhancement(image: np.ndarray, scores: np.ndarray, targets: Components) -> dict[str, np.ndarray | float]:
    """How much a score map lifts targets out of their surroundings.

    SCR and BSF are defined by Hilliard, "Selection of a clutter rejection algorithm for real-time target
    detection from an airborne platform", SPIE 4048 (2000), and locally, on the target's box widened by 20 px,
    by Gao et al., "Infrared patch-image model", IEEE TIP 22 (2013); CG by Zhang and Peng, "Infrared small
    target detection based on partial sum of the tensor nuclear norm", Remote Sensing 11 (2019). The map's
    scale plays no part in SCRG; in BSF and CG it does, so both are brought to the range 0–1 first.

    Args:
        image: (H, W) or (H, W, C) grey values or BGR on any scale.
        scores: (H, W) on any scale.
        targets: Of the mask.

    Returns:
        ``SCRG`` (n,) SCR after over SCR before, SCR = |μ_target − μ_background| / σ_background;
        ``CG`` (n,) |μ_target − μ_background| after over before; ``BSF`` deviation of the background before
        over after, of the whole image without targets. Infinite where the map's background is constant; NaN
        where nothing can be said.
    """
    before, after = _unit(luma(image)), _unit(scores)
    background = targets.labels == 0
    (con_in, clutter_in), (con_out, clutter_out) = (
        abs(local_contrast(m, targets).T) for m in (before, after)
    )
    with np.errstate(divide='ignore', invalid='ignore'):
        return {
            'SCRG': (con_out / clutter_out) / (con_in / clutter_in),
            'CG': con_out / con_in,
            'BSF': float(before[background].std() / after[background].std()),
        }


def _unit(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)
