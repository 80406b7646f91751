"""Numbers that would turn a training round, or leave it without effect, are refused by their names."""

import math

import pytest
import torch
from mmseg.registry import HOOKS, METRICS, MODELS, PARAM_SCHEDULERS, TRANSFORMS

from madnet.datasets.transforms.sample_transform import sides_of
from madnet.engine.config import load_config
from madnet.errors import UserError, expect_number, expect_whole


def _build(cfg):
    MODELS.build(cfg.model)
    for step in cfg.train_dataloader.dataset.pipeline:
        TRANSFORMS.build(step)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    for schedule in cfg.param_scheduler:
        given = {k: v for k, v in schedule.items() if k != 'convert_to_iter_based'}
        PARAM_SCHEDULERS.build({**given, 'optimizer': optimizer, 'end': 10})


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('optim_wrapper.clip_grad.max_norm', -5),
        ('optim_wrapper.clip_grad.max_norm', 0),
        ('optim_wrapper.clip_grad.max_norm', math.nan),
        ('optim_wrapper.clip_grad.norm_type', -2),
        ('optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult', None),
        ('optim_wrapper.paramwise_cfg.bias_decay_mult', -1),
        ('optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult', -1),
        ('model.decode_head.loss_weights', [-1, 1, 1, 1, 1, 1]),
        ('model.decode_head.loss_weights', [1, 1, 1, 1, 1, 0]),
        ('model.decode_head.loss_decode.0.smooth', -1),
        ('model.decode_head.loss_decode.0.loss_weight', -1),
        ('model.decode_head.loss_decode.1.pos_weight', -2),
        ('model.decode_head.loss_decode.1.pos_weight', 0),
        ('model.decode_head.loss_decode.1.begin', '0.8'),
        ('model.decode_head.dropout_ratio', -0.1),
        ('model.neck.mema2m.slots', 0),
        ('model.neck.mema2m.window', 0),
        ('model.neck.mema2m.drop_path', 1),
        ('model.data_preprocessor.std', [-30.0]),
        ('param_scheduler.0.eta_min_ratio', -1),
        ('param_scheduler.0.eta_min_ratio', 5),
        ('param_scheduler.0.warmup_steps', -5),
        ('param_scheduler.0.decay_share', 'x'),
        ('replace_steps.GainOffsetJitter.gain', 2.0),
        ('replace_steps.GainOffsetJitter.gain', -0.5),
        ('replace_steps.GainOffsetJitter.offset', -5),
        ('replace_steps.RandomTargetCrop.margin', -8),
        ('replace_steps.RandomTargetCrop.target_prob', 1.5),
    ],
)
def test_what_turns_a_training_round_is_refused(repository, key, value):
    config = repository / 'configs' / 'madnet' / 'madnet_nano.py'
    with pytest.raises(UserError, match=rf'{key.split(".")[-1]}(, of the prediction)?: found .*, expected a'):
        _build(load_config(config, {key: value}, 'nuaa'))


@pytest.mark.parametrize(
    ('registry', 'part', 'argument', 'value'),
    [
        (MODELS, {'type': 'SoftDiceLoss'}, 'smooth', -1),
        (MODELS, {'type': 'EdgeLoss'}, 'bce_weight', -10),
        (MODELS, {'type': 'EdgeLoss'}, 'smooth', -1),
        (MODELS, {'type': 'SLSLoss'}, 'warm_epoch', -2),
        (MODELS, {'type': 'MSHNetHead', 'in_channels': [4, 8]}, 'warm_epoch', 1.5),
        (MODELS, {'type': 'MiMEncoder'}, 'drop_path', -0.1),
        (MODELS, {'type': 'MambaNeck', 'in_channels': [4, 8]}, 'drop_path', 1.0),
        (TRANSFORMS, {'type': 'CopyPasteTargets'}, 'max_size', 0),
        (TRANSFORMS, {'type': 'CopyPasteTargets'}, 'prob', 50),
        (TRANSFORMS, {'type': 'PublishedBlur'}, 'max_radius', -1),
        (TRANSFORMS, {'type': 'PublishedBlur'}, 'prob', -0.5),
        (TRANSFORMS, {'type': 'PublishedFlip'}, 'prob', 2),
        (TRANSFORMS, {'type': 'PublishedRandomScale'}, 'base_size', -1),
        (TRANSFORMS, {'type': 'RandomBlur'}, 'prob', 'often'),
        (TRANSFORMS, {'type': 'RandomNoise'}, 'prob', -1),
        (TRANSFORMS, {'type': 'SensorDefects'}, 'clearance', -1),
        (TRANSFORMS, {'type': 'SensorDefects'}, 'prob', 1.5),
        (TRANSFORMS, {'type': 'ToolboxCrop'}, 'size', 0),
        (TRANSFORMS, {'type': 'ToolboxCrop'}, 'target_prob', -1),
        (HOOKS, {'type': 'OverlayHook'}, 'images', -4),
        (METRICS, {'type': 'IRSTDMetric'}, 'base_size', -1),
    ],
)
def test_the_parts_of_other_recipes_refuse_them_too(registry, part, argument, value):
    registry.build(dict(part))
    with pytest.raises(UserError, match=rf'{part["type"]}\.{argument}: found .*, expected a (whole )?number'):
        registry.build({**part, argument: value})


@pytest.mark.parametrize(
    ('kind', 'wrong'),
    [
        ('PublishedPolyLR', {'warmup': -1}),
        ('PublishedPolyLR', {'power': -0.9}),
        ('PublishedCosineLR', {'warmup': 0.5}),
        ('PublishedCosineLR', {'eta_min_ratio': 2}),
        ('WarmupCosineLR', {'eta_min_ratio': -1}),
    ],
)
def test_schedules_that_leave_the_base_rate_are_refused(kind, wrong):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    with pytest.raises(UserError, match=rf'{kind}\.{next(iter(wrong))}: found '):
        PARAM_SCHEDULERS.build({'type': kind, 'optimizer': optimizer, 'end': 10, **wrong})


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('optim_wrapper.clip_grad.max_norm', '5'),
        ('optim_wrapper.clip_grad.norm_type', 'inf'),
        ('optim_wrapper.paramwise_cfg.norm_decay_mult', None),
    ],
)
def test_what_torch_and_mmengine_take_is_taken(repository, key, value):
    assert load_config(repository / 'configs/madnet/madnet_nano.py', {key: value}, 'nuaa')


def test_what_is_said_of_limits():
    assert expect_number(0, 'x', least=0, below=1) == 0.0
    assert expect_whole(1, 'x', least=1) == 1
    with pytest.raises(UserError, match=r'^x: found nan, expected a number from 0 on, below 1\.$'):
        expect_number(math.nan, 'x', least=0, below=1)
    with pytest.raises(UserError, match=r"^x: found '1', expected a number\.$"):
        expect_number('1', 'x')
    with pytest.raises(UserError, match=r'^x: found 0, expected a whole number from 1 on\.$'):
        expect_whole(0, 'x', least=1)
    for expect in (expect_number, expect_whole):
        with pytest.raises(UserError, match=r'^x: found True, expected a '):
            expect(True, 'x', least=0)


def test_sides_of_a_size():
    assert sides_of('size', None) is None
    assert sides_of('size', 256) == (256, 256)
    assert sides_of('size', [256, 320]) == (256, 320)
    for wrong in (0, -1, (256, -1), (1, 2, 3), 2.5, '64'):
        with pytest.raises(UserError, match=r'size: found .* expected a whole number from 1 on'):
            sides_of('size', wrong)
