"""Checkpoints of the published MSHNet, to and from ours."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from madnet.models.checkpoints.blocks import CBAM_BLOCK
from madnet.models.checkpoints.conversion import Converter, shape_of, to_ours, to_published
from madnet.models.checkpoints.fitting import unwrap, without_prefixes
from madnet.models.checkpoints.renaming import Names, nest
from madnet.models.checkpoints.template import template

PUBLISHED = 'not a checkpoint of the published MSHNet'
OURS = 'not a state dict of our MSHNet'

MSHNET: Names = {'backbone.conv_in': 'conv_init', 'decode_head.conv_seg': 'final'}
for _level, _depth in enumerate((1, 2, 2, 2, 2)):
    for _block in range(_depth):
        _stage = f'encoder_{_level}' if _level < 4 else 'middle_layer'
        MSHNET |= nest(f'backbone.pyramid.stages.{_level}.{_block}', f'{_stage}.{_block}', CBAM_BLOCK)
        if _level < 4:
            ours, theirs = f'decode_head.decoders.{_level}.{_block}', f'decoder_{_level}.{_block}'
            MSHNET |= nest(ours, theirs, CBAM_BLOCK)
    if _level < 4:
        MSHNET[f'decode_head.sides.{_level}'] = f'output_{_level}'


def convert_mshnet(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of our MSHNet from a checkpoint with the published key names."""
    state = without_prefixes(published)
    ours = _template(shape_of(state, 'conv_init.weight', PUBLISHED))
    return to_ours(state, ours, MSHNET, PUBLISHED)


def export_mshnet(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inverse of :func:`convert_mshnet`."""
    state = unwrap(state_dict)
    return to_published(state, _template(shape_of(state, 'backbone.conv_in.weight', OURS)), MSHNET, OURS)


def _template(first: torch.Size) -> dict[str, Tensor]:
    """Our state dict, by the shape of the first convolution."""
    return template(
        dict(type='MSHNetEncoder', in_channels=first[1], base_channels=first[0]), dict(type='MSHNetHead')
    )


CONVERTER = Converter('mshnet', 'MSHNet', convert_mshnet, export_mshnet)
