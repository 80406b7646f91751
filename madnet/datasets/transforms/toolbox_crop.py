"""The crop with which the networks of the BasicIRSTD toolbox are trained."""

from dataclasses import dataclass

import numpy as np
from mmseg.registry import TRANSFORMS

from madnet.datasets.transforms.sample_transform import DrawnTransform, fields_of, size_of
from madnet.errors import expect_whole


@TRANSFORMS.register_module()
@dataclass(eq=False, repr=False)
class ToolboxCrop(DrawnTransform):
    """Pad at the right and the bottom where the crop needs it, then cut a square, often one near a target.

    As in the BasicIRSTD toolbox (Ying et al.), with whose recipe ACM, ALCNet, ISNet, RDIAN and others are
    usually compared. With probability ``target_prob`` a target pixel (y, x) is drawn, and the top edge
    uniformly among the rows ``max(0, y - size)`` … ``min(y, H - size)``, the left edge likewise; both ends
    count, and the first puts the pixel just outside. Otherwise, and where there is no target, the crop lies
    anywhere with equal chance. :class:`RandomTargetCrop` keeps the target inside and needs no padding.

    Args:
        size: Side of the crop in pixels.
        target_prob: Share of crops placed around a target.
        pad_value: What the image is padded with, on the 0–255 scale: the mean that the preprocessor
            subtracts makes it the toolbox's zeros after normalisation. Masks are padded with 0.

    Raises:
        UserError: ``size`` is below 1.
    """

    size: int = 256
    target_prob: float = 0.5
    pad_value: float = 0.0

    looks_at_labels = geometric = True

    def __post_init__(self):
        super().__post_init__()
        expect_whole(self.size, 'ToolboxCrop.size', least=1)

    def draw(self, sample: dict) -> dict:
        h, w = (max(n, self.size) for n in size_of(sample))
        rows, columns = (0, h - self.size), (0, w - self.size)
        if np.random.rand() < self.target_prob and 'gt_seg_map' in sample:
            target = np.argwhere(sample['gt_seg_map'])
            if len(target):
                y, x = target[np.random.randint(len(target))].tolist()
                rows, columns = self._around(y, h), self._around(x, w)
        top, left = (np.random.randint(first, last + 1) for first, last in (rows, columns))
        return {'top': top, 'left': left}

    def apply(self, sample: dict, drawn: dict) -> dict:
        self._pad(sample)
        place = tuple(np.s_[first : first + self.size] for first in (drawn['top'], drawn['left']))
        for key in fields_of(sample):
            sample[key] = np.ascontiguousarray(sample[key][place])
        sample['img_shape'] = (self.size, self.size)
        return sample

    def _around(self, pixel: int, length: int) -> tuple[int, int]:
        return max(0, pixel - self.size), min(pixel, length - self.size)

    def _pad(self, sample: dict) -> None:
        lacking = [max(0, self.size - n) for n in size_of(sample)]
        if not any(lacking):
            return
        pad = [(0, n) for n in lacking]
        for key in fields_of(sample):
            if key == 'img':  # a mean is seldom a whole grey level
                img = sample['img'].astype(np.float32)
                sample['img'] = np.pad(img, [*pad, (0, 0)], constant_values=self.pad_value)
            else:
                sample[key] = np.pad(sample[key], pad)
