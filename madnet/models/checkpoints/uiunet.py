"""Checkpoints of the published UIU-Net, to and from ours."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from madnet.errors import UserError
from madnet.models.backbones import UIUNetEncoder
from madnet.models.heads import UIUNetHead

from .fitting import check_same, some, unwrap, without_prefixes
from .renaming import Names, inverse, nest, rename

LEVELS = 6
CONV: Names = {'conv': 'conv_s1', 'bn': 'bn_s1'}
CROSS_ATTENTION: Names = {
    **{'reduce_high.conv': 'feature_high.0', 'reduce_high.bn': 'feature_high.1'},
    **{'top_down.0.conv': 'topdown.1', 'top_down.0.bn': 'topdown.2'},
    **{'top_down.1.conv': 'topdown.4', 'top_down.1.bn': 'topdown.5'},
    **{'squeeze.conv': 'bottomup.0', 'squeeze.bn': 'bottomup.1'},
    'spatial_gate.conv': 'bottomup.3.conv1',
    **{'post.conv': 'post.0', 'post.bn': 'post.1'},
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

FIRST = {'backbone.stages.0.conv_in.conv': 'stage1.rebnconvin.conv_s1'}
"""The convolution that tells the network's widths, ours → published."""


def published_uiunet_width(published: Mapping[str, Any]) -> tuple[int, int]:
    """(in_channels, base_channels) of a checkpoint with the published key names.

    Raises:
        UserError: The first convolution is missing.
    """
    return _width(without_prefixes(published), *FIRST.values(), 'not a checkpoint of the published UIU-Net')


def convert_uiunet(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of our UIU-Net from a checkpoint with the published key names.

    Args:
        published: The published state dict, its keys with or without ``model.``, bare or under
            ``state_dict``. Its width and its image channels are read from it; see
            :func:`published_uiunet_width`.

    Returns:
        State dict of an ``IRSTDSegmentor`` (keys ``backbone.``, ``decode_head.``) of that width.

    Raises:
        UserError: Keys or shapes differ from the published architecture; the message names them.
    """
    state = without_prefixes(published)
    expected = rename(_template(*published_uiunet_width(state)), UIUNET)
    check_same(state, expected, 'not a checkpoint of the published UIU-Net')
    return rename({key: state[key] for key in expected}, inverse(UIUNET))


def export_uiunet(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inverse of :func:`convert_uiunet`: the published key names for a state dict of our UIU-Net.

    Raises:
        UserError: The state dict is of another architecture.
    """
    state, verdict = unwrap(state_dict), 'not a state dict of our UIU-Net'
    expected = _template(*_width(state, *FIRST, verdict))
    check_same(state, expected, verdict)
    return rename({key: state[key] for key in expected}, UIUNET)


def _width(state: Mapping[str, Tensor], first: str, verdict: str) -> tuple[int, int]:
    weight = state.get(f'{first}.weight')
    if weight is None or weight.ndim != 4:
        raise UserError(f'{verdict}: it has no convolution {first}.weight; its first keys are {some(state)}')
    return weight.shape[1], weight.shape[0]


def _template(in_channels: int, base_channels: int) -> dict[str, Tensor]:
    """Our state dict at that width, without memory behind it."""
    with torch.device('meta'):
        backbone = UIUNetEncoder(in_channels, base_channels, LEVELS)
        head = UIUNetHead(backbone.pyramid_channels)
        return nn.ModuleDict({'backbone': backbone, 'decode_head': head}).state_dict()
