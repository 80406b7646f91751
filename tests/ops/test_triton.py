"""The Triton kernels: on a GPU, or in triton's interpreter (TRITON_INTERPRET=1), which wants tiny shapes.

They are also compiled for three kinds of GPU, which wants none.
"""

import os
import re
import subprocess
import sys
from unittest import mock

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from madnet.ops import half_training, selective_scan, selective_scan_2d, selective_scan_backends
from madnet.ops.selective_scan import triton_backend
from madnet.ops.selective_scan.backend import ScanInputs
from madnet.ops.selective_scan.custom_op import BACKENDS

from .compiling import compiling_for
from .counting import bytes_moved
from .inputs import maps, relative_error, sequences, value_and_gradients

pytest.importorskip('triton', reason='the triton package is not installed')
from madnet.ops.selective_scan import triton_kernels

interpreted = os.environ.get('TRITON_INTERPRET') == '1'
device = 'cpu' if interpreted else 'cuda'
NAMES = ('y', 'u', 'delta', 'A', 'B', 'C', 'D', 'delta_bias')
# Relative error against float64, (values, gradients).
TOLERANCE = (
    (3e-7, 2e-6) if interpreted else (1e-6, 5e-6)
)  # a GPU's 2^x is good to two units in the last place
# The compiler takes up to a quarter of a minute for each.
CARDS = [90, *(pytest.param(capability, marks=pytest.mark.slow) for capability in (80, 100))]


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


