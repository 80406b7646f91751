"""Grey levels relative to the brightest one of the image."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ScaleToMaximum(BaseTransform):
    """``255 · img / max(img)``, as float32: every image's brightest pixel is white.

    UIU-Net's loader (Wu et al., TIP 2023) divides each image by its own maximum. An image of zeros stays one.
    """

    def transform(self, results: dict) -> dict:
        img = results['img'].astype(np.float32)
        results['img'] = img * (255 / (float(img.max()) or 255))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
