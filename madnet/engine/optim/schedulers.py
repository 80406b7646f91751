"""Learning-rate curves. ``optimizer`` comes from the runner, further arguments are mmengine's schedulers'."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable

from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmseg.registry import PARAM_SCHEDULERS

from madnet.errors import expect_number, expect_whole


def longer_than_run(schedulers: Iterable[_ParamScheduler], epochs: int, batches: int) -> list[str]:
    """What of learning-rate schedules a run is too short for, a line each.

    Args:
        schedulers: Of the run.
        epochs: Of the run.
        batches: Of an epoch.
    """
    lines = []
    for each in schedulers:
        length, unit = (epochs, 'epochs') if each.by_epoch else (epochs * batches, 'steps')
        name = type(each).__name__
        warmup = getattr(each, 'warmup_steps', getattr(each, 'warmup', 0))
        late = [m for m in getattr(each, 'milestones', ()) if m >= length]
        if warmup >= length:
            lines.append(
                f'{name}: a warm-up of {warmup} {unit} in a run of {length}: the learning rate never reaches '
                'its full value. Train for longer, or shorten it (param_scheduler).'
            )
        elif late:
            lines.append(
                f'{name}: the learning rate was to change at {", ".join(map(str, sorted(late)))} {unit}, the '
                f'run has {length}.'
            )
        elif getattr(each, 'end', length) > length:
            lines.append(
                f'{name}: is laid over {each.end} {unit}, the run has {length}: it is cut off. Train for '
                'longer, or shorten it (param_scheduler).'
            )
    return lines


class _FactorScheduler(LRSchedulerMixin, _ParamScheduler, ABC):
    """A learning rate that is the base rate times a function of the step: exact after resuming, too."""

    @abstractmethod
    def factor(self, step: int) -> float:
        """The share of the base learning rate at ``step`` (from 0)."""

    def _get_value(self) -> list[float]:
        return [base * self.factor(self.last_step) for base in self.base_values]


@PARAM_SCHEDULERS.register_module()
class PublishedPolyLR(_FactorScheduler):
    """MAD-Net's curve: per epoch e (from 0), with w warm-up epochs and E epochs in all.

    base/w at e = 0; e·base/w while 1 ≤ e ≤ w; then base·(1 − (e − w)/E)^power. The divisor is E, not E − w:
    the last rates stay above zero, as in the published runs.

    Args:
        warmup: w.
        power: Exponent of the polynomial.
        end: E; the runner gives its number of epochs.

    Raises:
        UserError: ``warmup`` or ``power`` is below 0.
    """

    def __init__(self, optimizer, *args, warmup: int = 5, power: float = 0.9, end: int, **kwargs):
        expect_whole(warmup, 'PublishedPolyLR.warmup', least=0)
        expect_number(power, 'PublishedPolyLR.power', least=0)
        self.epochs, self.warmup, self.power = end, warmup, power
        super().__init__(optimizer, *args, end=end, **kwargs)

    def factor(self, step: int) -> float:
        """The curve at ``step`` (from 0), as a share of the base rate."""
        if self.warmup and step <= self.warmup:
            return max(step, 1) / self.warmup
        return (1 - (step - self.warmup) / self.epochs) ** self.power


@PARAM_SCHEDULERS.register_module()
class PublishedCosineLR(_FactorScheduler):
    """SCTransNet's curve: per epoch e (from 0), with w warm-up epochs and E epochs in all.

    base·e/w while e ≤ w, so that epoch 0 moves normalisation statistics only; the base rate once more; then
    half a cosine over E − w epochs from e = w + 1 on, which ends just above ``eta_min_ratio``·base.

    Args:
        warmup: w.
        eta_min_ratio: Where the cosine would arrive, over the base learning rate.
        end: E; the runner gives its number of epochs.

    Raises:
        UserError: ``warmup`` is below 0, or ``eta_min_ratio`` not in 0–1.
    """

    def __init__(self, optimizer, *args, warmup: int = 10, eta_min_ratio: float = 0.01, end: int, **kwargs):
        expect_whole(warmup, 'PublishedCosineLR.warmup', least=0)
        expect_number(eta_min_ratio, 'PublishedCosineLR.eta_min_ratio', least=0, most=1)
        self.epochs, self.warmup, self.eta_min_ratio = end, warmup, eta_min_ratio
        super().__init__(optimizer, *args, end=end, **kwargs)

    def factor(self, step: int) -> float:
        """The curve at ``step`` (from 0), as a share of the base rate."""
        if self.warmup and step <= self.warmup:
            return step / self.warmup
        progress = max(step - self.warmup - 1, 0) / (self.epochs - self.warmup)
        return self.eta_min_ratio + (1 - self.eta_min_ratio) * (1 + math.cos(math.pi * progress)) / 2


class _WarmupScheduler(_FactorScheduler):
    """A linear warm-up of some optimiser steps, then a curve over the rest of the run.

    The curve's length follows the runner (``convert_to_iter_based=True`` with ``by_epoch=True``), so that a
    config gives epochs and the warm-up alone counts optimiser steps.
    """

    def __init__(
        self, optimizer, *args, warmup_steps: int = 200, eta_min_ratio: float = 0.0, end: int, **kwargs
    ):
        name = type(self).__name__
        expect_whole(warmup_steps, f'{name}.warmup_steps', least=0)
        expect_number(eta_min_ratio, f'{name}.eta_min_ratio', least=0, most=1)
        self.warmup_steps, self.eta_min_ratio, self.total = warmup_steps, eta_min_ratio, end
        super().__init__(optimizer, *args, end=end, **kwargs)

    @classmethod
    def build_iter_from_epoch(cls, *args, begin=0, end, by_epoch=True, epoch_length, **kwargs):
        """The curve per optimiser step, from one whose ``end`` counts epochs."""
        return cls(*args, begin=begin * epoch_length, end=end * epoch_length, by_epoch=False, **kwargs)

    def factor(self, step: int) -> float:
        """The curve at ``step`` (from 0), as a share of the base rate."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / max(1, self.total - self.warmup_steps)
        return self.eta_min_ratio + (1 - self.eta_min_ratio) * self.after_warmup(min(1.0, progress))

    @abstractmethod
    def after_warmup(self, progress: float) -> float:
        """The curve from 1 down to 0, for ``progress`` from 0 (end of the warm-up) to 1 (end of the run)."""


