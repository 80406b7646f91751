"""Published names of what ACM, ALCNet and ISNet share."""

from collections.abc import Iterable

from .renaming import Names, nest

STEM4: Names = {'0': '0'}
for _i, _first in ((1, 1), (2, 4), (3, 7)):
    STEM4 |= {f'{_i}.conv': f'{_first}', f'{_i}.bn': f'{_first + 1}'}
STEM1: Names = {'0': '0', '1.conv': '1', '1.bn': '2'}

SHORTCUT: Names = {'shortcut.0': 'downsample.0', 'shortcut.1': 'downsample.1'}
RESIDUAL_BODY: Names = {**{f'body.{i}': f'body.{i}' for i in (0, 1, 3, 4)}, **SHORTCUT}
"""A residual block whose two convolutions lie in a sequence."""
RESIDUAL_NAMED: Names = {
    **{'body.0': 'conv1', 'body.1': 'bn1', 'body.3': 'conv2', 'body.4': 'bn2'},
    **SHORTCUT,
}
"""A residual block whose two convolutions have names, as in torchvision."""

ASYMMETRIC_FUSION: Names = {
    **{'reduce_high.conv': 'feature_high.0', 'reduce_high.bn': 'feature_high.1'},
    **{'top_down.0.conv': 'topdown.1', 'top_down.0.bn': 'topdown.2'},
    **{'top_down.1.conv': 'topdown.4', 'top_down.1.bn': 'topdown.5'},
    **{'bottom_up.0.conv': 'bottomup.0', 'bottom_up.0.bn': 'bottomup.1'},
    **{'bottom_up.1.conv': 'bottomup.3', 'bottom_up.1.bn': 'bottomup.4'},
    **{'post.conv': 'post.0', 'post.bn': 'post.1'},
}
FCN_HEAD: Names = {'reduce.0': 'block.0', 'reduce.1': 'block.1', 'conv_seg': 'block.4'}


def layer(ours: str, published: str, block: Names, blocks: int) -> Names:
    """The names of a row of residual blocks."""
    names: Names = {}
    for i in range(blocks):
        names |= nest(f'{ours}.{i}', f'{published}.{i}', block)
    return names


def count_blocks(keys: Iterable[str], prefix: str) -> int:
    """How many numbered modules stand behind a prefix, e.g. ``'layer1.'``."""
    return len({key.removeprefix(prefix).split('.')[0] for key in keys if key.startswith(prefix)})
