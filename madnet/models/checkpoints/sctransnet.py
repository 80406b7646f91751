"""Checkpoints of the published SCTransNet, to and from ours."""

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from madnet.errors import UserError
from madnet.models.backbones import SCTransNetEncoder
from madnet.models.heads import SCTransNetHead
from madnet.models.necks import SCTransNetNeck

from .fitting import check_same, some, unwrap, without_prefixes
from .renaming import Names, inverse, nest, rename

RESIDUAL: Names = {
    **{'body.0': 'conv1', 'body.1': 'bn1', 'body.3': 'conv2', 'body.4': 'bn2'},
    **{f'shortcut.{i}': f'shortcut.{i}' for i in (0, 1)},
}
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


def convert_sctransnet(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of our SCTransNet from a checkpoint with the published key names.

    Parameters that the published network never reads (position embeddings, sixteen scalars in each block) are
    dropped.

    Args:
        published: The published state dict, its keys with or without ``model.``, bare or under
            ``state_dict``. Its width, depth and image channels are read from it.

    Returns:
        State dict of an ``IRSTDSegmentor`` (keys ``backbone.``, ``neck.``, ``decode_head.``).

    Raises:
        UserError: Keys or shapes differ from the published architecture; the message names them.
    """
    state = without_prefixes(published)
    weight = state.get('inc.0.conv1.weight')
    if weight is None or weight.ndim != 4:
        raise UserError(
            'not a checkpoint of the published SCTransNet: it has no convolution inc.0.conv1.weight; '
            f'its first keys are {some(state)}'
        )
    state = {key: value for key, value in state.items() if not DEAD.fullmatch(key)}
    depth = _count(state, r'mtc\.encoder\.layer\.(\d+)\.')
    expected = rename(_template(weight.shape[1], weight.shape[0], depth), _names(depth))
    check_same(state, expected, 'not a checkpoint of the published SCTransNet')
    return rename({key: state[key] for key in expected}, inverse(_names(depth)))


def export_sctransnet(state_dict: Mapping[str, Any], image_size: int = 256) -> dict[str, Tensor]:
    """The inverse of :func:`convert_sctransnet`, with the parameters that are never read as the published
    network starts with them.

    Args:
        state_dict: State dict of our SCTransNet, bare or under ``state_dict``.
        image_size: Side in pixels that the published network is told; only the length of its unused position
            embeddings depends on it.

    Raises:
        UserError: The state dict is of another architecture.
    """
    state = unwrap(state_dict)
    weight = state.get('backbone.stages.0.body.0.weight')
    if weight is None or weight.ndim != 4:
        raise UserError(
            'not a state dict of our SCTransNet: it has no backbone.stages.0.body.0.weight; '
            f'its first keys are {some(state)}'
        )
    depth, width = _count(state, r'neck\.blocks\.(\d+)\.'), weight.shape[0]
    expected = _template(weight.shape[1], width, depth)
    check_same(state, expected, 'not a state dict of our SCTransNet')
    published = rename({key: state[key] for key in expected}, _names(depth))
    for i in range(1, 5):
        positions = torch.zeros(1, (image_size // 16) ** 2, width * 2 ** (i - 1))
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


def _template(in_channels: int, base_channels: int, depth: int) -> dict[str, Tensor]:
    """Our state dict of that shape, without memory behind it."""
    with torch.device('meta'):
        backbone = SCTransNetEncoder(in_channels, base_channels)
        neck = SCTransNetNeck(backbone.pyramid_channels, depth)
        head = SCTransNetHead(neck.pyramid_channels)
    return nn.ModuleDict({'backbone': backbone, 'neck': neck, 'decode_head': head}).state_dict()
