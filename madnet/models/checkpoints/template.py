"""A network's state dict, from its config."""

from collections.abc import Mapping
from typing import Any

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn


def skeleton(
    backbone: Mapping[str, Any], decode_head: Mapping[str, Any], neck: Mapping[str, Any] | None = None
) -> nn.ModuleDict:
    """The parts of a config's model, without memory behind them; each takes its channels from the one
    before."""
    with torch.device('meta'):
        parts = {'backbone': MODELS.build(backbone)}
        channels = parts['backbone'].pyramid_channels
        if neck is not None:
            parts['neck'] = MODELS.build({**neck, 'in_channels': channels})
            channels = parts['neck'].pyramid_channels
        parts['decode_head'] = MODELS.build({**decode_head, 'in_channels': channels})
        return nn.ModuleDict(parts)


def template(
    backbone: Mapping[str, Any], decode_head: Mapping[str, Any], neck: Mapping[str, Any] | None = None
) -> dict[str, Tensor]:
    """Our state dict of these parts; see :func:`skeleton`."""
    return skeleton(backbone, decode_head, neck).state_dict()
