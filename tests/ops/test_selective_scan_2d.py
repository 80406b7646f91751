"""The scan over maps in four directions, fused or by index maps, against flipped and transposed copies."""

import pytest
import torch

from madnet.ops import selective_scan, selective_scan_2d, selective_scan_backends
from madnet.ops.selective_scan.directions import direction_index, from_sequences, to_sequences

from .inputs import maps, relative_error, value_and_gradients

BACKENDS = [name for name in selective_scan_backends() if name != 'triton']
SHAPES = [
    (2, 3, 5, 3, 4),
    (1, 1, 9, 8, 3),
    (1, 7, 1, 2, 1),
    (1, 4, 1, 1, 3),
    (1, 6, 6, 16, 16),
    (1, 9, 13, 9, 5),
]


def four_directions(pixels):
    """(batch, H, W, channels) → (batch, 4, channels, L) with real flips and transposes."""
    rows = pixels.permute(0, 3, 1, 2).flatten(2)
    columns = pixels.permute(0, 3, 2, 1).flatten(2)
    return torch.stack([rows, columns, rows.flip(2), columns.flip(2)], 1)


def by_copies(x, delta, A, B, C, D, bias):
    """What SS2D is usually written as."""
    height, width = x.shape[1:3]
    every = [four_directions(t[:, :, :, k])[:, k] for t in (delta, B, C) for k in range(4)]
    delta, B, C = (torch.stack(every[i : i + 4], 1) for i in (0, 4, 8))
    u = four_directions(x).flatten(1, 2)
    y = selective_scan(u, delta.flatten(1, 2), A, B, C, D, bias, delta_softplus=True, backend='reference')
    y = y.unflatten(1, (4, -1))
    rows = y[:, 0] + y[:, 2].flip(2)
    columns = (y[:, 1] + y[:, 3].flip(2)).unflatten(2, (width, height)).transpose(2, 3).flatten(2)
    return (rows + columns).transpose(1, 2).unflatten(1, (height, width))


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('shape', SHAPES)
def test_against_copies(backend, shape):
    tensors = maps(*shape, dtype=torch.float32)
    weight = torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(1))
    true = value_and_gradients(by_copies, [t.double() for t in tensors], weight.double())
    found = value_and_gradients(
        lambda *x: selective_scan_2d(*x, delta_softplus=True, backend=backend), tensors, weight
    )
    for i, (a, b) in enumerate(zip(found, true, strict=True)):
        assert a.dtype == torch.float32
        assert relative_error(a, b) <= (2e-6 if i else 3e-7), i


@pytest.mark.parametrize('backend', ['reference', 'torch'])
def test_gradcheck(backend):
    tensors = [t.requires_grad_() for t in maps(1, 2, 3, 2, 2)]
    assert torch.autograd.gradcheck(
        lambda *x: selective_scan_2d(*x, delta_softplus=True, backend=backend), tensors, atol=1e-6
    )


