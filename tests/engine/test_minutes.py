"""Training for minutes instead of epochs."""

import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import MultiStepLR
from mmseg.registry import HOOKS

import madnet  # noqa: F401
from madnet.engine import time_budget
from madnet.engine.checkpoint import LAST, read_checkpoint
from madnet.engine.hooks import TimedScheduleHook
from madnet.engine.time_budget import TimeBudget
from madnet.engine.train import train
from madnet.engine.training_stopped import TrainingStopped
from madnet.errors import UserError
from madnet.models.losses import MaskBCELoss


class Died(Exception):
    """Stands for a kill."""


@HOOKS.register_module()
class EndAfterSteps(Hook):
    """Ends a training at a step, by a signal or as if killed."""

    def __init__(self, steps, kill):
        self.steps, self.kill = steps, kill

    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter + 1 == self.steps:
            if self.kill:
                raise Died
            os.kill(os.getpid(), signal.SIGTERM)


@HOOKS.register_module()
class EstimatesHook(Hook):
    """Keeps what is shown as the number of epochs, after each step."""

    def __init__(self):
        self.epochs = []

    def before_train_iter(self, runner, *args, **kwargs):
        self.epochs.append(runner.max_epochs)


class Clock:
    """Goes on by itself when steps, validations and saving are done, as slow as a test wants; the steps do
    nothing else."""

    def __init__(self, monkeypatch, step=1.0, validation=5.0, saving=0.5):
        self.now = 1000.0
        monkeypatch.setattr(time, 'monotonic', lambda: self.now)
        monkeypatch.setattr(time, 'process_time', lambda: self.now)
        monkeypatch.setattr(
            BaseModel, 'train_step', lambda model, data, optim_wrapper: self.step(optim_wrapper)
        )
        self.seconds_of_a_step = step
        self.takes(monkeypatch, 'mmengine.runner.ValLoop.run', validation)
        self.takes(monkeypatch, 'madnet.engine.loops.ResumableTrainLoop._time_validation', 0.2)
        self.takes(monkeypatch, 'madnet.engine.hooks.SafeCheckpointHook._write', saving)

    def step(self, optim_wrapper):
        self.now += self.seconds_of_a_step
        optim_wrapper.step()  # without gradients
        return {'loss': torch.ones(())}

    def takes(self, monkeypatch, name, seconds):
        where, _, function = name.rpartition('.')
        module, _, kind = where.rpartition('.')
        owner = getattr(sys.modules[module], kind)
        inner = getattr(owner, function)

        def slow(*args, **kwargs):
            done = inner(*args, **kwargs)
            self.now += seconds
            return done

        monkeypatch.setattr(owner, function, slow)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def _rates(folder):
    hub = read_checkpoint(folder / LAST)['message_hub']
    return hub['log_scalars']['train/lr']['__history_buffer__'][0].tolist()


def test_gradients_may_be_accumulated_over_more_steps_than_were_planned(tiny_config, tmp_path, clock):
    options = {'optim_wrapper.accumulative_counts': 4, 'train_cfg.max_epochs': 1}
    runner = train(str(tiny_config), work_dir=str(tmp_path / 'run'), minutes=1, options=options)
    assert runner.iter > 2 * len(runner.train_dataloader)
    runner.optim_wrapper._inner_count = runner.iter  # the clock of these tests takes steps by itself
    assert runner.optim_wrapper.scale_loss(torch.ones(())) == 0.25


def test_all_of_it_is_inside_the_budget(tiny_config, tmp_path, clock):
    """Four steps an epoch: epochs cannot end with the time."""
    began = clock.now
    runner = train(str(tiny_config), work_dir=str(tmp_path / 'run'), minutes=1)
    assert clock.now - began == pytest.approx(60, abs=2)
    assert 45 < runner.iter < 58
    last = read_checkpoint(tmp_path / 'run' / LAST)
    assert last['meta']['iter'] == runner.iter
    assert last['meta']['time budget']['over']
    assert not last['meta']['validation_due']
    assert (tmp_path / 'run' / 'best.pth').exists()
    # the validation of the end is of the last weights
    assert runner.message_hub.get_scalar('val/nIoU') is not None


