"""The layers on their own: folding, odd and tiny maps, windows."""

import copy
from importlib import import_module

import pytest
import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch.utils.flop_counter import FlopCounterMode

from madnet.models import switch_to_deploy
from madnet.models.layers import (
    AdaDCM,
    DifferentialConv,
    MemA2M,
    MemA2MBlock,
    PixelAttention,
    UpConv,
    enlarge,
    halve,
    pad_reflect,
    padding,
)

enlarging = import_module('madnet.models.layers.enlarge')  # the package's attribute is the function


def randomised(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.5 * torch.randn(p.shape, generator=generator))
    return module


def test_differential_conv_equals_its_four_convolutions():
    conv = randomised(DifferentialConv(5))
    x = torch.randn(2, 5, 8, 9)
    a, v, u = conv.horizontal.weight, conv.vertical.weight, conv.angular.weight
    kernels = [torch.zeros(5, 5, 3, 3) for _ in range(3)]
    for i in range(3):
        kernels[0][:, :, i, 0], kernels[0][:, :, i, 2] = a[:, :, i], -a[:, :, i]
        kernels[1][:, :, 0, i], kernels[1][:, :, 2, i] = v[:, :, i], -v[:, :, i]
    walk = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    for k, (row, col) in enumerate(walk):
        before = walk[k - 1]
        kernels[2][:, :, row, col] = u[:, :, row, col] - u[:, :, before[0], before[1]]
    expected = sum(
        conv.gamma[name] * F.conv2d(x, kernel, getattr(conv, name).bias, padding=1)
        for name, kernel in zip(
            ('horizontal', 'vertical', 'angular', 'plain'), [*kernels, conv.plain.weight], strict=True
        )
    )
    torch.testing.assert_close(conv(x), expected, rtol=1e-5, atol=1e-5)


def test_differential_conv_costs_one_convolution():
    conv = DifferentialConv(4)
    with FlopCounterMode(display=False) as counter:
        conv(torch.zeros(1, 4, 10, 10))
    of_convolutions = counter.get_flop_counts()['Global'][torch.ops.aten.convolution]
    assert of_convolutions == 2 * 10 * 10 * 9 * 4 * 4
    # of the branches' factors, kernels and biases, whatever the size of the map
    mixing = 2 * (4 * 24 * 9 + 4 * 4 * 24 * 9 + 4 * 4)
    assert counter.get_total_flops() == of_convolutions + mixing


def test_deploy_is_exact_and_leaves_a_plain_convolution():
    conv = randomised(DifferentialConv(6))
    x = torch.randn(2, 6, 7, 9)
    before = conv(x)
    conv.switch_to_deploy()
    conv.switch_to_deploy()  # a second time changes nothing
    assert torch.equal(conv(x), before)
    assert set(conv.state_dict()) == {'fused.weight', 'fused.bias'}
    assert sum(p.numel() for p in conv.parameters()) == 9 * 6**2 + 6


def test_deployed_state_loads_into_either_form():
    source = randomised(AdaDCM(3, 6))
    x = torch.randn(1, 3, 9, 9)
    before = source(x)
    deployed = switch_to_deploy(copy.deepcopy(source))
    fresh = AdaDCM(3, 6)
    fresh.load_state_dict(deployed.state_dict())
    assert torch.equal(fresh(x), before)
    assert fresh.differential.deployed

    conv = DifferentialConv(6, deploy=True)
    conv.load_state_dict(deployed.differential.state_dict())
    assert torch.equal(conv(before), deployed.differential(before))


@pytest.mark.parametrize('size', [(1, 1), (2, 9), (3, 3), (5, 2), (4, 4)])
def test_pixel_attention_takes_any_size(size):
    attention = PixelAttention(4)
    x = torch.randn(2, 4, *size)
    y = attention(x)
    assert y.shape == x.shape
    assert ((y > 0) & (y < 1)).all()


def test_padding_mirrors_long_axes_and_repeats_short_ones():
    x = torch.arange(10.0).view(1, 1, 2, 5)
    row = pad_reflect(x, 3, 3, 0, 0)[0, 0, 0].tolist()
    assert row == [3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1]
    column = pad_reflect(x, 3, 3, 3, 3)[0, 0, :, 3].tolist()
    assert column == [0, 0, 0, 0, 5, 5, 5, 5]
    big = torch.randn(1, 2, 6, 7)
    assert torch.equal(pad_reflect(big, 3, 3, 3, 3), F.pad(big, (3, 3, 3, 3), mode='reflect'))


def with_gradient(function, x):
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    y = function(x)
    weight = torch.empty_like(y).copy_(torch.arange(y.numel()).view(y.shape)).sin()
    return y, torch.autograd.grad(y, x, weight)[0]


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
def test_padding_on_a_gpu_is_the_same(layout):
    x = torch.randn(2, 3, 6, 7).to(memory_format=layout)

    def by_axes(x):
        return padding._Reflected.apply(padding._Reflected.apply(x, -1, 2, 4), -2, 0, 3)

    ours, expected = (with_gradient(f, x) for f in (by_axes, lambda x: F.pad(x, (2, 4, 0, 3), 'reflect')))
    assert torch.equal(ours[0], expected[0])
    torch.testing.assert_close(ours[1], expected[1])
    assert ours[1].is_contiguous(memory_format=layout)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(('channels', 'factor'), [(1, 2), (1, 8), (3, 2)])
