import numpy as np
import torch

from madnet.datasets.transforms import PackSIRSTInputs


def test_grey_values_travel_beside_the_labels():
    mask = np.array([[0, 64, 128, 255]], np.uint8)[
        :, ::-1
    ]  # a view with a negative stride, as a flip leaves it
    results = {
        'img': np.arange(12, dtype=np.uint8).reshape(1, 4, 3)[:, ::-1],
        'gt_mask': mask,
        'gt_seg_map': (mask > 127).astype(np.uint8),
        'img_id': 'Misc_1',
        'base_size': (512, 512),
        'unknown': 1,
    }
    packed = PackSIRSTInputs()(results)
    sample = packed['data_samples']
    assert packed['inputs'].shape == (3, 1, 4)
    assert torch.equal(packed['inputs'][0, 0], torch.tensor([9, 6, 3, 0], dtype=torch.uint8))
    assert torch.equal(sample.gt_mask.data, torch.tensor([[[255, 128, 64, 0]]], dtype=torch.uint8))
    assert torch.equal(sample.gt_sem_seg.data, torch.tensor([[[1, 1, 0, 0]]]))
    assert sample.metainfo == {'img_id': 'Misc_1', 'base_size': (512, 512)}


def test_without_truth():
    packed = PackSIRSTInputs()({'img': np.zeros((4, 4, 1), np.float32)})
    assert packed['inputs'].dtype == torch.float32
    assert 'gt_mask' not in packed['data_samples']
