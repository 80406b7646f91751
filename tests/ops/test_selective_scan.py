"""The selective scan: its definition, and every backend against the definition."""

import pytest
import torch
import torch.nn.functional as F

from madnet.ops import selective_scan, selective_scan_backends

from .inputs import relative_error, sequences, value_and_gradients

NAMES = ('y', 'u', 'delta', 'A', 'B', 'C', 'D', 'delta_bias')
FAST = [name for name in ('torch', 'cpu') if name in selective_scan_backends()]
# Relative error against float64, (values, gradients).
TOLERANCE = {torch.float64: (1e-13, 1e-12), torch.float32: (3e-7, 2e-6)}


def by_hand(u, delta, A, B, C, D, delta_bias):
    """The recurrence with one scalar at a time, as it stands in the definition."""
    y = torch.zeros_like(u)
    per_group = u.shape[1] // B.shape[1]
    for b in range(u.shape[0]):
        for d in range(u.shape[1]):
            k, h = d // per_group, [0.0] * A.shape[1]
            for t in range(u.shape[2]):
                step = F.softplus(delta[b, d, t] + delta_bias[d])
                for n in range(A.shape[1]):
                    h[n] = torch.exp(step * A[d, n]) * h[n] + step * u[b, d, t] * B[b, k, n, t]
                y[b, d, t] = sum(C[b, k, n, t] * h[n] for n in range(A.shape[1])) + D[d] * u[b, d, t]
    return y


def compare(backend, tensors, dtype, tolerance=None, softplus=True):
    """Value and gradients of a backend in ``dtype`` against the reference on the same numbers in float64."""
    tensors = [t.to(dtype) for t in tensors]
    weight = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(1)).to(dtype)

    def scan(name):
        return lambda *x: selective_scan(*x, delta_softplus=softplus, backend=name)

    true = value_and_gradients(scan('reference'), [t.double() for t in tensors], weight.double())
    found = value_and_gradients(scan(backend), tensors, weight)
    on_value, on_gradient = tolerance or TOLERANCE[dtype]
    for name, a, b in zip(NAMES, found, true, strict=False):
        assert a.dtype == dtype
        assert relative_error(a, b) <= (on_value if name == 'y' else on_gradient), name


def test_reference_is_the_definition():
    tensors = sequences(2, 2, 2, 3, 5)
    torch.testing.assert_close(
        selective_scan(*tensors, delta_softplus=True, backend='reference'), by_hand(*tensors)
    )


@pytest.mark.parametrize('backend', ['reference', 'torch'])
@pytest.mark.parametrize('softplus', [True, False])
def test_gradcheck(backend, softplus):
    tensors = sequences(2, 2, 2, 3, 6)
    if not softplus:
        tensors[1].abs_()
        tensors[6].abs_()
    tensors = [t.requires_grad_() for t in tensors]
    assert torch.autograd.gradcheck(
        lambda *x: selective_scan(*x, delta_softplus=softplus, backend=backend), tensors, atol=1e-6
    )


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('length', [1, 2, 7, 8, 16, 31, 32, 33, 64, 65, 100, 255, 257, 300])
def test_lengths(backend, length):
    compare(backend, sequences(2, 2, 3, 5, length, seed=length), torch.float32)


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('states', [1, 2, 3, 4, 7, 8, 9, 16, 33, 64])
def test_states(backend, states):
    compare(backend, sequences(2, 2, 5, states, 40, seed=states), torch.float32)


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize(('groups', 'channels'), [(1, 1), (1, 7), (1, 8), (4, 3), (3, 9), (2, 16), (1, 65)])
def test_channels(backend, groups, channels):
    compare(backend, sequences(2, groups, channels, 4, 70, seed=channels), torch.float32)


@pytest.mark.parametrize('length', [1, 40, 65, 200])
def test_torch_in_float64(length):
    compare('torch', sequences(2, 2, 3, 5, length), torch.float64)


