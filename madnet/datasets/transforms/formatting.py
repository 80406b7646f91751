"""Pack a sample for the model."""

import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs
from mmseg.registry import TRANSFORMS

META_KEYS = (
    'img_path', 'seg_map_path', 'img_id', 'sample_idx', 'dataset_name', 'ori_shape', 'img_shape', 'pad_shape',
    'scale_factor', 'flip', 'flip_direction', 'reduce_zero_label', 'base_size', 'scene',
)  # fmt: skip


@TRANSFORMS.register_module()
class PackSIRSTInputs(PackSegInputs):
    """mmseg's ``PackSegInputs``, and the mask in grey values beside its 0/1 form.

    Gives ``inputs`` (C, H, W) and ``data_samples`` with ``gt_sem_seg.data`` (1, H, W) int64 of 0 and 1,
    ``gt_mask.data`` (1, H, W) uint8 as in the file, and as metainfo whatever of ``meta_keys`` the sample has.
    """

    def __init__(self, meta_keys: tuple[str, ...] = META_KEYS):
        super().__init__(meta_keys=meta_keys)

    def transform(self, results: dict) -> dict:
        packed = super().transform(results)
        if 'gt_mask' in results:
            mask = torch.from_numpy(np.ascontiguousarray(results['gt_mask']))
            packed['data_samples'].set_data({'gt_mask': PixelData(data=mask[None])})
        return packed
