"""A moving average of the weights whose memory grows with the run."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from mmengine.model import BaseAveragedModel
from mmengine.registry import MODELS
from torch import nn

from madnet.errors import UserError, expect_number


@MODELS.register_module()
class RampedEMA(BaseAveragedModel):
    """Exponential moving average with decay min(``decay``, (1 + t) / (10 + t)) after t steps.

    Early weights are forgotten quickly, so that the average is of use from the first epoch on. For
    ``EMAHook``: ``custom_hooks=[dict(type='EMAHook', ema_type='RampedEMA', decay=0.99)]``.

    Args:
        model: The model to average; floating-point buffers (BatchNorm's statistics) are averaged too.
        decay: The share of the old average that stays in each step, 0 to 1.
        kept: Share, below 1, of the weights that the training began with in what is averaged: a fine-tuning
            then ends between them and its own, in the hope of what both can do (WiSE-FT: Wortsman et al.,
            CVPR 2022). The model that is trained does not feel it.
        interval, device, update_buffers: As of :class:`mmengine.model.BaseAveragedModel`.

    Attributes:
        moved_by_step: Whether :meth:`count_step` and :meth:`move` are called instead of
            :meth:`update_parameters`, which then does nothing: by a training step that is captured, in which
            the decay has to be a tensor.
        decay_now: That tensor, ().
        start: The model as it was after the first step, which warms up; None where nothing of it is kept.

    Raises:
        UserError: ``decay`` or ``kept`` is no share, or the average is without buffers or on another device.
    """

    def __init__(
        self,
        model,
        decay: float = 0.99,
        kept: float = 0.0,
        interval: int = 1,
        device: torch.device | None = None,
        update_buffers: bool = True,
    ):
        super().__init__(model, interval, device, update_buffers)
        expect_number(decay, 'RampedEMA.decay', least=0, most=1)
        expect_number(kept, 'RampedEMA.kept', least=0, below=1)
        if kept and not (update_buffers and device is None):
            raise UserError(
                f'RampedEMA: found kept={kept!r}, update_buffers={update_buffers} and device='
                f"{device!r}, expected all buffers and the model's own device beside kept."
            )
        self.decay = decay
        self.kept = kept
        self.start = deepcopy(self.module) if kept else None
        self._pairs: tuple | None = None
        self.moved_by_step = False
        self.decay_now: torch.Tensor | None = None
        self._first = False

    def update_parameters(self, model) -> None:
        """As mmengine's, with all tensors in one call: its loop over some hundred takes longer than the
        averaging itself."""
        if self.moved_by_step:
            return
        first_or_left_out = int(self.steps) == 0 or int(self.steps) % self.interval
        averaged, sources = self._tensors(model)
        alike = all(a.device == s.device for a, s in zip(averaged, sources, strict=True))
        if int(self.steps) == 0:
            self._begin(sources)
        if first_or_left_out or not self.update_buffers or not alike:
            super().update_parameters(model)
            return
        with torch.no_grad():
            torch._foreach_lerp_(averaged, self._between(sources), 1 - self._decay_after(int(self.steps)))
        self.steps += 1

    def count_step(self) -> None:
        """Set the decay of the step that comes; at the first, the average becomes a copy of the weights."""
        steps = int(self.steps)
        self._first = steps == 0
        decay = 0.0 if self._first else self._decay_after(steps)
        if self.decay_now is None:
            self.decay_now = torch.tensor(decay, device=next(self.module.parameters()).device)
        else:
            self.decay_now.fill_(decay)
        self.steps += 1

    @torch.no_grad()
    def move(self, model) -> None:
        """One step with that decay d: average ← weights + d · (average − weights)."""
        averaged, sources = self._tensors(model)
        if self._first:
            self._begin(sources)
        targets = self._between(sources)
        torch._foreach_sub_(averaged, targets)
        torch._foreach_mul_(averaged, self.decay_now)
        torch._foreach_add_(averaged, targets)
        if self._first:  # counters, which are copied once and never averaged
            for ours, theirs in zip(self.module.buffers(), model.buffers(), strict=True):
                if not ours.dtype.is_floating_point:
                    ours.copy_(theirs)

    @torch.no_grad()
    def _begin(self, sources: list) -> None:
        if self.start is not None:
            torch._foreach_copy_(_floating(self.start), sources)

    def _between(self, sources: list) -> Sequence:
        """What is averaged: the weights, or a point between them and those that training began with."""
        return (
            sources if self.start is None else torch._foreach_lerp(sources, _floating(self.start), self.kept)
        )

    def _tensors(self, model) -> tuple[list, list]:
        """The average's floating-point tensors and the model's, which are the same objects all along."""
        if self._pairs is None or self._pairs[0] is not model:
            self._pairs = (model, _floating(self.module), _floating(model))
        return self._pairs[1:]

    def _decay_after(self, steps: int) -> float:
        return min(self.decay, (1 + steps) / (10 + steps))

    def avg_func(self, averaged_param, source_param, steps) -> None:
        """One step, in place."""
        averaged_param.lerp_(source_param, 1 - self._decay_after(int(steps)))


def _floating(model: nn.Module) -> list[torch.Tensor]:
    return [t for t in model.state_dict(keep_vars=True).values() if t.dtype.is_floating_point]
