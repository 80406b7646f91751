"""Training as a whole: what it leaves behind, and that interruptions change nothing."""

import json
import os
import re
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS, OPTIM_WRAPPERS

import madnet  # noqa: F401
from madnet.engine.bare_model import bare
from madnet.engine.checkpoint import BEST, LAST, PREVIOUS, STOPPED, read_checkpoint
from madnet.engine.hooks import SafeCheckpointHook
from madnet.engine.resuming import values_of
from madnet.engine.runner import MadnetRunner
from madnet.engine.train import _configs_of_runs, _TakeFolder, set_amp, train, training_config
from madnet.engine.training_stopped import TrainingStopped
from madnet.errors import UserError
from madnet.inference import Predictor
from madnet.records import RunFile


class Died(Exception):
    """Stands for a kill: nothing is saved on the way out."""


@HOOKS.register_module()
class InterruptAt(Hook):
    """Sends a signal to this process after a training batch or a validation image."""

    def __init__(self, stage, count, how='signal'):
        self.stage, self.left, self.how = stage, count, how

    def _count(self, stage):
        if stage == self.stage:
            self.left -= 1
            if self.left == 0 and self.how == 'die':
                raise Died
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGTERM)

    def after_train_iter(self, runner, *args, **kwargs):
        self._count('train')

    def after_val_iter(self, runner, *args, **kwargs):
        self._count('val')


@HOOKS.register_module()
class EndAfterEpoch(Hook):
    """Ends a training as mmengine's ``EarlyStoppingHook`` does."""

    priority = 'LOWEST'

    def __init__(self, epoch):
        self.epoch = epoch

    def after_val_epoch(self, runner, metrics=None):
        runner.train_loop.stop_training = runner.epoch == self.epoch


def _weights(folder):
    checkpoint = read_checkpoint(folder / LAST)
    return {**checkpoint['state_dict'], **checkpoint['ema_state_dict']}


def _assert_same(a, b):
    assert a.keys() == b.keys()
    for key in a:
        assert torch.equal(a[key], b[key]), key


@pytest.fixture(scope='module')
def whole_run(tmp_path_factory, tiny_text):
    folder = tmp_path_factory.mktemp('whole')
    (folder / 'tiny.py').write_text(tiny_text)
    train(str(folder / 'tiny.py'), work_dir=str(folder / 'run'))
    return folder / 'run'


@pytest.fixture
def uninterrupted(whole_run, tmp_path):
    """A copy of the folder of a run that was never interrupted."""
    return Path(shutil.copytree(whole_run, tmp_path / 'whole'))


def test_what_training_leaves_behind(uninterrupted):
    folder = uninterrupted
    assert {'last.pth', 'previous.pth', 'best.pth'} <= set(os.listdir(folder))
    assert not [p for p in os.listdir(folder) if 'writing' in p]
    best = read_checkpoint(folder / 'best.pth')
    assert set(best) == {'meta', 'state_dict'}
    assert best['meta']['data_preprocessor'] == {'mean': [105.0], 'std': [40.0]}
    last = read_checkpoint(folder / LAST)
    assert best['meta']['nIoU'] == last['message_hub']['runtime_info']['best_score']
    assert last['meta']['epoch'] == 3
    assert last['meta']['iter'] == 12
    assert last['meta']['validated']
    assert read_checkpoint(folder / PREVIOUS)['meta']['epoch'] == 2
    [scalars] = folder.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert {'nIoU', 'IoU', 'Pd', 'Fa'} <= set(lines[-1])
    assert list(folder.glob('*/vis_data/vis_image/val_*.png'))


# of three epochs with four batches each: inside an epoch, at its last batch, in two validations
@pytest.mark.parametrize(('stage', 'count'), [('train', 6), ('train', 8), ('val', 2), ('val', 8)])
def test_a_signal_saves_and_resuming_is_bit_identical(uninterrupted, tiny_config, tmp_path, stage, count):
    folder = tmp_path / 'stopped'
    hooks = [
        {'type': 'EMAHook', 'ema_type': 'RampedEMA', 'decay': 0.99},
        {'type': 'InterruptAt', 'stage': stage, 'count': count},
    ]
    text = f'{tiny_config.read_text()}\ncustom_hooks = {hooks}\n'
    stopping = tmp_path / 'stopping.py'
    stopping.write_text(text)
    with pytest.raises(TrainingStopped, match='--resume') as e:
        train(str(stopping), work_dir=str(folder))
    assert '\n' not in str(e.value)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    train(str(tiny_config), work_dir=str(folder), resume=True)
    _assert_same(_weights(folder), _weights(uninterrupted))
    best = [read_checkpoint(f / 'best.pth') for f in (folder, uninterrupted)]
    assert best[0]['meta']['epoch'] == best[1]['meta']['epoch']
    _assert_same(best[0]['state_dict'], best[1]['state_dict'])


