"""Layers that train another way on a CPU: the same values as PyTorch's, or better ones."""

import pytest
import torch
from mmengine.config import Config
from torch import nn

from madnet.engine.speed import NarrowBatchNorm2d, batch_for_gpu, make_fast


def _run(norm, x, grad):
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = norm(x)
    return [y.detach(), *torch.autograd.grad(y, (x, norm.weight, norm.bias), grad)]


def _norms(channels):
    torch.manual_seed(0)
    plain, fast = nn.BatchNorm2d(channels, momentum=0.3), nn.BatchNorm2d(channels, momentum=0.3)
    nn.init.normal_(plain.weight)
    nn.init.normal_(plain.bias)
    fast.load_state_dict(plain.state_dict())
    make_fast(fast)
    return plain.double(), fast


@pytest.mark.parametrize('channels', [1, 2, 4])
def test_batch_norm_of_few_channels(channels, monkeypatch):
    plain, fast = _norms(channels)
    taken = []
    rows = NarrowBatchNorm2d._by_rows
    monkeypatch.setattr(NarrowBatchNorm2d, '_by_rows', lambda self, x: taken.append(1) or rows(self, x))
    x, grad = (5 * torch.randn(2, channels, 16, 24) + 3 * i for i in range(2))
    x, grad = (t.to(memory_format=torch.channels_last) for t in (x, grad))
    for expected, found in zip(_run(plain, x.double(), grad.double()), _run(fast, x, grad), strict=True):
        torch.testing.assert_close(
            found.double(), expected, rtol=1e-5, atol=1e-5 * expected.abs().max().item()
        )
    assert taken
    for (name, expected), found in zip(plain.state_dict().items(), fast.state_dict().values(), strict=True):
        torch.testing.assert_close(found.to(expected.dtype), expected, rtol=1e-6, atol=1e-6, msg=name)
    assert fast(x).is_contiguous(memory_format=torch.channels_last)


def test_batch_norm_is_pytorchs_elsewhere(monkeypatch):
    monkeypatch.setattr(NarrowBatchNorm2d, '_by_rows', None)
    narrow, wide = NarrowBatchNorm2d(4), NarrowBatchNorm2d(8)
    narrow(torch.randn(2, 4, 16, 16))  # channels first
    narrow(torch.randn(2, 4, 5, 5).to(memory_format=torch.channels_last))  # no whole rows
    wide(torch.randn(2, 8, 16, 16).to(memory_format=torch.channels_last))
    narrow.eval()(torch.randn(2, 4, 16, 16).to(memory_format=torch.channels_last))


def test_making_a_model_fast_changes_narrow_norms_only():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(8), nn.SyncBatchNorm(4))
    parameters, state = list(model.parameters()), {k: v.clone() for k, v in model.state_dict().items()}
    make_fast(model)
    kinds = [type(m) for m in model]
    assert kinds == [nn.Conv2d, NarrowBatchNorm2d, nn.BatchNorm2d, nn.SyncBatchNorm]
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())
    assert list(state) == list(model.state_dict())


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
