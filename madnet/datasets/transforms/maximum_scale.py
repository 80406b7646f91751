"""Grey levels relative to the brightest one of the image."""

import numpy as np
from mmseg.registry import TRANSFORMS

from madnet.datasets.transforms.sample_transform import DrawnTransform


@TRANSFORMS.register_module()
class ScaleToMaximum(DrawnTransform):
    """``255 · img / max(img)``, as float32: every image's brightest pixel is white.

    UIU-Net's loader (Wu et al., TIP 2023) divides each image by its own maximum. An image of zeros stays one.
    """

    def draw(self, sample: dict) -> dict:
        return {}

    def apply(self, sample: dict, drawn: dict) -> dict:
        img = sample['img'].astype(np.float32)
        sample['img'] = img * (255 / (float(img.max()) or 255))
        return sample
