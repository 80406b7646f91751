"""The moving average against its formula."""

import torch
from mmengine.model import BaseAveragedModel
from torch import nn

import madnet  # noqa: F401
from madnet.engine.optim import RampedEMA


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
