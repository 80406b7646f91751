"""Target-level counts of one image: what Pd and Fa are made of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from madnet.evaluation.components import (
    Components,
    Match,
    match_greedy,
    match_one_to_one,
    pairs_greedy,
    pairs_one_to_one,
)

#: Matching functions under the names that protocols use.
MATCHERS = {'one-to-one': match_one_to_one, 'greedy': match_greedy}
#: The same on arrays of distances.
PAIRINGS = {'one-to-one': pairs_one_to_one, 'greedy': pairs_greedy}


class TargetCounts(NamedTuple):
    """Sums over a set are sums of these: Pd = matched / targets, Fa = false_pixels / pixels of the set."""

    targets: int
    matched: int
    false_components: int
    false_pixels: int


def count_targets(
    truth: Components, pred: Components, match: Match, false_alarm: str = 'identity'
) -> TargetCounts:
    """Count what was found and what was made up.

    Args:
        truth: Targets.
        pred: Predicted components.
        match: Their match.
        false_alarm: ``'identity'``: the pixels of unmatched components. ``'area-value'``: of components whose
            area is not among the areas of matched ones, so that an unmatched component vanishes when it is as
            large as any matched one (published ABC and DNANet code).
    """
    areas = pred.areas[match.false]
    if false_alarm == 'area-value':
        areas = areas[~np.isin(areas, pred.areas[match.pairs[:, 1]])]
    return TargetCounts(len(truth), len(match.pairs), len(areas), int(areas.sum()))
