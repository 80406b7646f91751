"""The rules that protocols name: tables of functions, whose docstrings begin with what people read.

Nothing else in the package decides what foreground, a match or a false alarm is.
"""

from collections.abc import Callable

import numpy as np

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


def one_to_one(pairs: np.ndarray, distances: np.ndarray, areas: np.ndarray, radius: float) -> np.ndarray:
    """The assignment with most pairs, then least total centroid distance.

    Where two assignments are equally near, the one that uses the larger predicted component is taken, so that
    the outcome does not hang on the orientation of the image.
    """
    near = np.flatnonzero(distances < radius - _ROUNDING)
    t, p = pairs[near].T
    # Most images have one target, and hardly any a choice between partners.
    contested = (np.bincount(t)[t] > 1) | (np.bincount(p)[p] > 1)
    if not contested.any():
        return near
    cost = distances[near] - 1e-7 * areas[p] / areas[p].max()
    t, p = t[contested], p[contested]
    taken = ~contested
    taken[np.flatnonzero(contested)[_cheapest(t, p, cost[contested])]] = True
    return near[taken]


def _cheapest(t: np.ndarray, p: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Which of the given pairs make the assignment with most pairs, then least total cost.

    SciPy's sparse solver finds a partner for everybody. So each target, and each prediction, gets a stand-in
    that it may take at the price of staying unmatched; and the stand-ins of a target and a prediction that
    may take each other may do so too, for nothing.
    """
    # Importing SciPy takes longer than all else that is imported here, and few images leave a choice.
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    (targets, t), (preds, p) = (np.unique(side, return_inverse=True) for side in (t, p))
    n, m = len(targets), len(preds)
    unmatched = (cost.max() + 1) * (min(n, m) + 1)
    # SciPy before 1.13 takes places of 32 bits only
    rows = np.concatenate([t, np.arange(n), n + np.arange(m), n + p], dtype=np.int32)
    columns = np.concatenate([p, m + np.arange(n), np.arange(m), m + t], dtype=np.int32)
    price = np.concatenate([cost, np.full(n + m, unmatched), np.zeros(len(cost))])
    price += 1  # for every partner the same; a price of 0 would mean that there is no pair
    both = n + m
    partner = np.empty(both, np.int64)
    row, column = min_weight_full_bipartite_matching(csr_array((price, (rows, columns)), (both, both)))
    partner[row] = column
    return np.flatnonzero(partner[t] == p)


def greedy(pairs: np.ndarray, distances: np.ndarray, areas: np.ndarray, radius: float) -> np.ndarray:
    """Each target in raster order takes the first component near enough.

    The published ABC, DNANet and BasicIRSTD code: the first one still free, not the nearest. The count of
    matches can therefore fall short of the best possible, and depends on the orientation of the image.
    Neither distances nor areas matter.
    """
    matched, used, taken = set(), set(), []
    for i, (t, p) in enumerate(pairs.tolist()):
        if t not in matched and p not in used:
            matched.add(t)
            used.add(p)
            taken.append(i)
    return np.array(taken, np.int64)


#: How predicted components are matched with targets: (k, 2) pairs (target, component) whose centroids are
#: nearer than a radius, ascending; their (k,) distances in pixels; (m,) areas of all components; that radius
#: → indices of the pairs that are taken, ascending.
MATCHINGS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray, float], np.ndarray]] = {
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
    return (rule.__doc__ or '').partition('\n')[0]
