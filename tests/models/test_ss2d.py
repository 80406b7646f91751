"""SS2D against the published module's values and gradients, and against itself turned and mirrored."""

import pytest
import torch

from madnet.models.layers.ss2d import SS2D
from madnet.ops import selective_scan_backends

BACKENDS = [name for name in selective_scan_backends() if name != 'triton']


@pytest.fixture(scope='module')
def goldens(golden_dir):
    return torch.load(golden_dir / 'mim_modules.pt', weights_only=True)


def build(state_dict, **kwargs):
    module = SS2D(state_dict['in_proj.weight'].shape[1], **kwargs)
    module.load_state_dict(state_dict)
    return module


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize(
    ('name', 'size'),
    [
        ('ss2d_d8_4x4', (4, 4)),
        ('ss2d_d16_5x5', (5, 5)),
        ('ss2d_d32_6x3', (6, 3)),
        ('ss2d_d16_5x5_hot', (5, 5)),
    ],
)
def test_published_layout(goldens, backend, name, size):
    golden = goldens[name]
    module = build(golden['state_dict'], published_layout=True, backend=backend)
    tokens = golden['inputs'][0].clone().requires_grad_()
    out = module(tokens.unflatten(1, size)).flatten(1, 2)
    expected = golden['outputs'][0]
    assert (out - expected).norm() <= 1e-5 * expected.norm()

    out.square().sum().backward()
    grad = golden['input_grads'][0]
    assert (tokens.grad - grad).norm() <= 1e-4 * grad.norm()
    parameters = dict(module.named_parameters())
    assert set(parameters) == set(golden['grad_norm'])
    for key, norm in golden['grad_norm'].items():
        assert parameters[key].grad.norm().item() == pytest.approx(norm, rel=1e-4), key


@pytest.mark.parametrize('backend', BACKENDS)
def test_core_on_a_map_that_is_not_square(goldens, backend):
    golden = goldens['ss2d_core_d16_3x4']
    module = build(goldens[golden['state_dict']]['state_dict'], backend=backend)
    out = module.scan(golden['core_in'].permute(0, 2, 3, 1))
    expected = sum(golden['core_out4']).transpose(1, 2).unflatten(1, (3, 4))
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


def test_default_layout_keeps_positions():
    """Without the scan, a changed pixel reaches only its neighbours, through the 3×3 convolution."""
    torch.manual_seed(0)
    module = SS2D(8)
    x = torch.randn(1, 5, 6, 8)
    with torch.no_grad():
        module.x_proj_weight.zero_()  # B = C = 0: what remains of the scan is D u
        moved = x.clone()
        moved[0, 2, 3] += 1
        changed = (module(moved) - module(x)).abs().amax(-1)[0] > 1e-6
    rows, columns = changed.nonzero().unbind(1)
    assert rows.min() == 1
    assert rows.max() == 3
    assert columns.min() == 2
    assert columns.max() == 4


def test_initialisation():
    module = SS2D(32, states=4)
    steps = torch.nn.functional.softplus(module.dt_projs_bias)
    assert 1e-3 * 0.999 <= steps.min() < 3e-3
    assert 0.04 < steps.max() <= 0.1 * 1.001
    torch.testing.assert_close(module.A_logs.exp()[5], torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert (module.Ds == 1).all()
    assert module.rank == 2
    undecayed = {n for n, p in module.named_parameters() if getattr(p, '_no_weight_decay', False)}
    assert undecayed == {'A_logs', 'Ds'}


def test_under_autocast():
    torch.manual_seed(0)
    module = SS2D(16)
    x = torch.randn(2, 4, 6, 16)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = module(x)
        out.float().square().sum().backward()
    expected = SS2D.forward(module, x)
    assert (out - expected).norm() < 0.03 * expected.norm()
    assert all(p.grad.isfinite().all() for p in module.parameters())
