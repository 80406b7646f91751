"""The images, masks and score maps that pictures of results are drawn from."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from madnet.datasets.images import read_pixels, to_mask
from madnet.datasets.locate import locate
from madnet.errors import UserError
from madnet.evaluation.arrays import sigmoid
from madnet.evaluation.components import Components, find_components
from madnet.evaluation.folders import find_maps, read_scores
from madnet.evaluation.matching import Match, match_components
from madnet.evaluation.rules import half

THRESHOLD = 0.5
RADIUS = 3.0


@dataclass(frozen=True)
class Material:
    """Files of images and masks by id.

    Attributes:
        images: Id → image file.
        masks: Id → mask file.
    """

    images: dict[str, Path] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def from_folders(cls, images: str | os.PathLike, masks: str | os.PathLike) -> Material:
        """All files of two folders; ids are stems without suffixes such as ``_pixels0``.

        Raises:
            UserError: A folder is missing or empty.
        """
        return cls(find_maps(images, 'images'), find_maps(masks, 'masks'))

    @classmethod
    def from_dataset(cls, name: str) -> Material:
        """All files of a data set of the catalogue; empty where it is not at hand.

        Args:
            name: As ``metrics.json`` has it.
        """
        try:
            folder, entry, _ = locate(None, name)
        except UserError:
            return cls()
        pairs = {i: pair for part in folder.pairs.values() for i, pair in part.items()}
        masks = {i: pair.mask for i, pair in pairs.items()}
        for image_id, fix in (entry.mask_fixes if entry else {}).items():
            if image_id in masks and (folder.root / fix).is_file():
                masks[image_id] = folder.root / fix
        return cls({i: pair.image for i, pair in pairs.items()}, masks)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self.images and image_id in self.masks

    def read(self, image_id: str) -> tuple[np.ndarray, Components]:
        """Image, (H, W) or (H, W, 3), and the components of its mask.

        Raises:
            UserError: A file can't be read, or the mask has another shape than the image.
        """
        image = read_pixels(self.images[image_id])
        mask = to_mask(read_pixels(self.masks[image_id]))
        (height, width), (mask_height, mask_width) = image.shape[:2], mask.shape
        if (height, width) != (mask_height, mask_width):
            if abs(mask_width / mask_height / (width / height) - 1) > 0.01:
                raise UserError(
                    f'{self.masks[image_id]}: the mask is {mask_width}x{mask_height}, '
                    f'its image {width}x{height}'
                )
            mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
        return image, find_components(half(mask))


def read_score_map(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """A score map as (H, W) float32 in 0–1; values outside of that range are taken for logits.

    Raises:
        UserError: Not readable, or of another size than ``shape``.
    """
    score = read_scores(path)
    if score.shape != tuple(shape):
        raise UserError(
            f'{path}: the score map is {score.shape[1]}x{score.shape[0]}, '
            f'its image {shape[1]}x{shape[0]} (width x height)'
        )
    if np.nanmin(score) < 0 or np.nanmax(score) > 1:
        score = sigmoid(score)
    return np.nan_to_num(score)


def detect(
    score: np.ndarray, truth: Components, threshold: float = THRESHOLD, radius: float = RADIUS
) -> tuple[Components, Match]:
    """Components of a score map above a threshold, and which targets they hit: what a picture marks."""
    pred = find_components(score > threshold)
    return pred, match_components(truth, pred, radius=radius)
