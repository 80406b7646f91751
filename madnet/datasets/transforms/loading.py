"""Load infrared images and their masks."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log
from mmseg.registry import TRANSFORMS

from madnet.errors import UserError

from ..images import fit_mask, read_pixels, to_channels, to_mask


@TRANSFORMS.register_module()
class LoadSIRSTImage(BaseTransform):
    """Load an image of 8 or 16 bit; grey, RGB, RGBA or palette.

    Reads ``img_path``; adds ``img`` (H, W, channels), BGR where 3, on the 0–255 scale (uint8, or float32 for
    16-bit files), ``img_shape`` and ``ori_shape`` (H, W). An ``img`` that is there already, from a dataset
    that makes its own, is only brought to the number of channels.

    Args:
        channels: 1 (luma 0.299 R + 0.587 G + 0.114 B) or 3 (grey images are repeated).
        bit_depth: Bits in use of 16-bit files; a 14-bit sensor's need 14, or they come out dark.

    Raises:
        UserError: Another number of channels, no such file, or no image.
    """

    def __init__(self, channels: int = 3, bit_depth: int = 16):
        if channels not in (1, 3):
            raise UserError(f'LoadSIRSTImage: channels={channels!r}; expected 1 or 3.')
        if not 8 < bit_depth <= 16:
            raise UserError(f'LoadSIRSTImage: bit_depth={bit_depth!r}; expected 9 to 16.')
        self.channels = channels
        self.bit_depth = bit_depth

    def transform(self, results: dict) -> dict:
        pixels = results.pop('decoded_image', None)
        if pixels is None:
            pixels = results['img'] if 'img' in results else read_pixels(results['img_path'])
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[..., 0]
        img = to_channels(pixels, self.channels, self.bit_depth)
        results['img'] = img
        results['img_shape'] = results['ori_shape'] = img.shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(channels={self.channels}, bit_depth={self.bit_depth})'


@TRANSFORMS.register_module()
class LoadSIRSTMask(BaseTransform):
    """Load a mask, in grey values and as 0/1.

    Reads ``seg_map_path``; adds ``gt_mask`` (H, W) uint8, the file's grey values, and ``gt_seg_map`` (H, W)
    uint8, 1 where they exceed the threshold, and names both in ``seg_fields``. Nothing is done where there is
    no mask path, so that a test pipeline serves images without truth. In a test pipeline it stands after the
    resizing of the image: truth keeps the file's own size.

    A mask of another size than the image but of its aspect is resized by nearest neighbour, with one warning:
    NUAA-SIRST's Misc_111 is released with such a mask.

    Args:
        threshold: Grey values above it are target. 127 is the rule of every number here; 0 serves masks of 0
            and 1.

    Raises:
        UserError: No image, or a mask of another aspect than its image.
    """

    _told: set[str] = set()

    def __init__(self, threshold: float = 127):
        self.threshold = threshold

    def transform(self, results: dict) -> dict:
        mask = results.pop('decoded_mask', None)
        if mask is None:
            if 'gt_mask' in results or not results.get('seg_map_path'):
                return results
            mask = to_mask(read_pixels(results['seg_map_path']))
        mask = self._fit(mask, results['ori_shape'][:2], results)
        results['gt_mask'] = mask.copy()
        results['gt_seg_map'] = (mask > self.threshold).astype(np.uint8)
        fields = results.setdefault('seg_fields', [])
        fields.extend(f for f in ('gt_seg_map', 'gt_mask') if f not in fields)
        return results

    def _fit(self, mask: np.ndarray, shape: tuple[int, int], results: dict) -> np.ndarray:
        path = results.get('seg_map_path')
        fitted = fit_mask(mask, shape, path, results.get('img_path'))
        if fitted is not mask and path not in self._told:
            self._told.add(path)
            (h, w), (mask_h, mask_w) = shape, mask.shape
            print_log(
                f'{path}: mask of {mask_w} × {mask_h} brought to its image, {w} × {h}, by nearest neighbour.',
                logger='current',
                level=30,
            )
        return fitted

    def __repr__(self) -> str:
        return f'{type(self).__name__}(threshold={self.threshold})'