def test_enlarging_on_a_gpu_is_the_same(channels, factor, layout):
    x = torch.randn(2, channels, 5, 6).to(memory_format=layout)
    ours, expected = (
        with_gradient(f, x)
        for f in (
            lambda x: enlarging._by_products(x, factor),
            lambda x: F.interpolate(x, scale_factor=factor, mode='bilinear'),
        )
    )
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('size', [(8, 6), (7, 6), (5, 9), (1, 2)])
def test_halving_is_pytorchs_pooling_with_or_without_a_gradient(size, layout):
    x = torch.randn(2, 3, *size).to(memory_format=layout)
    x[0, 0, 0, 0] = torch.nan
    expected = F.max_pool2d(x, kernel_size=2, ceil_mode=True)
    with torch.no_grad():
        found = halve(x)
    assert torch.equal(found.nan_to_num(9), expected.nan_to_num(9))
    assert found.is_contiguous(memory_format=layout)
    leaf = torch.zeros(1, 1, 2, 2, requires_grad=True)  # of four equal pixels one alone is the maximum
    halve(leaf).sum().backward()
    assert leaf.grad.sum() == 1
    assert leaf.grad.max() == 1


def test_enlarged_pixels_keep_their_place():
    ramp = torch.arange(9.0).view(1, 1, 1, 9).expand(1, 1, 9, 9)
    whole = enlarge(ramp, 4, (36, 36))
    assert torch.equal(enlarge(ramp, 4, (33, 34)), whole[..., :33, :34])
    assert UpConv(1, 2)(ramp, size=(17, 18)).shape == (1, 2, 17, 18)
    assert UpConv(1, 2)(ramp).shape == (1, 2, 18, 18)


def attention_by_loops(block, x):
    """MemA2MBlock's first half for one image (H, W, C), window by window, without any padding."""
    height, width = x.shape[:2]
    attention = block.attention
    rows, cols = range(height), range(width)
    if height > block.window:
        rows = [(i + block.shift) % height for i in rows]
    if width > block.window:
        cols = [(i + block.shift) % width for i in cols]
    out = torch.zeros_like(x)
    for top in range(0, height, block.window):
        for left in range(0, width, block.window):
            cells = [(r, c) for r in rows[top : top + block.window] for c in cols[left : left + block.window]]
            tokens = torch.stack([x[r, c] for r, c in cells])
            mean = tokens.mean(dim=0)
            logits = attention.reduce(mean) @ attention.bank / attention.bank.shape[0] ** 0.5
            address = logits.exp() / logits.exp().sum()
            gate = 1 / (1 + (-attention.expand(attention.bank @ address)).exp())
            for (r, c), token in zip(cells, attention.proj(tokens * gate), strict=True):
                out[r, c] = token
    return out


@pytest.mark.parametrize('shift', [0, 8])
@pytest.mark.parametrize('size', [(20, 37), (16, 21), (7, 40), (5, 3), (32, 32), (33, 16)])
def test_block_on_any_size_is_the_plain_loop_over_windows(size, shift):
    torch.manual_seed(0)
    block = randomised(MemA2MBlock(16, shift=shift)).eval()
    x = torch.randn(2, *size, 16)
    with torch.no_grad():
        mid = x + torch.stack([attention_by_loops(block, image) for image in block.norm1(x)])
        expected = mid + block.mlp.fc2(F.gelu(block.mlp.fc1(block.norm2(mid))))
        torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=5e-5)


def test_window_gates_are_told_apart():
    """A change in one window leaves the others alone, although the map is filled up to whole windows."""
    block = randomised(MemA2MBlock(16)).eval()
    x = torch.randn(1, 20, 37, 16)
    changed = x.clone()
    changed[:, :16, :16] += 1
    with torch.no_grad():
        difference = (block(x) - block(changed)).abs().amax(dim=(0, 3))
    assert (difference[:16, :16] > 1e-3).all()
    assert difference[16:].max() == 0
    assert difference[:, 16:].max() == 0


def test_shift_is_nothing_on_one_window():
    torch.manual_seed(0)
    shifted = randomised(MemA2MBlock(16, shift=8)).eval()
    still = MemA2MBlock(16, shift=0).eval()
    still.load_state_dict(shifted.state_dict())
    x = torch.randn(1, 16, 16, 16)
    assert torch.equal(shifted(x), still(x))


def test_drop_path_works_on_whole_samples():
    torch.manual_seed(0)
    module = MemA2M(8, 8, depth=2, drop_path=0.5).train()
    module.blocks[0].forward = lambda x, keep: x
    seen = []
    module.blocks[1].register_forward_hook(lambda block, given, found: seen.append((given[0], found)))
    module(torch.randn(64, 8, 4, 4))
    [(x, found)] = seen
    unchanged = (found == x).flatten(1).all(dim=1)
    # Both branches dropped with probability 1/4.
    assert 5 <= unchanged.sum() <= 30


def test_drop_path_draws_what_mmcvs_would():
    """Numbers and order: block by block, attention before MLP."""
    module = MemA2M(4, 4, drop_path=0.3).train()
    x = torch.ones(5, 3, 3, 4)
    torch.manual_seed(1)
    drawn = module._drawn(x)
    torch.manual_seed(1)
    assert drawn[0] is None
    for k, factors in enumerate(drawn[1:], start=1):
        for factor in factors:
            expected = DropPath(0.3 * k / 3).train()(torch.ones(5, 1, 1, 1))
            torch.testing.assert_close(factor, expected)


def test_mema2m_has_a_bank_for_every_block_and_narrow_forms():
    module = MemA2M(4, 4, slots=16)
    banks = [b.attention.bank for b in module.blocks]
    assert len({id(bank) for bank in banks}) == 4
    assert banks[0].shape == (1, 16)
    assert [b.shift for b in module.blocks] == [0, 8, 0, 8]
    assert module(torch.randn(2, 4, 3, 5)).shape == (2, 4, 3, 5)