def test_a_damaged_last_checkpoint_loses_one_epoch_only(uninterrupted, tiny_config):
    folder = uninterrupted
    expected = _weights(folder)
    data = (folder / LAST).read_bytes()
    (folder / LAST).write_bytes(data[: len(data) // 2])
    train(str(tiny_config), work_dir=str(folder), resume=True)
    _assert_same(_weights(folder), expected)


def test_the_best_of_epochs_that_are_trained_again_is_put_aside(uninterrupted, tiny_config, capfd):
    folder = uninterrupted
    runtime = read_checkpoint(folder / PREVIOUS)['message_hub']['runtime_info']
    left = read_checkpoint(folder / 'best.pth')
    left['meta'] |= {'epoch': 3, 'nIoU': 2.0}
    torch.save(left, folder / 'best.pth')
    runner = train(str(tiny_config), work_dir=str(folder), resume=str(folder / PREVIOUS))
    [aside] = folder.glob('before_*')
    assert read_checkpoint(aside / 'best.pth')['meta']['nIoU'] == 2.0
    out = capfd.readouterr().out
    assert f'what it left is kept in {aside}' in out
    assert f'best.pth does not hold epoch {runtime["best_epoch"]}, the best up to there: it is' in out
    best = read_checkpoint(folder / 'best.pth')['meta']
    assert best['epoch'] == runner.message_hub.get_info('best_epoch') == 3
    assert best['nIoU'] == runner.message_hub.get_info('best_score') < 2

    (folder / 'best.pth').unlink()
    train(str(tiny_config), work_dir=str(folder), resume=True)
    out = capfd.readouterr().out
    assert 'best.pth does not hold epoch 3, the best up to there' in out
    assert 'to come' not in out
    assert 'best on' not in out
    assert 'best epoch' not in out


def test_a_checkpoint_may_lie_where_a_link_leads(uninterrupted, tiny_config, tmp_path, capfd):
    folder = uninterrupted
    best = (folder / 'best.pth').read_bytes()
    (tmp_path / 'store').mkdir()
    (folder / LAST).rename(tmp_path / 'store' / 'last.pth')
    (folder / LAST).symlink_to(tmp_path / 'store' / 'last.pth')
    train(str(tiny_config), work_dir=str(folder), resume=True)
    assert 'does not hold' not in capfd.readouterr().out
    assert (folder / 'best.pth').read_bytes() == best


def test_a_new_run_in_the_same_folder_keeps_the_old_checkpoints(uninterrupted, tiny_config, monkeypatch):
    folder = uninterrupted
    old = (folder / 'best.pth').read_bytes()
    of_the_run = ('metrics.json', 'per_image.csv', 'best.calibration.json', 'scores/a.png')
    for name in of_the_run:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text('{}')
    RunFile(trained=True).write(folder / RunFile.FILE)
    of_the_run += (RunFile.FILE,)
    logs = {p.parents[1].name for p in folder.glob('*/vis_data/scalars.json')}
    train(str(tiny_config), work_dir=str(folder), options=['train_cfg.max_epochs=1'], seed=1)
    [aside] = folder.glob('before_*')
    assert (aside / 'best.pth').read_bytes() == old
    assert all((aside / name).is_file() and not (folder / name).exists() for name in of_the_run)
    assert logs == {p.parents[1].name for p in aside.glob('*/vis_data/scalars.json')}
    assert len([*folder.glob('*/vis_data/scalars.json')]) == 1
    assert read_checkpoint(folder / LAST)['meta']['seed'] == 1
    RunFile(state='running').write(folder / RunFile.FILE)  # of a comparison that was killed
    monkeypatch.setenv('RUN', str(folder))
    weights = f'$RUN/{LAST}'  # moved out of the way once they are read
    runner = train(
        str(tiny_config), work_dir=str(folder), load_from=weights, options=['train_cfg.max_epochs=1']
    )
    assert Path(runner._load_from).parent.name.startswith('before_')
    assert Path(runner._load_from).is_file()
    assert Path(runner._load_from).with_name(RunFile.FILE).is_file()
    assert not (folder / RunFile.FILE).exists()
    assert values_of(read_checkpoint(folder / LAST)['meta']['cfg'])['load_from'] == runner._load_from


def test_an_empty_checkpoint_is_no_checkpoint(tiny_config):
    """As of a variable of the shell that is not set."""
    with pytest.raises(UserError, match="--resume '': expected a checkpoint"):
        training_config(str(tiny_config), resume='')


def test_where_there_is_nothing_to_resume_a_run_starts_from_its_configs_weights(
    uninterrupted, tiny_config, tmp_path
):
    options = [
        'train_cfg.max_epochs=1',
        'optim_wrapper.optimizer.lr=0.0',
        f'load_from={uninterrupted / LAST}',
    ]
    folder = tmp_path / 'tuned'
    folder.mkdir()
    (folder / 'best.pth').write_text('of another run')
    runner = train(str(tiny_config), work_dir=str(folder), resume=True, options=[*options, 'selection=last'])
    assert not (folder / 'best.pth').exists()
    assert [p.read_text() for p in folder.glob('before_*/best.pth')] == ['of another run']
    before = read_checkpoint(uninterrupted / LAST)['state_dict']
    for key, value in bare(runner.model).named_parameters():
        assert torch.equal(value, before[key]), key
    again = train(
        str(tiny_config),
        work_dir=str(folder),
        resume=True,
        options=[*options, 'selection=last', 'train_cfg.max_epochs=2'],
    )
    assert again.epoch == 2
    assert values_of(read_checkpoint(folder / LAST)['meta']['cfg'])['load_from'] == str(uninterrupted / LAST)


@pytest.mark.parametrize('by_config', [False, True])
def test_load_from_starts_at_the_first_epoch_with_the_weights(
    uninterrupted, tiny_config, tmp_path, by_config
):
    folder = uninterrupted
    options = ['train_cfg.max_epochs=1', 'optim_wrapper.optimizer.lr=0.0']
    weights = str(folder / 'best.pth')
    runner = train(
        str(tiny_config),
        work_dir=str(tmp_path / 'tuned'),
        load_from=None if by_config else weights,
        options=[*options, f'load_from={weights}'] if by_config else options,
    )
    assert runner.epoch == 1
    tuned = dict(bare(runner.model).named_parameters())
    for key, value in read_checkpoint(folder / 'best.pth')['state_dict'].items():
        if key in tuned:
            assert torch.equal(tuned[key], value), key


def test_what_of_given_weights_does_not_fit_is_one_line(uninterrupted, tiny_config, tmp_path, capfd):
    before = read_checkpoint(uninterrupted / LAST)['state_dict']
    options = ['train_cfg.max_epochs=1', 'optim_wrapper.optimizer.lr=0.0', 'model.backbone.base_channels=8']
    runner = train(
        str(tiny_config),
        work_dir=str(tmp_path / 'wide'),
        load_from=str(uninterrupted / LAST),
        options=options,
    )
    said = ''.join(capfd.readouterr())
    assert 'size mismatch' not in said
    assert re.search(
        r'last\.pth: \d+ of its \d+ tensors fit the model, .* madnet pretrained widen begins', said
    )
    [average] = [hook.ema_model.module for hook in runner.hooks if hasattr(hook, 'ema_model')]
    for name, value in bare(runner.model).named_parameters():
        torch.testing.assert_close(dict(average.named_parameters())[name], value, rtol=1e-6, atol=1e-7)
        if value.shape == before[name].shape:
            assert torch.equal(value, before[name]), name


def test_the_line_of_an_epoch_has_the_rate_that_the_log_has(tiny_config, tmp_path, capsys):
    train(str(tiny_config), work_dir=str(tmp_path))
    lines = re.findall(r'^epoch (\d+)/.*  lr (\S+)', capsys.readouterr().err, re.MULTILINE)
    [scalars] = tmp_path.rglob('scalars.json')
    records = [json.loads(line) for line in scalars.read_text().splitlines()]
    logged = {str(r['epoch']): f'{r["lr"]:.2e}' for r in records if 'lr' in r}
    assert len(set(logged.values())) > 1
    assert dict(lines) == logged


def test_the_line_of_a_resumed_validation_has_no_rate(tiny_config, tmp_path, capsys):
    hook = "custom_hooks = [dict(type='InterruptAt', stage='val', count=1)]\n"
    text, options = tiny_config.read_text(), ['train_cfg.max_epochs=1']
    tiny_config.write_text(text + hook)
    with pytest.raises(TrainingStopped):
        train(str(tiny_config), work_dir=str(tmp_path / 'w'), options=options)
    tiny_config.write_text(text + hook.replace('count=1', 'count=99'))
    train(str(tiny_config), work_dir=str(tmp_path / 'w'), options=options, resume=True)
    [line] = re.findall(r'^epoch 1/1 .*', capsys.readouterr().err, re.MULTILINE)
    assert 'nIoU' in line
    assert 'lr' not in line


def test_the_last_epoch_of_a_training_that_a_hook_ends_is_kept(tiny_config, tmp_path):
    hook = "custom_hooks = [dict(type='EndAfterEpoch', epoch=2)]\n"
    tiny_config.write_text(tiny_config.read_text() + hook)
    train(str(tiny_config), work_dir=str(tmp_path / 'w'), options=['default_hooks.checkpoint.interval=5'])
    meta = read_checkpoint(tmp_path / 'w' / LAST)['meta']
    assert (meta['epoch'], meta['iter'], meta['validation_due']) == (2, 8, False)


def test_every_epoch_is_kept_where_the_interval_of_validations_changes(tiny_config, tmp_path, monkeypatch):
    kept, save = [], SafeCheckpointHook.save_now

    def save_and_note(hook, runner, epoch):
        kept.append(epoch)
        save(hook, runner, epoch)

    monkeypatch.setattr(SafeCheckpointHook, 'save_now', save_and_note)
    options = {'train_cfg.dynamic_intervals': [(4, 2)], 'train_dataloader.dataset.length': 4}
    for epochs in (4, 6):  # the second run begins with an epoch beyond the milestone
        options['train_cfg.max_epochs'] = epochs
        train(str(tiny_config), work_dir=str(tmp_path / 'w'), options=options, resume=True)
    assert kept == [1, 2, 3, 4, 5, 6]


def test_best_pth_cannot_be_resumed_from(uninterrupted, tiny_config):
    folder = uninterrupted
    with pytest.raises(UserError, match='weights only'):
        train(str(tiny_config), work_dir=str(folder), resume=str(folder / 'best.pth'))


@pytest.mark.skipif(torch.cuda.is_available(), reason='trains on the GPU')
def test_bf16_on_a_cpu(tiny_config, tmp_path):
    runner = train(
        str(tiny_config), work_dir=str(tmp_path / 'amp'), amp='bf16', options=['train_cfg.max_epochs=1']
    )
    assert type(runner.optim_wrapper).__name__ == 'CPUAmpOptimWrapper'
    with pytest.raises(UserError, match='needs a GPU'):
        train(str(tiny_config), work_dir=str(tmp_path / 'amp'), amp='fp16')


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (
            ['model.backbone.type=AdaDCMEncodr'],
            "'AdaDCMEncodr' is no registered model. Did you mean 'AdaDCMEncoder'",
        ),
        (['model.backbone.widht=4'], 'model.backbone.widht: AdaDCMEncoder takes no such argument'),
        (['train_dataloader.dataset.type=SyntheticDataset'], "'SyntheticDataset' is no registered dataset"),
        (['default_hooks.checkpoint.save_best=nIOU'], "Did you mean 'nIoU'"),
        (['selection=tset'], "selection: found 'tset'"),
        (['selection=test'], 'Keep selection='),
        (['optim_wrapper.optimizer.type=AdmW'], "no registered optimizer. Did you mean 'AdamW'"),
        (['train_dataloader.sampler.type=ResumableSample'], "Did you mean 'ResumableSampler'"),
        (['train_dataloader.batch_size=99'], 'train_dataloader.batch_size: found 99, expected at most 16'),
        (['selection'], 'expected KEY=VALUE'),
        (['train_dataloader.sampler.type=InfiniteSampler'], 'of which an epoch never ends'),
        (['selection=last', 'default_hooks.checkpoint=None'], 'checkpoints by none'),
        (['train_cfg.minutes=abc'], "train_cfg.minutes: found 'abc'"),
        (['default_hooks.checkpoint.best_from=abc'], "best_from: found 'abc'"),
        (['default_hooks.checkpoint.save_best=mIoU'], "save_best: found 'mIoU', expected one of F1, Fa"),
        (['default_hooks.checkpoint.save_best=images'], "save_best: found 'images', expected one of F1, Fa"),
        (['custom_hooks.0.decay=abc'], "custom_hooks.0.decay: found 'abc'"),
        (['model.backbone=None'], 'cannot be built: cfg should be a dict'),
        (['env_cfg.mp_cfg.mp_start_method=abc'], "cannot find context for 'abc' (python"),
        (['train_dataloader.drop_last=abc'], "drop_last: found 'abc', expected True or False"),
        (['compile.disable=False', 'compile.mode=abc'], 'compile: Unrecognized mode=abc'),
        (['selection=last', 'default_hooks=None'], 'checkpoints by none'),
    ],
)
def test_a_wrong_config_is_told_in_one_line(tiny_config, tmp_path, options, said):
    with pytest.raises(UserError) as e:
        train(str(tiny_config), work_dir=str(tmp_path / 'w'), options=[*options, 'train_cfg.max_epochs=1'])
    assert said in str(e.value)
    assert '\n' not in str(e.value)


