"""Checkpoints of the published ISNet, to and from ours."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from madnet.models.checkpoints.blocks import FCN_HEAD, RESIDUAL_BODY, STEM4, layer
from madnet.models.checkpoints.conversion import Converter, shape_of, to_ours, to_published
from madnet.models.checkpoints.fitting import unwrap, without_prefixes
from madnet.models.checkpoints.renaming import Names, nest
from madnet.models.checkpoints.template import template

PUBLISHED = 'not a checkpoint of the published ISNet'
OURS = 'not a state dict of our ISNet'

UNUSED = (
    *('res1', 'res2', 'res3', 'd1', 'd2', 'd3', 'cw', 'gate1', 'gate2', 'gate3'),
    *('SA', 'SA_att', 'head2', 'conv2_1', 'conv16'),
)
"""Modules of the published network that its forward pass never calls."""

DIFFERENCE: Names = {'0': 'conv1', '1': 'bn1', '3': 'conv2', '4': 'bn2'}
EDGE_BLOCK: Names = {
    **nest('first', 'res1', DIFFERENCE),
    **nest('second', 'res2', DIFFERENCE),
    **{f'gate.{i}': f'gate._gate_conv.{i}' for i in (0, 1, 3, 4)},
    'mix': 'gate',
}


def convert_isnet(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of our ISNet from a checkpoint with the published key names.

    The published state dict is of BasicIRSTD's port (one channel, deformable convolutions of version 1) or of
    the authors' network (three channels, version 2); what it holds of the modules in :data:`UNUSED` is left
    out. For the authors' network ours needs ``decode_head.modulated=True``.
    """
    state = {k: v for k, v in without_prefixes(published).items() if k.partition('.')[0] not in UNUSED}
    modulated = 'TTOA_low.dcn_row.conv_offset_mask.weight' in state
    edges, first = (shape_of(state, key, PUBLISHED) for key in ('dsup.weight', 'layer1.0.body.0.weight'))
    return to_ours(state, _template(edges, first, modulated), _names(modulated), PUBLISHED)


def export_isnet(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inverse of :func:`convert_isnet`; the modules in :data:`UNUSED`, which ours lacks, are missing,
    so that the published network takes it with ``strict=False``.
    """
    state = unwrap(state_dict)
    marks = ('decode_head.edge_in.weight', 'backbone.stages.0.0.body.0.weight')
    edges, first = (shape_of(state, key, OURS) for key in marks)
    offset = state.get('decode_head.attentions.0.row.offset.bias')
    modulated = offset is not None and len(offset) == 9
    return to_published(state, _template(edges, first, modulated), _names(modulated), OURS)


def _template(edges: torch.Size, first: torch.Size, modulated: bool) -> dict[str, Tensor]:
    """Our state dict, by the shapes of the convolutions that begin the edge branch and the first layer."""
    backbone = dict(type='ISNetEncoder', in_channels=edges[1], base_channels=first[0])
    return template(backbone, dict(type='ISNetHead', edge_channels=edges[0], modulated=modulated))


def _names(modulated: bool) -> Names:
    """Our names → the published ones."""
    offset = 'conv_offset_mask' if modulated else 'conv_offset'
    attention: Names = {'project.0': 'preprocess.0', 'project.1': 'preprocess.1'}
    for ours, theirs in (('row', 'dcn_row'), ('column', 'dcn_colum')):
        attention |= {ours: theirs, f'{ours}.offset': f'{theirs}.{offset}'}
    names: Names = {
        **nest('backbone.stem', 'stem', STEM4),
        **nest('decode_head', 'head', FCN_HEAD),
        'decode_head.edge_in': 'dsup',
        'decode_head.edge_out': 'fuse',
    }
    # The published network counts its edge blocks from the deepest level.
    for level in range(3):
        names |= layer(f'backbone.stages.{level}', f'layer{level + 1}', RESIDUAL_BODY, 4)
        names |= nest(f'decode_head.edge_blocks.{level}', f'myb{3 - level}', EDGE_BLOCK)
        names[f'decode_head.guides.{level}'] = f'dsn{3 - level}'
    for level, place in enumerate(('high', 'low')):
        names |= layer(f'decode_head.decoders.{level}', f'uplayer{level + 1}', RESIDUAL_BODY, 4)
        names |= nest(f'decode_head.attentions.{level}', f'TTOA_{place}', attention)
        names[f'decode_head.ups.{level}'] = f'deconv{level + 1}'
    return names


CONVERTER = Converter('isnet', "ISNet: its authors', BasicIRSTD's", convert_isnet, export_isnet)