def test_torch_loop_over_wide_steps_and_segments(monkeypatch):
    """Forms that only large inputs take otherwise."""
    from madnet.ops.selective_scan import torch_backend

    monkeypatch.setattr(torch_backend, 'BUSY', 1)
    compare('torch', sequences(2, 2, 3, 5, 130), torch.float64)
    monkeypatch.setattr(torch_backend, 'BUSY', 1 << 20)
    monkeypatch.setattr(torch_backend, 'SEGMENT', 1)
    compare('torch', sequences(2, 2, 3, 5, 210), torch.float64)


@pytest.mark.slow
@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('length', [500, 1023, 1024, 2049, 5000])
@pytest.mark.parametrize('states', [1, 16])
def test_long_sequences(backend, length, states):
    compare(backend, sequences(1, 2, 9, states, length, seed=length), torch.float32)


@pytest.mark.parametrize('backend', ['reference', *FAST])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(backend, dtype):
    """What remains is the rounding of the results: half a unit in the last place, 2⁻⁹ and 2⁻¹² relative."""
    rounding = 2 * torch.finfo(dtype).eps
    compare(backend, sequences(2, 2, 8, 4, 50), dtype, (rounding, rounding))


@pytest.mark.parametrize('backend', FAST)
def test_mixed_dtypes(backend):
    u, delta, A, B, C, D, bias = sequences(dtype=torch.float32)
    tensors = [u.bfloat16(), delta, A, B.half(), C, D, bias]
    y = selective_scan(*tensors, delta_softplus=True, backend=backend)
    assert y.dtype == torch.bfloat16
    true = selective_scan(*[t.double() for t in tensors], delta_softplus=True, backend='reference')
    assert relative_error(y, true) < 2**-8


@pytest.mark.parametrize('backend', FAST)
@pytest.mark.parametrize('shift', [-60.0, -20.0, -8.0, 8.0, 30.0, 300.0])
def test_extreme_steps(backend, shift):
    """Steps from 1e-26 to 300, where decays are 1 to the last bit or nothing at all."""
    tensors = sequences(2, 2, 8, 16, 90, dtype=torch.float32)
    tensors[1] = 3 * tensors[1] + shift
    weight = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(1))

    def scan(name):
        return lambda *x: selective_scan(*x, delta_softplus=True, backend=name)

    true = value_and_gradients(scan('reference'), [t.double() for t in tensors], weight.double())
    found = value_and_gradients(scan(backend), tensors, weight)
    for name, a, b in zip(NAMES, found, true, strict=True):
        assert a.isfinite().all(), name
        # Where every decay underflows, dA is a sum of terms below 1e-30: there is no digit to compare.
        if name != 'A' or b.norm() > 1e-8:
            assert relative_error(a, b) <= (3e-7 if name == 'y' else 2e-6), name


@pytest.mark.parametrize('backend', FAST)
def test_growing_states_overflow_to_infinity(backend):
    """A positive A is legal; the exponential must not wrap around."""
    u, delta, A, B, C, *_ = (t.abs() for t in sequences(1, 1, 8, 4, 6, dtype=torch.float32))
    delta = torch.full_like(delta, 1.5)
    delta[0, 4:, 2] = 6.0  # exp(6 · 20) alone is too much
    tensors = u, delta, torch.full_like(A, 20.0), B, C
    y = selective_scan(*tensors, backend=backend)
    true = selective_scan(*tensors, backend='reference')
    assert torch.equal(y.isinf(), true.isinf())
    assert y[0, :4, -1].isinf().all()
    assert y[0, 4:, 2].isinf().all()
    assert y[0, :, :2].isfinite().all()


