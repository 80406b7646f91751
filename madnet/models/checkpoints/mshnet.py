"""Checkpoints of the published MSHNet, to and from ours."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from madnet.errors import UserError
from madnet.models.backbones import MSHNetEncoder
from madnet.models.heads import MSHNetHead

from .cbam import CBAM_BLOCK
from .fitting import check_same, some, unwrap, without_prefixes
from .renaming import Names, inverse, nest, rename

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
    """State dict of our MSHNet from a checkpoint with the published key names.

    Args:
        published: The published state dict, bare or under ``state_dict``. Its width and its image channels
            are read from it.

    Returns:
        State dict of an ``IRSTDSegmentor`` (keys ``backbone.``, ``decode_head.``) of that width.

    Raises:
        UserError: Keys or shapes differ from the published architecture; the message names them.
    """
    state = without_prefixes(published)
    weight = state.get('conv_init.weight')
    if weight is None or weight.ndim != 4:
        raise UserError(
            'not a checkpoint of the published MSHNet: it has no convolution conv_init.weight; '
            f'its first keys are {some(state)}'
        )
    expected = rename(_template(weight.shape[1], weight.shape[0]), MSHNET)
    check_same(state, expected, 'not a checkpoint of the published MSHNet')
    return rename({key: state[key] for key in expected}, inverse(MSHNET))


def export_mshnet(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inverse of :func:`convert_mshnet`.

    Raises:
        UserError: The state dict is of another architecture.
    """
    state = unwrap(state_dict)
    weight = state.get('backbone.conv_in.weight')
    if weight is None or weight.ndim != 4:
        raise UserError(
            'not a state dict of our MSHNet: it has no backbone.conv_in.weight; '
            f'its first keys are {some(state)}'
        )
    expected = _template(weight.shape[1], weight.shape[0])
    check_same(state, expected, 'not a state dict of our MSHNet')
    return rename({key: state[key] for key in expected}, MSHNET)


def _template(in_channels: int, base_channels: int) -> dict[str, Tensor]:
    """Our state dict at that width, without memory behind it."""
    with torch.device('meta'):
        backbone = MSHNetEncoder(in_channels, base_channels)
        head = MSHNetHead(backbone.pyramid_channels)
    return nn.ModuleDict({'backbone': backbone, 'decode_head': head}).state_dict()
