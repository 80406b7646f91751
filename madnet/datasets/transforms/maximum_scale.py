"""Grey levels relative to the brightest one of the image."""

import numpy as np
from mmseg.registry import TRANSFORMS

from madnet.datasets.transforms.sample_transform import SampleTransform


@TRANSFORMS.register_module()
class ScaleToMaximum(SampleTransform):
    """``255 · img / max(img)``, as float32: every image's brightest pixel is white.

    UIU-Net's loader (Wu et al., TIP 2023) divides each image by its own maximum. An image of zeros stays one.
    """

    def transform(self, results: dict) -> dict:
        img = results['img'].astype(np.float32)
        results['img'] = img * (255 / (float(img.max()) or 255))
        return results