def test_the_decay_is_finished(tiny_config, tmp_path, clock):
    runner = train(str(tiny_config), work_dir=str(tmp_path / 'run'), minutes=1)
    by_epochs = train(str(tiny_config), work_dir=str(tmp_path / 'other'))
    [scheduler] = runner.param_schedulers
    [other] = by_epochs.param_schedulers
    assert scheduler.last_step == other.last_step == 11
    rates = [w.optim_wrapper.get_lr()['lr'] for w in (runner, by_epochs)]
    assert rates[0] == rates[1]
    seen = _rates(tmp_path / 'run')
    assert set(seen) == set(_rates(tmp_path / 'other'))  # every step of the curve, for longer
    top = seen.index(max(seen))
    assert seen[:top] == sorted(seen[:top])
    assert seen[top:] == sorted(seen[top:], reverse=True)


def test_the_number_of_epochs_is_estimated_within_the_first(tiny_config, tmp_path, monkeypatch):
    """So that what is shown to be left is no more wrong in a first epoch of an hour than after it."""
    Clock(monkeypatch, step=0.2)
    plain = tiny_config.read_text().replace('batch_size=4', 'batch_size=1')  # 16 steps an epoch
    tiny_config.write_text(plain + "default_hooks = dict(kept=dict(type='EstimatesHook'))\n")
    runner = train(str(tiny_config), work_dir=str(tmp_path / 'run'), minutes=1)
    [kept] = [hook for hook in runner.hooks if isinstance(hook, EstimatesHook)]
    steps = len(runner.train_loop.dataloader)
    # not yet known is what validations will take
    assert kept.epochs[0] == runner.train_loop.planned_epochs == 3
    assert runner.epoch / 2 < kept.epochs[steps - 1] < 2 * runner.epoch


@pytest.mark.parametrize(('step', 'epochs'), [(0.2, (50, 75)), (3.0, (3, 5)), (30.0, (0.2, 0.6))])
def test_any_speed_will_do(tiny_config, tmp_path, monkeypatch, capsys, step, epochs):
    clock = Clock(monkeypatch, step=step)
    began = clock.now
    runner = train(str(tiny_config), work_dir=str(tmp_path / 'run'), minutes=1)
    assert clock.now - began == pytest.approx(59, abs=1 + step / 2)
    assert epochs[0] <= runner.iter / 4 <= epochs[1]
    said = capsys.readouterr()
    assert ('cannot teach a network anything' in said.out) == (step > 1)
    assert re.search(r'^epoch 1, \d\.\d of 1 min  loss', said.err, re.MULTILINE)
    assert 'epoch 1/' not in said.err  # the number of epochs is not known
    assert runner.param_schedulers[0].last_step == 11


def test_validations_and_checkpoints_on_the_way_take_little(tiny_config, tmp_path, monkeypatch):
    Clock(monkeypatch, step=0.5, validation=1.0, saving=1.0)
    runner = train(str(tiny_config), work_dir=str(tmp_path / 'run'), minutes=2)
    validations = len(runner.message_hub.get_scalar('val/nIoU').data[0])
    assert 3 <= validations <= 12
    assert runner.iter > 190


def test_a_kill_keeps_the_budget(tiny_config, tmp_path, clock):
    """What is lost is what came after the last checkpoint: its time is not counted."""
    plain = tiny_config.read_text()
    tiny_config.write_text(
        plain + "default_hooks = dict(end=dict(type='EndAfterSteps', steps=32, kill=True))\n"
    )
    with pytest.raises(Died):
        train(str(tiny_config), work_dir=str(tmp_path / 'run'), minutes=1)
    saved = read_checkpoint(tmp_path / 'run' / LAST)['meta']
    spent = saved['time budget']['spent']
    assert 20 <= spent < 32
    tiny_config.write_text(plain)
    began = clock.now
    runner = train(str(tiny_config), work_dir=str(tmp_path / 'run'), minutes=1, resume=True)
    assert spent + clock.now - began == pytest.approx(60, abs=2)
    assert saved['iter'] + 20 < runner.iter < 58
    assert runner.param_schedulers[0].last_step == 11

    before, began = runner.iter, clock.now
    assert train(str(tiny_config), work_dir=str(tmp_path / 'run'), minutes=1, resume=True).iter == before
    assert clock.now - began < 1  # nothing is left to do
    with pytest.raises(UserError, match='has had its 1 min'):
        train(str(tiny_config), work_dir=str(tmp_path / 'run'), minutes=2, resume=True)
    with pytest.raises(UserError, match='Add --minutes 1'):
        train(str(tiny_config), work_dir=str(tmp_path / 'run'), resume=True)


