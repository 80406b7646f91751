"""Checkpoints of the published MAD-Net, to and from ours."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from madnet.errors import UserError
from madnet.models.checkpoints.blocks import convtrans_unet
from madnet.models.checkpoints.conversion import Converter, shape_of, to_ours, to_published
from madnet.models.checkpoints.fitting import unwrap, without_prefixes
from madnet.models.checkpoints.renaming import Names, nest
from madnet.models.checkpoints.template import template

PUBLISHED = 'not a checkpoint of the published MAD-Net'
OURS = 'not a state dict of our MAD-Net'

DIFFERENTIAL_CONV: Names = {
    'gamma.horizontal': 'gamma1',
    'gamma.vertical': 'gamma2',
    'gamma.angular': 'gamma3',
    'gamma.plain': 'gamma4',
    'horizontal': 'conv1.conv',
    'vertical': 'conv2.conv',
    'angular': 'conv3.conv',
    'plain': 'conv4',
}
PIXEL_ATTENTION: Names = {'conv': 'pa2'}
ADADCM: Names = {
    'conv_in': 'conv.0',
    **nest('differential', 'conv1', DIFFERENTIAL_CONV),
    'conv_out': 'conv2',
    **nest('attention', 'pa', PIXEL_ATTENTION),
}
MEMORY_ATTENTION: Names = {'bank': 'mb', 'proj': 'proj', 'reduce': 'subnet.0', 'expand': 'upnet.0'}
MEMA2M_BLOCK: Names = {
    'norm1': 'norm1',
    'norm2': 'norm2',
    'mlp.fc1': 'mlp.fc1',
    'mlp.fc2': 'mlp.fc2',
    **nest('attention', 'attns', MEMORY_ATTENTION),
}
MEMA2M: Names = {'stem.conv': 'conv1.0', 'stem.bn': 'conv1.1'}
for _i in range(4):
    MEMA2M |= nest(f'blocks.{_i}', f'mema2m.{_i}', MEMA2M_BLOCK)

MADNET = convtrans_unet([ADADCM] * 4, 'neck.memory', MEMA2M)


def published_width(published: Mapping[str, Any]) -> tuple[int, int]:
    """(in_channels, base_channels) of a checkpoint with the published key names.

    Raises:
        UserError: The first convolution is missing.
    """
    shape = shape_of(_published_state(published), 'Conv1.conv.0.weight', PUBLISHED)
    return shape[1], shape[0]


def convert_madnet(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of our MAD-Net from a checkpoint with the published key names."""
    state = _published_state(published)
    return to_ours(state, _template(*published_width(published)), MADNET, PUBLISHED)


def export_madnet(state_dict: Mapping[str, Any], prefix: str = 'decode_head.') -> dict[str, Tensor]:
    """The inverse of :func:`convert_madnet`: the published key names for a state dict of our MAD-Net.

    Args:
        state_dict: State dict of our MAD-Net, bare or under ``state_dict``.
        prefix: What stands before every published key; the published training adds ``decode_head.``.

    Raises:
        UserError: The state dict is of another architecture, or folded for deployment.
    """
    state = unwrap(state_dict)
    if any('.fused.' in key for key in state):
        raise UserError('a folded MAD-Net has no published form: export the checkpoint it was folded from')
    base_channels, in_channels = shape_of(state, 'backbone.stages.0.conv_in.weight', OURS)[:2]
    published = to_published(state, _template(in_channels, base_channels), MADNET, OURS)
    return {prefix + key: value for key, value in published.items()}


def _template(in_channels: int, base_channels: int) -> dict[str, Tensor]:
    """Our state dict at that width."""
    backbone = dict(type='AdaDCMEncoder', in_channels=in_channels, base_channels=base_channels)
    return template(backbone, dict(type='MADNetHead'), neck=dict(type='MemA2MNeck'))


def _published_state(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    return without_prefixes(checkpoint, ('module.', 'decode_head.'))


CONVERTER = Converter('madnet', 'MAD-Net', convert_madnet, export_madnet)
