"""Losses that would train on the inverse are refused, all our networks' are not."""

import json
from contextlib import nullcontext

import pytest
import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import nn

import madnet  # noqa: F401
from madnet.engine.config import load_config
from madnet.engine.train import train
from madnet.errors import UserError
from madnet.models.heads import FCNSegHead, MADNetHead, PyramidHead
from madnet.models.losses import check_logits, check_losses
from madnet.models.segmentors import IRSTDSegmentor

HEAD = {'in_channels': [4, 8]}


def head(loss, **kwargs):
    return MODELS.build({'type': 'FCNSegHead', **HEAD, 'loss_decode': loss, **kwargs})


@pytest.mark.parametrize(
    ('loss', 'instead'),
    [
        ({'type': 'DiceLoss', 'use_sigmoid': True}, 'SoftDiceLoss'),
        ({'type': 'DiceLoss', 'use_sigmoid': False}, 'SoftDiceLoss'),
        ({'type': 'TverskyLoss'}, 'SoftIoULoss'),
        ({'type': 'FocalLoss'}, 'MaskBCELoss'),
        ({'type': 'CrossEntropyLoss'}, 'SoftIoULoss'),
    ],
)
@pytest.mark.parametrize('beside', [[], [{'type': 'SoftIoULoss'}]])
def test_losses_of_several_channels_are_refused(loss, instead, beside):
    if beside and loss['type'] == 'TverskyLoss':
        return check_losses(head([loss, *beside]))  # it says nothing, and the other does
    with pytest.raises(UserError, match=rf'loss_decode: {loss["type"]} misreads .*{instead}') as e:
        check_losses(head([loss, *beside] if beside else loss))
    assert '\n' not in str(e.value)


@pytest.mark.parametrize(
    'loss',
    [
        {'type': 'CrossEntropyLoss', 'use_sigmoid': True},
        {'type': 'SoftIoULoss'},
        {'type': 'SoftDiceLoss'},
        {'type': 'SLSLoss'},
        {'type': 'MaskBCELoss', 'begin': 0.5},
    ],
)
@pytest.mark.parametrize('soft_targets', [False, True])
def test_losses_of_one_channel_pass(loss, soft_targets):
    if loss['type'] != 'CrossEntropyLoss' or not soft_targets:
        made = head(loss, soft_targets=soft_targets)
        active = getattr(made.loss_decode, 'active', None)
        check_losses(made)
        # nothing of the probe is left in the head
        assert getattr(made.loss_decode, 'active', None) is active
        assert made.highest_logits == {}


def test_attributes_of_a_head_of_the_users_own_are_not_taken_for_ours():
    widths = {'in_channels': 4, 'channels': 4, 'num_classes': 2, 'out_channels': 1, 'threshold': 0.5}
    own = MODELS.build({'type': 'FCNHead', **widths, 'loss_decode': {'type': 'MaskBCELoss'}})
    own.stride, own.peaks = (4, 4), 7
    check_losses(own)
    assert own.peaks == 7


class OwnHead(FCNSegHead):
    pass


@pytest.mark.parametrize('base', [FCNSegHead, OwnHead])
def test_heads_of_other_modules_that_keep_our_path_are_probed_too(base):
    with pytest.raises(UserError, match=rf'{base.__name__}\.loss_decode: DiceLoss misreads'):
        base(**HEAD, loss_decode={'type': 'DiceLoss'}).init_weights()
    with pytest.raises(UserError, match=rf'{base.__name__}\.out_channels: found 3, expected 1 '):
        base(**HEAD, num_classes=3, out_channels=3).init_weights()


