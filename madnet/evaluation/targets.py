"""What is known of a predicted component before anybody knows the truth: how sure, how large, how plain."""

from dataclasses import dataclass
from math import inf

import numpy as np

from madnet.errors import UserError
from madnet.evaluation.calibration import PLAIN, PlattScaling
from madnet.evaluation.components import Components, find_components
from madnet.evaluation.strata import local_scr

#: Of a predicted component: pixels; highest and mean logit; local signal-to-clutter ratio (NaN without an
#: image); the rank, see :func:`rank`; and 1 where it is matched with a target.
PREDICTED = np.dtype([(n, np.float64) for n in ('area', 'logit', 'mean_logit', 'scr', 'rank', 'matched')])


def rank(logit: np.ndarray, scr: np.ndarray) -> np.ndarray:
    """By what detections are put in order: the highest logit, times the local signal-to-clutter ratio.

    The network's word alone is the same for most targets and many false alarms; a target that the eye sees
    stands out of its surroundings as well. Unknown ratios count as 0.
    """
    with np.errstate(invalid='ignore'):
        ranks = np.maximum(logit, 0) * scr
    return np.where(np.isnan(ranks), 0, ranks)


@dataclass(frozen=True)
class Least:
    """What a component above the threshold must have at least to count as a target.

    Attributes:
        min_area: Pixels.
        min_scr: Local signal-to-clutter ratio.
        min_rank: Of :func:`rank`.

    Raises:
        UserError: An area below 1, or a negative or infinite ratio or rank.
    """

    min_area: int = 1
    min_scr: float = 0.0
    min_rank: float = 0.0

    def __post_init__(self):
        if self.min_area < 1:
            raise UserError(f'min_area: found {self.min_area}, expected 1 pixel or more.')
        for name in ('min_scr', 'min_rank'):
            if not 0 <= getattr(self, name) < inf:
                raise UserError(f'{name}: found {getattr(self, name):g}, expected 0 or more.')

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is left out."""
        return self == KEEP_ALL

    @property
    def looks_at_image(self) -> bool:
        """Whether :meth:`kept` needs what only the image tells."""
        return self.min_scr > 0 or self.min_rank > 0

    def kept(self, rows: np.ndarray) -> np.ndarray:
        """(n,) bool of rows :data:`PREDICTED`; a ratio that is not known is not enough."""
        kept = rows['area'] >= self.min_area
        if self.looks_at_image:
            kept &= ~(rows['scr'] < self.min_scr) & ~(rows['rank'] < self.min_rank) & ~np.isnan(rows['scr'])
        return kept


#: Every component counts.
KEEP_ALL = Least()


def describe_components(
    values: np.ndarray,
    components: Components,
    image: np.ndarray | None = None,
    scaling: PlattScaling | None = PLAIN,
) -> np.ndarray:
    """(n,) rows :data:`PREDICTED`, none of them matched.

    Args:
        values: (H, W) probabilities, or logits.
        components: Of the prediction.
        image: (H, W) or (H, W, C) grey values of the same size; None: ratios and ranks are NaN.
        scaling: Of the probabilities; None where the values are logits.
    """
    rows = np.zeros(len(components), PREDICTED)
    rows['scr'] = rows['rank'] = np.nan
    rows['area'] = components.areas
    if not len(components):
        return rows
    inside = components.labels > 0
    labels, values = components.labels[inside].astype(np.int64) - 1, values[inside]
    logits = values.astype(np.float64) if scaling is None else scaling.logits_of(values)
    rows['logit'] = -np.inf
    np.maximum.at(rows['logit'], labels, logits)
    rows['mean_logit'] = np.bincount(labels, logits, len(components)) / components.areas
    if image is not None:
        rows['scr'] = local_scr(image, components, alone=True)
        rows['rank'] = rank(rows['logit'], rows['scr'])
    return rows


def left_out(
    found: np.ndarray,
    scores: np.ndarray,
    least: Least,
    image: np.ndarray | None,
    name: str,
    from_logits: bool = False,
) -> np.ndarray:
    """(H, W) bool: pixels of components that have less than ``least`` asks for.

    Args:
        found: (H, W) bool, what is above the threshold.
        scores: (H, W) probabilities, or logits with ``from_logits``.
        image: As of :func:`describe_components`.
        name: The image, for messages.

    Raises:
        UserError: ``least`` looks at the image, and there is none of this size.
    """
    if least.looks_at_image and (image is None or image.shape[:2] != found.shape):
        what = 'there is none' if image is None else f'it is {image.shape[1]} × {image.shape[0]}'
        raise UserError(
            f'{name}: min_scr and min_rank look at the image, and {what}, where the scores are '
            f'{found.shape[1]} × {found.shape[0]} (width × height).'
        )
    components = find_components(found)
    rows = describe_components(scores, components, image, None if from_logits else PLAIN)
    return np.concatenate([[False], ~least.kept(rows)])[components.labels]
