"""Layer normalisation, the memory's gate, convolutions of mirrored maps: their kernels in the interpreter,
compiled, and on a GPU."""

import os
import subprocess
import sys
from contextlib import ExitStack
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

import madnet  # noqa: F401
from madnet.engine.speed import make_fast
from madnet.models.layers import MemoryAttention
from madnet.ops import layer_norm, memory_gate, mirrored_conv
from madnet.ops.layer_norm import _LayerNorm

triton = pytest.importorskip('triton')
OLDER = tuple(map(int, triton.__version__.split('.')[:2])) < (3, 4)
not_interpreted = pytest.mark.skipif(OLDER, reason='the interpreter of Triton 3.3 has no truth values')

#: Rows and channels.
ROWS = [(3, 8), (130, 32), (70, 96), (5, 3)]
#: Windows, channels and slots.
WINDOWS = [(1, 8, 5), (3, 32, 128), (66, 24, 20)]

#: Batch, channels, height, width and side of the kernel.
MAPS = [(1, 2, 4, 5, 7), (2, 17, 3, 66, 3)]


def plainly_mirrored(x, weight, bias):
    padded = F.pad(x, (weight.shape[-1] // 2,) * 4, mode='reflect')
    return F.conv2d(padded, weight, bias, groups=len(bias))


def mirrored(batch, channels, height, width, side, device='cpu'):
    torch.manual_seed(0)
    sizes = (batch, channels, height, width), (channels, 1, side, side), (channels,)
    return plainly_mirrored, [torch.randn(size).to(device).requires_grad_() for size in sizes]


def normed(rows, channels, device='cpu'):
    """A function, PyTorch's, and what both are given."""
    generator = torch.Generator().manual_seed(0)
    given = [5 * torch.randn(rows, channels, generator=generator) + 3]
    given += [torch.randn(channels, generator=generator) for _ in range(2)]
    plain = lambda x, w, b: F.layer_norm(x, w.shape, w, b, 1e-5)  # noqa: E731
    return plain, [t.to(device).requires_grad_() for t in given]


def gated(windows, channels, slots, device='cpu'):
    torch.manual_seed(0)
    block = MemoryAttention(channels, slots).to(device)
    weights = [*block.reduce.parameters(), block.bank, *block.expand.parameters()]

    def plain(mean, reduce, reduce_bias, bank, expand, expand_bias):
        share = torch.softmax(F.linear(mean, reduce, reduce_bias) @ bank * len(bank) ** -0.5, -1)
        return torch.sigmoid(F.linear(share @ bank.T, expand, expand_bias))

    return plain, [torch.randn(windows, channels, device=device).requires_grad_(), *weights]


def outcome(function, given):
    y = function(*given)
    # numbers that half precision has, so that both are given the same
    slope = torch.arange(y.numel(), device=y.device).view(y.shape).sin().bfloat16().to(y.dtype)
    return [y, *torch.autograd.grad(y, given, slope)]


def compare(ours, plain, given, tolerance):
    for a, b in zip(outcome(ours, given), outcome(plain, [t.double() for t in given]), strict=True):
        torch.testing.assert_close(
            a.double(), b, rtol=tolerance, atol=tolerance * float(b.detach().abs().max())
        )


def compare_in_the_interpreter():
    for shape in ROWS:
        plain, given = normed(*shape)
        compare(lambda *t: _LayerNorm.apply(*t, 1e-5), plain, given, 2e-5)
    for shape in WINDOWS:
        compare(memory_gate, *gated(*shape), 1e-5)
    for shape in MAPS:
        compare(mirrored_conv, *mirrored(*shape), 1e-5)


@not_interpreted
def test_kernels_are_the_functions(repository):
    """In a process of its own: the interpreter is chosen before triton is imported."""
    code = 'from tests.ops.test_small_kernels import compare_in_the_interpreter as c; c()'
    env = {**os.environ, 'TRITON_INTERPRET': '1'}
    subprocess.run([sys.executable, '-c', code], cwd=repository, env=env, check=True)


@pytest.mark.parametrize('capability', [80, 90, 100])
def test_kernels_fit_a_card(capability):
    from tests.ops.compiling import compiling_for

    with compiling_for(capability) as binaries:
        for channels in (32, 256):
            _, (x, weight, bias) = normed(64, channels)
            outcome(
                lambda *t: _LayerNorm.apply(*t, 1e-5), [x.detach().bfloat16().requires_grad_(), weight, bias]
            )
            _, (mean, *weights) = gated(16, channels, 128)
            outcome(memory_gate, [mean.detach().bfloat16().requires_grad_(), *weights])
            _, (x, *weights) = mirrored(2, channels, 8, 256, 7)
            outcome(mirrored_conv, [x.detach().bfloat16().requires_grad_(), *weights])
    kernels = ['normalise_kernel', 'gradient_kernel', 'gate_kernel', 'gradient_kernel']
    kernels += ['mirrored_kernel', 'gradient_kernel', 'weight_kernel']
    assert [binary.kernel for binary in binaries] == 2 * kernels
    for binary in binaries:
        assert binary.spilled <= (128 if OLDER else 0), binary.kernel
        assert binary.shared <= 99 * 1024  # of sm_86


def test_half_precision_stays_what_it_is():
    """On a CPU as on a GPU; what is not in half precision is PyTorch's."""
    plain, (x, weight, bias) = normed(7, 32)
    half = x.detach().bfloat16()
    with torch.autocast('cpu', torch.bfloat16):
        found = layer_norm(half, weight, bias, 1e-5)
        assert torch.equal(layer_norm(x, weight, bias, 1e-5), plain(x, weight, bias))
        assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), plain(half.float(), weight, bias), rtol=0.01, atol=0.01)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_on_a_gpu_they_are_the_functions():
    for shape in [*ROWS, (5000, 256)]:
        plain, given = normed(*shape, 'cuda')
        half = [given[0].detach().bfloat16().requires_grad_(), *given[1:]]
        compare(lambda *t: layer_norm(*t, 1e-5), plain, half, 0.02)
    for shape in [*MAPS, (4, 32, 64, 200, 7)]:
        plain, given = mirrored(*shape, 'cuda')
        half = [given[0].detach().bfloat16().requires_grad_(), *given[1:]]
        compare(mirrored_conv, plain, half, 0.02)
    for shape in [*WINDOWS, (64, 256, 128)]:
        plain, given = gated(*shape, 'cuda')
        compare(memory_gate, plain, given, 1e-4)
        first, second = outcome(memory_gate, given), outcome(memory_gate, given)
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


