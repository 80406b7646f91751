"""A model without what trains it in several processes."""

from mmengine.model import is_model_wrapper
from torch import nn


def bare(model: nn.Module) -> nn.Module:
    """The model inside a distributed wrapper; itself where it has none."""
    return model.module if is_model_wrapper(model) else model
