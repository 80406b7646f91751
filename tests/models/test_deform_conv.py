"""Deformable convolution against loops over its definition, ordinary convolution, and torchvision."""

import importlib
import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from madnet.errors import UserError
from madnet.models.layers import DeformConv2d, deform_conv2d
from madnet.models.layers import deform_conv as module

KERNELS = [((1, 3), (0, 1)), ((3, 1), (1, 0)), ((3, 3), (1, 1)), ((2, 3), (0, 0))]


def case(kernel, padding, modulated, reach=3.0, batch=2, size=(5, 4)):
    """Random arguments whose offsets leave the map on all sides."""
    torch.manual_seed(0)
    to = [n + 2 * p - k + 1 for n, p, k in zip(size, padding, kernel, strict=True)]
    taps = kernel[0] * kernel[1]
    arguments = {
        'x': torch.randn(batch, 3, *size),
        'offset': reach * torch.randn(batch, 2 * taps, *to),
        'weight': torch.randn(2, 3, *kernel),
        'bias': torch.randn(2),
        'mask': torch.rand(batch, taps, *to) if modulated else None,
    }
    return {key: value if value is None else value.double() for key, value in arguments.items()}


def bilinear(x, row, column):
    """x (C, H, W) between pixels; every corner outside of the map counts as zero."""
    total = torch.zeros(x.shape[0], dtype=x.dtype)
    top, left = math.floor(row), math.floor(column)
    for r, c in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        if 0 <= r < x.shape[1] and 0 <= c < x.shape[2]:
            total += x[:, r, c] * (1 - abs(row - r)) * (1 - abs(column - c))
    return total


def by_loops(x, offset, weight, bias, padding, mask):
    out = torch.zeros(x.shape[0], weight.shape[0], *offset.shape[2:], dtype=x.dtype)
    for b in range(out.shape[0]):
        for r in range(out.shape[2]):
            for c in range(out.shape[3]):
                out[b, :, r, c] = bias
                for i in range(weight.shape[2]):
                    for j in range(weight.shape[3]):
                        tap = i * weight.shape[3] + j
                        row = r + i - padding[0] + offset[b, 2 * tap, r, c].item()
                        column = c + j - padding[1] + offset[b, 2 * tap + 1, r, c].item()
                        seen = bilinear(x[b], row, column)
                        if mask is not None:
                            seen = seen * mask[b, tap, r, c]
                        out[b, :, r, c] += weight[:, :, i, j] @ seen
    return out


@pytest.mark.parametrize('modulated', [False, True])
@pytest.mark.parametrize(('kernel', 'padding'), KERNELS)
def test_equals_loops_over_its_definition(kernel, padding, modulated):
    arguments = case(kernel, padding, modulated)
    found = deform_conv2d(**arguments, padding=padding, backend='torch')
    torch.testing.assert_close(found, by_loops(**arguments, padding=padding))


@pytest.mark.parametrize('size', [(1, 6), (6, 1)])
def test_maps_one_pixel_wide(size):
    arguments = case((3, 3), (1, 1), False, size=size)
    found = deform_conv2d(**arguments, padding=(1, 1), backend='torch')
    torch.testing.assert_close(found, by_loops(**arguments, padding=(1, 1)))


@pytest.mark.parametrize(('kernel', 'padding'), KERNELS)
def test_without_offsets_it_is_an_ordinary_convolution(kernel, padding):
    arguments = case(kernel, padding, False, reach=0.0)
    expected = F.conv2d(arguments['x'], arguments['weight'], arguments['bias'], padding=padding)
    torch.testing.assert_close(deform_conv2d(**arguments, padding=padding, backend='torch'), expected)


def test_gradients():
    arguments = case((1, 3), (0, 1), True, reach=0.4, batch=1, size=(3, 3))
    names = ('x', 'offset', 'weight', 'bias', 'mask')
    leaves = [arguments[name].requires_grad_() for name in names]

    def run(*leaves):
        return deform_conv2d(**dict(zip(names, leaves, strict=True)), padding=(0, 1), backend='torch')

    assert torch.autograd.gradcheck(run, leaves)


def test_equals_torchvision():
    try:
        importlib.import_module('torchvision.ops')
    except (ImportError, RuntimeError) as error:
        pytest.skip(f'torchvision cannot be imported here: {error}')
    for (kernel, padding), modulated in product(KERNELS, [False, True]):
        arguments = {k: v if v is None else v.float() for k, v in case(kernel, padding, modulated).items()}
        found, expected = [], []
        for backend, results in (('torch', found), ('torchvision', expected)):
            leaves = {k: v if v is None else v.clone().requires_grad_() for k, v in arguments.items()}
            y = deform_conv2d(**leaves, padding=padding, backend=backend)
            y.square().sum().backward()
            results += [y.detach(), *(leaf.grad for leaf in leaves.values() if leaf is not None)]
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('backend', ['torch', 'auto'])
def test_half_precision_keeps_places_apart(backend):
    torch.manual_seed(0)
    x = torch.randn(1, 1, 4, 600).bfloat16()
    offset = torch.zeros(1, 6, 4, 600).bfloat16()
    found = deform_conv2d(
        x, offset, torch.tensor([[[[0.0, 1.0, 0.0]]]]).bfloat16(), None, (0, 1), backend=backend
    )
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, x, rtol=0, atol=1e-2)


def test_choice_of_the_backend(monkeypatch):
    arguments = case((1, 3), (0, 1), True)
    seen = []

    def operator(x, offset, weight, bias, padding, mask):
        seen.append((x, mask))
        return x

    monkeypatch.setattr(module, '_compiled', lambda: operator)
    assert deform_conv2d(**arguments, padding=(0, 1)) is arguments['x']
    assert seen[0][1] is arguments['mask']
    half = {k: v if v is None else v.bfloat16() for k, v in arguments.items()}
    assert deform_conv2d(**half, padding=(0, 1)).dtype == torch.bfloat16
    assert seen.pop()[0].dtype == torch.float32
    deform_conv2d(**arguments, padding=(0, 1), backend='torch')
    assert len(seen) == 1

    monkeypatch.setattr(module, '_compiled', lambda: None)
    assert deform_conv2d(**arguments, padding=(0, 1)).shape == (2, 2, 5, 4)
    with pytest.raises(UserError, match='torchvision is not installed'):
        deform_conv2d(**arguments, padding=(0, 1), backend='torchvision')
    with pytest.raises(UserError, match="Did you mean 'torchvision'"):
        deform_conv2d(**arguments, padding=(0, 1), backend='torchvison')


@pytest.mark.parametrize('modulated', [False, True])
def test_the_layer_starts_as_an_ordinary_convolution(modulated):
    torch.manual_seed(0)
    layer = DeformConv2d(3, 2, (3, 1), modulated)
    x = torch.randn(2, 3, 6, 5)
    weight = layer.weight / 2 if modulated else layer.weight
    torch.testing.assert_close(layer(x), F.conv2d(x, weight, layer.bias, padding=(1, 0)))


def test_the_layer_tells_rows_before_columns():
    layer = DeformConv2d(1, 1, (1, 3))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[[0.0, 1.0, 0.0]]]]))
        layer.bias.zero_()
        # the middle tap's row offset: one pixel down
        layer.offset.bias.copy_(torch.tensor([0.0, 0, 1, 0, 0, 0]))
    x = torch.randn(1, 1, 5, 4)
    expected = torch.cat([x[:, :, 1:], torch.zeros(1, 1, 1, 4)], dim=2)
    torch.testing.assert_close(layer(x), expected)
