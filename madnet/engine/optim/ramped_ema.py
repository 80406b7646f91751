"""A moving average of the weights whose memory grows with the run."""

import torch
from mmengine.model import BaseAveragedModel
from mmengine.registry import MODELS


@MODELS.register_module()
class RampedEMA(BaseAveragedModel):
    """Exponential moving average with decay min(``decay``, (1 + t) / (10 + t)) after t steps.

    Early weights are forgotten quickly, so that the average is of use from the first epoch on. For
    ``EMAHook``: ``custom_hooks=[dict(type='EMAHook', ema_type='RampedEMA', decay=0.99)]``.

    Args:
        model: The model to average; floating-point buffers (BatchNorm's statistics) are averaged too.
        decay: The share of the old average that stays in each step, 0 to 1.
        kwargs: As of :class:`mmengine.model.BaseAveragedModel`.
    """

    def __init__(self, model, decay: float = 0.99, **kwargs):
        kwargs.setdefault('update_buffers', True)
        super().__init__(model, **kwargs)
        self.decay = decay
        self._pairs: tuple | None = None

    def update_parameters(self, model) -> None:
        """As mmengine's, with all tensors in one call: its loop over some hundred takes longer than the
        averaging itself."""
        first_or_left_out = int(self.steps) == 0 or int(self.steps) % self.interval
        averaged, sources = self._tensors(model)
        alike = all(a.device == s.device for a, s in zip(averaged, sources, strict=True))
        if first_or_left_out or not self.update_buffers or not alike:
            super().update_parameters(model)
            return
        with torch.no_grad():
            torch._foreach_lerp_(averaged, sources, 1 - self._decay_after(int(self.steps)))
        self.steps += 1

    def _tensors(self, model) -> tuple[list, list]:
        """The average's floating-point tensors and the model's, which are the same objects all along."""
        if self._pairs is None or self._pairs[0] is not model:
            states = (m.state_dict(keep_vars=True) for m in (self.module, model))
            floating = ([t for t in s.values() if t.dtype.is_floating_point] for s in states)
            self._pairs = (model, *floating)
        return self._pairs[1:]

    def _decay_after(self, steps: int) -> float:
        return min(self.decay, (1 + steps) / (10 + steps))

    def avg_func(self, averaged_param, source_param, steps) -> None:
        """One step, in place."""
        averaged_param.lerp_(source_param, 1 - self._decay_after(int(steps)))
