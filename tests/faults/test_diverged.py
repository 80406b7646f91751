"""A training that diverges stops at once and loses nothing; one that is resumed says what it can't change."""

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmseg.registry import HOOKS, MODELS
from torch import nn

import madnet  # noqa: F401
from madnet.engine.checkpoint import LAST, load_weights, read_checkpoint
from madnet.engine.hooks import NonFiniteHook
from madnet.engine.optim.schedulers import WarmupFlatDecayLR, longer_than_run
from madnet.engine.resuming import values_of
from madnet.engine.train import train
from madnet.errors import RunFailed, UserError


@MODELS.register_module()
class LossThatBreaks(nn.Module):
    """A mean of the logits, times a number that is NaN (or a gradient that is) in some steps."""

    def __init__(self, at, gradient_only=False, loss_name='loss_breaks'):
        super().__init__()
        self.at, self.gradient_only, self.loss_name = tuple(at), gradient_only, loss_name
        self.step = 0

    def forward(self, logits, target, **kwargs):
        self.step += 1
        mean = logits.mean()
        if self.step not in self.at:
            return mean
        # sqrt has an infinite slope at 0, where its value is finite
        return (mean * 0).abs().sqrt() if self.gradient_only else mean * float('nan')


@HOOKS.register_module()
class RecordBatches(Hook):
    """Keeps the ids of each batch."""

    seen = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.seen.append([sample.metainfo['img_id'] for sample in data_batch['data_samples']])


def _options(at, **loss):
    return {
        'model.decode_head.loss_decode': [{'type': 'LossThatBreaks', 'at': at, **loss}],
        'model.decode_head.deep_supervision': False,
        'model.decode_head.loss_weights': None,
        'custom_hooks': [{'type': 'RecordBatches'}],
        'train_cfg.max_epochs': 2,
        'visualizer.vis_backends': [],
    }


def _all_finite(path):
    return all(
        v.isfinite().all() for v in read_checkpoint(path)['state_dict'].values() if v.is_floating_point()
    )


@pytest.fixture(scope='module')
def run_of_one_epoch(tmp_path_factory, tiny_text):
    folder = tmp_path_factory.mktemp('run')
    (folder / 'tiny.py').write_text(tiny_text)
    train(str(folder / 'tiny.py'), str(folder / 'run'), options=['train_cfg.max_epochs=1'])
    return folder / 'run' / LAST


@pytest.mark.parametrize('gradient_only', [False, True])
def test_the_first_step_that_is_not_finite_ends_the_run(tiny_config, tmp_path, gradient_only):
    RecordBatches.seen.clear()
    with pytest.raises(RunFailed) as e:
        train(str(tiny_config), str(tmp_path / 'w'), options=_options([6], gradient_only=gradient_only))
    said = str(e.value)
    assert 'step 6 (epoch 2): the ' + ("gradient's norm is nan" if gradient_only else 'loss is nan') in said
    assert all(name in said for name in RecordBatches.seen[5])
    assert '--skip-nonfinite' in said
    assert '\n' not in said
    assert read_checkpoint(tmp_path / 'w' / LAST)['meta']['epoch'] == 1
    assert _all_finite(tmp_path / 'w' / LAST)


@pytest.mark.parametrize('gradient_only', [False, True])
def test_steps_may_be_left_out_up_to_a_number(tiny_config, tmp_path, gradient_only):
    options = _options([3, 6], gradient_only=gradient_only)
    train(str(tiny_config), str(tmp_path / 'w'), options=options, skip_nonfinite=2)
    assert read_checkpoint(tmp_path / 'w' / LAST)['meta']['epoch'] == 2
    assert _all_finite(tmp_path / 'w' / LAST)
    with pytest.raises(RunFailed, match=r'step 6 .* number 2, 1 may be left out'):
        train(str(tiny_config), str(tmp_path / 'v'), options=options, skip_nonfinite=1)


def test_steps_left_out_before_a_stop_count_after_it(tiny_config, tmp_path):
    options = _options([3])  # of those that a process takes
    train(
        str(tiny_config),
        str(tmp_path / 'w'),
        options={**options, 'train_cfg.max_epochs': 1},
        skip_nonfinite=1,
    )
    with pytest.raises(RunFailed, match='number 2, 1 may be left out'):
        train(str(tiny_config), str(tmp_path / 'w'), resume=True, options=options, skip_nonfinite=1)


