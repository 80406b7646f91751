"""Checkpoints of the published RDIAN, to and from ours."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from madnet.errors import UserError
from madnet.models.backbones import RDIANEncoder
from madnet.models.heads import RDIANHead

from .fitting import check_same, some, unwrap, without_prefixes
from .renaming import Names, inverse, nest, rename

CONV: Names = {'conv': '0', 'bn': '1'}
BLOCK: Names = {**nest('squeeze', 'layer1', CONV), **nest('expand', 'layer2', CONV)}
RDIAN: Names = {
    **nest('backbone.conv1', 'conv1', CONV),
    **nest('backbone.conv2', 'conv2', CONV),
    **nest('backbone.merge', 'conv_cat', CONV),
    'backbone.channel_gate.squeeze': 'cbam.ChannelGate.mlp.1',
    'backbone.channel_gate.expand': 'cbam.ChannelGate.mlp.3',
    'backbone.spatial_gate.conv': 'cbam.SpatialGate.spatial.conv',
    'backbone.spatial_gate.norm': 'cbam.SpatialGate.spatial.bn',
    **nest('decode_head.skip', 'conv_res', CONV),
    'decode_head.reduce.0': 'head.block.0',
    'decode_head.reduce.1': 'head.block.1',
    'decode_head.conv_seg': 'head.block.4',
}
for _branch, _blocks in enumerate((1, 2, 2, 2)):
    for _block in range(_blocks):
        RDIAN |= nest(f'backbone.branches.{_branch}.{_block}', f'residual_block{_branch}.{_block}', BLOCK)

#: Linear layers of the published network, 1×1 convolutions of ours
LINEAR = ('cbam.ChannelGate.mlp.1.weight', 'cbam.ChannelGate.mlp.3.weight')
#: where the k-th constant kernel of the published network, ``d1k``, has its −1: (row, column) of 5×5
NEIGHBOURS = ((0, 0), (0, 2), (0, 4), (2, 4), (4, 4), (4, 2), (4, 0), (2, 0))


def convert_rdian(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of our RDIAN from a checkpoint with the published key names.

    Args:
        published: The published state dict, its keys with or without ``model.``, bare or under
            ``state_dict``. Its width and its image channels are read from it. The constant kernels ``d11`` …
            ``d18``, if there, are left out: ours computes the differences directly.

    Returns:
        State dict of an ``IRSTDSegmentor`` (keys ``backbone.``, ``decode_head.``) of that width.

    Raises:
        UserError: Keys or shapes differ from the published architecture; the message names them.
    """
    state = without_prefixes(published)
    weight = state.get('conv1.0.weight')
    if weight is None or weight.ndim != 4:
        raise UserError(
            'not a checkpoint of the published RDIAN: it has no convolution conv1.0.weight; '
            f'its first keys are {some(state)}'
        )
    constants = _constants()
    state = {key: value for key, value in state.items() if key not in constants}
    expected = _published(_template(weight.shape[1], weight.shape[0]))
    check_same(state, expected, 'not a checkpoint of the published RDIAN')
    state = {key: state[key][..., None, None] if key in LINEAR else state[key] for key in expected}
    return rename(state, inverse(RDIAN))


def export_rdian(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inverse of :func:`convert_rdian`, constant kernels included.

    Raises:
        UserError: The state dict is of another architecture.
    """
    state = unwrap(state_dict)
    weight = state.get('backbone.conv1.conv.weight')
    if weight is None or weight.ndim != 4:
        raise UserError(
            'not a state dict of our RDIAN: it has no backbone.conv1.conv.weight; '
            f'its first keys are {some(state)}'
        )
    expected = _template(weight.shape[1], weight.shape[0])
    check_same(state, expected, 'not a state dict of our RDIAN')
    return {**_published({key: state[key] for key in expected}), **_constants()}


def _template(in_channels: int, base_channels: int) -> dict[str, Tensor]:
    """Our state dict at that width, without memory behind it."""
    with torch.device('meta'):
        backbone = RDIANEncoder(in_channels, base_channels)
        head = RDIANHead(backbone.pyramid_channels)
    return nn.ModuleDict({'backbone': backbone, 'decode_head': head}).state_dict()


def _published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict with the published names and shapes."""
    named = rename(state, RDIAN)
    return {key: value.flatten(1) if key in LINEAR else value for key, value in named.items()}


def _constants() -> dict[str, Tensor]:
    kernels = {}
    for k, (row, column) in enumerate(NEIGHBOURS):
        kernel = torch.zeros(1, 1, 5, 5)
        kernel[..., 2, 2] = 1
        kernel[..., row, column] = -1
        kernels[f'd1{k + 1}.weight'] = kernel
    return kernels