def test_stopped_at_an_epochs_last_batch_and_killed_in_the_next(uninterrupted, tiny_config, tmp_path):
    folder = tmp_path / 'stopped'
    hooks = [
        {'type': 'EMAHook', 'ema_type': 'RampedEMA', 'decay': 0.99},
        {'type': 'InterruptAt', 'stage': 'train', 'count': 4},
    ]
    stopping = tmp_path / 'stopping.py'
    stopping.write_text(f'{tiny_config.read_text()}\ncustom_hooks = {hooks}\n')
    with pytest.raises(TrainingStopped):
        train(str(stopping), work_dir=str(folder))
    # the validation of the first epoch and the checkpoint after it, then gone without saving
    hooks[1]['count'] = 2
    hooks[1]['how'] = 'die'
    stopping.write_text(f'{tiny_config.read_text()}\ncustom_hooks = {hooks}\n')
    with pytest.raises(Died):
        train(str(stopping), work_dir=str(folder), resume=True)
    assert read_checkpoint(folder / LAST)['meta']['epoch'] == 1
    train(str(tiny_config), work_dir=str(folder), resume=True)
    _assert_same(_weights(folder), _weights(uninterrupted))


@pytest.mark.parametrize(
    ('option', 'resume'),
    [
        ('model.neck.type=Nothing', False),
        ('load_from=nowhere.pth', False),
        ('optim_wrapper.optimizer.lr=0.5', True),
        ('train_cfg.max_epochs=1', True),
    ],
)
def test_a_failed_start_leaves_an_earlier_run_in_place(uninterrupted, tiny_config, option, resume):
    before = {path: path.read_bytes() for path in uninterrupted.glob('*.*') if path.is_file()}
    assert uninterrupted / 'tiny.py' in before
    for config in (tiny_config, shutil.copy(tiny_config, tiny_config.with_name('other.py'))):
        with pytest.raises(UserError):
            train(str(config), work_dir=str(uninterrupted), options=[option], resume=resume)
    assert before == {path: path.read_bytes() for path in uninterrupted.glob('*.*') if path.is_file()}


