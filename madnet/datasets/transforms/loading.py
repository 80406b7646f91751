"""Load infrared images and their masks."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from madnet.datasets.transforms.sample_transform import SampleTransform
from madnet.errors import UserError
from madnet.images import MaskRule, check_value_range, fit_mask, read_image, read_mask, to_channels
from madnet.images.frames import bits_in_use
from madnet.images.values import ValueRange


@TRANSFORMS.register_module()
class LoadSIRSTImage(SampleTransform):
    """Load an image of any depth; grey, RGB, RGBA or palette (see :func:`madnet.images.read_image`).

    Reads ``img_path``; adds ``img`` (H, W, channels), BGR where 3, on the 0–255 scale (uint8, or float32 for
    deeper files), ``img_shape`` and ``ori_shape`` (H, W). An ``img`` that is there already, from a dataset
    that makes its own, is only brought to the number of channels.

    Args:
        channels: 1 (luma 0.299 R + 0.587 G + 0.114 B) or 3 (grey images are repeated).
        bit_depth: Bits in use of 16-bit files; a 14-bit sensor's need 14, or they come out dark (but for
            TIFFs of 14 bits, which say so themselves).
        value_range: (low, high) grey values that become 0 and 255, or ``'auto'`` (one range for a data set,
            else each image's own); None for the sample's ``value_range``, where its data set gives one.

    Raises:
        UserError: Another number of channels, no such file, no image, or values that need a range.
    """

    def __init__(self, channels: int = 3, bit_depth: int = 16, value_range: ValueRange = None):
        if channels not in (1, 3):
            raise UserError(f'LoadSIRSTImage: channels={channels!r}; expected 1 or 3.')
        if not 8 < bit_depth <= 16:
            raise UserError(f'LoadSIRSTImage: bit_depth={bit_depth!r}; expected 9 to 16.')
        self.channels = channels
        self.bit_depth = bit_depth
        self.value_range = check_value_range(value_range, 'LoadSIRSTImage: value_range')

    def transform(self, results: dict) -> dict:
        pixels, depth = results.pop('decoded_image', None), self.bit_depth
        if pixels is None:
            pixels = results['img'] if 'img' in results else read_image(results['img_path'])
        if pixels.ndim == 3 and pixels.shape[2] == 1:
            pixels = pixels[..., 0]
        value_range = self.value_range
        if value_range in (None, 'auto'):  # its data set's, which 'auto' stands for
            value_range = results.get('value_range') or value_range
        what = results.get('img_path') or 'image array'
        if value_range is None and 'img' not in results:
            depth = min(depth, bits_in_use(pixels, what))
        results['img'] = to_channels(pixels, self.channels, depth, value_range, what)
        results['img_shape'] = results['ori_shape'] = results['img'].shape[:2]
        return results


@TRANSFORMS.register_module()
class LoadSIRSTMask(BaseTransform):
    """Load a mask, in grey values and as 0/1.

    Reads ``seg_map_path``; adds ``gt_mask`` (H, W) uint8, the grey values of :func:`madnet.images.read_mask`,
    which metrics are computed on, and ``gt_seg_map`` (H, W) uint8, 1 where they exceed 127, and names both in
    ``seg_fields``. Nothing is done where there is no mask path, so that a test pipeline serves images without
    truth. In a test pipeline it stands after the resizing of the image: truth keeps the file's own size.

    A mask that is a scaled copy of its image's size is resized by nearest neighbour, with one warning.

    Args:
        threshold: Stored values above it are target, for loss and metrics alike. 127 keeps grey values as
            they are and is the rule of every number here.
        mask_values: The stored value of the background, then those of targets, such as (0, 1); any other is
            refused. None for the sample's ``mask_rule``, where its data set gives one.

    Raises:
        UserError: No image, values that do not fit the rule, or a mask that does not fit its image.
    """

    def __init__(self, threshold: float = 127, mask_values: Sequence[int] | None = None):
        self.rule = MaskRule(mask_values, threshold)

    def transform(self, results: dict) -> dict:
        mask = results.pop('decoded_mask', None)
        given = results.get('mask_rule')  # by its data set, which has looked at all masks
        if mask is None:
            if 'gt_mask' in results or not results.get('seg_map_path'):
                return results
            rule = given if given and self.rule.is_default else self.rule
            mask = read_mask(results['seg_map_path'], rule, strict=given is None)
        files = str(results.get('seg_map_path')), results.get('img_path')
        mask = fit_mask(mask, results['ori_shape'][:2], *files)
        results['gt_mask'] = mask.copy()
        results['gt_seg_map'] = (mask > 127).astype(np.uint8)
        fields = results.setdefault('seg_fields', [])
        fields.extend(f for f in ('gt_seg_map', 'gt_mask') if f not in fields)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(threshold={self.rule.threshold}, mask_values={self.rule.values})'
