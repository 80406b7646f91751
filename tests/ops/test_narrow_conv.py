"""Convolutions of few channels: their kernels in the interpreter, compiled, and on a GPU."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from madnet.ops import narrow_conv
from madnet.ops.narrow_conv import conv3x3

pytest.importorskip('triton')

#: Batch, channels in and out, height, width.
SHAPES = [(1, 1, 16, 5, 37), (2, 16, 16, 4, 130), (1, 32, 16, 3, 20), (2, 16, 1, 6, 33), (1, 4, 4, 5, 140)]


def tensors(shape, device='cpu', kind=torch.float32):
    batch, channels, out, height, width = shape
    generator = torch.Generator().manual_seed(0)
    made = (
        torch.randn(size, generator=generator).to(device, kind)
        for size in ((batch, channels, height, width), (out, channels, 3, 3), (out,))
    )
    return [t.requires_grad_() for t in made]


def outcome(function, given):
    y = function(*given)
    # numbers that half precision has, so that both are given the same
    weight = torch.arange(y.numel(), device=y.device).view(y.shape).sin().bfloat16().to(y.dtype)
    return [y, *torch.autograd.grad(y, given, weight)]


def compare_in_the_interpreter():
    for shape in SHAPES:
        for layout in (torch.contiguous_format, torch.channels_last):
            given = tensors(shape)
            given[0] = given[0].detach().to(memory_format=layout).requires_grad_()
            ours = outcome(narrow_conv._Conv.apply, given)
            expected = outcome(lambda x, w, b: F.conv2d(x, w, b, padding=1), given)
            for a, b in zip(ours, expected, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
            x, weight, _ = given
            frozen = torch.autograd.grad(narrow_conv._Conv.apply(x.detach(), weight, None).sum(), weight)[0]
            assert frozen.is_contiguous(memory_format=torch.channels_last)


def test_kernels_are_the_convolution(repository):
    """In a process of its own: the interpreter is chosen before triton is imported."""
    code = 'from tests.ops.test_narrow_conv import compare_in_the_interpreter as c; c()'
    env = {**os.environ, 'TRITON_INTERPRET': '1'}
    subprocess.run([sys.executable, '-c', code], cwd=repository, env=env, check=True)


@pytest.mark.parametrize('capability', [80, 90, 100])
def test_kernels_fit_a_card(capability):
    from tests.ops.compiling import compiling_for

    with compiling_for(capability) as binaries:
        x, weight, _ = (t.detach().bfloat16() for t in tensors((2, 32, 16, 8, 256)))
        x, weight = (t.permute(0, 2, 3, 1).contiguous() for t in (x, weight))
        y = narrow_conv._conv(x, weight, None, 16)
        narrow_conv._weight_gradient(x, y.permute(0, 2, 3, 1))
    assert [binary.kernel for binary in binaries] == ['conv_kernel', 'weight_kernel']
    for binary in binaries:
        assert binary.spilled == 0
        assert binary.shared <= 99 * 1024  # of sm_86


def test_without_a_gpu_it_is_pytorchs():
    given = tensors((1, 4, 4, 6, 7))
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(conv3x3(*given), F.conv2d(*given, padding=1))


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_on_a_gpu_it_is_the_convolution():
    for shape in [*SHAPES, (4, 16, 16, 64, 200), (2, 32, 16, 70, 256)]:
        compare_on_a_gpu(shape)


def compare_on_a_gpu(shape):
    given = tensors(shape, 'cuda')
    halves = [t.detach().bfloat16().requires_grad_() for t in given]
    given = [t.detach().float().requires_grad_() for t in halves]
    with torch.backends.cudnn.flags(allow_tf32=False):
        expected = outcome(lambda x, w, b: F.conv2d(x, w, b, padding=1), given)
    for ours, other in zip(outcome(conv3x3, halves), expected, strict=True):
        assert ((ours.float() - other).norm() / other.norm()).item() < 0.01
    with torch.autocast('cuda', torch.bfloat16):
        assert torch.equal(conv3x3(*given), conv3x3(*halves))
    again = outcome(conv3x3, halves)
    assert all(torch.equal(a, b) for a, b in zip(again, outcome(conv3x3, halves), strict=True))
