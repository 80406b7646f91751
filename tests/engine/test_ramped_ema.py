"""The moving average against its formula."""

import torch
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
