"""Checkpoints of the published ABC, to and from ours."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from madnet.models.checkpoints.blocks import CONV_BN, DOUBLE_CONV, convtrans_unet
from madnet.models.checkpoints.conversion import Converter, shape_of, to_ours, to_published
from madnet.models.checkpoints.fitting import unwrap, without_prefixes
from madnet.models.checkpoints.renaming import Names, nest
from madnet.models.checkpoints.template import template

PUBLISHED = 'not a checkpoint of the published ABC'
OURS = 'not a state dict of our ABC'

CLFT: Names = {
    'gamma': 'attention.gamma',
    'correlation.query': 'attention.att.query_conv',
    'correlation.key': 'attention.att.key_conv',
    'correlation.query_line': 'attention.att.query_line',
    'correlation.key_line': 'attention.att.key_line',
    'correlation.expand': 'attention.att.s_conv',
    **nest('feedforward', 'feedforward.conv', CONV_BN),
    **nest('shortcut', 'feedforward.x_conv', CONV_BN),
}
for _i in range(3):
    CLFT |= nest(f'conv.{_i}', f'attention.conv.convs.{_i}', CONV_BN)
    CLFT |= nest(f'dilated.{_i}', f'attention.dconv.dconvs.{_i}', CONV_BN)
UCDC: Names = {
    **nest('conv_in', 'conv1', CONV_BN),
    **nest('down1', 'dconv1', CONV_BN),
    **nest('down2', 'dconv2', CONV_BN),
    **nest('up', 'dconv3', CONV_BN),
    **nest('conv_out', 'conv2', CONV_BN),
}
ABC = convtrans_unet([DOUBLE_CONV, CLFT, CLFT, CLFT], 'backbone.stages.4', UCDC)

DEAD = tuple(f'Convtans{i}.attention.att.s_conv.bias' for i in (2, 3, 4))
"""Published parameters that the softmax cancels."""


class ABCShape(NamedTuple):
    """What distinguishes one ABC from another; see ``ABCEncoder``."""

    in_channels: int
    base_channels: int
    side: int

    def template(self) -> dict[str, Tensor]:
        """Our state dict of that shape, without memory behind it."""
        return template({'type': 'ABCEncoder', **self._asdict()}, {'type': 'ABCHead'})


def published_abc_shape(published: Mapping[str, Any]) -> ABCShape:
    """The shape of a checkpoint with the published key names; ABC-S, -B, -L have 16, 32, 64 base channels.

    Raises:
        UserError: The first convolution or the first attention is missing.
    """
    return _shape(
        without_prefixes(published), 'Conv1.conv.0', 'Convtans2.attention.att.query_line', PUBLISHED
    )


def convert_abc(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of our ABC from a checkpoint with the published key names.

    The attention's biases ``s_conv.bias``, which the softmax cancels, are left out.
    """
    state = {key: value for key, value in without_prefixes(published).items() if key not in DEAD}
    return to_ours(state, published_abc_shape(published).template(), ABC, PUBLISHED)


def export_abc(state_dict: Mapping[str, Any], prefix: str = 'decode_head.') -> dict[str, Tensor]:
    """The inverse of :func:`convert_abc`: the published key names for a state dict of our ABC.

    The biases ``s_conv.bias``, which the published network needs and never uses, are zero.

    Args:
        state_dict: State dict of our ABC, bare or under ``state_dict``.
        prefix: What stands before every published key; the published training adds ``decode_head.``.
    """
    state = unwrap(state_dict)
    shape = _shape(state, 'backbone.stages.0.0.conv', 'backbone.stages.1.correlation.query_line', OURS)
    published = to_published(state, shape.template(), ABC, OURS)
    for key in DEAD:
        weight = published[key.replace('.bias', '.weight')]
        published[key] = weight.new_zeros(weight.shape[0])
    return {prefix + key: value for key, value in published.items()}


def _shape(state: Mapping[str, Tensor], first: str, line: str, verdict: str) -> ABCShape:
    base_channels, in_channels = shape_of(state, f'{first}.weight', verdict)[:2]
    return ABCShape(in_channels, base_channels, 2 * shape_of(state, f'{line}.weight', verdict, axes=2)[0])


CONVERTER = Converter('abc', 'ABC: S, B, L, for images of any side', convert_abc, export_abc)
