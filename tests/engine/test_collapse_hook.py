"""When the hook speaks, and when it keeps quiet."""

from types import SimpleNamespace

import pytest
import torch

import madnet  # noqa: F401
from madnet.engine.hooks import CollapseHook
from madnet.models.losses import MaskBCELoss

FINE = {'Pd': 0.9, 'Fa': 1e-5}
BLACK = {'Pd': 0.0, 'Fa': 0.0}
WHITE = {'Pd': 1.0, 'Fa': 0.97}


@pytest.fixture
def said():
    def validate(epochs, **kwargs):
        hook, lines = CollapseHook(**kwargs), []
        logger = SimpleNamespace(warning=lines.append)
        for epoch, metrics in enumerate(epochs, start=1):
            hook.after_val_epoch(SimpleNamespace(epoch=epoch, logger=logger), metrics)
        return lines

    return validate


def test_black_is_told_once(said):
    lines = said([FINE, *[BLACK] * 6], patience=3, after=2)
    assert len(lines) == 1
    assert 'to epoch 5' in lines[0]
    assert 'black everywhere' in lines[0]
    assert 'target_prob' in lines[0]


def test_white_is_another_word(said):
    (line,) = said([WHITE] * 4, patience=3, after=0)
    assert 'most of the image' in line
    assert len(said([*[WHITE] * 3, *[BLACK] * 3], patience=3, after=0)) == 2


@pytest.mark.parametrize(
    'epochs',
    [[FINE] * 9, [BLACK, BLACK, FINE] * 3, [BLACK, WHITE] * 5, [BLACK] * 4, [{}] * 9, [None] * 9],
    ids=['fine', 'recovers', 'changes', 'only at the start', 'other metrics', 'none'],
)
def test_quiet_otherwise(said, epochs):
    assert said(epochs, patience=3, after=4) == []


@pytest.fixture
def said_in_training():
    """Lines of a training whose epochs are lists of steps, each step the highest logits of s1 and fused."""

    def train(epochs, begin=0.0, **kwargs):
        hook, lines = CollapseHook(**kwargs), []
        head = torch.nn.Module()
        head.loss_decode = MaskBCELoss(begin=begin)
        model = torch.nn.Module()
        model.decode_head = head
        runner = SimpleNamespace(model=model, logger=SimpleNamespace(warning=lines.append))
        for runner.epoch, steps in enumerate(epochs):
            head.loss_decode.set_epoch(runner.epoch, len(epochs))
            for step, (side, prediction) in enumerate(steps):
                head.highest_logits = {'s1': torch.tensor(side), 'fused': torch.tensor(prediction)}
                hook.after_train_iter(runner, step)
            hook.after_train_epoch(runner)
        return lines

    return train


ALIVE = [(-2.0, 1.0), (3.0, -1.0)]
SIDE_BLACK = [(-2.0, 1.0), (-0.5, -1.0)]
ALL_BLACK = [(-2.0, -1.0), (-0.5, -1.0)]


def test_a_black_map_of_the_supervision_is_told_without_validation(said_in_training):
    (line,) = said_in_training([ALIVE, *[SIDE_BLACK] * 6], patience=3, after=2)
    assert 'no pixel in 3 epochs of training, to epoch 5, in the supervised map(s) s1: ' in line
    assert 'MaskBCELoss' in line


def test_a_black_side_map_is_no_news_before_the_loss_that_revives_it(said_in_training):
    recipe = {'begin': 0.8, 'patience': 3, 'after': 2}
    assert said_in_training([*[SIDE_BLACK] * 8, ALIVE, ALIVE], **recipe) == []
    (line,) = said_in_training([SIDE_BLACK] * 20, **recipe)
    assert 'to epoch 19, in the supervised map(s) s1' in line
    (line,) = said_in_training([ALL_BLACK] * 10, **recipe)
    assert 'to epoch 5: The network answers black everywhere' in line


def test_a_black_prediction_is_told_without_validation(said_in_training):
    (line,) = said_in_training([ALL_BLACK] * 6, patience=3, after=2)
    assert 'to epoch 5: The network answers black everywhere' in line


@pytest.mark.parametrize(
    'epochs',
    [[ALIVE] * 9, [ALL_BLACK] * 4, [SIDE_BLACK, SIDE_BLACK, ALIVE] * 3, [[]] * 9],
    ids=['alive', 'only at the start', 'recovers', 'a head without peaks'],
)
def test_quiet_in_training_otherwise(said_in_training, epochs):
    assert said_in_training(epochs, patience=3, after=4) == []