def test_a_new_run_by_another_config_leaves_one_config_in_the_folder(uninterrupted, tiny_config):
    """By which, and not by the earlier run's, its weights are tested; modules of the user's own stay."""
    old = (uninterrupted / 'tiny.py').read_bytes()
    (uninterrupted / 'layers.py').write_text('WIDTH = 3\n')
    other = tiny_config.rename(tiny_config.with_name('another_one.py'))
    start = ['train_cfg.max_epochs=1', f'load_from={uninterrupted / LAST}']
    train(str(other), work_dir=str(uninterrupted), options=start)
    [aside] = uninterrupted.glob('before_*')
    assert (aside / 'tiny.py').read_bytes() == old
    assert {p.name for p in uninterrupted.glob('*.py')} == {'layers.py', 'another_one.py'}
    assert Config.fromfile(uninterrupted / 'another_one.py').load_from == str(aside / LAST)
    # the next run would know it, whose logs have the former load_from
    assert _configs_of_runs(uninterrupted, now='') == [uninterrupted / 'another_one.py']


def test_hard_negatives_that_a_new_run_reads_stay_where_its_config_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / 'w'
    folder.mkdir()
    crop = {'type': 'RandomTargetCrop', 'negatives': 'w/negatives.json'}
    steps = {'pipeline': [{'type': 'RandomChoice', 'transforms': [[crop]]}]}
    runner = SimpleNamespace(work_dir='w', _load_from=None, cfg=Config({'train_dataloader': steps}))
    for runner.timestamp in ('first', 'second'):
        for name in ('negatives.json', LAST):
            (folder / name).write_text('{}')
        _TakeFolder(False, False)._put_aside(runner)
        assert (folder / 'negatives.json').is_file() == bool(steps)
        assert (folder / f'before_{runner.timestamp}' / LAST).is_file()
        steps = {}
        runner.cfg = Config({})
    (folder / LAST).write_text('in the same second')
    _TakeFolder(False, False)._put_aside(runner)
    assert (folder / 'before_second' / LAST).read_text() == '{}'
    assert (folder / 'before_second_' / LAST).read_text() == 'in the same second'


