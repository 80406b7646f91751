"""When the hook speaks, and when it keeps quiet."""

from types import SimpleNamespace

import pytest

import madnet  # noqa: F401
from madnet.engine.hooks import CollapseHook

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
