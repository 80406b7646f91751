"""The Triton kernels: on a GPU, or in triton's interpreter (TRITON_INTERPRET=1), which wants tiny shapes.

Where there is no GPU they are also compiled for two, which wants none.
"""

import os
import subprocess
import sys

import pytest
import torch

from madnet.ops import selective_scan, selective_scan_2d, selective_scan_backends
from madnet.ops.selective_scan import triton_backend

from .inputs import maps, relative_error, sequences, value_and_gradients

pytest.importorskip('triton', reason='the triton package is not installed')
interpreted = os.environ.get('TRITON_INTERPRET') == '1'
device = 'cpu' if interpreted else 'cuda'
NAMES = ('y', 'u', 'delta', 'A', 'B', 'C', 'D', 'delta_bias')
# Relative error against float64, (values, gradients).
TOLERANCE = (
    (3e-7, 2e-6) if interpreted else (1e-6, 5e-6)
)  # a GPU's 2^x is good to two units in the last place


def compare(scan, tensors, softplus=True, tolerance=TOLERANCE):
    """Value and gradients in the dtype of the tensors against the reference in float64."""
    dtype = tensors[0].dtype
    weight = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    run = lambda name: lambda *x: scan(*x, delta_softplus=softplus, backend=name)  # noqa: E731
    true = value_and_gradients(run('reference'), [t.double() for t in tensors], weight.double())
    on_device = [t.to(device) for t in tensors]
    found = value_and_gradients(run('triton'), on_device, weight.to(device))
    for name, a, b in zip(NAMES, found, true, strict=False):
        assert a.dtype == dtype, name
        assert a.isfinite().all(), name
        # Where every decay underflows, dA is a sum of terms below 1e-30: there is no digit to compare.
        if name != 'A' or b.norm() > 1e-8:
            assert relative_error(a.cpu(), b) <= tolerance[name != 'y'], name
    return found


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles that the interpreter is done with soon."""
    if interpreted:
        monkeypatch.setattr(triton_backend, 'STEPS', 4)
        monkeypatch.setattr(triton_backend, 'CHANNELS', 2)


@pytest.mark.skipif(
    not interpreted and not torch.cuda.is_available(), reason='no GPU, not in the interpreter'
)
class TestKernels:
    def test_tiles_of_the_default_size(self):
        compare(selective_scan, sequences(1, 1, 9, 3, 17, dtype=torch.float32))

    @pytest.mark.usefixtures('small_tiles')
    @pytest.mark.parametrize('shape', [(1, 1, 1, 1, 1), (2, 2, 3, 3, 5), (1, 1, 2, 4, 8), (1, 3, 2, 5, 9)])
    def test_sequences(self, shape):
        compare(selective_scan, sequences(*shape, dtype=torch.float32))

    @pytest.mark.usefixtures('small_tiles')
    @pytest.mark.parametrize('shape', [(1, 2, 4, 2, 2), (2, 1, 3, 3, 1), (1, 4, 1, 1, 3)])
    def test_maps(self, shape):
        compare(selective_scan_2d, maps(*shape, dtype=torch.float32))

    @pytest.mark.usefixtures('small_tiles')
    @pytest.mark.parametrize('length', [5, 16, 19])
    def test_segments_side_by_side(self, monkeypatch, length):
        """As for one long sequence: here of two tiles each, several of them."""
        monkeypatch.setattr(triton_backend, 'SEGMENT', 2)
        compare(selective_scan, sequences(1, 1, 2, 2, length, dtype=torch.float32))

    @pytest.mark.usefixtures('small_tiles')
    def test_segments_of_maps(self, monkeypatch):
        monkeypatch.setattr(triton_backend, 'SEGMENT', 1)
        compare(selective_scan_2d, maps(1, 3, 2, 2, 2, dtype=torch.float32))

    @pytest.mark.usefixtures('small_tiles')
    @pytest.mark.parametrize('segment', [1, 99])
    @pytest.mark.parametrize('shift', [-20.0, -8.0, 30.0, 300.0])
    def test_extreme_steps(self, monkeypatch, segment, shift):
        monkeypatch.setattr(triton_backend, 'SEGMENT', segment)
        tensors = sequences(1, 1, 2, 4, 10, dtype=torch.float32)
        tensors[1] = 3 * tensors[1] + shift
        compare(selective_scan, tensors)

    @pytest.mark.usefixtures('small_tiles')
    def test_workers_take_several_sequences(self, monkeypatch):
        monkeypatch.setattr(triton_backend, 'WORKERS', 2)
        monkeypatch.setattr(triton_backend, 'SEGMENT', 1)
        compare(selective_scan, sequences(3, 1, 2, 2, 5, dtype=torch.float32))

    @pytest.mark.usefixtures('small_tiles')
    def test_offsets_of_64_bits(self, monkeypatch):
        monkeypatch.setattr(triton_backend, '_reach', lambda x: 2**31)
        monkeypatch.setattr(triton_backend, 'SEGMENT', 1)
        compare(selective_scan, sequences(1, 2, 2, 2, 6, dtype=torch.float32))

    @pytest.mark.usefixtures('small_tiles')
    @pytest.mark.parametrize('softplus', [True, False])
    def test_without_d_and_bias(self, softplus):
        tensors = sequences(1, 2, 2, 2, 6, dtype=torch.float32)[:5]
        tensors[1].abs_()
        compare(selective_scan, tensors, softplus)

    @pytest.mark.usefixtures('small_tiles')
    @pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
    def test_half_precision_is_computed_in_float32(self, dtype):
        rounding = 2 * torch.finfo(dtype).eps
        compare(selective_scan, sequences(1, 1, 3, 4, 9, dtype=dtype), tolerance=(rounding, rounding))
        compare(selective_scan_2d, maps(1, 2, 2, 2, 2, dtype=dtype), tolerance=(rounding, rounding))

    @pytest.mark.usefixtures('small_tiles')
    def test_non_contiguous_inputs(self):
        tensors = sequences(1, 2, 2, 3, 6, dtype=torch.float32)
        strided = []
        for t in tensors:
            apart = torch.full((*t.shape[:-1], 2 * t.shape[-1]), float('nan'))
            apart[..., ::2] = t
            strided.append(apart.to(device)[..., ::2])
        turned = [t.transpose(-1, -2).contiguous().transpose(-1, -2) if t.dim() > 1 else t for t in tensors]
        scan = lambda *x: selective_scan(*x, delta_softplus=True, backend='triton')  # noqa: E731
        weight = torch.ones(1, 6, 4, device=device).transpose(1, 2)
        contiguous = [t.to(device) for t in tensors]
        expected = value_and_gradients(scan, contiguous, weight.contiguous())
        for variant in (strided, [t.to(device) for t in turned]):
            leaves = [t.detach().requires_grad_() for t in variant]
            y = scan(*leaves)
            for a, b in zip([y, *torch.autograd.grad(y, leaves, weight)], expected, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)

    @pytest.mark.usefixtures('small_tiles')
    def test_slices_of_one_projection_and_cropped_maps(self):
        x, delta, A, B, C, D, bias = maps(1, 3, 4, 2, 1, dtype=torch.float32)
        joined = torch.cat([torch.full_like(B, float('nan')), B, C], -1)
        first = x.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
        crop = torch.full((1, 5, 6, 4, 2), float('nan'))
        crop[:, 1:4, 2:6] = delta
        strided = [first, crop[:, 1:4, 2:6], A, joined[..., 1:2], joined[..., 2:], D, bias]
        scan = lambda *t: selective_scan_2d(*t, delta_softplus=True, backend='triton')  # noqa: E731
        weight = torch.randn(1, 2, 3, 4, device=device).permute(0, 2, 3, 1)
        contiguous = [t.contiguous().to(device) for t in strided]
        expected = value_and_gradients(scan, contiguous, weight.contiguous())
        leaves = [t.detach().to(device).requires_grad_() for t in strided]
        y = scan(*leaves)
        for a, b in zip([y, *torch.autograd.grad(y, leaves, weight)], expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize('make', [sequences, maps])
    def test_empty_batch(self, make):
        scan = selective_scan if make is sequences else selective_scan_2d
        tensors = [t.to(device).requires_grad_() for t in make(0, 2, 3, 4, 2, dtype=torch.float32)]
        scan(*tensors, delta_softplus=True, backend='triton').sum().backward()
        assert all(t.grad.shape == t.shape and not t.grad.any() for t in tensors)

    @pytest.mark.usefixtures('small_tiles')
    def test_nan_stays_in_its_channel(self):
        tensors = [t.to(device) for t in sequences(1, 1, 3, 2, 7, dtype=torch.float32)]
        tensors[1][0, 1, 5] = float('nan')
        y = selective_scan(*tensors, delta_softplus=True, backend='triton')
        assert y[0, 1, 5:].isnan().all()
        assert y[0, 1, :5].isfinite().all()
        assert y[0, ::2].isfinite().all()

    @pytest.mark.usefixtures('small_tiles')
    def test_two_runs_agree_to_the_bit(self, monkeypatch):
        monkeypatch.setattr(triton_backend, 'SEGMENT', 1)
        tensors = [t.to(device) for t in sequences(1, 1, 3, 2, 6, dtype=torch.float32)]
        scan = lambda *x: selective_scan(*x, delta_softplus=True, backend='triton')  # noqa: E731
        runs = [value_and_gradients(scan, tensors, torch.ones_like(tensors[0])) for _ in range(2)]
        assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))

    @pytest.mark.usefixtures('small_tiles')
    def test_opcheck(self):
        tensors = [t.to(device).requires_grad_() for t in sequences(1, 1, 1, 2, 4, dtype=torch.float32)]
        torch.library.opcheck(
            torch.ops.madnet.selective_scan.default, (*tensors, True, False, 'triton', True)
        )
        tensors = [t.to(device).requires_grad_() for t in maps(1, 2, 1, 1, 2, dtype=torch.float32)]
        torch.library.opcheck(torch.ops.madnet.selective_scan.default, (*tensors, True, True, 'triton', True))

    def test_is_named_first_but_not_chosen_in_the_interpreter(self):
        from madnet.ops.selective_scan.backend import ScanInputs
        from madnet.ops.selective_scan.interface import choose_backend

        assert selective_scan_backends()[0] == 'triton'
        inputs = ScanInputs(*(t.to(device) for t in sequences(dtype=torch.float32)), True)
        assert (choose_backend(inputs) == 'triton') == (device == 'cuda')

    @pytest.mark.skipif(interpreted, reason='hours in the interpreter')
    @pytest.mark.parametrize(
        ('scan', 'tensors'),
        [
            (selective_scan, (3, 4, 64, 16, 1023)),
            (selective_scan, (300, 4, 16, 16, 16)),
            (selective_scan, (1, 1, 8, 16, 65536)),
            (selective_scan_2d, (2, 33, 45, 40, 16)),
        ],
    )
    def test_sizes_of_networks_on_a_gpu(self, scan, tensors):
        """Against the torch form in float64: on hardware the scans inside a tile may go wrong."""
        make = sequences if scan is selective_scan else maps
        doubles = [t.to(device) for t in make(*tensors)]
        weight = torch.randn(doubles[0].shape, device=device)
        run = lambda name: lambda *x: scan(*x, delta_softplus=True, backend=name)  # noqa: E731
        true = value_and_gradients(run('torch'), doubles, weight.double())
        found = value_and_gradients(run('triton'), [t.float() for t in doubles], weight)
        for name, a, b in zip(NAMES, found, true, strict=True):
            assert relative_error(a, b) <= TOLERANCE[name != 'y'], name


@pytest.mark.skipif(interpreted, reason='the interpreter compiles nothing')
class TestCompilation:
    """The kernels as they would be started, through the whole compiler; only the start itself is left out."""

    @pytest.fixture
    def compiled(self, monkeypatch, tmp_path):
        """Compiles what ``run`` starts for a GPU, by launching on fake tensors; returns kernel → binary."""
        import triton
        from triton.backends.compiler import GPUTarget
        from triton.compiler import ASTSource

        from madnet.ops.selective_scan import triton_kernels

        monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
        binaries = {}

        class Starter:
            def __init__(self, kernel, capability):
                self.kernel, self.target = kernel, GPUTarget('cuda', capability, 32)

            def __getitem__(self, grid):
                return lambda *args, **constants: self.start(args, constants)

            def start(self, args, constants):
                options = {name: constants.pop(name) for name in ('num_warps', 'enable_fp_fusion')}
                names = self.kernel.arg_names
                signature, attributes = dict.fromkeys(constants, 'constexpr'), {}
                types = {torch.float32: '*fp32', torch.bfloat16: '*bf16', torch.float16: '*fp16'}
                for i, (name, value) in enumerate(zip(names, args, strict=False)):
                    if isinstance(value, torch.Tensor):
                        signature[name], attributes[(i,)] = types[value.dtype], [['tt.divisibility', 16]]
                    elif value == 1:  # as at a real start: such an argument becomes a constant
                        signature[name], constants[name] = 'constexpr', 1
                    else:
                        signature[name] = 'i32' if value < 2**31 else 'i64'
                source = ASTSource(self.kernel, {n: signature[n] for n in names}, constants, attributes)
                binary = triton.compile(source, target=self.target, options=options)
                binaries.setdefault(self.kernel.__name__, []).append(binary)

        def run(capability, scan, tensors):
            with monkeypatch.context() as patch:
                for name in ('forward_kernel', 'backward_kernel', 'summary_kernel', 'carry_kernel'):
                    patch.setattr(triton_kernels, name, Starter(getattr(triton_kernels, name), capability))
                patch.setattr(triton_backend, 'INTERPRETED', True)  # takes tensors on the CPU
                leaves = [t.requires_grad_() for t in tensors]
                y = scan(*leaves, delta_softplus=True, backend='triton')
                torch.autograd.grad(y, leaves, torch.zeros_like(y))
            return binaries

        return run

    @pytest.mark.parametrize('capability', [80, 90])
    def test_the_networks_scans(self, compiled, capability):
        tensors = maps(1, 32, 32, 16, 16, dtype=torch.float32)
        binaries = compiled(capability, selective_scan_2d, tensors)
        assert {name: len(found) for name, found in binaries.items()} == {
            'forward_kernel': 1, 'backward_kernel': 1, 'summary_kernel': 2, 'carry_kernel': 2,
        }  # fmt: skip
        for found in binaries.values():
            for binary in found:
                assert f'.target sm_{capability}' in binary.asm['ptx']

    @pytest.mark.parametrize('shape', [(1, 1, 1, 1, 1), (5, 1, 8, 2, 16)])
    def test_arguments_of_one(self, compiled, shape):
        """Triton makes constants of them, which have not all the methods of numbers."""
        assert len(compiled(90, selective_scan, sequences(*shape, dtype=torch.bfloat16))) == 2

    def test_steps_of_a_state_lie_in_one_thread(self, compiled):
        """What makes the associative scans cheap, and reversed ones safe: they exchange nothing."""
        binaries = compiled(90, selective_scan, sequences(2, 4, 16, 16, 64, dtype=torch.float32))
        for name in ('forward_kernel', 'backward_kernel'):
            text = binaries[name][0].asm['ttgir']
            layouts = [line for line in text.splitlines() if 'order = [2, 1, 0]' in line]
            assert layouts, name
            for line in layouts:
                assert 'threadsPerWarp = [1, ' in line, name
                assert 'warpsPerCTA = [1, ' in line, name


@pytest.mark.skipif(interpreted, reason='in the interpreter already')
@pytest.mark.skipif(torch.cuda.is_available(), reason='tested on the GPU itself')
def test_in_the_interpreter():
    """The tests above in a process of their own: the interpreter must be chosen before triton is imported."""
    env = {**os.environ, 'TRITON_INTERPRET': '1', 'PYTEST_ADDOPTS': ''}
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', __file__, '-k', 'TestKernels']
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert ' passed' in done.stdout
