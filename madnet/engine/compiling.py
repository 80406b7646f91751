"""``torch.compile`` where it helps and changes nothing else."""

from collections.abc import Callable

import torch
from torch import nn


def compile_parts(model: nn.Module, options: dict) -> None:
    """Compile backbone, neck and head of a segmentor, for training only.

    Their forward passes are replaced on the instances, so names in the state dict stay; evaluation, with its
    images of any size, goes the plain way.

    Args:
        model: With ``backbone`` and ``decode_head``, and maybe ``neck``.
        options: Arguments of ``torch.compile``.
    """
    for name in ('backbone', 'neck', 'decode_head'):
        part = getattr(model, name, None)
        if part is not None:
            part.forward = _compiled_in_training(part, options)


def _compiled_in_training(part: nn.Module, options: dict) -> Callable:
    plain = part.forward
    compiled = torch.compile(plain, **options)

    def forward(*args, **kwargs):
        return (compiled if part.training else plain)(*args, **kwargs)

    return forward