@PARAM_SCHEDULERS.register_module()
class WarmupCosineLR(_WarmupScheduler):
    """A linear warm-up of some steps, then half a cosine down to a small rest (Loshchilov & Hutter, SGDR,
    2017).

    Args:
        warmup_steps: Optimiser steps of the warm-up.
        eta_min_ratio: The last learning rate over the base one.
        end: The step where the curve ends; the runner gives its number of epochs.

    Raises:
        UserError: ``warmup_steps`` is below 0, or ``eta_min_ratio`` not in 0–1.
    """

    def after_warmup(self, progress: float) -> float:
        """Half a cosine from 1 to 0, for ``progress`` from 0 to 1."""
        return 0.5 * (1 + math.cos(math.pi * progress))


@PARAM_SCHEDULERS.register_module()
class WarmupFlatDecayLR(_WarmupScheduler):
    """A linear warm-up, a flat stretch, then a decay as 1 − √x (Hägele et al., 2024).

    The flat stretch does not depend on the length of the run: a run can be prolonged from any checkpoint of
    it, and only the decay is repeated.

    Args:
        warmup_steps: Optimiser steps of the warm-up.
        decay_share: Share of the steps after the warm-up over which the rate falls, in (0, 1].
        eta_min_ratio: The last learning rate over the base one.
        end: The step where the curve ends; the runner gives its number of epochs.

    Raises:
        UserError: ``decay_share`` is not in (0, 1], ``warmup_steps`` is below 0, or ``eta_min_ratio`` not in
            0–1.
    """

    def __init__(self, optimizer, *args, decay_share: float = 0.3, **kwargs):
        self.decay_share = expect_number(decay_share, 'WarmupFlatDecayLR.decay_share', above=0, most=1)
        super().__init__(optimizer, *args, **kwargs)

    def after_warmup(self, progress: float) -> float:
        """1 up to the decay, then 1 − √x for x from 0 to 1 over the rest, for ``progress`` from 0 to 1."""
        decayed = max(0.0, 1 - (1 - progress) / self.decay_share)
        return 1 - math.sqrt(decayed)
