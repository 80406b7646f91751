"""Checkpoints of the published SCTransNet, to and from ours."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from madnet.models.checkpoints.blocks import BODY_NAMED, SHORTCUT
from madnet.models.checkpoints.conversion import Converter, shape_of, to_ours, to_published
from madnet.models.checkpoints.fitting import unwrap, without_prefixes
from madnet.models.checkpoints.renaming import Names, nest
from madnet.models.checkpoints.template import template

PUBLISHED = 'not a checkpoint of the published SCTransNet'
OURS = 'not a state dict of our SCTransNet'

RESIDUAL: Names = {**BODY_NAMED, **SHORTCUT}
CONV: Names = {'conv': 'conv', 'bn': 'norm'}
DOUBLE_CONV: Names = {**nest('0', '0', CONV), **nest('1', '1', CONV)}
FFN: Names = {
    'widen': 'project_in',
    'fine': 'dwconv3x3',
    'coarse': 'dwconv5x5',
    'narrow': 'project_out',
    'gate': 'eca.conv.0',
}
BLOCK: Names = {
    'joined_norm': 'attn_norm.body',
    'attention.keys.0': 'channel_attn.mheadk',
    'attention.keys.1': 'channel_attn.k',
    'attention.values.0': 'channel_attn.mheadv',
    'attention.values.1': 'channel_attn.v',
}
NAMES: Names = {
    **nest('backbone.stages.0', 'inc.0', RESIDUAL),
    'decode_head.conv_seg': 'outc',
    'decode_head.fuse': 'outconv',
}
for _i in range(4):
    _n = _i + 1
    BLOCK |= {
        f'norms.{_i}': f'attn_norm{_n}.body',
        f'attention.queries.{_i}.0': f'channel_attn.mhead{_n}',
        f'attention.queries.{_i}.1': f'channel_attn.q{_n}',
        f'attention.outputs.{_i}': f'channel_attn.project_out{_n}',
        f'ffn_norms.{_i}': f'ffn_norm{_n}.body',
        **nest(f'ffns.{_i}', f'ffn{_n}', FFN),
    }
    NAMES |= {
        **nest(f'backbone.stages.{_n}', f'down_encoder{_n}.0', RESIDUAL),
        f'neck.patches.{_i}': f'mtc.embeddings_{_n}.patch_embeddings',
        f'neck.norms.{_i}': f'mtc.encoder.encoder_norm{_n}.body',
        **nest(f'neck.maps.{_i}', f'mtc.reconstruct_{_n}', CONV),
        f'decode_head.gates.{_i}.skip': f'up_decoder{_n}.coatt.mlp_x.1',
        f'decode_head.gates.{_i}.below': f'up_decoder{_n}.coatt.mlp_g.1',
        **nest(f'decode_head.decoders.{_i}', f'up_decoder{_n}.nConvs', DOUBLE_CONV),
        f'decode_head.sides.{_i}': f'gt_conv{_n + 1}.0',
    }

#: parameters that the published network has and never reads
DEAD = re.compile(r'mtc\.(embeddings_\d\.position_embeddings|encoder\.layer\.\d+\.channel_attn\.q\d_attn\d)')
#: Unused position embeddings of a map: one for each patch of 16 pixels of an image of 256.
_POSITIONS = (256 // 16) ** 2


def convert_sctransnet(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of our SCTransNet from a checkpoint with the published key names.

    Parameters that the published network never reads (position embeddings, sixteen scalars in each block) are
    dropped.
    """
    state = without_prefixes(published)
    first = shape_of(state, 'inc.0.conv1.weight', PUBLISHED)
    state = {key: value for key, value in state.items() if not DEAD.fullmatch(key)}
    depth = _count(state, r'mtc\.encoder\.layer\.(\d+)\.')
    return to_ours(state, _template(first, depth), _names(depth), PUBLISHED)


def export_sctransnet(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inverse of :func:`convert_sctransnet`, with the parameters that are never read as the published
    network starts with them.

    Args:
        state_dict: State dict of our SCTransNet, bare or under ``state_dict``.
    """
    state = unwrap(state_dict)
    first = shape_of(state, 'backbone.stages.0.body.0.weight', OURS)
    depth = _count(state, r'neck\.blocks\.(\d+)\.')
    published = to_published(state, _template(first, depth), _names(depth), OURS)
    for i in range(1, 5):
        positions = torch.zeros(1, _POSITIONS, first[0] * 2 ** (i - 1))
        published[f'mtc.embeddings_{i}.position_embeddings'] = positions
        for block in range(depth):
            for j in range(1, 5):
                published[f'mtc.encoder.layer.{block}.channel_attn.q{i}_attn{j}'] = torch.tensor([0.2])
    return published


def _names(depth: int) -> Names:
    names = dict(NAMES)
    for block in range(depth):
        names |= nest(f'neck.blocks.{block}', f'mtc.encoder.layer.{block}', BLOCK)
    return names


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """Blocks, by the numbers in the keys that begin with ``pattern``."""
    found = (re.match(pattern, key) for key in state)
    return len({match[1] for match in found if match})


def _template(first: torch.Size, depth: int) -> dict[str, Tensor]:
    """Our state dict, by the shape of the first convolution and the number of blocks."""
    backbone = dict(type='SCTransNetEncoder', in_channels=first[1], base_channels=first[0])
    return template(backbone, dict(type='SCTransNetHead'), neck=dict(type='SCTransNetNeck', depth=depth))


CONVERTER = Converter('sctransnet', 'SCTransNet', convert_sctransnet, export_sctransnet)
