"""The rules that protocols name: tables of functions, whose docstrings begin with what people read.

Nothing else in the package decides what foreground, a match or a false alarm is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from madnet.evaluation.components import assignment

# Below any difference of two real centroid distances, above what float64 rounding does to one.
_ROUNDING = 1e-9


def half(mask: np.ndarray) -> np.ndarray:
    """Grey value above 127."""
    return mask > 127


def white(mask: np.ndarray) -> np.ndarray:
    """Grey value 255."""
    return mask == 255


#: Foreground of a mask: (H, W) grey values as in the file → (H, W) bool.
MASK_RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {'half': half, 'white': white}


def one_to_one(distance: np.ndarray, areas: np.ndarray, radius: float) -> np.ndarray:
    """The assignment with most pairs, then least total centroid distance.

    Where two assignments are equally near, the one that uses the larger predicted component is taken, so that
    the outcome does not hang on the orientation of the image.
    """
    near = distance < radius - _ROUNDING
    # Most images have one target, and hardly any a choice between partners.
    if np.count_nonzero(near) <= 1 or (near.sum(0).max() <= 1 and near.sum(1).max() <= 1):
        return np.stack(near.nonzero(), 1)
    rows, cols = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
    near, part = near[np.ix_(rows, cols)], distance[np.ix_(rows, cols)]
    tie_break = 1e-7 * areas[cols] / areas[cols].max()
    forbidden = (radius + 1) * (min(near.shape) + 1)
    t, p = assignment(np.where(near, part - tie_break, forbidden))
    return np.stack([rows[t], cols[p]], 1)[near[t, p]]


def greedy(distance: np.ndarray, areas: np.ndarray, radius: float) -> np.ndarray:
    """Each target in raster order takes the first component near enough.

    The published ABC, DNANet and BasicIRSTD code: the first one still free, not the nearest. The count of
    matches can therefore fall short of the best possible, and depends on the orientation of the image. Areas
    do not matter.
    """
    near = distance < radius
    free = np.ones(near.shape[1], bool)
    pairs = []
    for t in np.flatnonzero(near.any(1)):
        candidates = np.flatnonzero(near[t] & free)
        if len(candidates):
            free[candidates[0]] = False
            pairs.append((t, candidates[0]))
    return np.array(pairs, np.int64).reshape(-1, 2)


#: How predicted components are matched with targets: (n targets, m components) centroid distances in pixels,
#: (m,) areas, and the radius that a pair must be strictly nearer than → (k, 2) pairs, ascending in targets.
MATCHINGS: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    'one-to-one': one_to_one,
    'greedy': greedy,
}


def identity(areas: np.ndarray, matched: np.ndarray) -> np.ndarray:
    """Pixels of the components that match no target."""
    return areas[~matched]


def area_value(areas: np.ndarray, matched: np.ndarray) -> np.ndarray:
    """Pixels of the components whose area equals no matched component’s area.

    The published ABC and DNANet code: an unmatched component vanishes when it is as large as any matched one.
    """
    return areas[~matched & ~np.isin(areas, areas[matched])]


#: Which predicted components are false alarms: (m,) areas and whether each is matched → the areas that count.
FALSE_ALARMS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    'identity': identity,
    'area-value': area_value,
}


def sentence(rule: Callable) -> str:
    """What a rule does, in one line for people."""
    return rule.__doc__.splitlines()[0]
