"""The Triton kernels: on a GPU, or in triton's interpreter (TRITON_INTERPRET=1), which wants tiny shapes."""

import os
import subprocess
import sys

import pytest
import torch

from madnet.ops import selective_scan, selective_scan_2d

from .inputs import maps, relative_error, sequences, value_and_gradients

pytest.importorskip('triton', reason='the triton package is not installed')
interpreted = os.environ.get('TRITON_INTERPRET') == '1'
device = 'cpu' if interpreted else 'cuda'


def compare(scan, tensors):
    weight = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(1))
    run = lambda name: lambda *x: scan(*x, delta_softplus=True, backend=name)  # noqa: E731
    true = value_and_gradients(run('reference'), [t.double() for t in tensors], weight.double())
    on_device = [t.to(device) for t in tensors]
    found = value_and_gradients(run('triton'), on_device, weight.to(device))
    for i, (a, b) in enumerate(zip(found, true, strict=True)):
        assert relative_error(a.cpu(), b) < (5e-6 if i else 1e-6), i


@pytest.mark.skipif(
    not interpreted and not torch.cuda.is_available(), reason='no GPU, not in the interpreter'
)
class TestKernels:
    @pytest.mark.parametrize('shape', [(1, 2, 3, 3, 5), (2, 1, 9, 2, 18), (1, 1, 8, 4, 33)])
    def test_sequences(self, shape):
        compare(selective_scan, sequences(*shape, dtype=torch.float32))

    @pytest.mark.parametrize('shape', [(1, 3, 4, 2, 2), (1, 5, 4, 9, 3)])
    def test_maps(self, shape):
        compare(selective_scan_2d, maps(*shape, dtype=torch.float32))

    def test_half_precision(self):
        tensors = [t.to(device) for t in sequences(1, 1, 8, 4, 20, dtype=torch.bfloat16)]
        y = selective_scan(*tensors, delta_softplus=True, backend='triton')
        true = selective_scan(*tensors, delta_softplus=True, backend='reference')
        assert y.dtype == torch.bfloat16
        assert relative_error(y, true) < 2**-6


@pytest.mark.skipif(interpreted, reason='in the interpreter already')
@pytest.mark.skipif(torch.cuda.is_available(), reason='tested on the GPU itself')
@pytest.mark.slow
def test_in_the_interpreter():
    """The tests above in a process of their own: the interpreter must be chosen before triton is imported."""
    env = {**os.environ, 'TRITON_INTERPRET': '1'}
    command = [sys.executable, '-m', 'pytest', '-q', __file__, '-k', 'TestKernels']
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
