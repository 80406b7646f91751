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
    return scores_and_peak(path, from_logits, labels)[0]


def sixteen_bits(scores: np.ndarray) -> np.ndarray:
    """Scores 0–1 as uint16 0–65535, as files keep them: above 0.5 there where they are above 0.5 here."""
    return np.round(scores * 65535).astype(np.uint16) - (scores == 0.5)  # which lies between two of them


def scores_and_peak(
    path: str | os.PathLike, from_logits: bool = False, labels: bool = False
) -> tuple[np.ndarray, int | None]:
    """:func:`read_scores`, and the highest grey value in the file; None where it holds other numbers."""
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
        full = 255 if array.dtype == np.uint8 else 2 ** bits_in_use(array, path) - 1
        return array.astype(np.float32) / np.float32(full), int(array.max())
    return array.astype(np.float32), None
