"""A moving average of the weights whose memory grows with the run."""

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

    def avg_func(self, averaged_param, source_param, steps) -> None:
        """One step, in place."""
        t = int(steps)
        averaged_param.lerp_(source_param, 1 - min(self.decay, (1 + t) / (10 + t)))