def test_a_loss_that_others_were_added_to_counts_once(tiny_config, tmp_path):
    options = {**_options([3]), 'optim_wrapper.accumulative_counts': 2}
    train(str(tiny_config), str(tmp_path / 'w'), options=options, skip_nonfinite=1)
    assert _all_finite(tmp_path / 'w' / LAST)


def _deferred(hook, loss, iteration=0, batch=0):
    """A runner on whose device the hook does not look at once."""
    runner = SimpleNamespace(
        iter=iteration,
        work_dir='w',
        train_dataloader=range(100),
        optim_wrapper=None,
        logger=logging.getLogger(),
        message_hub=MessageHub('deferred'),
    )
    hook._at_once, hook._norm = False, torch.tensor(1.0)
    hook.after_train_iter(runner, batch, outputs={'loss': loss})
    return runner


def test_on_a_gpu_the_first_of_many_is_named_at_the_next_look():
    hook = NonFiniteHook(interval=4)
    for step, loss in enumerate((1.0, float('inf'), float('nan'))):
        runner = _deferred(hook, torch.tensor(loss), step, step)
    with pytest.raises(RunFailed, match=r'step 2 \(epoch 1\): the loss is inf'):
        hook.before_save_checkpoint(runner, {})
    hook = NonFiniteHook(interval=4)
    for step in range(3):
        _deferred(hook, torch.tensor(1.0), step, step)
    with pytest.raises(RunFailed, match='step 4 '):
        _deferred(hook, torch.tensor(float('nan')), 3, 3)


def test_a_loss_scale_that_has_fallen_to_nothing_is_told():
    hook = NonFiniteHook()
    runner = _deferred(hook, torch.tensor(1.0))
    scaler = torch.amp.GradScaler('cpu', init_scale=2.0**-30)
    scaler.scale(torch.ones(1))  # makes the scale
    runner.optim_wrapper = SimpleNamespace(loss_scaler=scaler)
    with pytest.raises(RunFailed, match='loss scale'):
        hook.look(runner)


def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(tiny_config, tmp_path, run_of_one_epoch):
    @HOOKS.register_module(force=True)
    class SpoilWeights(Hook):
        def after_train_epoch(self, runner):
            if runner.epoch == 1:
                next(runner.model.parameters()).data[0] = float('nan')

    options = {
        'custom_hooks': [{'type': 'SpoilWeights'}],
        'val_cfg': None,
        'val_dataloader': None,
        'val_evaluator': None,
        'train_cfg.max_epochs': 2,
    }
    with pytest.raises(RunFailed, match='hold NaN or infinity'):
        train(str(tiny_config), str(tmp_path / 'w'), options=options)
    assert read_checkpoint(tmp_path / 'w' / LAST)['meta']['epoch'] == 1
    assert _all_finite(tmp_path / 'w' / LAST)
    model = nn.Linear(2, 1)
    with pytest.raises(UserError, match=r'x.pth: 1 of its 2 tensors hold NaN or infinity, such as bias'):
        load_weights(model, {**model.state_dict(), 'bias': torch.tensor([float('inf')])}, 'x.pth')


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        ('optim_wrapper.optimizer.lr=1e-5', 'optim_wrapper.optimizer.lr: found 1e-05, expected 0.003'),
        ('train_dataloader.batch_size=8', 'train_dataloader.batch_size: found 8, expected 4'),
        ('model.backbone.base_channels=4', 'model.backbone.base_channels: found 4, expected 2'),
        ('train_dataloader.dataset.length=20', 'batches an epoch: found 5, expected 4'),
        ('optim_wrapper.clip_grad.max_norm=1.0', 'optim_wrapper.clip_grad.max_norm: found 1.0, expected 5.0'),
    ],
)
def test_what_a_resumed_run_cannot_change_is_refused(tiny_config, tmp_path, run_of_one_epoch, option, said):
    with pytest.raises(UserError) as e:
        train(str(tiny_config), str(tmp_path / 'w'), str(run_of_one_epoch), options=[option])
    assert said in str(e.value)
    assert '\n' not in str(e.value)