def test_a_signal_keeps_the_budget(tiny_config, tmp_path, clock):
    plain = tiny_config.read_text()
    tiny_config.write_text(
        plain + "default_hooks = dict(end=dict(type='EndAfterSteps', steps=10, kill=False))\n"
    )
    began = clock.now
    with pytest.raises(TrainingStopped):
        train(str(tiny_config), work_dir=str(tmp_path / 'run'), minutes=1)
    tiny_config.write_text(plain)
    train(str(tiny_config), work_dir=str(tmp_path / 'run'), minutes=1, resume=True)
    assert clock.now - began == pytest.approx(60, abs=2)


def test_losses_that_begin_later_do(tiny_config, tmp_path, monkeypatch):
    """A share of the epochs is a share of the time."""
    Clock(monkeypatch, step=0.5)
    begun = []
    original = MaskBCELoss.set_epoch

    def noted(self, epoch, max_epochs):
        original(self, epoch, max_epochs)
        if max_epochs < 10**6:  # the losses' own trial
            begun.append((epoch, self.active))

    monkeypatch.setattr(MaskBCELoss, 'set_epoch', noted)
    runner = train(str(tiny_config), work_dir=str(tmp_path / 'run'), minutes=1)
    first = next(epoch for epoch, active in begun if active)
    assert first == pytest.approx(0.5 * runner.epoch, abs=2.5)
    assert [active for _, active in begun] == sorted(active for _, active in begun)  # and stay


@pytest.mark.parametrize('minutes', [0, -1, float('nan'), float('inf')])
def test_an_impossible_time_is_refused(tiny_config, tmp_path, minutes):
    with pytest.raises(UserError, match=r'train_cfg\.minutes: found'):
        train(str(tiny_config), work_dir=str(tmp_path / 'run'), minutes=minutes)


