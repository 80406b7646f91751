"""RDIAN: published outputs, cost, sizes, and that it learns."""

import pytest
import torch
import torch.nn.functional as F

from madnet.errors import UserError
from madnet.models.backbones import RDIANEncoder
from madnet.models.checkpoints.rdian import convert_rdian, export_rdian
from madnet.models.heads import RDIANHead
from madnet.models.input_check import InputError
from madnet.models.layers import opposite_contrast

from . import checks

#: ours → where the published network has the same map
STAGES = {
    'backbone.conv1': 'conv1',
    'backbone.conv2': 'conv2',
    'backbone.branches.0': 'residual_block0',
    'backbone.branches.3': 'residual_block3',
    'backbone.merge': 'conv_cat',
    'decode_head.skip': 'conv_res',
}


def rdian(in_channels=1, base_channels=16):
    backbone = {'type': 'RDIANEncoder', 'base_channels': base_channels}
    return checks.build(backbone, {'type': 'RDIANHead'}, in_channels)


@pytest.fixture(scope='module')
def golden(golden_dir):
    return checks.load_golden(golden_dir, 'rdian')


def published_rdian(golden_dir, golden, gain=1.0):
    """Without the constant kernels, which no recipe draws."""
    constants = [f'{name}.weight' for name in golden['skipped_keys']]
    return checks.published_state(golden_dir, golden['keys'], gain, skip=constants)


@pytest.fixture(scope='module')
def published(golden_dir, golden):
    return published_rdian(golden_dir, golden)


@pytest.mark.parametrize('name', ['g1.0_256x256', 'g0.7_256x256'])
def test_published_outputs(name, golden, golden_dir):
    case = golden['cases'][name]
    model = rdian()
    model.load_state_dict(convert_rdian(published_rdian(golden_dir, golden, case['gain'])))
    tag, (_, *shape) = case['input_recipe']
    with torch.no_grad(), checks.record(model, STAGES) as found:
        logits = model.encode_decode(checks.golden_input(golden_dir, *shape, tag=tag), [{}])
    assert checks.assert_golden(logits, case['outputs']['pred_logit'], tolerance=1e-5) is not None
    for ours, theirs in STAGES.items():
        sample = case['taps'][theirs]['sample']
        torch.testing.assert_close(found[ours][0][0, :2, ::8, ::8], sample, rtol=1e-4, atol=1e-5)


def test_conversion_is_reversible(golden, published):
    exported = export_rdian({'state_dict': convert_rdian({f'model.{k}': v for k, v in published.items()})})
    assert {key: tuple(value.shape) for key, value in exported.items()} == {
        key: tuple(shape) for key, shape in golden['keys'].items()
    }
    for key, value in published.items():
        assert torch.equal(exported[key], value), key


def test_exported_constants_are_the_published_differences(golden, golden_dir):
    case = golden['cases']['g1.0_256x256']
    tag, (_, *shape) = case['input_recipe']
    image = checks.golden_input(golden_dir, *shape, tag=tag)
    kernels = export_rdian(rdian().state_dict())
    for name in ('d11', 'd14'):
        found = F.conv2d(image, kernels[f'{name}.weight'], padding=2)
        torch.testing.assert_close(found[0, :, ::8, ::8], case['taps'][name]['sample'])


def test_conversion_refuses_other_checkpoints(published):
    with pytest.raises(UserError, match='not a checkpoint of the published RDIAN: it has no'):
        convert_rdian({'conv': torch.zeros(1)})
    with pytest.raises(UserError, match=r'1 missing: conv_res\.0\.weight'):
        convert_rdian({k: v for k, v in published.items() if k != 'conv_res.0.weight'})
    with pytest.raises(UserError, match='not a state dict of our RDIAN'):
        export_rdian(published)


def test_cost():
    model = rdian()
    # of the published 216,758 the constant kernels are 8 · 25
    assert checks.count_parameters(model) == 216_758 - 8 * 25
    assert checks.count_gmacs(model, in_channels=1) == pytest.approx(3.690, rel=0.01)


def test_opposite_contrast_against_its_definition():
    x = torch.randn(2, 3, 7, 6)
    found = opposite_contrast(x)
    assert found.shape == (2, 1, 7, 6)
    for b, row, column in ((0, 0, 0), (1, 3, 3), (0, 6, 5), (1, 1, 4)):

        def at(channel, dy, dx, b=b, row=row, column=column):
            y, z = row + dy, column + dx
            inside = 0 <= y < 7 and 0 <= z < 6
            return x[b, channel, y, z].item() if inside else 0.0

        total = 0.0
        for channel in range(3):
            centre = at(channel, 0, 0)
            for dy, dx in ((2, 2), (2, 0), (2, -2), (0, 2)):
                total += (centre - at(channel, dy, dx)) * (centre - at(channel, -dy, -dx)) / 3
        assert found[b, 0, row, column].item() == pytest.approx(
            torch.sigmoid(torch.tensor(total)).item(), abs=1e-5
        )


def test_contrast_prefers_blobs_to_edges():
    blob = torch.zeros(1, 1, 15, 15)
    blob[..., 7, 7] = 2.0
    edge = torch.zeros(1, 1, 15, 15)
    edge[..., 8:] = 2.0
    assert opposite_contrast(blob)[0, 0, 7, 7] > 0.99
    assert opposite_contrast(edge)[0, 0, 3:-3, 3:-3].unique().tolist() == [0.5]


@pytest.mark.parametrize('in_channels', [1, 3])
def test_learns(in_channels):
    # the channel gate has a single hidden unit, which may be at rest
    checks.check_learns(rdian(in_channels, base_channels=4), in_channels, silent=('channel_gate',))


def test_any_size():
    checks.check_sizes(rdian(base_channels=4), in_channels=1)


def test_an_odd_size_reaches_the_head_as_it_is():
    model = rdian(base_channels=4)
    fine, coarse = model.backbone(torch.randn(1, 1, 45, 33))
    assert fine.shape == (1, 4, 45, 33)
    assert coarse.shape == (1, 8, 23, 17)
    assert model.decode_head((fine, coarse)).shape == (1, 1, 45, 33)


def test_wrong_use():
    with pytest.raises(InputError, match='in_channels=1'):
        RDIANEncoder()(torch.zeros(1, 3, 64, 64))
    with pytest.raises(UserError, match='expected 2; choose two'):
        RDIANHead([16, 32, 64])
