"""Layers that take another way in training on a CPU: the same values as PyTorch's, or better ones."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from madnet.models.layers import ConvBNReLU, enlarge
from madnet.models.layers.narrow_norm import BatchNorm2d


def _run(norm, x, grad):
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = norm(x)
    return [y.detach(), *torch.autograd.grad(y, (x, norm.weight, norm.bias), grad)]


def _norms(channels):
    torch.manual_seed(0)
    plain, fast = nn.BatchNorm2d(channels, momentum=0.3), BatchNorm2d(channels, momentum=0.3)
    nn.init.normal_(plain.weight)
    nn.init.normal_(plain.bias)
    fast.load_state_dict(plain.state_dict())
    return plain.double(), fast


@pytest.mark.parametrize('channels', [1, 2, 4])
def test_batch_norm_of_few_channels(channels, monkeypatch):
    plain, fast = _norms(channels)
    taken = []
    rows = BatchNorm2d._by_rows
    monkeypatch.setattr(BatchNorm2d, '_by_rows', lambda self, x: taken.append(1) or rows(self, x))
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
    monkeypatch.setattr(BatchNorm2d, '_by_rows', None)
    narrow, wide = BatchNorm2d(4), BatchNorm2d(8)
    narrow(torch.randn(2, 4, 16, 16))  # channels first
    narrow(torch.randn(2, 4, 5, 5).to(memory_format=torch.channels_last))  # no whole rows
    wide(torch.randn(2, 8, 16, 16).to(memory_format=torch.channels_last))
    narrow.eval()(torch.randn(2, 4, 16, 16).to(memory_format=torch.channels_last))
    assert isinstance(ConvBNReLU(3, 4).bn, nn.BatchNorm2d)


@pytest.mark.parametrize('shape', [(2, 1, 5, 9), (1, 1, 1, 1), (3, 1, 16, 8)])
@pytest.mark.parametrize('factor', [2, 4, 8])
def test_enlarging_one_channel_and_its_gradient(shape, factor):
    torch.manual_seed(0)
    x = torch.randn(shape, requires_grad=True)
    size = (shape[2] * factor - 1, shape[3] * factor)
    expected = F.interpolate(x, scale_factor=factor, mode='bilinear')[..., : size[0], :]
    found = enlarge(x, factor, size)
    assert torch.equal(found, expected)
    grad = torch.randn(expected.shape)
    torch.testing.assert_close(
        torch.autograd.grad(found, x, grad)[0],
        torch.autograd.grad(expected, x, grad)[0],
        rtol=1e-5,
        atol=1e-5,
    )
    torch.autograd.gradcheck(lambda y: enlarge(y, factor, size), x.detach().double().requires_grad_())