def test_going_on_with_the_run_of_another_folder_keeps_this_ones(uninterrupted, tiny_config, tmp_path):
    other = tmp_path / 'other'
    train(str(tiny_config), work_dir=str(other), seed=7, options=['train_cfg.max_epochs=1'])
    runner = train(
        str(tiny_config),
        work_dir=str(uninterrupted),
        resume=str(other / LAST),
        options=['train_cfg.max_epochs=2', 'train_cfg.val_interval=9'],
    )
    assert runner.train_dataloader.sampler.seed == runner.seed == 7
    [aside] = uninterrupted.glob('before_*')
    assert (aside / 'best.pth').is_file()
    # training by the record trains, instead of going on with what is complete
    for record in (uninterrupted / 'tiny.py', *uninterrupted.glob('2*/vis_data/config.py')):
        cfg = Config.fromfile(record)
        assert (cfg.resume, cfg.load_from) == (False, None), record


def test_going_on_with_a_whole_run_of_another_folder_does_nothing(
    uninterrupted, tiny_config, tmp_path, capfd
):
    folder = tmp_path / 'other'
    folder.mkdir()
    own = read_checkpoint(uninterrupted / BEST)
    own['meta'][STOPPED] = 'at epoch 1 of 3'
    torch.save(own, folder / BEST)
    shutil.copy(uninterrupted / LAST, folder)
    before = (folder / BEST).read_bytes()
    train(str(tiny_config), work_dir=str(folder), resume=str(uninterrupted / LAST))
    out = capfd.readouterr().out
    assert f'best epoch  {uninterrupted / BEST}' in out
    assert f'last epoch  {uninterrupted / LAST}' in out
    assert (folder / BEST).read_bytes() == before