class Pass(PyramidHead):
    """For a backbone that gives logits."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv_seg = nn.Identity()

    def forward(self, inputs):
        return inputs[0]


def test_a_head_may_have_no_parameters():
    Pass(in_channels=[1, 8]).init_weights()
    with pytest.raises(UserError, match=r'Pass\.loss_decode: DiceLoss misreads'):
        Pass(in_channels=[1, 8], loss_decode={'type': 'DiceLoss'}).init_weights()


@MODELS.register_module()
class NamelessLoss(nn.Module):
    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = weight

    def forward(self, logits, target, weight=None, ignore_index=255):
        return self.weight * (logits.sigmoid().squeeze(1) - target).square().mean()


@MODELS.register_module()
class NamedLoss(NamelessLoss):
    loss_name = 'loss_named'


def test_losses_in_a_list_need_their_names():
    check_losses(head({'type': 'NamelessLoss'}))
    with pytest.raises(UserError, match=r'loss_decode: NamelessLoss has no loss_name'):
        check_losses(head([{'type': 'SoftIoULoss'}, {'type': 'NamelessLoss'}]))
    mmsegs = {
        'type': 'FCNHead',
        'in_channels': 4,
        'channels': 4,
        'num_classes': 2,
        'norm_cfg': {'type': 'BN'},
    }
    with pytest.raises(UserError, match=r'loss_decode: NamelessLoss has no loss_name'):
        check_losses(MODELS.build({**mmsegs, 'out_channels': 1, 'loss_decode': {'type': 'NamelessLoss'}}))


@pytest.mark.parametrize('weight', [-1.0, -0.1])
def test_the_loss_that_prefers_the_inverse_is_the_one_that_is_named(weight):
    losses = [{'type': 'SoftIoULoss'}, {'type': 'NamedLoss', 'weight': weight}]
    with pytest.raises(UserError, match=r'loss_decode: NamedLoss misreads'):
        check_losses(head(losses))
    with pytest.raises(UserError, match=r'loss_decode: NamedLoss misreads .* 0 and its inverse 0'):
        check_losses(head({'type': 'NamedLoss', 'weight': 0}))


def test_a_loss_of_two_channels_may_be_mmsegs():
    norm = {'type': 'BN'}
    two = {'type': 'FCNHead', 'in_channels': 4, 'channels': 4, 'num_classes': 2, 'norm_cfg': norm}
    for loss in ({'type': 'DiceLoss'}, {'type': 'CrossEntropyLoss'}):
        check_losses(MODELS.build({**two, 'loss_decode': loss}))
    one = {**two, 'out_channels': 1, 'threshold': 0.5}
    with pytest.raises(UserError, match='SoftDiceLoss'):
        check_losses(MODELS.build({**one, 'loss_decode': {'type': 'DiceLoss'}}))


def test_all_our_networks_pass(repository):
    seen = set()
    for path in sorted((repository / 'configs').rglob('*.py')):
        if '_base_' in path.parts or 'classical' in path.parts:
            continue
        model = load_config(path, dataset=None if 'synthetic' in path.name else _some(path)).model
        decode = {k: v for k, v in model.decode_head.to_dict().items() if 'channels' not in k}
        key = json.dumps([model.backbone.type, decode], sort_keys=True, default=str)
        if key not in seen:
            seen.add(key)
            built = MODELS.build(model)
            check_losses(built)
            check_logits(built, model.backbone.get('in_channels', 3))
    assert len(seen) > 12


@MODELS.register_module()
class SquashedHead(MADNetHead):
    def forward(self, inputs):
        maps = super().forward(inputs)
        return [m.sigmoid() for m in maps] if isinstance(maps, list) else maps.sigmoid()


def test_a_head_that_ends_in_a_sigmoid_is_refused(tiny_config, tmp_path):
    config = tmp_path / 'squashed.py'
    config.write_text(f"_base_ = ['{tiny_config}']\nmodel = dict(decode_head=dict(type='SquashedHead'))\n")
    with pytest.raises(UserError, match=r'model\.decode_head: SquashedHead gives values in 0–1 .* logits'):
        train(str(config), work_dir=str(tmp_path / 'run'))
    model = MODELS.build(load_config(config).model).train()
    model.backbone.eval()
    modes, random = [m.training for m in model.modules()], torch.get_rng_state()
    with pytest.raises(UserError, match='SquashedHead'):
        check_logits(model, 1)
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)


class SigmoidHead(BaseDecodeHead):
    def __init__(self, **kwargs):
        kwargs = {'loss_decode': {'type': 'SoftIoULoss'}, 'threshold': 0.5, **kwargs}
        super().__init__(in_channels=8, channels=8, num_classes=2, out_channels=1, **kwargs)

    def forward(self, inputs):
        return self.conv_seg(inputs[0]).sigmoid()


class AttentionHead(SigmoidHead):
    """Logits, and a map of attention, which only its own loss takes."""

    def forward(self, inputs):
        logits = self.conv_seg(inputs[0])
        return logits, logits.sigmoid()

    def loss_by_feat(self, seg_logits, batch_data_samples):
        return super().loss_by_feat(seg_logits[0], batch_data_samples)

    def predict(self, inputs, batch_img_metas, test_cfg):
        return self.predict_by_feat(self.forward(inputs)[0], batch_img_metas)


class ProbabilityHead(SigmoidHead):
    def loss_by_feat(self, seg_logits, batch_data_samples):
        return super().loss_by_feat(seg_logits.logit(), batch_data_samples)

    def predict(self, inputs, batch_img_metas, test_cfg):
        return self.predict_by_feat(self.forward(inputs).logit(), batch_img_metas)


class PassingHead(SigmoidHead):
    def forward(self, inputs):
        return inputs[0][:, :1]


class UnitBackbone(nn.Module):
    def forward(self, images):
        return [images.sigmoid().expand(-1, 8, -1, -1)]


class TakesProbabilities(IRSTDSegmentor):
    def postprocess_result(self, seg_logits, data_samples):
        return super().postprocess_result(seg_logits.logit(), data_samples)


@pytest.mark.parametrize(
    ('segmentor', 'head', 'refused'),
    [
        (IRSTDSegmentor, SigmoidHead, True),
        (TakesProbabilities, SigmoidHead, False),
        (IRSTDSegmentor, AttentionHead, False),
        (IRSTDSegmentor, ProbabilityHead, False),
        (IRSTDSegmentor, PassingHead, False),
    ],
)
def test_heads_are_judged_only_where_their_loss_and_prediction_take_their_map(segmentor, head, refused):
    given = {'mean': [0.0], 'std': [1.0]}
    parts = {'backbone': {'type': UnitBackbone}, 'decode_head': {'type': head}, 'data_preprocessor': given}
    model = segmentor(**parts)
    with pytest.raises(UserError, match='SigmoidHead') if refused else nullcontext():
        check_logits(model, 1)


@pytest.mark.parametrize(('weight', 'bias'), [(0.0, 0.0), (0.0, 0.5), (0.001, 0.5)])
def test_logits_that_begin_between_0_and_1_pass(weight, bias, tiny_config):
    model = MODELS.build(load_config(tiny_config).model)
    last = [m for m in model.decode_head.modules() if isinstance(m, nn.Conv2d) and m.out_channels == 1]
    for module in last:
        nn.init.constant_(module.weight, weight)
        nn.init.constant_(module.bias, bias)
    check_logits(model, 1)


def _some(path):
    """A data set for configs that leave it open."""
    return None if "dataset = '" in path.read_text() or "name='" in path.read_text() else 'nuaa'


@pytest.fixture
def inverting(tiny_config, tmp_path):
    loss = "loss_decode=dict(_delete_=True, type='DiceLoss', use_sigmoid=True)"
    path = tmp_path / 'dice.py'
    path.write_text(f"_base_ = ['{tiny_config}']\nmodel = dict(decode_head=dict({loss}))\n")
    return path


def test_heads_that_enlarge_their_logits_pass():
    check_losses(head({'type': 'SoftIoULoss'}, stride=4))


def test_a_training_that_would_invert_does_not_begin(inverting, tmp_path):
    with pytest.raises(UserError, match=r'model\.decode_head\.loss_decode: DiceLoss'):
        train(str(inverting), work_dir=str(tmp_path / 'run'))
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_nor_does_one_by_a_plain_runner(inverting):
    model = MODELS.build(load_config(inverting).model)
    with pytest.raises(UserError, match=r'MADNetHead\.loss_decode: DiceLoss'):
        model.init_weights()


def test_the_banks_size_is_one_number():
    def banks(neck, head):
        model = {
            'type': 'IRSTDSegmentor',
            'backbone': {'type': 'AdaDCMEncoder', 'in_channels': 1, 'base_channels': 2},
            'neck': {'type': 'MemA2MNeck', 'mema2m': neck},
            'decode_head': {'type': 'MADNetHead', 'mema2m': head},
            'data_preprocessor': {'mean': [0.0], 'std': [1.0]},
        }
        model = MODELS.build(model)
        return {
            part: {p.shape[1] for name, p in getattr(model, part).named_parameters() if 'bank' in name}
            for part in ('neck', 'decode_head')
        }

    assert banks(None, None) == {'neck': {128}, 'decode_head': {128}}
    assert banks({'slots': 64}, None) == {'neck': {64}, 'decode_head': {64}}
    assert banks({'slots': 64}, {'depth': 2}) == {'neck': {64}, 'decode_head': {64}}
    assert banks({'slots': 64}, {'slots': 32}) == {'neck': {64}, 'decode_head': {32}}
    assert banks({'depth': 2}, None) == {'neck': {128}, 'decode_head': {128}}
    # a head of another network takes nothing over
    model = {
        'type': 'IRSTDSegmentor',
        'backbone': {'type': 'AdaDCMEncoder', 'in_channels': 1, 'base_channels': 2},
        'neck': {'type': 'MemA2MNeck', 'mema2m': {'slots': 8}},
        'decode_head': {'type': 'FCNSegHead'},
        'data_preprocessor': {'mean': [0.0], 'std': [1.0]},
    }
    assert torch.isfinite(MODELS.build(model).encode_decode(torch.zeros(1, 1, 32, 32))).all()


@pytest.mark.parametrize(
    'loss', [{'type': 'SoftIoULoss'}, [{'type': 'CrossEntropyLoss'}, {'type': 'SLSLoss'}]]
)
def test_our_losses_in_a_head_of_mmseg_with_several_classes_are_refused(loss):
    made = {'type': 'FCNHead', 'in_channels': 4, 'channels': 4, 'num_classes': 3, 'num_convs': 1}
    with pytest.raises(UserError, match='out_channels: found 3, expected 1'):
        check_losses(MODELS.build({**made, 'loss_decode': loss}))
    check_losses(MODELS.build({**made, 'loss_decode': {'type': 'CrossEntropyLoss'}}))
