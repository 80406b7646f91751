"""Trainings that a hook ends, and what hooks have counted when one goes on."""

import math
import os
import signal

import pytest
import torch
from mmengine.hooks import EarlyStoppingHook, Hook
from mmseg.registry import HOOKS

import madnet  # noqa: F401
from madnet.engine.checkpoint import BEST, LAST, STOPPED, read_checkpoint, to_plain
from madnet.engine.hook_states import hook_states, load_hook_states
from madnet.engine.hooks import CollapseHook
from madnet.engine.loops import ResumableTrainLoop
from madnet.engine.time_budget import TimeBudget
from madnet.engine.train import train
from madnet.engine.training_stopped import TrainingStopped
from madnet.errors import UserError

PATIENT = {'type': 'EarlyStoppingHook', 'monitor': 'nIoU', 'rule': 'greater', 'min_delta': 50.0}


@HOOKS.register_module()
class SignalAtStep(Hook):
    """Sends a signal to this process after a step."""

    def __init__(self, step):
        self.step = step

    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter + 1 == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


class Counting(Hook):
    """As a user may write it."""

    def __init__(self):
        self.count = 0

    def state_dict(self):
        return {'count': self.count}

    def load_state_dict(self, state):
        self.count = state['count']


def test_early_stopping_goes_on_where_it_was(tiny_config, tmp_path, capfd):
    text, run = tiny_config.read_text(), tmp_path / 'run'

    def go_on(*hooks, resume=True):
        tiny_config.write_text(f'{text}\ncustom_hooks = {[*hooks]}\n')
        train(str(tiny_config), work_dir=str(run), resume=resume, options=['train_cfg.max_epochs=4'])
        return read_checkpoint(run / LAST)['meta']

    # of four batches an epoch: no epoch but the first improves, and one of two has been waited for
    with pytest.raises(TrainingStopped):
        go_on({**PATIENT, 'patience': 2}, {'type': 'SignalAtStep', 'step': 9}, resume=False)
    ended = go_on({**PATIENT, 'patience': 2})
    assert (ended['epoch'], ended['stop_training']) == (3, True)
    assert ended[STOPPED] == read_checkpoint(run / BEST)['meta'][STOPPED] == 'at epoch 3 of 4'
    assert 'stopped early by a hook at epoch 3 of 4; this took' in capfd.readouterr().out
    assert go_on({**PATIENT, 'patience': 2}) == ended
    assert 'a hook ended this training at epoch 3. To train on, resume without that hook' in (
        ''.join(capfd.readouterr())
    )
    whole = go_on({**PATIENT, 'patience': 9})
    assert whole['epoch'] == 4
    assert STOPPED not in {**whole, **read_checkpoint(run / BEST)['meta']}


def test_states_of_hooks_come_back():
    early = EarlyStoppingHook('nIoU', 'greater', patience=3)
    early.wait_count, early.best_score = 2, 0.5
    collapse, second, own = CollapseHook(), CollapseHook(), Counting()
    collapse._row, collapse._warned, collapse._black_epochs = ['black'], {'white', 'black'}, {'s1': 2}
    collapse._peaks['s1'] = [torch.tensor(-1.0), torch.tensor(-2.0)]
    second._row, own.count = ['white'], 7
    states = to_plain(hook_states([early, collapse, own, second, Hook()]))

    fresh = [
        Hook(),
        CollapseHook(),
        EarlyStoppingHook('nIoU', 'greater'),
        CollapseHook(),
        Counting(),
        Counting(),
    ]
    load_hook_states(fresh, states, 'last.pth')
    _, one, stopping, two, counting, new = fresh
    assert (stopping.wait_count, stopping.best_score) == (2, 0.5)
    assert (one._row, one._warned, one._black_epochs) == (['black'], {'white', 'black'}, {'s1': 2})
    assert one._peaks == {'s1': [torch.tensor(-1.0)]}
    assert (two._row, counting.count, new.count) == (['white'], 7, 0)
    load_hook_states(fresh, None, 'of an older version')
    assert to_plain(hook_states([EarlyStoppingHook('nIoU', 'greater')])) == {
        'EarlyStoppingHook': [{'wait_count': 0, 'best_score': -math.inf}]
    }


@pytest.mark.parametrize(
    ('hook', 'state'),
    [
        (Counting(), {'counts': 1}),
        (EarlyStoppingHook('nIoU', 'greater'), {'wait_count': None}),
        (CollapseHook(), [3]),
    ],
)
def test_a_state_that_is_not_taken_is_told_in_one_line(hook, state):
    name = type(hook).__name__
    with pytest.raises(UserError, match=rf'checkpoint last\.pth: {name} does not take the state') as e:
        load_hook_states([hook], {name: [state]}, 'last.pth')
    assert '\n' not in str(e.value)


def loop_at(iteration, minutes=None):
    """A loop after two of five epochs of four batches, which a hook has ended."""
    loop = ResumableTrainLoop.__new__(ResumableTrainLoop)
    loop.budget, loop.stop_training, loop.dataloader = minutes and TimeBudget(minutes), True, range(4)
    loop._epoch, loop._max_epochs, loop._iter = 2, 5, iteration
    return loop


@pytest.mark.parametrize(('iteration', 'goes_on'), [(8, False), (9, True), (12, True)])
def test_an_epoch_in_which_a_hook_ends_a_training_is_finished(iteration, goes_on):
    loop = loop_at(iteration)
    assert loop.goes_on() == goes_on
    assert loop.stopped_early == (None if goes_on else 'at epoch 2 of 5')


def test_where_a_hook_has_ended_a_training_is_said_in_words():
    loop = loop_at(8, minutes=1.5)
    assert loop.stopped_early == 'at epoch 2, before 1.5 min were over'
    loop.budget.over = True
    assert loop.stopped_early is None
    whole = loop_at(20)
    whole._epoch = 5
    assert whole.stopped_early is None
    whole.stop_training, whole._epoch = False, 4
    assert whole.stopped_early is None