@pytest.mark.parametrize('backend', FAST)
def test_nan_stays_in_its_channel(backend):
    tensors = sequences(1, 2, 8, 4, 40, dtype=torch.float32)
    tensors[1][0, 3, 10] = float('nan')
    y = selective_scan(*tensors, delta_softplus=True, backend=backend)
    assert y[0, 3, 10:].isnan().all()
    assert y[0, 3, :10].isfinite().all()
    y[0, 3] = 0
    assert y.isfinite().all()


@pytest.mark.parametrize('backend', FAST)
def test_without_d_bias_and_softplus(backend):
    tensors = sequences(2, 2, 3, 4, 40)[:5]
    tensors[1].abs_()
    compare(backend, tensors, torch.float32, softplus=False)


@pytest.mark.parametrize('backend', ['reference', *FAST])
def test_non_contiguous_inputs(backend):
    tensors = sequences(2, 2, 3, 4, 40, dtype=torch.float32)
    strided = []
    for t in tensors:
        apart = torch.full((*t.shape[:-1], 2 * t.shape[-1]), float('nan'))
        apart[..., ::2] = t
        strided.append(apart[..., ::2])
    turned = [t.transpose(-1, -2).contiguous().transpose(-1, -2) if t.dim() > 1 else t for t in tensors]
    expanded = [tensors[0][:1].expand(2, -1, -1), *tensors[1:]]
    for variant in (strided, turned, expanded):
        plain = [t.contiguous() for t in variant]
        weight = torch.ones(2, 40, 6).transpose(1, 2)

        def scan(*x):
            return selective_scan(*x, delta_softplus=True, backend=backend)

        expected = value_and_gradients(scan, plain, weight.contiguous())
        leaves = [t.detach().requires_grad_() for t in variant]
        y = scan(*leaves)
        for a, b in zip([y, *torch.autograd.grad(y, leaves, weight)], expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('backend', ['reference', *FAST])
def test_empty_batch(backend):
    tensors = [t.requires_grad_() for t in sequences(0, 2, 3, 4, 7, dtype=torch.float32)]
    y = selective_scan(*tensors, delta_softplus=True, backend=backend)
    assert y.shape == (0, 6, 7)
    y.sum().backward()
    assert all(t.grad.shape == t.shape and not t.grad.any() for t in tensors)


@pytest.mark.skipif('cpu' not in FAST, reason='the compiled kernels were not built')
def test_threads_agree():
    tensors = sequences(3, 2, 40, 16, 70, dtype=torch.float32)
    weight = torch.randn(tensors[0].shape)

    def run(threads):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return value_and_gradients(
                lambda *x: selective_scan(*x, delta_softplus=True, backend='cpu'), tensors, weight
            )
        finally:
            torch.set_num_threads(before)

    for name, one, many in zip(NAMES, run(1), run(5), strict=True):
        assert relative_error(many, one) < 1e-6, name


@pytest.mark.skipif('cpu' not in FAST, reason='the compiled kernels were not built')
def test_build_without_avx2(monkeypatch):
    """The kernels that other processors get, here on this one."""
    from madnet.ops.selective_scan import cpu_backend

    monkeypatch.setenv('MADNET_SCAN_ISA', 'baseline')
    baseline = cpu_backend.load_kernels.__wrapped__()
    assert baseline.variant == 'baseline'
    monkeypatch.setattr(cpu_backend, 'KERNELS', baseline)
    for shape in ((2, 2, 3, 5, 33), (1, 1, 4, 16, 64), (2, 1, 13, 3, 100)):
        compare('cpu', sequences(*shape), torch.float32)


def test_golden(golden_dir):
    golden = torch.load(golden_dir / 'mim_modules.pt', weights_only=True)['selective_scan']
    tensors = [golden[n] for n in ('u', 'delta', 'A', 'B', 'C', 'D', 'delta_bias')]
    in_double = selective_scan(*[t.double() for t in tensors], delta_softplus=True, backend='reference')
    torch.testing.assert_close(in_double, golden['y64'], rtol=1e-12, atol=1e-12)
    for backend in selective_scan_backends():
        y = selective_scan(*tensors, delta_softplus=True, backend=backend)
        assert relative_error(y, golden['y64']) < 3e-7


class TestUsersMistakes:
    @pytest.mark.parametrize(
        ('index', 'shape', 'name'),
        [
            (1, (2, 6, 8), 'delta'),
            (2, (5, 4), 'A'),
            (3, (2, 2, 5, 7), 'B'),
            (4, (2, 1, 4, 7), 'C'),
            (5, (5,), 'D'),
            (6, (6, 1), 'delta_bias'),
            (0, (6, 7), 'u'),
            (3, (2, 4, 7), 'B'),
        ],
    )
    def test_shapes(self, index, shape, name):
        tensors = sequences()
        tensors[index] = torch.zeros(shape)
        with pytest.raises(ValueError, match=name) as error:
            selective_scan(*tensors)
        message = str(error.value)
        assert '\n' not in message
        assert f'{name} {shape}' in message

    def test_channels_that_do_not_fall_into_groups(self):
        u, delta, A, B, C, *_ = sequences(groups=1, channels=5)
        with pytest.raises(ValueError, match='equal groups'):
            selective_scan(u, delta, A, B.expand(-1, 2, -1, -1), C.expand(-1, 2, -1, -1))

    def test_no_steps(self):
        u, delta, A, B, C, *_ = sequences()
        with pytest.raises(ValueError, match='at least one'):
            selective_scan(u[..., :0], delta[..., :0], A, B[..., :0], C[..., :0])

    def test_devices(self):
        tensors = sequences()
        tensors[2] = tensors[2].to('meta')
        with pytest.raises(ValueError, match=r'one device.*A meta'):
            selective_scan(*tensors)

    def test_integers(self):
        tensors = sequences()
        tensors[0] = tensors[0].long()
        with pytest.raises(ValueError, match=r'floating point, found u torch\.int64'):
            selective_scan(*tensors)

    def test_unknown_backend(self):
        with pytest.raises(ValueError, match=r"'cuda'; choose one of: auto, triton, cpu, torch, reference"):
            selective_scan(*sequences(), backend='cuda')

    def test_backend_that_cannot_serve(self):
        with pytest.raises(RuntimeError, match=r"'cpu' cannot be used: .*(float64|not built)"):
            selective_scan(*sequences(), backend='cpu')
        with pytest.raises(RuntimeError, match="'triton' cannot be used"):
            selective_scan(*sequences(), backend='triton')


class TestChoice:
    def test_backends_end_with_those_that_are_always_there(self):
        assert selective_scan_backends()[-2:] == ['torch', 'reference']

    def test_double_goes_to_torch(self):
        from madnet.ops.selective_scan.backend import ScanInputs
        from madnet.ops.selective_scan.interface import choose_backend

        assert choose_backend(ScanInputs(*sequences(), True)) == 'torch'

    def test_without_kernels_torch_serves_and_says_what_is_lost(self, monkeypatch):
        from madnet.ops.selective_scan import cpu_backend, interface

        monkeypatch.setattr(cpu_backend, 'KERNELS', None)
        interface._warn_of_slow_fallback.cache_clear()
        assert selective_scan_backends() == ['torch', 'reference']
        tensors = sequences(dtype=torch.float32)
        with pytest.warns(UserWarning, match='install a C compiler'):
            y = selective_scan(*tensors)
        assert torch.equal(y, selective_scan(*tensors, backend='torch'))
        with pytest.raises(RuntimeError, match='not built'):
            selective_scan(*tensors, backend='cpu')


class TestAsOneNode:
    @pytest.mark.parametrize('backend', ['reference', *FAST])
    @pytest.mark.parametrize('optional', [True, False])
    @pytest.mark.parametrize('save', [True, False])
    def test_opcheck(self, backend, optional, save):
        tensors = [t.requires_grad_() for t in sequences(2, 2, 3, 4, 70, dtype=torch.float32)]
        if not optional:
            tensors[5:] = [None, None]
        torch.library.opcheck(torch.ops.madnet.selective_scan.default, (*tensors, True, False, backend, save))

    @pytest.mark.skipif(torch.__version__ < (2, 11), reason='an older PyTorch does not look into the scan')
    def test_compile_with_dynamic_shapes(self):
        compiled = torch.compile(
            lambda *x: selective_scan(*x, delta_softplus=True),
            fullgraph=True,
            dynamic=True,
            backend='aot_eager',
        )
        for length in (37, 90):
            tensors = sequences(length=length, dtype=torch.float32)
            weight = torch.ones_like(tensors[0])
            eager = value_and_gradients(lambda *x: selective_scan(*x, delta_softplus=True), tensors, weight)
            for a, b in zip(value_and_gradients(compiled, tensors, weight), eager, strict=True):
                torch.testing.assert_close(a, b)

    def test_under_autocast(self):
        tensors = sequences(dtype=torch.float32)
        projected = tensors[0].transpose(1, 2)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            u = F.linear(projected, torch.eye(6)).transpose(1, 2)
            assert u.dtype == torch.bfloat16
            y = selective_scan(u, *tensors[1:], delta_softplus=True)
        true = selective_scan(u.float(), *tensors[1:], delta_softplus=True)
        assert relative_error(y, true) < 2**-8

    def test_gradient_after_a_forward_pass_that_saved_nothing(self):
        tensors = [t.requires_grad_() for t in sequences(length=100, dtype=torch.float32)]
        grads = []
        for save in (True, False):
            y, _ = torch.ops.madnet.selective_scan(*tensors, True, False, FAST[-1], save)
            grads.append(torch.autograd.grad(y.sum(), tensors))
        assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))

    def test_second_derivatives_are_refused(self):
        tensors = [t.requires_grad_() for t in sequences(dtype=torch.float32)]
        y = selective_scan(*tensors, delta_softplus=True)
        gradients = torch.autograd.grad((y**2).sum(), tensors, create_graph=True)
        with pytest.raises(RuntimeError, match='once_differentiable'):
            gradients[0].sum().backward()

    def test_only_some_gradients_are_asked(self):
        tensors = sequences(dtype=torch.float32)
        tensors[3].requires_grad_()
        selective_scan(*tensors, delta_softplus=True).sum().backward()
        assert tensors[3].grad is not None

    def test_nothing_is_saved_without_gradients(self):
        from madnet.ops.selective_scan.backend import ScanInputs
        from madnet.ops.selective_scan.custom_op import BACKENDS

        for name in ('reference', *FAST):
            inputs = ScanInputs(*sequences(length=200, dtype=torch.float32), True)
            assert BACKENDS[name].forward(inputs, save=False)[1].numel() == 0


@pytest.mark.skipif(torch.__version__ < (2, 11), reason='an older PyTorch does not look into the scan')
def test_export_keeps_the_length_dynamic():
    class Scan(torch.nn.Module):
        def forward(self, u, delta, A, B, C, D, bias):
            return selective_scan(u, delta, A, B, C, D, bias, delta_softplus=True)

    length = torch.export.Dim('length', min=2, max=5000)
    shapes = ({2: length}, {2: length}, None, {3: length}, {3: length}, None, None)
    program = torch.export.export(
        Scan(), tuple(sequences(length=37, dtype=torch.float32)), dynamic_shapes=shapes
    )
    assert not any('madnet' in str(node.target) for node in program.graph.nodes), (
        'exporters do not know our op'
    )
    for steps in (37, 128):
        tensors = sequences(length=steps, dtype=torch.float32)
        true = selective_scan(*tensors, delta_softplus=True, backend='reference')
        torch.testing.assert_close(program.module()(*tensors), true, rtol=1e-5, atol=1e-5)
