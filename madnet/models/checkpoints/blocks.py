"""Published names inside blocks that several networks share."""

from collections.abc import Iterable, Sequence

from madnet.models.checkpoints.renaming import Names, nest

CONV_BN: Names = {'conv': '0', 'bn': '1'}
DOUBLE_CONV: Names = {'0.conv': 'conv.0', '0.bn': 'conv.1', '1.conv': 'conv.3', '1.bn': 'conv.4'}
UP_CONV: Names = {'conv': 'up.1', 'bn': 'up.2'}

STEM4: Names = {'0': '0'}
for _i, _first in ((1, 1), (2, 4), (3, 7)):
    STEM4 |= {f'{_i}.conv': f'{_first}', f'{_i}.bn': f'{_first + 1}'}
STEM1: Names = {'0': '0', '1.conv': '1', '1.bn': '2'}

BODY: Names = {f'body.{i}': f'body.{i}' for i in (0, 1, 3, 4)}
"""The two convolutions of a residual block, where they lie in a sequence."""
BODY_NAMED: Names = {'body.0': 'conv1', 'body.1': 'bn1', 'body.3': 'conv2', 'body.4': 'bn2'}
"""The same, where they have names, as in torchvision."""
SHORTCUT: Names = {'shortcut.0': 'shortcut.0', 'shortcut.1': 'shortcut.1'}
DOWNSAMPLE: Names = {'shortcut.0': 'downsample.0', 'shortcut.1': 'downsample.1'}
RESIDUAL_BODY: Names = {**BODY, **DOWNSAMPLE}
RESIDUAL_NAMED: Names = {**BODY_NAMED, **DOWNSAMPLE}
CBAM_BLOCK: Names = {
    **BODY_NAMED,
    'channel_gate.squeeze': 'ca.fc1',
    'channel_gate.expand': 'ca.fc2',
    'spatial_gate.conv': 'sa.conv1',
    **SHORTCUT,
}

CROSS_FUSION: Names = {
    **nest('reduce_high', 'feature_high', CONV_BN),
    **{'top_down.0.conv': 'topdown.1', 'top_down.0.bn': 'topdown.2'},
    **{'top_down.1.conv': 'topdown.4', 'top_down.1.bn': 'topdown.5'},
    **nest('post', 'post', CONV_BN),
}
"""What fusions of a semantic and a detailed map have, except for the gate of the detailed one."""
ASYMMETRIC_FUSION: Names = {
    **CROSS_FUSION,
    **{'bottom_up.0.conv': 'bottomup.0', 'bottom_up.0.bn': 'bottomup.1'},
    **{'bottom_up.1.conv': 'bottomup.3', 'bottom_up.1.bn': 'bottomup.4'},
}
FCN_HEAD: Names = {'reduce.0': 'block.0', 'reduce.1': 'block.1', 'conv_seg': 'block.4'}


def convtrans_unet(stages: Sequence[Names], bottom: str, deepest: Names) -> Names:
    """The names of a U-Net of five levels in the code that MAD-Net and ABC share, where ``Conv1``, ``Conv5``
    and ``Conv`` are parts of the U and ``conv1`` … ``conv5`` the heads of deep supervision.

    Args:
        stages: What the four stages of the encoder are built from.
        bottom: Our name of the fifth stage.
        deepest: What that and the deepest step of the decoder are built from.
    """
    names = nest(bottom, 'Conv5', deepest) | nest('decode_head.decoders.3', 'Up_conv5', deepest)
    names['decode_head.conv_seg'] = 'Conv'
    for i, stage in enumerate(stages):
        names |= nest(f'backbone.stages.{i}', f'Convtans{i + 1}' if i else 'Conv1', stage)
        names |= nest(f'decode_head.ups.{i}', f'Up{i + 2}', UP_CONV)
    for i in range(3):
        names |= nest(f'decode_head.decoders.{i}', f'Up_conv{i + 2}', DOUBLE_CONV)
    return names | {f'decode_head.sides.{i}': f'conv{i + 1}' for i in range(5)}


def layer(ours: str, published: str, block: Names, blocks: int) -> Names:
    """The names of a row of residual blocks."""
    names: Names = {}
    for i in range(blocks):
        names |= nest(f'{ours}.{i}', f'{published}.{i}', block)
    return names


def count_blocks(keys: Iterable[str], prefix: str) -> int:
    """How many numbered modules stand behind a prefix, e.g. ``'layer1.'``."""
    return len({key.removeprefix(prefix).split('.')[0] for key in keys if key.startswith(prefix)})