USERS = ('madnet.ops.narrow_conv', 'madnet.ops.layer_norm', 'madnet.models.layers.madnet_blocks')


def compare_networks():
    """A whole MAD-Net in float32, plain, and through all kernels, with those of narrow convolutions and
    without that of mirrored maps, which takes minutes in the interpreter."""
    torch.manual_seed(0)
    model = MODELS.build(
        {
            'type': 'IRSTDSegmentor',
            'backbone': {'type': 'AdaDCMEncoder', 'in_channels': 1, 'base_channels': 2},
            'neck': {'type': 'MemA2MNeck'},
            'decode_head': {'type': 'MADNetHead'},
        }
    ).train()
    images = torch.randn(2, 1, 32, 32)

    def trained():
        torch.manual_seed(0)
        maps = model.decode_head(model.extract_feat(images))
        loss = sum((m.sigmoid() * images).square().mean() for m in maps)
        return [loss, *torch.autograd.grad(loss, list(model.parameters()))]

    plain = trained()
    make_fast(model)
    with ExitStack() as stack:
        for user in USERS:
            stack.enter_context(mock.patch(f'{user}.has_kernels', return_value=True))
        stack.enter_context(mock.patch(f'{USERS[-1]}.mirrored_conv', plainly_mirrored))
        ours = trained()
    names = ['loss', *(name for name, _ in model.named_parameters())]
    for name, a, b in zip(names, ours, plain, strict=True):
        if name.endswith('conv.bias') and name.replace('conv.bias', 'bn.weight') in names:
            continue  # before a normalisation a bias has a gradient of rounding alone
        largest = float(b.detach().abs().max())
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3 * largest, msg=name)


@not_interpreted
def test_a_network_by_kernels_is_the_network(repository):
    code = 'from tests.ops.test_small_kernels import compare_networks as c; c()'
    env = {**os.environ, 'TRITON_INTERPRET': '1'}
    subprocess.run([sys.executable, '-c', code], cwd=repository, env=env, check=True)
