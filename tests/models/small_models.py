"""Small models that several tests build."""

import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import madnet.models  # noqa: F401


def build_madnet(base_channels=4, in_channels=3, head=None, seed=0, **kwargs):
    """MAD-Net with weights and normalisation statistics that leave nothing at its neutral value."""
    torch.manual_seed(seed)
    model = MODELS.build(
        {
            'type': 'IRSTDSegmentor',
            'backbone': {'type': 'AdaDCMEncoder', 'in_channels': in_channels, 'base_channels': base_channels},
            'neck': {'type': 'MemA2MNeck'},
            'decode_head': {'type': 'MADNetHead', **(head or {})},
            'data_preprocessor': {'mean': [100.0] * in_channels, 'std': [50.0] * in_channels},
            **kwargs,
        }
    )
    stir(model)
    return model.eval()


def stir(model):
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith('running_var'):
                tensor.uniform_(0.5, 1.5)
            elif tensor.is_floating_point():
                tensor.add_(0.1 * torch.randn_like(tensor))


def sample(height, width, seed=0, grey=True, **meta):
    """A data sample with a 4×5 target, on whose rim the grey mask is soft."""
    mask = torch.zeros(1, height, width, dtype=torch.uint8)
    top, left = (seed * 7) % (height - 6), (seed * 11) % (width - 7)
    mask[:, top : top + 4, left : left + 5] = 200
    mask[:, top + 1 : top + 3, left + 1 : left + 4] = 255
    found = SegDataSample(metainfo={'ori_shape': (height, width), 'img_shape': (height, width), **meta})
    found.gt_sem_seg = PixelData(data=(mask > 127).long())
    if grey:
        found.gt_mask = PixelData(data=mask)
    return found
