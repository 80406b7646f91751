"""The images, masks and score maps that pictures of results are drawn from."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from madnet.datasets.locate import locate
from madnet.datasets.selection import select
from madnet.errors import UserError
from madnet.evaluation.arrays import as_scores, sigmoid
from madnet.evaluation.components import Components, find_components
from madnet.evaluation.folders import find_maps
from madnet.evaluation.matching import Match, match_components
from madnet.evaluation.rules import half
from madnet.evaluation.targets import KEEP_ALL, Least, left_out
from madnet.images import MaskRule, fit_mask, read_image, read_mask, read_scores
from madnet.images.masks import MaskCensus
from madnet.records import DatasetInfo

THRESHOLD = 0.5
#: How far scores may be outside of 0–1 and still be scores.
_OVERSHOOT = 0.2


@dataclass(frozen=True)
class Material:
    """Files of images and masks by id, and how masks are read."""

    images: dict[str, Path] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)
    rule: MaskRule = field(default_factory=MaskRule)

    @classmethod
    def from_folders(
        cls, images: str | os.PathLike, masks: str | os.PathLike, mask_values: Sequence[int] | None = None
    ) -> Material:
        """All files of two folders; ids are stems without suffixes such as ``_pixels0``.

        Raises:
            UserError: A folder is missing or empty.
        """
        return cls(find_maps(images, 'images'), find_maps(masks, 'masks'), MaskRule(mask_values))

    @classmethod
    def from_dataset(cls, dataset: DatasetInfo) -> Material:
        """The files of what ``metrics.json`` says was scored; empty where it is not at hand."""
        try:
            folder, entry, name = locate(None, dataset.name)
            if dataset.split in (None, 'all'):
                parts = [pair for part in folder.pairs.values() for pair in part.items()]
            else:
                parts = [*select(folder, entry, name, dataset.split, dataset.split_set).pairs]
            several = Counter(i for i, _ in parts)  # images that have a number in common
            pairs = {i: pair for i, pair in parts if several[i] == 1}
        except UserError:
            return cls()
        return cls({i: p.image for i, p in pairs.items()}, {i: p.mask for i, p in pairs.items() if p.mask})

    def __contains__(self, image_id: str) -> bool:
        return image_id in self.images and image_id in self.masks

    def read(self, image_id: str) -> tuple[np.ndarray, Components]:
        """Image, (H, W) or (H, W, 3), and the components of its mask.

        Raises:
            UserError: A file can't be read, or the mask has another shape than the image.
        """
        image = read_image(self.images[image_id])
        mask = read_mask(self.masks[image_id], self.rule)
        mask = fit_mask(mask, image.shape[:2], self.masks[image_id], self.images[image_id])
        return image, find_components(half(mask))

    def check_masks(self, ids: Sequence[str], where: str) -> None:
        """Stop where the masks of these images do not fit the rule that they are read by.

        Raises:
            UserError: As of :meth:`~madnet.images.masks.MaskCensus.refuse`.
        """
        census = MaskCensus()
        for image_id in ids:
            census.add(self.masks[image_id], read_mask(self.masks[image_id], self.rule, strict=False))
        census.refuse(where, self.rule, '--mask-values')


def read_score_map(
    path: Path, shape: tuple[int, int], labels: bool = False, from_logits: bool = False
) -> np.ndarray:
    """A score map as (H, W) float32 in 0–1.

    Args:
        path: Its file.
        shape: (H, W) of the image.
        labels: It holds labels: 0 is background, anything else target.
        from_logits: It is known to hold logits; else values far outside of 0–1 are taken for such.

    Raises:
        UserError: Not readable, with NaN, or of another size than ``shape``.
    """
    score = as_scores(read_scores(path, labels=labels), str(path), from_logits=True)
    if score.shape != tuple(shape):
        raise UserError(
            f'{path}: the score map is {score.shape[1]}x{score.shape[0]}, '
            f'its image {shape[1]}x{shape[0]} (width x height)'
        )
    # resizing by cubic splines leaves the range by a tenth at most
    if from_logits or score.min() < -_OVERSHOOT or score.max() > 1 + _OVERSHOOT:
        score = sigmoid(score)
    return np.clip(score, 0, 1)


def detect(
    score: np.ndarray,
    truth: Components,
    threshold: float = THRESHOLD,
    least: Least = KEEP_ALL,
    image: np.ndarray | None = None,
) -> tuple[Components, Match]:
    """Components of a score map above a threshold that have what they need at least, and which targets they
    hit: what a picture marks."""
    found = score > threshold
    if not least.keeps_all:
        found &= ~left_out(found, score, least, image, 'picture')
    pred = find_components(found)
    return pred, match_components(truth, pred)