def test_a_whole_run_names_no_best_that_is_not_its_best(uninterrupted, tiny_config, capfd):
    other = read_checkpoint(uninterrupted / BEST)
    other['meta']['epoch'] = 7
    torch.save(other, uninterrupted / BEST)
    train(str(tiny_config), str(uninterrupted), True)
    out = capfd.readouterr().out
    assert 'best.pth does not hold epoch' in out
    assert 'best epoch' not in out
    assert f'last epoch  {uninterrupted / LAST}' in out


def test_what_is_drawn_otherwise_in_a_resumed_run_is_said(uninterrupted, tiny_config, capfd):
    steps, order = 'replace_steps.RandomTargetCrop.target_prob', 'train_dataloader.sampler.shuffle'
    for options, key, more in (
        ({steps: 0.125}, r'dataset\.pipeline\.\d\.target_prob: 0\.125 instead of', ''),
        ({order: False}, r'sampler\.shuffle: False instead of', ''),
        ({steps: 0.125, order: False}, '', ' (and 1 more)'),
        ({}, None, ''),
    ):
        train(str(tiny_config), str(uninterrupted), True, options=options)
        out = ' '.join(capfd.readouterr().out.split())
        said = f'with images drawn otherwise: train_dataloader.{key}'
        assert ('drawn otherwise' in out) == bool(options)
        assert key is None or re.search(f'{said}.*{re.escape(more)}', out)


