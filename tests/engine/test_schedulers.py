"""Learning-rate curves against the golden numbers and plain formulas."""

import json
import math

import pytest
import torch

import madnet  # noqa: F401
from madnet.engine.optim import PublishedCosineLR, PublishedPolyLR, WarmupCosineLR, WarmupFlatDecayLR
from madnet.errors import UserError


def _curve(scheduler_class, base, steps, **kwargs):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base)
    scheduler = scheduler_class(optimizer, **kwargs)
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return values


@pytest.mark.parametrize('name', ['nudt', 'nuaa', 'irstd1k', 'sirstaug'])
def test_published_curve_equals_the_golden_one_in_every_epoch(golden_dir, name):
    golden = json.loads((golden_dir / 'lr_schedule.json').read_text())[name]
    curve = _curve(PublishedPolyLR, golden['base_lr'], golden['epochs'], end=golden['epochs'])
    assert len(curve) == len(golden['values'])
    assert curve == pytest.approx(golden['values'], rel=1e-12, abs=0)


def test_published_cosine_against_the_formula():
    curve = _curve(PublishedCosineLR, 1e-3, 1000, end=1000)
    assert curve[:13] == pytest.approx(
        [1e-4 * epoch for epoch in range(11)] + [1e-3, 1e-5 + 9.9e-4 * (1 + math.cos(math.pi / 990)) / 2]
    )
    expected = [1e-5 + 9.9e-4 * (1 + math.cos(math.pi * (epoch - 11) / 990)) / 2 for epoch in range(12, 1000)]
    assert curve[12:] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize('scheduler_class', [PublishedPolyLR, PublishedCosineLR])
def test_published_curves_without_warm_up_begin_at_the_rate(scheduler_class):
    curve = _curve(scheduler_class, 2.0, 20, warmup=0, end=20)
    assert curve[0] == 2.0
    assert curve == sorted(curve, reverse=True)


def test_warmup_cosine_against_the_formula():
    curve = _curve(WarmupCosineLR, 2.0, 100, warmup_steps=10, eta_min_ratio=0.1, end=100, by_epoch=False)
    for step, value in enumerate(curve):
        if step < 10:
            expected = 2.0 * (step + 1) / 10
        else:
            expected = 2.0 * (0.1 + 0.9 * (1 + math.cos(math.pi * (step - 10) / 90)) / 2)
        assert value == pytest.approx(expected, rel=1e-12)


def test_flat_then_decay_against_the_formula():
    curve = _curve(
        WarmupFlatDecayLR,
        2.0,
        110,
        warmup_steps=10,
        decay_share=0.25,
        eta_min_ratio=0.1,
        end=110,
        by_epoch=False,
    )
    assert curve[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert curve[10:86] == [2.0] * 76
    expected = [2.0 * (0.1 + 0.9 * (1 - math.sqrt((step - 85) / 25))) for step in range(85, 110)]
    assert curve[85:] == pytest.approx(expected)


@pytest.mark.parametrize('share', [0, 1.5])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UserError, match='decay_share: found'):
        _curve(WarmupFlatDecayLR, 1.0, 1, decay_share=share, end=10)


def test_epochs_become_steps_but_the_warmup_stays():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = WarmupCosineLR.build_iter_from_epoch(optimizer, warmup_steps=7, end=3, epoch_length=20)
    assert (scheduler.warmup_steps, scheduler.total, scheduler.by_epoch) == (7, 60, False)


@pytest.mark.parametrize(
    'scheduler_class', [PublishedCosineLR, PublishedPolyLR, WarmupCosineLR, WarmupFlatDecayLR]
)
def test_a_resumed_curve_goes_on_exactly(scheduler_class):
    whole = _curve(scheduler_class, 0.3, 40, end=40)
    first = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = scheduler_class(first, end=40)
    for _ in range(15):
        first.step()
        scheduler.step()
    second = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    resumed = scheduler_class(second, end=40)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(scheduler.state_dict())
    rest = []
    for _ in range(25):
        rest.append(second.param_groups[0]['lr'])
        second.step()
        resumed.step()
    assert rest == whole[15:]
