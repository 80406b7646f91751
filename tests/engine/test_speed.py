"""Layers that are put in the place of PyTorch's, and batches for a GPU."""

import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from torch import nn

from madnet.engine.speed import (
    HalfLayerNorm,
    NarrowConv2d,
    UncountedBatchNorm2d,
    batch_for_gpu,
    exact_convolutions,
    make_fast,
)


def test_making_a_model_fast_changes_plain_layers_only():
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)),
        *(nn.LayerNorm(4), nn.LayerNorm((4, 4)), nn.LayerNorm(4, bias=False)),
    )
    parameters, state = list(model.parameters()), {k: v.clone() for k, v in model.state_dict().items()}
    make_fast(model)
    kinds = [type(m) for m in model]
    expected = [NarrowConv2d, nn.Conv2d, UncountedBatchNorm2d, HalfLayerNorm, nn.LayerNorm, nn.LayerNorm]
    assert kinds == expected
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())
    assert list(state) == list(model.state_dict())


def test_batches_are_counted_once_in_training():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.BatchNorm2d(2), nn.ReLU(), nn.BatchNorm2d(2))
    fast = copy.deepcopy(plain)
    make_fast(fast)
    for k in range(4):
        x = torch.randn(3, 2, 4, 4)
        if k == 2:
            plain[0].eval(), fast[0].eval()
        if k == 3:
            plain.eval(), fast.eval()
        assert torch.equal(fast(x), plain(x))
    for name, value in plain.state_dict().items():
        assert torch.equal(fast.state_dict()[name], value), name
    assert fast[2].num_batches_tracked == 3


@pytest.mark.parametrize(
    ('model', 'sizes'),
    [
        ({'type': 'IRSTDSegmentor'}, [16, 3]),
        ({'type': 'IRSTDSegmentor', 'test_cfg': {'together': False}}, [1, 3]),
        ({'type': 'EncoderDecoder'}, [1, 3]),  # takes no images of several sizes
    ],
)
def test_a_gpu_has_several_images_at_once_unless_the_config_says_how_many(model, sizes):
    cfg = Config({'model': model, 'val_dataloader': {'batch_size': 1}, 'test_dataloader': {'batch_size': 3}})
    batch_for_gpu(cfg)
    assert [cfg.val_dataloader.batch_size, cfg.test_dataloader.batch_size] == sizes
    batch_for_gpu(Config({'model': model, 'val_dataloader': None}))


def test_convolutions_are_exact_for_a_while(monkeypatch):
    """By the setting that PyTorch goes by, old or new, which is as it was afterwards."""
    cudnn = torch.backends.cudnn
    with exact_convolutions(tuned=False):
        assert not cudnn.enabled
        if hasattr(cudnn, 'conv'):
            assert cudnn.conv.fp32_precision == 'ieee'
        assert not cudnn.allow_tf32
    assert cudnn.enabled
    assert cudnn.allow_tf32
    if hasattr(cudnn, 'conv'):
        assert cudnn.conv.fp32_precision == cudnn.rnn.fp32_precision == 'tf32'
    old = SimpleNamespace(enabled=True, allow_tf32=True)
    monkeypatch.setattr(torch.backends, 'cudnn', old)
    with exact_convolutions():
        assert (old.enabled, old.allow_tf32) == (True, False)
    assert old.allow_tf32
