#!/usr/bin/env python
"""Draw what the transforms of training do to a synthetic scene: ``python docs/build/augmentation.py``."""

from pathlib import Path

import cv2
import numpy as np

from madnet.datasets import SyntheticSIRSTDataset
from madnet.datasets.seeding import seeded
from madnet.datasets.transforms import (
    CopyPasteTargets,
    GainOffsetJitter,
    RandomBlur,
    RandomNoise,
    RandomTargetCrop,
    SensorDefects,
)
from madnet.visualization.figure import new_figure, paper_style, save_picture

IMAGES = Path(__file__).resolve().parents[1] / 'images'
SIDE, DRAWS, SCENE = 96, 3, 14

ROWS = {
    'RandomTargetCrop\nzoom 0.5 to 2': RandomTargetCrop(size=SIDE, target_prob=1, zoom=(0.5, 2.0)),
    'GainOffsetJitter\ngain 0.3 to 3, gamma 0.7 to 1.4\naround the mean': GainOffsetJitter(
        gain=(0.3, 3.0), offset=40, gamma=(0.7, 1.4), pivot='mean'
    ),
    'RandomBlur\nσ up to 1.5 pixels': RandomBlur(prob=1, sigma=(0.3, 1.5)),
    'RandomNoise\nσ up to 4, stripes up to 2': RandomNoise(prob=1, std=(0.0, 4.0), stripes=(0.0, 2.0)),
    'SensorDefects': SensorDefects(prob=1, pixels=(2, 4), lines=(0, 1), specks=(3, 6)),
    'CopyPasteTargets\nformations of 2 to 3': CopyPasteTargets(prob=1, copies=(1, 2), group=(2, 3)),
}


def scene() -> dict[str, np.ndarray]:
    """A crop of a synthetic scene with a target, as transforms take it."""
    image, mask = SyntheticSIRSTDataset(length=SCENE + 1, split='train').read_sample(SCENE)
    sample = {'img': image.reshape(*image.shape[:2], -1)[..., :1], 'gt_seg_map': np.uint8(mask > 127)}
    sample |= {'gt_mask': np.uint8(mask), 'seg_fields': ['gt_seg_map', 'gt_mask']}
    return sample


def view(sample: dict, zoom: int = 2) -> np.ndarray:
    """The sample with its targets outlined, (H, W, 3) RGB; their own pixels stay visible."""
    grey = np.clip(np.rint(sample['img']), 0, 255).astype(np.uint8)
    rgb = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    rgb, target = (m.repeat(zoom, 0).repeat(zoom, 1) for m in (rgb, np.uint8(sample['gt_seg_map'] > 0)))
    rgb[cv2.dilate(target, np.ones((3, 3), np.uint8)) > target] = (255, 200, 0)
    return rgb


def main() -> None:
    """Draw a row for each transform: the crop before it, and three draws."""
    with paper_style():
        figure = new_figure('double', 1.75 * len(ROWS))
        grid = figure.subplots(len(ROWS), DRAWS + 1)
        for axes, (title, transform) in zip(grid, ROWS.items(), strict=True):
            whole = scene()
            with seeded(3):
                crop = RandomTargetCrop(size=SIDE, target_prob=1)(dict(whole))
            axes[0].imshow(view(crop), interpolation='nearest')
            axes[0].set_ylabel(title, fontsize=7)
            for k in range(DRAWS):
                # a zoomed crop is cut from the whole scene, around the same target
                before = whole if isinstance(transform, RandomTargetCrop) else crop
                with seeded(5, k):
                    axes[k + 1].imshow(view(transform(dict(before))), interpolation='nearest')
            for each in axes:
                each.set(xticks=[], yticks=[])
        grid[0, 0].set_title('before', fontsize=8)
        grid[0, 2].set_title('three draws', fontsize=8)
        save_picture(figure, IMAGES / 'augmentation.png', dpi=150, bbox_inches='tight')


if __name__ == '__main__':
    main()
