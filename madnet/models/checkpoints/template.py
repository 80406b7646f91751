"""The state dict of a network, from its config."""

from collections.abc import Mapping

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn


def template(model: Mapping[str, dict]) -> dict[str, Tensor]:
    """Our state dict of a network, without memory behind it.

    Args:
        model: ``backbone``, ``neck`` and ``decode_head`` of a config; each takes its channels from the one
            before.
    """
    with torch.device('meta'):
        backbone = MODELS.build(model['backbone'])
        neck = MODELS.build({**model['neck'], 'in_channels': backbone.pyramid_channels})
        head = MODELS.build({**model['decode_head'], 'in_channels': neck.pyramid_channels})
        return nn.ModuleDict({'backbone': backbone, 'neck': neck, 'decode_head': head}).state_dict()
