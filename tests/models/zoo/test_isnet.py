"""ISNet, both published versions: published outputs, cost, sizes, losses, and that it learns."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from madnet.errors import UserError
from madnet.models.backbones import ISNetEncoder
from madnet.models.checkpoints.isnet import UNUSED, convert_isnet, export_isnet
from madnet.models.heads import ISNetHead
from madnet.models.input_check import InputError
from madnet.models.layers import gradient_magnitude
from madnet.models.losses import edge_loss

from . import checks

#: golden → (image channels, modulated)
VERSIONS = {'isnet': (1, False), 'isnet_official3': (3, True)}
#: ours → where the published network has the same map
STAGES = {
    'backbone.stem': 'stem',
    'backbone.stages.2': 'layer3',
    'decode_head.attentions.1.row': 'TTOA_low.dcn_row',
    'decode_head.attentions.1': 'TTOA_low',
    'decode_head.attentions.0': 'TTOA_high',
    'decode_head.decoders.0': 'uplayer1',
    'decode_head.edge_blocks.2': 'myb1',
    'decode_head.edge_blocks.0': 'myb3',
}


def isnet(in_channels=1, modulated=False, small=True):
    size = {'base_channels': 4, 'blocks': 1} if small else {}
    head = {'edge_channels': 6, 'blocks': 1} if small else {}
    return checks.build(
        {'type': 'ISNetEncoder', **size},
        {'type': 'ISNetHead', 'modulated': modulated, **head},
        in_channels,
    )


def unused(key):
    return key.partition('.')[0] in UNUSED


@pytest.mark.parametrize('name', VERSIONS)
def test_published_outputs(name, golden_dir):
    golden = checks.load_golden(golden_dir, name)
    case = golden['cases']['g0.7_256x256']
    model = isnet(*VERSIONS[name], small=False)
    model.load_state_dict(convert_isnet(checks.published_state(golden_dir, golden['keys'], case['gain'])))
    tag, (_, *shape) = case['input_recipe']
    image = checks.golden_input(golden_dir, *shape, tag=tag)
    with torch.no_grad(), checks.side_maps(model), checks.record(model, STAGES) as found:
        edge, out = model.decode_head(model.backbone(image))
    outputs = case['outputs']
    assert checks.assert_golden(out, outputs['pred_logit'], tolerance=1e-5) is not None
    assert checks.assert_golden(edge.sigmoid(), outputs['edge_prob'], tolerance=1e-5) is not None
    if 'edge_logit' in outputs:
        checks.assert_golden(edge, outputs['edge_logit'], tolerance=1e-5)
    for ours, theirs in STAGES.items():
        sample = case['taps'][theirs]['sample']
        scale = sample.abs().max().item()
        torch.testing.assert_close(found[ours][0][0, :2, ::8, ::8], sample, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize('name', VERSIONS)
def test_conversion_is_reversible(name, golden_dir):
    published = checks.published_state(golden_dir, checks.load_golden(golden_dir, name)['keys'])
    exported = export_isnet({'state_dict': convert_isnet({f'model.{k}': v for k, v in published.items()})})
    assert set(exported) == {key for key in published if not unused(key)}
    for key, value in exported.items():
        assert torch.equal(value, published[key]), key


def test_conversion_refuses_other_checkpoints(golden_dir):
    published = checks.published_state(golden_dir, checks.load_golden(golden_dir, 'isnet')['keys'])
    with pytest.raises(
        UserError, match=r'not a checkpoint of the published ISNet: it has no .* dsup\.weight'
    ):
        convert_isnet({'conv': torch.zeros(1)})
    with pytest.raises(UserError, match=r'1 missing: fuse\.weight'):
        convert_isnet({k: v for k, v in published.items() if k != 'fuse.weight'})
    with pytest.raises(UserError, match='not a state dict of our ISNet'):
        export_isnet(published)


@pytest.mark.parametrize(
    ('name', 'parameters', 'gmacs'),
    [
        ('isnet', 1_089_519, 31.123),
        ('isnet_official3', 1_090_671, 31.134),
    ],
)
def test_cost(name, parameters, gmacs):
    in_channels, modulated = VERSIONS[name]
    model = isnet(in_channels, modulated, small=False)
    # the published network holds 103,709 parameters in modules that it never calls
    assert checks.count_parameters(model) == parameters - 103_709
    # every map's area is a sixteenth of that at 256×256
    assert 16 * checks.count_gmacs(model, in_channels, size=(64, 64)) == pytest.approx(gmacs, rel=0.01)


def test_what_is_left_out_is_what_the_published_network_never_calls(golden_dir):
    keys = checks.load_golden(golden_dir, 'isnet')['keys']
    statistics = ('running_mean', 'running_var', 'num_batches_tracked')
    dead = [shape for key, shape in keys.items() if unused(key) and not key.endswith(statistics)]
    assert sum(int(np.prod(shape)) for shape in dead) == 103_709


@pytest.mark.parametrize(('in_channels', 'modulated'), [(1, False), (3, True)])
def test_learns(in_channels, modulated):
    checks.check_learns(isnet(in_channels, modulated), in_channels)


def test_any_size():
    checks.check_sizes(isnet(), in_channels=1)


def test_maps_in_training_and_alone():
    model = isnet()
    checks.losses_of(model.train(), 1, (64, 64))
    image = torch.randn(2, 1, 52, 75)
    edge, out = model.decode_head(model.backbone(image))
    assert edge.shape == out.shape == (2, 1, 52, 75)
    assert model.eval()(image).shape == (2, 1, 52, 75)


def test_losses_and_their_weights():
    model = isnet()
    model.decode_head.dropout.p = 0.0
    model.train()
    _, log = checks.losses_of(model, 1, (64, 64))
    assert {'decode.loss_edge', 'decode.loss_out'} <= set(log)
    model.decode_head.loss_weights = [3.0, 2.0]
    _, weighted = checks.losses_of(model, 1, (64, 64))
    # statistics of normalisation move, outputs in training do not depend on them
    for name, factor in (('edge', 3), ('out', 2)):
        key = f'decode.loss_{name}'
        assert weighted[key].item() == pytest.approx(factor * log[key].item(), rel=1e-5)


def plain_edges(mask):
    padded = np.pad(mask, 1)
    vertical = padded[2:, 1:-1] - padded[:-2, 1:-1]
    horizontal = padded[1:-1, 2:] - padded[1:-1, :-2]
    return vertical, horizontal


def test_gradient_magnitude_against_numpy():
    x = torch.randn(2, 3, 6, 5, dtype=torch.float64)
    found = gradient_magnitude(x)
    for b in range(2):
        for c in range(3):
            vertical, horizontal = plain_edges(x[b, c].numpy())
            np.testing.assert_allclose(found[b, c], np.sqrt(vertical**2 + horizontal**2 + 1e-6))


def test_edges_of_a_mask_as_published():
    mask = torch.zeros(1, 1, 9, 9)
    mask[..., 3:7, 3:7] = 1
    found = sorted({round(v, 3) for v in gradient_magnitude(mask).unique().tolist()})
    assert found == [0.001, 1.0, 1.414]


@pytest.mark.parametrize('published', [False, True])
def test_edge_loss_against_its_formula(published):
    torch.manual_seed(0)
    logits, mask = torch.randn(2, 1, 8, 9), torch.zeros(2, 1, 8, 9)
    mask[0, 0, 2:5, 3:6], mask[1, 0, 6:, 0:2] = 1, 1
    edges = gradient_magnitude(mask)
    prob = logits.sigmoid()
    if published:
        twice = prob.sigmoid()
    else:
        edges, twice = edges.clamp(max=1) * (edges > 0.01), prob
    bce = -(edges * prob.log() + (1 - edges) * (1 - prob).log()).mean()
    both = (twice * edges).sum()
    iou = 1 - (both + 1) / (twice.sum() + edges.sum() - both + 1)
    found = edge_loss(logits, mask, published=published)
    torch.testing.assert_close(found, 10 * bce + iou, rtol=1e-4, atol=1e-5)


def test_edge_loss_is_least_at_the_edges():
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 5:9, 5:9] = 1
    edges = gradient_magnitude(mask, eps=0).clamp(max=1)
    right = edge_loss(20 * edges - 10, mask)
    assert right < 0.01
    assert edge_loss(20 * mask - 10, mask) > 10 * right


def test_the_frame_answers_in_the_gradient():
    edges = ISNetEncoder(base_channels=4, blocks=1)(torch.ones(1, 1, 32, 32))[0]
    assert edges[0, 0, 0, 5].item() == pytest.approx(1.0, abs=1e-4)
    assert edges[0, 0, 5, 5].item() == pytest.approx(1e-3, rel=1e-3)


def test_head_over_another_pyramid():
    head = ISNetHead([1, 4, 8], blocks=1, edge_channels=4).eval()
    maps = (torch.randn(1, 1, 40, 40), torch.randn(1, 4, 20, 20), torch.randn(1, 8, 10, 10))
    assert head(maps).shape == (1, 1, 40, 40)
    with pytest.raises(UserError, match='expected 10×10'):
        head((*maps[:2], F.max_pool2d(maps[2], 2)))


def test_wrong_use():
    with pytest.raises(InputError, match='in_channels=1'):
        ISNetEncoder()(torch.zeros(1, 3, 64, 64))
    with pytest.raises(UserError, match='names 2 map'):
        ISNetHead([1, 16])