def test_fewer_epochs_than_are_done_are_refused(tiny_config, tmp_path, run_of_one_epoch):
    content = read_checkpoint(run_of_one_epoch)
    content['meta']['epoch'] = 4
    torch.save(content, tmp_path / 'four.pth')
    with pytest.raises(UserError, match=r'max_epochs: found 3, .* above the 4 that'):
        train(str(tiny_config), str(tmp_path / 'w'), str(tmp_path / 'four.pth'))


@pytest.mark.parametrize(
    'schedule',
    [
        None,  # the config's, whose curve is a function of the step
        [  # mmengine's, each of whose rates comes from the one before
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=3),
            dict(type='CosineAnnealingLR', by_epoch=True, begin=1, convert_to_iter_based=True),
        ],
    ],
)
def test_more_epochs_lay_the_schedule_anew(tiny_config, tmp_path, schedule, capfd):
    rates = {}

    @HOOKS.register_module(force=True)
    class RecordRates(Hook):
        def before_train_iter(self, runner, batch_idx, data_batch=None):
            rates.setdefault(runner.iter, []).append(runner.optim_wrapper.get_lr()['lr'][0])

    options = {
        'custom_hooks': [{'type': 'RecordRates'}],
        'train_cfg.val_interval': 9,
        'train_cfg.max_epochs': 4,
    }
    if schedule:
        options['param_scheduler'] = schedule
    train(str(tiny_config), str(tmp_path / 'whole'), options=options)
    whole = dict(rates)
    rates.clear()
    options['train_cfg.max_epochs'] = 2
    train(str(tiny_config), str(tmp_path / 'w'), options=options)
    rates.clear()
    options['train_cfg.max_epochs'] = 4
    capfd.readouterr()
    train(str(tiny_config), str(tmp_path / 'w'), resume=True, options=options)
    assert min(rates) == 8
    assert max(rates) == 15
    for step, [rate] in rates.items():
        assert rate == pytest.approx(whole[step][0], rel=1e-9), step
    assert 'laid anew over all 4' in capfd.readouterr().out


def test_values_are_read_from_a_configs_text_without_running_it():
    text = "a = dict(b=[dict(c=-1e-3, d=(1, 'x'))], e={1: None})\nf = __import__('os').system('false')\n"
    assert values_of(text) == {
        'a': {'b': [{'c': -1e-3, 'd': [1, 'x']}], 'e': {1: None}},
        'f': "__import__('os').system('false')",
    }


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        (
            'train_dataloader.batch_size=0',
            'train_dataloader.batch_size: found 0, expected a whole number from 1',
        ),
        ('train_cfg.max_epochs=-1', 'train_cfg.max_epochs: found -1'),
        (
            'val_dataloader.num_workers=-2',
            'val_dataloader.num_workers: found -2, expected a whole number from 0',
        ),
        ('train_dataloader.batch_size=2.5', 'found 2.5'),
        ('train_cfg.val_interval=0', 'train_cfg.val_interval: found 0'),
    ],
)
def test_numbers_that_are_too_small_are_one_line(tiny_config, tmp_path, option, said):
    with pytest.raises(UserError) as e:
        train(str(tiny_config), str(tmp_path / 'w'), options=[option])
    assert said in str(e.value)


def test_a_schedule_that_the_run_is_too_short_for_is_told():
    parameter = nn.Parameter(torch.zeros(1))
    scheduler = WarmupFlatDecayLR(torch.optim.SGD([parameter], 1.0), warmup_steps=200, end=40, by_epoch=False)
    [line] = longer_than_run([scheduler], epochs=8, batches=5)
    assert 'a warm-up of 200 steps in a run of 40' in line
    assert longer_than_run([scheduler], epochs=800, batches=5) == []
    steps = SimpleNamespace(by_epoch=True, milestones=[200, 300], end=250)
    [line] = longer_than_run([steps], epochs=250, batches=5)
    assert 'at 300 epochs, the run has 250' in line
