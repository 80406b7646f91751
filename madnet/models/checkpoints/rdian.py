"""Checkpoints of the published RDIAN, to and from ours."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from madnet.models.checkpoints.blocks import CONV_BN, FCN_HEAD
from madnet.models.checkpoints.conversion import Converter, shape_of, to_ours, to_published
from madnet.models.checkpoints.fitting import check_same, unwrap, without_prefixes
from madnet.models.checkpoints.renaming import Names, nest
from madnet.models.checkpoints.template import template

PUBLISHED = 'not a checkpoint of the published RDIAN'
OURS = 'not a state dict of our RDIAN'

BLOCK: Names = {**nest('squeeze', 'layer1', CONV_BN), **nest('expand', 'layer2', CONV_BN)}
RDIAN: Names = {
    **nest('backbone.conv1', 'conv1', CONV_BN),
    **nest('backbone.conv2', 'conv2', CONV_BN),
    **nest('backbone.merge', 'conv_cat', CONV_BN),
    'backbone.channel_gate.squeeze': 'cbam.ChannelGate.mlp.1',
    'backbone.channel_gate.expand': 'cbam.ChannelGate.mlp.3',
    'backbone.spatial_gate.conv': 'cbam.SpatialGate.spatial.conv',
    'backbone.spatial_gate.norm': 'cbam.SpatialGate.spatial.bn',
    **nest('decode_head.skip', 'conv_res', CONV_BN),
    **nest('decode_head', 'head', FCN_HEAD),
}
for _branch, _blocks in enumerate((1, 2, 2, 2)):
    for _block in range(_blocks):
        RDIAN |= nest(f'backbone.branches.{_branch}.{_block}', f'residual_block{_branch}.{_block}', BLOCK)

#: 1×1 convolutions of ours that are linear layers of the published network
LINEAR = tuple(f'backbone.channel_gate.{name}.weight' for name in ('squeeze', 'expand'))
#: where the k-th constant kernel of the published network, ``d1k``, has its −1: (row, column) of 5×5
NEIGHBOURS = ((0, 0), (0, 2), (0, 4), (2, 4), (4, 4), (4, 2), (4, 0), (2, 0))


def convert_rdian(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of our RDIAN from a checkpoint with the published key names.

    The constant kernels ``d11`` … ``d18``, if there, are left out: ours computes the differences directly.
    """
    state = without_prefixes(published)
    ours = _as_linear(_template(shape_of(state, 'conv1.0.weight', PUBLISHED)))
    constants = _constants()
    state = {key: value for key, value in state.items() if key not in constants}
    converted = to_ours(state, ours, RDIAN, PUBLISHED)
    return {key: v[..., None, None] if key in LINEAR else v for key, v in converted.items()}


def export_rdian(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inverse of :func:`convert_rdian`, constant kernels included."""
    state = unwrap(state_dict)
    ours = _template(shape_of(state, 'backbone.conv1.conv.weight', OURS))
    check_same(state, ours, OURS)
    return to_published(_as_linear(state), _as_linear(ours), RDIAN, OURS) | _constants()


def _template(first: torch.Size) -> dict[str, Tensor]:
    """Our state dict, by the shape of the first convolution."""
    return template(
        dict(type='RDIANEncoder', in_channels=first[1], base_channels=first[0]), dict(type='RDIANHead')
    )


def _as_linear(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.flatten(1) if key in LINEAR else value for key, value in state.items()}


def _constants() -> dict[str, Tensor]:
    kernels = {}
    for k, (row, column) in enumerate(NEIGHBOURS):
        kernel = torch.zeros(1, 1, 5, 5)
        kernel[..., 2, 2] = 1
        kernel[..., row, column] = -1
        kernels[f'd1{k + 1}.weight'] = kernel
    return kernels


CONVERTER = Converter('rdian', 'RDIAN', convert_rdian, export_rdian)
