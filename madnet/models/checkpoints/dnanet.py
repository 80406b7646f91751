"""Checkpoints of the published DNANet, to and from ours."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from madnet.models.checkpoints.blocks import CBAM_BLOCK
from madnet.models.checkpoints.conversion import Converter, shape_of, to_ours, to_published
from madnet.models.checkpoints.fitting import unwrap, without_prefixes
from madnet.models.checkpoints.renaming import Names, nest
from madnet.models.checkpoints.template import template

PUBLISHED = 'not a checkpoint of the published DNANet'
OURS = 'not a state dict of our DNANet'


class DNANetShape(NamedTuple):
    """What distinguishes one DNANet from another; see ``DNANetEncoder`` and ``DNANetHead``."""

    in_channels: int
    base_channels: int
    depths: tuple[int, ...]
    deep_supervision: bool

    def template(self) -> dict[str, Tensor]:
        """Our state dict of that shape, without memory behind it."""
        backbone = dict(
            type='DNANetEncoder',
            in_channels=self.in_channels,
            base_channels=self.base_channels,
            depths=self.depths,
        )
        head = dict(type='DNANetHead', depths=self.depths[:-1], deep_supervision=self.deep_supervision)
        return template(backbone, head)

    def names(self) -> Names:
        """Our names → the published ones."""
        deepest = len(self.depths) - 1
        names: Names = {}
        for level, depth in enumerate(self.depths):
            for column in range(deepest + 1 - level):
                ours = f'decode_head.columns.{column - 1}.{level}' if column else f'backbone.stages.{level}'
                for block in range(depth):
                    names |= nest(f'{ours}.{block}', f'conv{level}_{column}.{block}', CBAM_BLOCK)
        for level in range(1, deepest + 1):
            names[f'decode_head.reduce.{level - 1}'] = f'conv0_{level}_1x1'
        names |= nest('decode_head.fuse', f'conv0_{deepest}_final.0', CBAM_BLOCK)
        names['decode_head.conv_seg'] = f'final{deepest}' if self.deep_supervision else 'final'
        for side in range(deepest - 1):
            names[f'decode_head.sides.{side}'] = f'final{side + 1}'
        return names


def published_dnanet_shape(published: Mapping[str, Any]) -> DNANetShape:
    """The shape of a checkpoint with the published key names.

    Raises:
        UserError: The first convolution is missing.
    """
    state = without_prefixes(published)
    base_channels, in_channels = shape_of(state, 'conv0_0.0.conv1.weight', PUBLISHED)[:2]
    depths = _depths(state, 'conv{level}_0.{block}.conv1.weight')
    return DNANetShape(in_channels, base_channels, depths, 'final.weight' not in state)


def convert_dnanet(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of our DNANet from a checkpoint with the published key names."""
    state, shape = without_prefixes(published), published_dnanet_shape(published)
    return to_ours(state, shape.template(), shape.names(), PUBLISHED)


def export_dnanet(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inverse of :func:`convert_dnanet`: the published key names for a state dict of our DNANet."""
    state = unwrap(state_dict)
    base_channels, in_channels = shape_of(state, 'backbone.stages.0.0.body.0.weight', OURS)[:2]
    depths = _depths(state, 'backbone.stages.{level}.{block}.body.0.weight')
    deep = any(key.startswith('decode_head.sides.') for key in state)
    shape = DNANetShape(in_channels, base_channels, depths, deep)
    return to_published(state, shape.template(), shape.names(), OURS)


def _depths(state: Mapping[str, Tensor], key: str) -> tuple[int, ...]:
    """Blocks of each level of the first column, counted by the key of a block's first convolution."""
    depths: list[int] = []
    while key.format(level=len(depths), block=0) in state:
        block = 1
        while key.format(level=len(depths), block=block) in state:
            block += 1
        depths.append(block)
    return tuple(depths)


CONVERTER = Converter(
    'dnanet', 'DNANet of any depths, with and without deep supervision', convert_dnanet, export_dnanet
)