def test_milestones_keep_their_share():
    """Of schedulers that go by epochs, mmengine's too."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = MultiStepLR(optimizer, milestones=[200, 300], gamma=0.1, end=400)
    budget = TimeBudget(1)
    loop = SimpleNamespace(planned_epochs=400, dataloader=[None] * 7, budget=budget)
    runner = SimpleNamespace(train_loop=loop, param_schedulers=[scheduler])
    budget.set_up = 0.0
    seen = []
    for share in (0.0, 0.4, 0.51, 0.76, 0.99, 0.5):
        budget.spent = share * budget.end
        TimedScheduleHook().after_train_iter(runner, 0)
        seen.append(round(optimizer.param_groups[0]['lr'], 4))
    assert seen == [1.0, 1.0, 0.1, 0.01, 0.01, 0.01]
    runner.train_loop.budget = None  # minutes were taken out of a printed config: as mmengine's
    before = runner.param_schedulers[0]._global_step
    TimedScheduleHook().after_train_iter(runner, 0)
    TimedScheduleHook().after_train_epoch(runner)
    assert runner.param_schedulers[0]._global_step == before + 1


def test_what_the_first_process_read_holds_for_all(monkeypatch):
    """Processes whose clocks, validations and checkpoints differ decide alike."""
    budgets = [TimeBudget(1), TimeBudget(1)]
    for budget, began, validation, checkpoint in zip(budgets, (50, 40), (2.0, 3.5), (1.0, 0.0), strict=True):
        budget.begin(time.monotonic() - began)
        budget.has_validated(validation)
        budget.has_saved(checkpoint)
    monkeypatch.setattr(time_budget, 'get_world_size', lambda: 2)
    monkeypatch.setattr(time_budget, 'get_device', lambda: 'cpu')
    first: list = []
    monkeypatch.setattr(time_budget, 'broadcast', lambda t: t.copy_(first[0]) if first else first.append(t))
    for budget in budgets:
        budget.look()
    known = [(b.spent, b.end, b.validation, b.checkpoint, b.has_room_for_a_step()) for b in budgets]
    assert known[0] == known[1]
    assert known[0][2:4] == (2.0, 1.0)
    time.sleep(0.01)
    assert budgets[0].has_room_for_a_validation() == budgets[1].has_room_for_a_validation()
    assert [b.end for b in budgets] == [known[0][1]] * 2  # nobody reads a clock between two looks


@pytest.mark.parametrize(('step', 'looks'), [(0.01, (75, 150)), (0.5, (58, 58))])
def test_several_processes_share_their_clocks_a_few_times_a_second(monkeypatch, step, looks):
    now = 1000.0
    monkeypatch.setattr(time, 'monotonic', lambda: now)
    monkeypatch.setattr(time, 'process_time', lambda: now)
    monkeypatch.setattr(time_budget, 'get_world_size', lambda: 2)
    monkeypatch.setattr(time_budget, 'get_device', lambda: 'cpu')
    shared: list = []
    monkeypatch.setattr(time_budget, 'broadcast', shared.append)
    budget = TimeBudget(0.5)
    while budget.has_room_for_a_step():
        now += step
        budget.step_ended()
    assert now - 1000 == pytest.approx(29, abs=0.3)
    assert looks[0] <= len(shared) <= looks[1]


def test_several_processes_look_where_an_epoch_begins_slowly(monkeypatch):
    """Fifteen steps of 10 ms, and 3 s before them."""
    now = 1000.0
    monkeypatch.setattr(time, 'monotonic', lambda: now)
    monkeypatch.setattr(time, 'process_time', lambda: now)
    monkeypatch.setattr(time_budget, 'get_world_size', lambda: 2)
    monkeypatch.setattr(time_budget, 'get_device', lambda: 'cpu')
    monkeypatch.setattr(time_budget, 'broadcast', lambda tensor: None)
    budget = TimeBudget(1)
    while not budget.over:
        budget.look(again=True)  # what goes_on does
        now += 3
        for _ in range(15):
            now += 0.01
            budget.step_ended()
            budget.over = not budget.has_room_for_a_step()
            if budget.over:
                break
    assert 58 < now - 1000 < 61


@pytest.mark.slow
def test_two_minutes_are_two_minutes(tiny_config, tmp_path, repository):
    """The whole tool, by the wall; the second half after a kill."""
    tiny_config.write_text(tiny_config.read_text().replace('max_epochs=3', 'max_epochs=40'))
    command = [sys.executable, 'tools/train.py', str(tiny_config), '--minutes', '2']
    began = time.monotonic()
    whole = subprocess.run(
        [*command, '--work-dir', str(tmp_path / 'a')],
        cwd=repository,
        check=True,
        text=True,
        capture_output=True,
    )
    assert time.monotonic() - began == pytest.approx(120, rel=0.05)
    assert '2 min came to' in whole.stdout
    last = read_checkpoint(tmp_path / 'a' / LAST)
    assert last['param_schedulers'][0]['last_step'] == 40 * 4 - 1

    process = subprocess.Popen([*command, '--work-dir', str(tmp_path / 'b')], cwd=repository)
    time.sleep(70)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    spent = read_checkpoint(tmp_path / 'b' / LAST)['meta']['time budget']['spent']
    began = time.monotonic()
    subprocess.run([*command, '--work-dir', str(tmp_path / 'b'), '--resume'], cwd=repository, check=True)
    assert spent + time.monotonic() - began == pytest.approx(120, rel=0.05)
    assert read_checkpoint(tmp_path / 'b' / LAST)['param_schedulers'][0]['last_step'] == 40 * 4 - 1
