"""The moving average against its formula."""

import copy

import pytest
import torch
from mmengine.model import BaseAveragedModel
from torch import nn

import madnet  # noqa: F401
from madnet.engine.optim import RampedEMA
from madnet.errors import UserError


def test_against_the_formula():
    model = nn.BatchNorm1d(2)
    ema = RampedEMA(model, decay=0.5)
    expected = None
    for t in range(20):
        with torch.no_grad():
            model.weight.fill_(float(t * t))
            model.running_mean.fill_(-float(t))
        ema.update_parameters(model)
        if t == 0:
            expected, mean = 0.0, 0.0
        else:
            decay = min(0.5, (1 + t) / (10 + t))
            expected = decay * expected + (1 - decay) * t * t
            mean = decay * mean - (1 - decay) * t
        torch.testing.assert_close(ema.module.weight, torch.full((2,), expected))
        torch.testing.assert_close(ema.module.running_mean, torch.full((2,), mean))


def test_all_tensors_at_once_are_mmengines_loop():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)).to(memory_format=torch.channels_last)
    fast, slow = RampedEMA(model, decay=0.9, interval=2), RampedEMA(model, decay=0.9, interval=2)
    for _ in range(7):
        model(torch.randn(2, 2, 8, 8)).sum().backward()
        with torch.no_grad():
            for p in model.parameters():
                p.sub_(p.grad, alpha=0.1)
        fast.update_parameters(model)
        BaseAveragedModel.update_parameters(slow, model)
    for (name, a), b in zip(fast.state_dict().items(), slow.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def trained(ema, model, steps, by_step=False):
    """The weights after each of so many steps of noise."""
    ema.moved_by_step = by_step
    weights = []
    for _ in range(steps):
        model(torch.randn(2, 2, 8, 8)).sum().backward()
        with torch.no_grad():
            for p in model.parameters():
                p.sub_(p.grad, alpha=0.1)
                p.grad = None
        if by_step:
            ema.count_step()
            ema.move(model)
        ema.update_parameters(model)
        weights.append({k: v.clone() for k, v in model.state_dict().items()})
    return weights


@pytest.mark.parametrize('by_step', [False, True])
def test_what_is_kept_of_the_start_lies_on_the_line_between(by_step):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))
    again = copy.deepcopy(model)
    torch.manual_seed(1)
    kept = RampedEMA(model, decay=0.9, kept=0.25)
    weights = trained(kept, model, 8, by_step)
    torch.manual_seed(1)
    plain = RampedEMA(again, decay=0.9)
    trained(plain, again, 8)
    for name, value in kept.module.state_dict().items():
        average = plain.module.state_dict()[name]
        if not value.dtype.is_floating_point:
            assert torch.equal(value, average), name
            continue
        torch.testing.assert_close(model.state_dict()[name], again.state_dict()[name])
        torch.testing.assert_close(value, 0.25 * weights[0][name] + 0.75 * average, msg=name)


def test_what_is_kept_goes_on_after_a_break():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))
    whole = RampedEMA(model, decay=0.9, kept=0.5)
    trained(whole, model, 3)
    other = copy.deepcopy(model)
    again = RampedEMA(nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)), decay=0.9, kept=0.5)
    again.load_state_dict(copy.deepcopy(whole.state_dict()))
    for ema, of in ((whole, model), (again, other)):
        torch.manual_seed(2)
        trained(ema, of, 3)
    for (name, a), b in zip(whole.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize('wrong', [{'kept': 1.0}, {'kept': -0.1}, {'kept': 0.5, 'update_buffers': False}])
def test_a_share_that_cannot_be_kept_is_refused(wrong):
    with pytest.raises(
        UserError, match=rf'kept(: found |=){wrong["kept"]}, .*expected (a number|all buffers)'
    ):
        RampedEMA(nn.BatchNorm1d(2), **wrong)
