"""RepISD-Net: published outputs and folds, cost, sizes, learning, checkpoints."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

from madnet.errors import UserError
from madnet.models import switch_to_deploy
from madnet.models.checkpoints.repisd import convert_repisd, export_repisd
from madnet.models.layers import ECB, CentralDifferenceConv

from . import checks

# The published first map, a kernel of 32 and a bias, which neither loss nor test uses.
UNUSED = 32 + 1


def build_repisd(in_channels=3, base_channels=32, published_fold=False, head=None, **kwargs):
    return checks.build(
        {'type': 'RepISDEncoder', 'base_channels': base_channels, 'published_fold': published_fold},
        {'type': 'RepISDHead', 'published_fold': published_fold, **(head or {})},
        in_channels,
        **kwargs,
    )


@pytest.fixture(scope='module')
def golden(golden_dir):
    return checks.load_golden(golden_dir, 'repisd')


def load(golden_dir, golden, gain, **kwargs):
    published = checks.published_state(golden_dir, golden['keys'], gain)
    model = build_repisd(**kwargs)
    model.load_state_dict(convert_repisd(published))
    return model, published


def both_maps(model, published, x):
    """Our logits, and both published maps from the same features."""
    with checks.record(model, ['decode_head.reduce']) as found, torch.no_grad():
        out = model(x)
    features = found['decode_head.reduce'][0]
    return out, F.conv2d(features, published['cls.4.weight'], published['cls.4.bias'])


STAGES = {
    'backbone.stem': 'backbone.inc',
    'backbone.stages.0.0': 'backbone.down1.maxpool_conv.1.double_conv.0',
    'backbone.stages.0': 'backbone.down1',
    'backbone.stages.1': 'backbone.down2',
    'decode_head.decoders.1': 'backbone.up3',
    'decode_head.decoders.0': 'backbone.up4',
}


@pytest.mark.parametrize('gain', [1.0, 0.7])
def test_equals_the_published_network(golden_dir, golden, gain):
    case = golden['cases'][f'g{gain}_256x256']
    tag, shape = case['input_recipe']
    x = checks.golden_input(golden_dir, *shape[1:], tag=tag)
    assert x.norm().item() == pytest.approx(case['input_l2'], rel=1e-6)
    model, published = load(golden_dir, golden, gain)
    with checks.record(model, STAGES) as found:
        out, both = both_maps(model, published, x)
    # A convolution to one map may sum in another order than that to both: a few ulp, by processor.
    assert checks.relative_error(out, both[:, 1:]) < 1e-6
    for name in ('train_logit', 'converted_logit'):
        checks.assert_golden(both, case['outputs'][name])
    for ours, theirs in STAGES.items():
        tap = case['taps'][theirs]
        checks.assert_golden(found[ours][0], tap)
        assert checks.relative_error(found[ours][0][0, :2, ::8, ::8], tap['sample']) < 1e-4

    for published_fold, name in ((False, 'deploy_exact_logit'), (True, 'deploy_published_logit')):
        folded, _ = load(golden_dir, golden, gain, published_fold=published_fold)
        switch_to_deploy(folded)
        deployed, both = both_maps(folded, published, x)
        checks.assert_golden(both, case['outputs'][name])
        # The published fold is another network, the exact one is the same.
        assert (checks.relative_error(deployed, out) < 1e-5) != published_fold


@pytest.mark.parametrize('published_fold', [False, True])
def test_folds(golden_dir, golden, published_fold):
    model, _ = load(golden_dir, golden, 0.7, published_fold=published_fold)
    folded = export_repisd(switch_to_deploy(model).state_dict())
    kind = 'published' if published_fold else 'exact'
    entries = golden['fold_g0.7']
    assert set(entries) == {key for key in folded if 'rbr_reparam' in key}
    for key, entry in entries.items():
        checks.assert_golden(folded[key], entry[kind])
        assert checks.relative_error(folded[key].flatten()[:32], entry[f'{kind}_sample']) < 1e-5


def test_central_difference_is_its_definition():
    torch.manual_seed(0)
    conv = CentralDifferenceConv(3, 4)
    x = torch.randn(2, 3, 9, 7)
    # Differences tap by tap; outside of the image a neighbour is zero.
    windows = F.unfold(x, kernel_size=3, padding=1).view(2, 3, 9, 9, 7)
    differences = windows - x[:, :, None]
    expected = torch.einsum('bcnhw,ocn->bohw', differences, conv.weight.flatten(2))
    torch.testing.assert_close(conv(x), expected)
    with torch.no_grad():
        conv.weight.copy_(conv.kernel())
    torch.testing.assert_close(conv(x), expected)


@pytest.mark.parametrize('channels', [(3, 3), (3, 5)])
def test_block_folds_exactly(channels):
    torch.manual_seed(0)
    block = ECB(*channels)
    for _ in range(3):  # so that running statistics are no neutral ones
        block(2 + 3 * torch.randn(4, channels[0], 12, 12))
    block.eval()
    folded = copy.deepcopy(block)
    folded.switch_to_deploy()
    folded.switch_to_deploy()
    assert [name for name, _ in folded.named_children()] == ['fused']
    x = torch.randn(2, channels[0], 11, 8)
    torch.testing.assert_close(folded(x), block(x), rtol=1e-5, atol=1e-5)
    block.published_fold = True
    kernel, bias = block.fused_kernel()
    assert torch.equal(kernel, folded.fused.weight)
    scale = block.point.bn.weight / (block.point.bn.running_var + 1e-5).sqrt()
    torch.testing.assert_close(bias + scale * block.point.conv.bias, folded.fused.bias)


def test_cost():
    model = build_repisd()
    assert checks.count_parameters(model) == 558_530 - UNUSED
    # Counted as the published network after its first conversion: one convolution for the differences.
    assert checks.count_gmacs(model) == pytest.approx(11.436, rel=0.01)
    assert checks.count_gmacs(model, size=(512, 512)) == pytest.approx(4 * 11.436, rel=0.01)
    switch_to_deploy(model)
    assert checks.count_parameters(model) == 279_106 - UNUSED
    assert checks.count_gmacs(model) == pytest.approx(6.403, rel=0.01)
    assert checks.count_parameters(build_repisd(in_channels=1)) == 558_530 - UNUSED - 2 * 32 * 9


@pytest.mark.parametrize('in_channels', [1, 3])
def test_learns(in_channels):
    checks.check_learns(build_repisd(in_channels, base_channels=4), in_channels)


def test_any_size():
    checks.check_sizes(build_repisd(base_channels=4), 3)


def test_odd_sizes_pool_whole_pixels_and_pad_with_zeros():
    model = build_repisd(base_channels=2)
    maps = model.backbone(torch.randn(1, 3, 35, 50))
    assert [tuple(x.shape[2:]) for x in maps] == [(35, 50), (17, 25), (8, 12)]
    raised = model.decode_head._raise(maps[2], maps[1])
    assert raised.shape[2:] == (17, 25)
    assert (raised[:, :, 16] == 0).all()
    assert (raised[..., 24] == 0).all()
    assert (raised[:, :, 15, :24] > 0).any()


def test_takes_maps_rounded_up_and_refuses_others():
    head = MODELS.build({'type': 'RepISDHead', 'in_channels': [4, 8, 8]}).eval()
    maps = [torch.randn(1, c, n, n) for c, n in ((4, 35), (8, 18), (8, 9))]
    assert head(maps).shape == (1, 1, 35, 35)
    with pytest.raises(UserError, match=r'18×18 is followed by one of 4×4, expected 9×9'):
        head([maps[0], maps[1], maps[2][..., :4, :4]])


def test_checkpoints_round_trip():
    model = build_repisd(1, 4)
    state = model.state_dict()
    published = export_repisd({'state_dict': state})
    assert published['cls.4.weight'].shape[0] == 2
    shipped = {key.replace('rbr_cdc.conv_cdc', 'rbr_pdc.conv_pdc'): v for key, v in published.items()}
    assert shipped.keys() != published.keys()
    for variant in (published, shipped, {f'module.{key}': value for key, value in published.items()}):
        again = convert_repisd(variant)
        assert set(again) == set(state)
        assert all(torch.equal(again[key], state[key]) for key in state)


def test_deployed_checkpoints_load_into_the_training_form():
    deployed = switch_to_deploy(build_repisd(1, 4, seed=1))
    published = export_repisd(deployed.state_dict())
    assert any('rbr_reparam' in key for key in published)
    model = build_repisd(1, 4, seed=2)
    model.load_state_dict(convert_repisd(published))
    x = torch.randn(1, 1, 40, 40)
    with torch.no_grad():
        assert torch.equal(model(x), deployed(x))


def test_other_checkpoints_are_refused():
    published = export_repisd(build_repisd(1, 2).state_dict())
    with pytest.raises(UserError, match=r'published RepISD-Net.*inc\.double_conv\.0.*first keys are other'):
        convert_repisd({'other': torch.zeros(1)})
    with pytest.raises(UserError, match=r'1 unknown: extra'):
        convert_repisd(published | {'extra': torch.zeros(1)})
    with pytest.raises(UserError, match='not a state dict of our RepISD-Net'):
        export_repisd(published)