def test_a_resumed_run_has_the_seed_of_its_checkpoint(uninterrupted, tiny_config, capfd):
    for given, options in ((None, ['randomness.seed=77']), (77, None), (None, None)):
        runner = train(str(tiny_config), str(uninterrupted), True, seed=given, options=options)
        out = capfd.readouterr().out
        said = 'goes on with seed 42, that of the checkpoint; seed 77 has no effect' in out
        assert said == bool(given or options)
        assert 'random seed' not in out  # mmengine's, which does not say which one wins
        assert runner.seed == runner.cfg.randomness.seed == 42


def test_typed_weights_win_over_a_config_that_resumes(tiny_config):
    cfg = training_config(str(tiny_config), load_from='a.pth', options=['resume=True', 'load_from=b.pth'])
    assert (cfg.resume, cfg.load_from) == (False, 'a.pth')
    with pytest.raises(UserError, match='exclude each other'):
        training_config(str(tiny_config), load_from='a.pth', resume=True)


@pytest.mark.parametrize('has', ['avx512_bf16', 'amx_bf16', None])
def test_bf16_without_instructions_for_it_is_told(monkeypatch, capsys, has):
    can = {'architecture': 'x86_64', 'avx512_bf16': False, 'amx_bf16': False} | ({has: True} if has else {})
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: can, raising=False)
    Predictor('madnet_nano', device='cpu', amp=True)
    assert ('no instructions for bfloat16' in capsys.readouterr().err) == (has is None)
    OPTIM_WRAPPERS.build({'type': 'CPUAmpOptimWrapper', 'optimizer': torch.optim.SGD([torch.ones(1)], lr=1)})
    assert ('no instructions for bfloat16' in capsys.readouterr().err) == (has is None)


@pytest.mark.parametrize('scale', ['dynamic', 512.0, {'enabled': False}])
def test_amp_takes_every_scale_of_losses(monkeypatch, scale):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    cfg = Config({'optim_wrapper': {'type': 'AmpOptimWrapper', 'loss_scale': scale}})
    set_amp(cfg, 'fp16')
    assert cfg.optim_wrapper.get('loss_scale') == (None if isinstance(scale, dict) else scale)


def test_several_optimisers_are_refused():
    runner = MadnetRunner.__new__(MadnetRunner)
    runner.cfg = Config()
    wrappers = {part: OptimWrapper(torch.optim.SGD([torch.ones(1)], lr=1)) for part in ('body', 'rest')}
    with pytest.raises(UserError, match=r'optim_wrapper: found several optimisers \(body, rest\)'):
        runner.build_optim_wrapper(wrappers)


def test_a_test_builds_no_validation():
    runner = SimpleNamespace(_val_loop={'type': 'ValLoop'})  # val_loop would build it
    SafeCheckpointHook().before_run(runner)


def test_a_config_that_says_resume_goes_on(uninterrupted, tiny_config):
    """As mmengine takes it."""
    options = ['resume=True', 'train_cfg.max_epochs=4']
    runner = train(str(tiny_config), work_dir=str(uninterrupted), options=options)
    assert (runner.epoch, runner.iter) == (4, 16)
    assert len(runner.message_hub.log_scalars['train/loss'].data[0]) == 16
    assert not [*uninterrupted.glob('before_*')]


def test_the_best_is_marked_by_the_metric_that_chooses_it(tiny_config, tmp_path, capsys):
    options = [f'default_hooks.checkpoint.{key}' for key in ('save_best=Fa', 'best_from=0.0')]
    train(str(tiny_config), work_dir=str(tmp_path), options=options)
    lines = re.findall(r'Pd (\S+)  Fa (\S+)e-6(.*)', capsys.readouterr().err)
    values = [float(value) if float(found) else 1e6 for found, value, _ in lines]
    best = [value < min(values[:k], default=1e6) for k, value in enumerate(values)]
    assert ['best so far' in mark for *_, mark in lines] == best


