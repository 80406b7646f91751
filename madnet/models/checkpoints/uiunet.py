"""Checkpoints of the published UIU-Net, to and from ours."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from madnet.models.checkpoints.blocks import CROSS_FUSION
from madnet.models.checkpoints.conversion import Converter, shape_of, to_ours, to_published
from madnet.models.checkpoints.fitting import unwrap, without_prefixes
from madnet.models.checkpoints.renaming import Names, nest
from madnet.models.checkpoints.template import template

PUBLISHED = 'not a checkpoint of the published UIU-Net'
OURS = 'not a state dict of our UIU-Net'

LEVELS = 6
CONV: Names = {'conv': 'conv_s1', 'bn': 'bn_s1'}
CROSS_ATTENTION: Names = {
    **CROSS_FUSION,
    **{'squeeze.conv': 'bottomup.0', 'squeeze.bn': 'bottomup.1'},
    'spatial_gate.conv': 'bottomup.3.conv1',
}


def _rsu(level: int) -> Names:
    depth = max(7 - level, 4)
    names = nest('conv_in', 'rebnconvin', CONV)
    for i in range(depth):
        names |= nest(f'down.{i}', f'rebnconv{i + 1}', CONV)
    for i in range(depth - 1):
        names |= nest(f'up.{i}', f'rebnconv{i + 1}d', CONV)
    return names


UIUNET: Names = {'decode_head.conv_seg': 'outconv'}
for _i in range(LEVELS):
    UIUNET |= nest(f'backbone.stages.{_i}', f'stage{_i + 1}', _rsu(_i))
    UIUNET[f'decode_head.sides.{_i}'] = f'side{_i + 1}'
for _i in range(LEVELS - 1):
    UIUNET |= nest(f'decode_head.decoders.{_i}', f'stage{_i + 1}d', _rsu(_i))
for _i in range(LEVELS - 2):
    UIUNET |= nest(f'decode_head.fusions.{_i}', f'fuse{_i + 2}', CROSS_ATTENTION)


def convert_uiunet(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of our UIU-Net from a checkpoint with the published key names."""
    state = without_prefixes(published)
    ours = _template(shape_of(state, 'stage1.rebnconvin.conv_s1.weight', PUBLISHED))
    return to_ours(state, ours, UIUNET, PUBLISHED)


def export_uiunet(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inverse of :func:`convert_uiunet`: the published key names for a state dict of our UIU-Net."""
    state = unwrap(state_dict)
    ours = _template(shape_of(state, 'backbone.stages.0.conv_in.conv.weight', OURS))
    return to_published(state, ours, UIUNET, OURS)


def _template(first: torch.Size) -> dict[str, Tensor]:
    """Our state dict, by the shape of the first convolution."""
    return template(
        dict(type='UIUNetEncoder', in_channels=first[1], base_channels=first[0]), dict(type='UIUNetHead')
    )


CONVERTER = Converter('uiunet', 'UIU-Net', convert_uiunet, export_uiunet)
