"""What is computed in float32, whatever the rest of a network is."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def full_precision(x: Tensor) -> AbstractContextManager:
    """A context in which autocast leaves products on the device of ``x`` as they are."""
    kind = x.device.type
    if kind != 'meta' and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()