def test_another_metric_that_chooses_the_best_is_compared_with_itself(monkeypatch):
    hook = SafeCheckpointHook(save_best='Fa', rule='less')
    monkeypatch.setattr(hook, '_write', lambda *args, **kwargs: pytest.fail('0.2 is taken for less than 0.1'))
    info = {'best_score': 0.5, 'best_epoch': 1, 'best_metrics': {'nIoU': 0.5, 'Fa': 0.1}}
    runner = SimpleNamespace(message_hub=SimpleNamespace(runtime_info=info), epoch=2, max_epochs=3)
    hook._save_if_best(runner, {'nIoU': 0.6, 'Fa': 0.2})


def test_a_metric_beside_ours_chooses_the_best_whatever_else_it_gives(monkeypatch):
    hook, written = SafeCheckpointHook(save_best='mIoU'), []
    monkeypatch.setattr(hook, '_write', lambda *args, meta, **kwargs: written.append(meta))
    hub = SimpleNamespace(runtime_info={}, update_info=lambda *args: None)
    runner = SimpleNamespace(message_hub=hub, epoch=1, iter=2, max_epochs=3)
    hook._save_if_best(runner, {'IoU': 0.1, 'mIoU': 0.5, 'classes': [0.1, 0.9], 'at': 'here'})
    assert written == [{'epoch': 1, 'iter': 2, 'mIoU': 0.5}]
    with pytest.raises(UserError, match="save_best: found 'classes', expected one of IoU, mIoU"):
        SafeCheckpointHook(save_best='classes')._save_if_best(runner, {'IoU': 0.1, 'mIoU': 1, 'classes': [1]})


def test_a_printed_config_trains_under_mmengines_own_runner(tiny_config, tmp_path):
    options = {'train_cfg.max_epochs': 1, 'experiment_name': 'plain', 'capture_step': 'emulate'}
    printed = tmp_path / 'printed.py'
    printed.write_text(training_config(str(tiny_config), str(tmp_path / 'run'), options=options).pretty_text)
    runner = Runner.from_cfg(Config.fromfile(printed))
    runner.train()
    assert (tmp_path / 'run' / LAST).is_file()


def test_a_config_without_randomness_takes_a_seed(tiny_config, tmp_path):
    printed = tmp_path / 'printed.py'
    text = training_config(str(tiny_config)).pretty_text
    printed.write_text(re.sub(r'randomness = .*\n', '', text))
    assert training_config(str(printed), seed=5).randomness.seed == 5


def test_inside_an_epoch_mmengines_sampler_cannot_go_on(tiny_config, tmp_path):
    text = tiny_config.read_text()
    hook = "custom_hooks = [dict(type='InterruptAt', stage='train', count={})]\n"
    for count, resume, error in ((2, False, TrainingStopped), (9, True, UserError)):
        tiny_config.write_text(text + hook.format(count))
        options = ['train_dataloader.sampler.type=DefaultSampler']
        with pytest.raises(error) as e:
            train(str(tiny_config), work_dir=str(tmp_path / 'w'), options=options, resume=resume)
    assert 'found DefaultSampler, expected ResumableSampler' in str(e.value)


@pytest.mark.parametrize(('gpu', 'first', 'then'), [(True, 'bf16', 'fp16'), (False, 'bf16', 'bf16')])
def test_a_printed_config_takes_another_precision(tiny_config, tmp_path, monkeypatch, gpu, first, then):
    printed = tmp_path / 'printed.py'
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, 'is_available', lambda: True)
        printed.write_text(training_config(str(tiny_config), amp=first).pretty_text)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: gpu)
    found = training_config(str(printed), amp=then).optim_wrapper
    assert 'loss_scale' not in found
    assert found.get('dtype') == ('float16' if gpu else None)


def test_a_launcher_without_its_starter(tiny_config, tmp_path, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    with pytest.raises(UserError, match='torchrun'):
        train(str(tiny_config), work_dir=str(tmp_path / 'w'), launcher='pytorch')


def test_more_processes_than_gpus(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    monkeypatch.setenv('RANK', '1')
    monkeypatch.setenv('LOCAL_RANK', '1')
    with pytest.raises(UserError, match=r'found process 1 .* and 1 GPUs, .*--nproc-per-node 1'):
        train(str(tiny_config), work_dir=str(tmp_path / 'w'), launcher='pytorch')
    assert not (tmp_path / 'w').exists()


def test_a_config_that_does_not_exist_offers_the_nearest():
    with pytest.raises(UserError, match=r"no such file.* Did you mean 'configs/madnet_nuaa.py'"):
        train('configs/madnet_nua.py')