def compare_values(scan, tensors, tolerance=TOLERANCE[0]):
    """The value alone: the backward pass is the same for all lengths, and long in the interpreter."""
    true = scan(*[t.double() for t in tensors], delta_softplus=True, backend='reference')
    found = scan(*[t.to(device) for t in tensors], delta_softplus=True, backend='triton')
    assert found.dtype == tensors[0].dtype
    assert relative_error(found.cpu(), true) <= tolerance


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles that the interpreter is done with soon."""
    if interpreted:
        monkeypatch.setattr(triton_backend, 'STEPS', 4)
        monkeypatch.setattr(triton_backend, 'CHANNELS', 2)


@pytest.fixture
def cut(monkeypatch):
    """Cuts sequences into segments of so many tiles."""

    def cut(tiles):
        found = lambda launch, _: (-(-launch.tiles // tiles), tiles)  # noqa: E731
        monkeypatch.setattr(triton_backend._Launch, '_segments', found)

    return cut


class TestKernels:
    # without a GPU they run in the interpreter: in a process of their own, below
    __test__ = interpreted or torch.cuda.is_available()

    @pytest.mark.usefixtures('small_tiles')
    @pytest.mark.parametrize('states', [1, 3, 16])
    @pytest.mark.parametrize('shape', [(9, 1, 1, 1), (7, 2, 5, 4), (2, 3, 2, 3)])
    def test_short_sequences(self, shape, states):
        """One tile at most, none of the sizes a power of two."""
        batch, groups, channels, length = shape
        compare_values(
            selective_scan, sequences(batch, groups, channels, states, length, dtype=torch.float32)
        )

    @pytest.mark.usefixtures('small_tiles')
    @pytest.mark.parametrize(
        'shape', [(5, 2, 2, 5, 16), (3, 2, 2, 1, 3), (1, 1, 3, 3, 4), (1, 3, 1, 2, 2), (1, 1, 1, 1, 1)]
    )
    def test_short_walks_over_maps(self, shape):
        """The four directions of square ones are summed in the same program."""
        compare_values(selective_scan_2d, maps(*shape, dtype=torch.float32))

    def test_inner_scans_at_their_size(self, monkeypatch):
        if interpreted:
            monkeypatch.setattr(triton_backend, 'CHANNELS', 2)
        compare(selective_scan_2d, maps(1, 4, 4, 2, 16, dtype=torch.float32))

    @pytest.mark.usefixtures('small_tiles')
    @pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
    def test_short_walks_in_half_precision(self, dtype):
        rounding = 2 * torch.finfo(dtype).eps
        compare_values(selective_scan_2d, maps(2, 2, 2, 3, 2, dtype=dtype), rounding)

    def test_short_sequences_keep_no_states(self):
        tensors = [t.to(device).requires_grad_() for t in maps(2, 4, 4, 2, 2, dtype=torch.float32)]
        states = torch.ops.madnet.selective_scan(*tensors, True, True, 'triton', True)[1]
        assert not states.numel()

    def test_tiles_of_the_default_size(self):
        compare(selective_scan, sequences(1, 1, 9, 3, 17, dtype=torch.float32))

    @pytest.mark.usefixtures('small_tiles')
    @pytest.mark.parametrize('shape', [(2, 2, 3, 3, 5), (1, 1, 2, 4, 8), (1, 3, 2, 5, 9), (1, 1, 3, 16, 7)])
    def test_sequences(self, shape):
        compare(selective_scan, sequences(*shape, dtype=torch.float32))

    @pytest.mark.usefixtures('small_tiles')
    @pytest.mark.parametrize('shape', [(1, 2, 4, 2, 2), (2, 1, 5, 3, 1), (1, 6, 1, 1, 3)])
    def test_maps(self, shape):
        compare(selective_scan_2d, maps(*shape, dtype=torch.float32))

    @pytest.mark.usefixtures('small_tiles')
    @pytest.mark.parametrize('length', [5, 16, 19])
    def test_segments_side_by_side(self, cut, length):
        """As for one long sequence: here of two tiles each, several of them."""
        cut(2)
        compare(selective_scan, sequences(1, 1, 2, 2, length, dtype=torch.float32))

    @pytest.mark.usefixtures('small_tiles')
    def test_segments_of_maps(self, cut):
        cut(1)
        compare(selective_scan_2d, maps(1, 3, 2, 2, 2, dtype=torch.float32))

    @pytest.mark.usefixtures('small_tiles')
    @pytest.mark.parametrize('segment', [1, 99])
    @pytest.mark.parametrize('shift', [-20.0, -8.0, 30.0, 300.0])
    def test_extreme_steps(self, cut, segment, shift):
        cut(segment)
        tensors = sequences(1, 1, 2, 4, 10, dtype=torch.float32)
        tensors[1] = 3 * tensors[1] + shift
        compare(selective_scan, tensors)

    @pytest.mark.usefixtures('small_tiles')
    @pytest.mark.parametrize('programs', [1, 2, 6])
    def test_workers_take_several_sequences(self, monkeypatch, programs):
        """Too few programs for a segment each, or for a sequence each."""
        monkeypatch.setattr(triton_backend, 'RESIDENT', programs)
        monkeypatch.setattr(triton_backend, '_multiprocessors', lambda device: 1)
        compare(selective_scan, sequences(3, 1, 2, 2, 9, dtype=torch.float32))

    @pytest.mark.usefixtures('small_tiles')
    def test_offsets_of_64_bits(self, monkeypatch, cut):
        monkeypatch.setattr(triton_backend, 'LARGE', 0)
        monkeypatch.setattr(triton_backend, '_reach', lambda x: 2**31)
        cut(1)
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
        compare(selective_scan_2d, maps(1, 2, 3, 2, 2, dtype=dtype), tolerance=(rounding, rounding))

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
    def test_two_runs_agree_to_the_bit(self, cut):
        cut(1)
        tensors = [t.to(device) for t in sequences(1, 1, 3, 2, 6, dtype=torch.float32)]
        scan = lambda *x: selective_scan(*x, delta_softplus=True, backend='triton')  # noqa: E731
        runs = [value_and_gradients(scan, tensors, torch.ones_like(tensors[0])) for _ in range(2)]
        assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))

    @pytest.mark.usefixtures('small_tiles')
    def test_opcheck(self):
        tensors = [t.to(device).requires_grad_() for t in sequences(1, 1, 1, 2, 5, dtype=torch.float32)]
        torch.library.opcheck(
            torch.ops.madnet.selective_scan.default, (*tensors, True, False, 'triton', True)
        )
        tensors = [t.to(device).requires_grad_() for t in maps(1, 2, 1, 1, 2, dtype=torch.float32)]
        torch.library.opcheck(torch.ops.madnet.selective_scan.default, (*tensors, True, True, 'triton', True))

    def test_is_named_first_but_not_chosen_in_the_interpreter(self):
        from madnet.ops.selective_scan.interface import choose_backend

        assert selective_scan_backends()[0] == 'triton'
        inputs = ScanInputs(*(t.to(device) for t in sequences(dtype=torch.float32)), True)
        assert (choose_backend(inputs) == 'triton') == (device == 'cuda')

    @pytest.mark.skipif(not interpreted, reason='the interpreter counts')
    @pytest.mark.usefixtures('small_tiles')
    def test_bytes_moved(self):
        """Of a short walk: each input and result once; backward, twice what directions and workers add up."""
        shape = (4, 2, 2, 2, 16)
        with bytes_moved() as launches:
            leaves = [t.requires_grad_() for t in maps(*shape, dtype=torch.float32)]
            y = selective_scan_2d(*leaves, delta_softplus=True, backend='triton')
            torch.autograd.grad(y, leaves, torch.ones_like(y))
        assert [name for name, *_ in launches] == ['square_kernel', 'backward_kernel', 'sum_kernel']
        inputs = sum(4 * t.numel() for t in leaves)
        directions = 4 * 4 * y.numel()  # what the four add to the map, written and read again
        workers = shape[0]  # each with its own sums for A, D and the bias
        parameters = sum(4 * t.numel() for t in (leaves[2], *leaves[5:]))
        assert launches[0][1:] == (inputs, 4 * y.numel())
        read, written = (sum(launch[i] for launch in launches[1:]) for i in (1, 2))
        assert read == inputs + 4 * y.numel() + directions + workers * parameters
        assert written == inputs + directions + workers * parameters

    @pytest.mark.skipif(interpreted, reason='graphs are captured on a GPU')
    @pytest.mark.parametrize('shape', [(64, 4, 4, 8, 16), (1, 32, 32, 16, 16)])
    def test_in_a_cuda_graph(self, shape):
        """A replay reads the inputs anew, and gives the bits of a plain run."""
        leaves = [t.to(device).requires_grad_() for t in maps(*shape, dtype=torch.float32)]
        weight = torch.randn(leaves[0].shape, device=device)

        def run():
            y = selective_scan_2d(*leaves, delta_softplus=True, backend='triton')
            return [y, *torch.autograd.grad(y, leaves, weight)]

        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = run()
        with torch.no_grad():
            leaves[0].mul_(2)
        graph.replay()
        assert all(torch.equal(a, b) for a, b in zip(captured, run(), strict=True))

    @pytest.mark.skipif(interpreted, reason='hours in the interpreter')
    @pytest.mark.parametrize(
        ('scan', 'tensors'),
        [
            (selective_scan, (3, 4, 64, 16, 1023)),
            (selective_scan, (300, 4, 16, 16, 16)),
            (selective_scan, (1, 1, 8, 16, 65536)),
            (selective_scan_2d, (2, 33, 45, 40, 16)),
            (selective_scan_2d, (500, 4, 4, 8, 16)),
            (selective_scan_2d, (1, 32, 32, 64, 16)),
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


def launches(capability, scan, tensors):
    """What a forward and a backward pass would start on a GPU."""
    with compiling_for(capability) as launched:
        leaves = [t.requires_grad_() for t in tensors]
        y = scan(*leaves, delta_softplus=True, backend='triton')
        torch.autograd.grad(y, leaves, torch.zeros_like(y))
    return launched


@pytest.mark.skipif(interpreted, reason='the interpreter compiles nothing')
class TestCompilation:
    """The kernels as they would be started, through the whole compiler; only the start itself is left out."""

    @pytest.fixture(autouse=True)
    def own_cache(self, monkeypatch, tmp_path):
        monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))

    @pytest.mark.parametrize('capability', CARDS)
    def test_inner_scans(self, capability):
        """One launch forward, two backward."""
        found = launches(capability, selective_scan_2d, maps(2, 4, 4, 8, 16, dtype=torch.float32))
        assert [b.kernel for b in found] == ['square_kernel', 'backward_kernel', 'sum_kernel']
        for binary in found:
            assert f'.target sm_{capability}' in binary.assembly['ptx']
            assert binary.shared <= 4096
            assert binary.spilled <= (400 if binary.kernel == 'backward_kernel' else 0)

    @pytest.mark.parametrize('capability', CARDS)
    def test_outer_scans(self, capability):
        """Cut into segments, for the channels of one map are few."""
        found = launches(capability, selective_scan_2d, maps(1, 32, 32, 16, 16, dtype=torch.bfloat16))
        forward = ['summary_kernel', 'forward_kernel', 'sum_kernel']
        assert [b.kernel for b in found] == [*forward, 'summary_kernel', 'backward_kernel', 'sum_kernel']
        for binary in found:
            assert f'.target sm_{capability}' in binary.assembly['ptx']
            assert binary.shared <= 4096
            # 4 bytes of a summary by Triton 3.7, none by 3.9
            assert binary.spilled <= (400 if binary.kernel == 'backward_kernel' else 4)

    def test_one_binary_for_all_sizes(self):
        """Also for slices of a projection, and whether sequences are cut or not: compiling takes seconds."""
        found = []
        for shape in [(4, 4, 4, 8, 16), (3, 4, 4, 16, 16), (1, 32, 32, 64, 16), (99, 8, 8, 24, 16)]:
            x, delta, A, B, C, D, bias = maps(*shape, dtype=torch.float32)
            joined = torch.cat([B[..., :1], B, C], -1)
            B, C = joined[..., 1:17], joined[..., 17:]
            found += launches(90, selective_scan_2d, [x, delta, A, B, C, D, bias])
        kinds = {(b.kernel, b.assembly['ptx']) for b in found}
        # two of summary_kernel: forward and backward
        assert len(kinds) == 6, sorted(kernel for kernel, _ in kinds)

    def test_without_gradients(self):
        """No states are kept, neither D nor bias nor softplus is there, and 64 bits count the offsets."""
        u, delta, A, B, C, *_ = sequences(1, 2, 3, 5, 90, dtype=torch.float16)
        with (
            compiling_for(90) as launched,
            mock.patch.multiple(triton_backend, LARGE=0, _reach=lambda x: 2**31),
        ):
            selective_scan(u, delta, A, B, C, backend='triton')
            selective_scan(*(t[..., :4] for t in (u, delta)), A, B[..., :4], C[..., :4], backend='triton')
        assert [b.kernel for b in launched] == ['summary_kernel', 'forward_kernel', 'forward_kernel']
        assert not any(b.spilled for b in launched)

    @pytest.mark.parametrize(
        ('shape', 'count'), [((1, 1, 1, 1, 1), 3), ((5, 1, 8, 2, 16), 3), ((1, 1, 1, 1, 17), 4)]
    )
    def test_arguments_of_one(self, shape, count):
        """Triton makes constants of them, which have not all the methods of numbers."""
        assert len(launches(90, selective_scan, sequences(*shape, dtype=torch.bfloat16))) == count

    def test_steps_of_a_state_lie_in_one_thread(self):
        """What makes scans loops, and lets steps be picked for nothing: they exchange nothing."""
        for binary in launches(90, selective_scan, sequences(2, 4, 16, 16, 64, dtype=torch.float32)):
            if binary.kernel not in ('forward_kernel', 'backward_kernel'):
                continue
            scans = [
                line
                for line in binary.assembly['ttgir'].splitlines()
                if '"tt.scan"' in line or '}) : (tensor<' in line
            ]
            used = {name for line in scans for name in re.findall(r'#blocked\d*', line)}
            layouts = [
                line for line in binary.assembly['ttgir'].splitlines()
                if line.split(' = ')[0] in used and 'order = [2, 1, 0]' in line
            ]  # fmt: skip
            assert layouts, binary.kernel
            for line in layouts:
                assert 'threadsPerWarp = [1, ' in line, binary.kernel
                assert 'warpsPerCTA = [1, ' in line, binary.kernel

    def test_lanes_exchange_sums_alone(self):
        """A change that makes triton lay out the tiles in another way shows as many times these shuffles."""
        for shape, most in (((1, 32, 32, 16, 16), (20, 40, 20, 400)), ((2, 4, 4, 8, 16), (150, 400))):
            found = launches(90, selective_scan_2d, maps(*shape, dtype=torch.float32))
            shuffles = [
                (b.kernel, b.assembly['ptx'].count('shfl.sync')) for b in found if b.kernel != 'sum_kernel'
            ]
            for (kernel, count), limit in zip(shuffles, most, strict=True):
                assert count <= limit, kernel


@pytest.mark.parametrize('shape', [(64, 4, 4, 8, 16), (1, 32, 32, 16, 16)])
def test_nothing_but_launches_and_memory(monkeypatch, shape):
    """What a graph can capture: no other operation of torch, no copy, and nothing that waits for the GPU."""
    tensors = maps(*shape, dtype=torch.float32)
    inputs, backend = ScanInputs(*tensors, True), triton_backend.TritonBackend()
    called = []

    class Record(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            called.append(str(function))
            return function(*args, **(kwargs or {}))

    for kernel in ('square_kernel', 'forward_kernel', 'summary_kernel', 'backward_kernel', 'sum_kernel'):
        monkeypatch.setattr(triton_kernels, kernel, mock.MagicMock())
    with Record():
        y, states = backend.forward_2d(inputs, True)
        backend.backward_2d(y, inputs, states)
    assert set(called) == {'aten.empty.memory_format'}


@pytest.mark.parametrize(
    ('batch', 'side', 'channels', 'forward', 'backward'),
    [
        (1, 32, 64, (32, 2), (32, 2)),  # the outer scans of MiM-ISTD at 256²
        (1, 16, 128, (16, 1), (16, 1)),
        (1, 8, 256, (1, 4), (4, 1)),
        (1, 4, 512, (1, 1), (1, 1)),
        (16, 32, 64, (1, 64), (2, 32)),
        (16, 16, 128, (1, 16), (1, 16)),
        (1, 128, 64, (32, 32), (32, 32)),  # at 1024²
    ],
)
def test_segments_fill_a_card_once(batch, side, channels, forward, backward):
    """Segments and their tiles; on 132 multiprocessors, which is what there is without a card."""
    x = torch.empty(batch, side, side, channels, device='meta')
    delta, B = x.new_empty(batch, side, side, 4, channels), x.new_empty(batch, side, side, 4, 16)
    launch = triton_backend._Launch(
        ScanInputs(x, delta, x.new_empty(4 * channels, 16), B, B, None, None, True), maps=True
    )
    assert launch._segments(triton_backend.FORWARD) == forward
    assert launch._segments(triton_backend.BACKWARD) == backward


@pytest.mark.skipif(interpreted, reason='in the interpreter already')
@pytest.mark.skipif(torch.cuda.is_available(), reason='tested on the GPU itself')
def test_in_the_interpreter():
    """The tests above in a process of their own: the interpreter must be chosen before triton is imported."""
    env = {**os.environ, 'TRITON_INTERPRET': '1', 'PYTEST_ADDOPTS': ''}
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', __file__, '-k', 'TestKernels']
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert ' passed' in done.stdout


def test_whether_triton_launches_breaks_no_compiled_graph():
    driver = pytest.importorskip('triton.runtime.driver').driver
    card = object.__new__(pytest.importorskip('triton.backends.nvidia.driver').CudaDriver)
    card.get_current_device = lambda: 0
    card.get_device_capability = lambda device: (9, 0)
    before = driver._active
    driver.set_active(card)
    half_training.why_no_launch.cache_clear()
    place = torch.device('cuda')
    try:
        ask = torch.compile(
            lambda x: x + (BACKENDS['triton'].why_not(place, torch.float32) is None),
            fullgraph=True,
            backend='eager',
        )
        assert ask(torch.zeros(2)).tolist() == [1, 1]
    finally:
        driver.set_active(before)
        half_training.why_no_launch.cache_clear()
