"""MSHNet: published outputs, warm-up, loss, cost, sizes, learning, checkpoints."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from madnet.errors import UserError
from madnet.models.checkpoints.mshnet import convert_mshnet, export_mshnet
from madnet.models.losses import sls_loss

from . import checks


def build_mshnet(in_channels=3, base_channels=16, head=None, **kwargs):
    return checks.build(
        {'type': 'MSHNetEncoder', 'base_channels': base_channels},
        {'type': 'MSHNetHead', 'warm_epoch': -1, **(head or {})},
        in_channels,
        **kwargs,
    )


STAGES = {
    'backbone.conv_in': 'conv_init',
    'backbone.pyramid.stages.0': 'encoder_0',
    'backbone.pyramid.stages.1.0.channel_gate': 'encoder_1.0.ca',
    'backbone.pyramid.stages.1.0.spatial_gate': 'encoder_1.0.sa',
    'backbone.pyramid.stages.1': 'encoder_1',
    'backbone.pyramid.stages.2': 'encoder_2',
    'backbone.pyramid.stages.3': 'encoder_3',
    'backbone.pyramid.stages.4': 'middle_layer',
    'decode_head.decoders.3': 'decoder_3',
    'decode_head.decoders.2': 'decoder_2',
    'decode_head.decoders.1': 'decoder_1',
    'decode_head.decoders.0': 'decoder_0',
}


@pytest.mark.parametrize('gain', [1.0, 0.7])
def test_equals_the_published_network(golden_dir, gain):
    golden = checks.load_golden(golden_dir, 'mshnet')
    case = golden['cases'][f'g{gain}_256x256']
    tag, shape = case['input_recipe']
    x = checks.golden_input(golden_dir, *shape[1:], tag=tag)
    assert x.norm().item() == pytest.approx(case['input_l2'], rel=1e-6)
    model = build_mshnet()
    model.load_state_dict(convert_mshnet(checks.published_state(golden_dir, golden['keys'], gain)))
    with checks.record(model, STAGES) as found, checks.side_maps(model), torch.no_grad():
        maps = model(x)
    names = ('mask0', 'mask1', 'mask2', 'mask3', 'pred_warm_true')
    for name, logits in zip(names, maps, strict=True):
        checks.assert_golden(logits, case['outputs'][name])
    for ours, theirs in STAGES.items():
        tap, value = case['taps'][theirs], found[ours][0]
        checks.assert_golden(value, tap)
        assert checks.relative_error(value[0, :2, ::8, ::8], tap['sample']) < 1e-4

    model.decode_head.warming_up = True
    with torch.no_grad():
        checks.assert_golden(model(x), case['outputs']['pred_warm_false'])
        model.decode_head.warming_up = False
        assert torch.equal(model(x), maps[-1])


def test_cost():
    model = build_mshnet()
    assert checks.count_parameters(model) == 4_065_513
    assert checks.count_gmacs(model) == pytest.approx(6.002, rel=0.01)
    model.decode_head.warming_up = True
    assert checks.count_gmacs(model) == pytest.approx(5.998, rel=0.01)
    assert checks.count_parameters(build_mshnet(in_channels=1)) == 4_065_513 - 2 * 16


@pytest.mark.parametrize('in_channels', [1, 3])
def test_learns(in_channels):
    head = {'loss_decode': {'type': 'SLSLoss'}}
    # A channel gate of one hidden unit may have its ReLU closed.
    checks.check_learns(build_mshnet(in_channels, 4, head), in_channels, silent=('channel_gate',))


def test_any_size():
    checks.check_sizes(build_mshnet(base_channels=4), 3)


@pytest.mark.parametrize(('epoch', 'warm'), [(0, True), (5, True), (6, False), (100, False)])
def test_warm_up(epoch, warm):
    """Six epochs of the finest map alone, whose loss counts in full; then all maps and the prediction."""
    head = {'warm_epoch': 5, 'loss_weights': [0.2] * 5, 'loss_decode': {'type': 'SLSLoss'}}
    model = build_mshnet(1, 4, head)
    for module in model.modules():
        if hasattr(module, 'set_epoch'):
            module.set_epoch(epoch, 400)
    loss, log = checks.losses_of(model.train(), 1, (32, 48))
    loss.backward()
    names = ['m0'] if warm else ['m0', 'm1', 'm2', 'm3', 'out']
    assert [key for key in log if key != 'loss'] == [f'decode.loss_{name}' for name in names]
    idle = [name for name, p in model.named_parameters() if p.grad is None]
    late = ('decode_head.conv_seg', *(f'decode_head.sides.{i}' for i in (1, 2, 3)))
    assert {name.rpartition('.')[0] for name in idle} == (set(late) if warm else set())

    maps = [torch.zeros(2, 1, 32, 48)] * len(names)
    found = model.decode_head.loss_by_feat(maps, truths())['loss_m0']
    target = masks()[:, None].float()
    assert found.item() == pytest.approx((1 if warm else 0.2) * sls_loss(maps[0], target, warm=warm).item())

    # Validation between the epochs is of what is trained.
    with (
        checks.record(model.eval(), ['decode_head.sides.0', 'decode_head.conv_seg']) as found,
        torch.no_grad(),
    ):
        out = model(torch.randn(1, 1, 32, 32))
    assert torch.equal(out, found['decode_head.sides.0' if warm else 'decode_head.conv_seg'][0])


def test_a_model_that_is_only_tested_predicts_the_fused_map():
    model = build_mshnet(1, 4, {'warm_epoch': 5})
    with checks.record(model, ['decode_head.conv_seg']) as found, torch.no_grad():
        assert torch.equal(model(torch.randn(1, 1, 32, 32)), found['decode_head.conv_seg'][0])


def masks():
    target = torch.zeros(2, 32, 48, dtype=torch.long)
    target[0, 3:5, 4:9] = 1
    target[1, 31, 47] = 1
    return target


def truths(target=None):
    samples = []
    for mask in masks() if target is None else target:
        sample = SegDataSample()
        sample.gt_sem_seg = PixelData(data=mask[None])
        samples.append(sample)
    return samples


def test_loss_of_every_scale():
    """Coarser maps are compared with the mask pooled by maxima; losses are added with their weights."""
    head = {'loss_weights': [0.2] * 5, 'loss_decode': {'type': 'SLSLoss'}}
    model = build_mshnet(1, 2, head)
    torch.manual_seed(0)
    maps = [torch.randn(2, 1, 32 // 2**i, 48 // 2**i) for i in range(4)]
    maps.append(torch.randn(2, 1, 32, 48))
    losses = model.decode_head.loss_by_feat(maps, truths())
    target = masks()[:, None].float()
    for i, name in enumerate(('m0', 'm1', 'm2', 'm3')):
        expected = 0.2 * sls_loss(maps[i], target)
        assert losses[f'loss_{name}'].item() == pytest.approx(expected.item(), rel=1e-5)
        target = F.max_pool2d(target, 2)
    assert losses['loss_out'].item() == pytest.approx(
        0.2 * sls_loss(maps[4], masks()[:, None].float()).item(), rel=1e-5
    )
    assert len(losses) == 5


def test_pixels_that_do_not_count():
    head = build_mshnet(1, 2).decode_head
    target = torch.zeros(1, 4, 6, dtype=torch.long)
    target[0, 0, 0] = 1
    target[0, 1, 1] = 255  # beside a target
    target[0, 3, 3] = 255
    logits, pooled = head.align(torch.zeros(1, 1, 2, 3), target)
    assert logits.shape == (1, 1, 2, 3)
    assert pooled.tolist() == [[[1, 0, 0], [0, 255, 0]]]
    assert torch.equal(head.align(torch.zeros(1, 1, 4, 6), target)[1], target)
    odd = torch.zeros(1, 5, 7)
    odd[0, 4, 6] = 0.75
    assert head.align(torch.zeros(1, 1, 3, 4), odd)[1][0, 2, 3] == 0.75
    soft = torch.full((1, 4, 6), 0.01)  # as a teacher leaves the background
    soft[0, 0, 0] = 0.6
    soft[target == 255] = 255
    pooled = head.align(torch.zeros(1, 1, 2, 3), soft)[1]
    torch.testing.assert_close(pooled, torch.tensor([[[0.6, 0.01, 0.01], [0.01, 255, 0.01]]]))


@pytest.mark.parametrize('several', [False, True])
def test_one_warm_up_holds_for_head_and_loss(several):
    """Also a number other than the loss's default of 5 is named once."""
    losses = [{'type': 'SLSLoss'}, {'type': 'MaskBCELoss'}] if several else {'type': 'SLSLoss'}
    head = build_mshnet(1, 2, {'warm_epoch': 2, 'loss_decode': losses}).decode_head
    assert (head.loss_decode[0] if several else head.loss_decode).warm_epoch == 2
    with pytest.raises(UserError, match=r'loss_decode\.warm_epoch=4, but the head warms up to epoch 2'):
        build_mshnet(1, 2, {'warm_epoch': 2, 'loss_decode': {'type': 'SLSLoss', 'warm_epoch': 4}})


def test_wrong_depths_are_refused():
    with pytest.raises(UserError, match='expected 2 number'):
        MODELS.build({'type': 'MSHNetHead', 'in_channels': [4, 8, 16], 'depths': (1, 2, 2)})


def test_checkpoints_round_trip():
    state = build_mshnet(1, 2).state_dict()
    published = export_mshnet({'state_dict': state})
    assert {'conv_init.weight', 'middle_layer.1.ca.fc2.weight', 'output_3.bias', 'final.weight'} <= set(
        published
    )
    again = convert_mshnet({'state_dict': published, 'epoch': 7})
    assert set(again) == set(state)
    assert all(torch.equal(again[key], state[key]) for key in state)


def test_other_checkpoints_are_refused():
    published = export_mshnet(build_mshnet(1, 2).state_dict())
    with pytest.raises(UserError, match=r'published MSHNet.*conv_init\.weight.*first keys are other'):
        convert_mshnet({'other': torch.zeros(1)})
    with pytest.raises(UserError, match=r'1 missing: output_2\.bias'):
        convert_mshnet({key: value for key, value in published.items() if key != 'output_2.bias'})
    with pytest.raises(UserError, match='not a state dict of our MSHNet'):
        export_mshnet(published)
