"""Mixed precision without a GPU."""

from contextlib import contextmanager

import torch
from mmengine.optim import OptimWrapper
from mmseg.registry import OPTIM_WRAPPERS

from madnet.engine.half_weights import warn_where_half_is_slow


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """Forward passes under bfloat16 autocast on the CPU; weights, gradients and the optimiser stay in
    float32.

    mmengine's ``AmpOptimWrapper`` needs a GPU. bfloat16 has float32's range, so no loss scaling is needed.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        warn_where_half_is_slow('cpu')

    @contextmanager
    def optim_context(self, model):
        """As mmengine's, under autocast."""
        with super().optim_context(model), torch.autocast('cpu', dtype=torch.bfloat16):
            yield
