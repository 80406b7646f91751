"""Score maps that any program has written: files to numbers."""

import os
from pathlib import Path

import numpy as np

from madnet.errors import UserError
from madnet.images.frames import bits_in_use, read_image
from madnet.images.masks import MaskRule, read_mask

#: By which predicted labels are read: whatever is not 0 is target.
LABELS = MaskRule(threshold=0)


def read_scores(path: str | os.PathLike, from_logits: bool = False, labels: bool = False) -> np.ndarray:
    """A score map as (H, W) float32.

    Whole numbers of 8 or 16 bit are divided by their type's maximum, those of 32 or 64 bit and floats are the
    scores. Colours are taken where they are grey.

    Args:
        path: Any file that :func:`~madnet.images.read_image` reads.
        from_logits: Whether raw logits are expected.
        labels: The file holds labels: 0 is background, anything else target, score 1.

    Raises:
        UserError: Not readable, more than one channel, or whole numbers where logits were announced.
    """
    return scores_and_greys(path, from_logits, labels)[0]


def sixteen_bits(scores: np.ndarray) -> np.ndarray:
    """Scores 0–1 as uint16 0–65535, as files keep them: above 0.5 there where they are above 0.5 here."""
    return np.round(scores * 65535).astype(np.uint16) - (scores == 0.5)  # which lies between two of them


def scores_and_greys(
    path: str | os.PathLike, from_logits: bool = False, labels: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """:func:`read_scores`, and the grey values (H, W) that it divided; None where it divided none."""
    path = Path(path)
    if labels:
        return (read_mask(path, LABELS) > 0).astype(np.float32), None
    array = read_image(path)
    if array.ndim == 3:
        if not (array == array[..., :1]).all():
            raise UserError(f'{path}: colours, expected one grey channel; --labels takes coloured labels.')
        array = array[..., 0]
    if array.dtype.kind == 'u' and array.dtype.itemsize <= 2:
        if from_logits:
            raise UserError(f'{path}: {array.dtype} grey values cannot be logits')
        depth = 8 * array.dtype.itemsize
        bits = min(depth, bits_in_use(array, path))
        return array.astype(np.float32) / np.float32(2**bits - 1), array << depth - bits
    return array.astype(np.float32), None


class ScoreCensus:
    """What the grey values in a folder's score maps are together: no map alone shows a wrong scale.

    A network that finds nothing writes low scores too, so only what would be found by another reading is
    suspect: labels, which are two values, or grey values 0–255 in 16 bits.
    """

    def __init__(self):
        self._maps = self._peak = self._range = 0
        self._plain = True  # nothing but grey values, none above half of their type's range
        self._values: set[int] | None = set()  # None where they are no two

    def add(self, greys: np.ndarray | None) -> None:
        """Count a map by the grey values that :func:`scores_and_greys` gives."""
        self._maps += 1
        if greys is None or not self._plain:
            self._plain = False
            return
        low, high = int(greys.min()), int(greys.max())
        self._peak, self._range = max(self._peak, high), max(self._range, np.iinfo(greys.dtype).max)
        self._plain = 2 * high <= np.iinfo(greys.dtype).max
        if self._values is not None and ((greys == low) | (greys == high)).all():
            self._values |= {low, high}
        else:
            self._values = None

    def refuse(self, where: str) -> None:
        """Raise a UserError where the maps of a folder are no scores over the range of their type."""
        if not (self._plain and self._maps):
            return
        scores = f'which as grey values would be scores of {self._peak / self._range:.2g} at most'
        if 127 < self._peak <= 255:  # which is above half of 8 bits
            raise UserError(
                f'{where}: {self._maps} files of 16 bits with values up to {self._peak}, {scores}; grey '
                'values 0–255 belong into 8 bits, or are to be multiplied by 257. Scores that low are kept '
                'by floats (.npy).'
            )
        if self._values and len(self._values) == 2:
            raise UserError(
                f'{where}: {self._maps} files of whole numbers {min(self._values)} and {self._peak}, '
                f'{scores}; if these are labels, say so by --labels (labels=True): 0 is background, anything '
                'else target. Scores that low are kept by floats (.npy).'
            )