@pytest.mark.parametrize('backend', BACKENDS)
def test_slices_of_one_projection_and_channels_first_maps(backend):
    """As SS2D has them: B and C are slices of one product, x is a channels-first map seen channels-last."""
    x, delta, A, B, C, D, bias = maps(2, 5, 6, 8, 4, dtype=torch.float32)
    joined = torch.cat([torch.full_like(B[..., :3], float('nan')), B, C], -1)
    first = x.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    crop = torch.full((2, 7, 9, 4, 8), float('nan'))
    crop[:, 1:6, 2:8] = delta
    strided = [first, crop[:, 1:6, 2:8], A, joined[..., 3:7], joined[..., 7:], D, bias]
    scan = lambda *t: selective_scan_2d(*t, delta_softplus=True, backend=backend)  # noqa: E731
    weight = torch.randn(2, 8, 5, 6).permute(0, 2, 3, 1)
    expected = value_and_gradients(scan, [t.contiguous() for t in strided], weight.contiguous())
    leaves = [t.detach().requires_grad_() for t in strided]
    y = scan(*leaves)
    for a, b in zip([y, *torch.autograd.grad(y, leaves, weight)], expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('backend', BACKENDS)
def test_axes_of_size_one_may_have_any_stride(backend):
    tensors = maps(1, 4, 1, 2, 3, dtype=torch.float32)
    odd = [
        t.as_strided(t.shape, (*t.stride()[:2], 7, *t.stride()[3:])) if t.dim() > 2 else t for t in tensors
    ]
    scan = lambda *t: selective_scan_2d(*t, delta_softplus=True, backend=backend)  # noqa: E731
    assert torch.equal(scan(*odd), scan(*tensors))


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision(backend, dtype):
    tensors = [t.to(dtype) for t in maps(1, 5, 6, 8, 4)]
    y = selective_scan_2d(*tensors, delta_softplus=True, backend=backend)
    true = selective_scan_2d(*[t.double() for t in tensors], delta_softplus=True, backend='reference')
    assert y.dtype == dtype
    assert relative_error(y, true) < 2 * torch.finfo(dtype).eps


@pytest.mark.parametrize('backend', BACKENDS)
def test_empty_batch(backend):
    tensors = [t.requires_grad_() for t in maps(0, 2, 3, 4, 2, dtype=torch.float32)]
    y = selective_scan_2d(*tensors, delta_softplus=True, backend=backend)
    assert y.shape == (0, 2, 3, 4)
    y.sum().backward()
    assert all(t.grad.shape == t.shape for t in tensors)


@pytest.mark.parametrize('backend', BACKENDS)
def test_opcheck(backend):
    tensors = [t.requires_grad_() for t in maps(1, 6, 7, 3, 2, dtype=torch.float32)]
    torch.library.opcheck(torch.ops.madnet.selective_scan.default, (*tensors, True, True, backend, True))


@pytest.mark.skipif('cpu' not in BACKENDS, reason='the compiled kernels were not built')
def test_threads_agree():
    tensors = maps(1, 8, 9, 40, 16, dtype=torch.float32)
    weight = torch.randn(tensors[0].shape)
    scan = lambda *x: selective_scan_2d(*x, delta_softplus=True, backend='cpu')  # noqa: E731
    before = torch.get_num_threads()
    results = []
    for threads in (1, 5):
        torch.set_num_threads(threads)
        results.append(value_and_gradients(scan, tensors, weight))
    torch.set_num_threads(before)
    assert all(relative_error(a, b) < 1e-6 for a, b in zip(*results, strict=True))


def test_index_maps():
    index = direction_index(2, 3)
    assert index.tolist() == [[0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5], [5, 4, 3, 2, 1, 0], [5, 2, 4, 1, 3, 0]]
    pixels = torch.randn(2, 3, 4, 1, 5)
    sequences = to_sequences(pixels.expand(-1, -1, -1, 4, -1))
    assert torch.equal(sequences, four_directions(pixels[:, :, :, 0]))
    torch.testing.assert_close(from_sequences(sequences, 3, 4), 4 * pixels[:, :, :, 0])
    assert torch.equal(from_sequences(sequences, 3, 4, total=False), pixels.expand(-1, -1, -1, 4, -1))


@pytest.mark.skipif(torch.__version__ < (2, 11), reason='an older PyTorch does not look into the scan')
def test_export():
    class Scan(torch.nn.Module):
        def forward(self, x, delta, A, B, C, D, bias):
            return selective_scan_2d(x, delta, A, B, C, D, bias, delta_softplus=True)

    tensors = maps(1, 4, 5, 3, 2, dtype=torch.float32)
    program = torch.export.export(Scan(), tuple(tensors))
    assert not any('madnet' in str(node.target) for node in program.graph.nodes), (
        'exporters do not know our op'
    )
    torch.testing.assert_close(program.module()(*tensors), Scan()(*tensors), rtol=1e-5, atol=1e-5)


def test_wrong_shapes_are_told_in_one_line():
    tensors = maps()
    tensors[1] = tensors[1][:, :, :, :3]
    with pytest.raises(ValueError, match=r'expected delta \(2, 3, 5, 4, 3\); found x') as error:
        selective_scan_2d(*tensors)
    assert '\n' not in str(error.value)
