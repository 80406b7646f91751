"""Checkpoints of the published ALCNet networks, to and from ours."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from madnet.errors import UserError

from .blocks import (
    ASYMMETRIC_FUSION,
    FCN_HEAD,
    RESIDUAL_BODY,
    RESIDUAL_NAMED,
    STEM1,
    STEM4,
    count_blocks,
    layer,
)
from .conversion import to_ours, to_published
from .fitting import some, unwrap
from .mxnet import from_mxnet, published_tensors, to_mxnet
from .renaming import Names, nest, rename
from .template import template

PUBLISHED = 'not a checkpoint of a published ALCNet'
OURS = 'not a state dict of our ALCNet'
DEAD = ('uplayer1.', 'uplayer2.')
"""Residual blocks that the toolbox's port builds and never runs."""

BOTTOM_UP_FUSION: Names = {
    **{'norm_high': 'bn1', 'norm_low': 'bn2'},
    **{'gate.0.conv': 'bottomup_att.0', 'gate.0.bn': 'bottomup_att.1'},
    **{'gate.1.conv': 'bottomup_att.3', 'gate.1.bn': 'bottomup_att.4'},
}


class ALCNetShape(NamedTuple):
    """What tells one published ALCNet from another.

    ``source`` is who published it: ``'toolbox'`` (BasicIRSTD, without local contrast) or ``'authors'``
    (open-alcnet).
    """

    source: str
    in_channels: int
    base_channels: int
    blocks: int

    def model(self) -> dict[str, dict]:
        """``backbone``, ``neck`` and ``decode_head`` of the config of this network, with all that makes its
        output equal to the published one."""
        authors = self.source == 'authors'
        backbone = dict(
            type='ThinResNet',
            in_channels=self.in_channels,
            base_channels=self.base_channels,
            blocks=self.blocks,
            stem_stride=1 if authors else 4,
            input_affine=not authors,
        )
        if authors:
            neck = dict(type='ALCNetNeck', align_corners=True)
            head = dict(type='FCNSegHead', align_corners=True)
        else:
            neck = dict(type='ALCNetBasicNeck')
            head = dict(type='FCNSegHead', stride=2)
        return dict(backbone=backbone, neck=neck, decode_head=head)

    def names(self) -> Names:
        """Our names → the published ones."""
        authors = self.source == 'authors'
        names = nest('backbone.stem', 'stem', STEM1 if authors else STEM4)
        for i in range(3):
            block = RESIDUAL_BODY if authors else RESIDUAL_NAMED
            names |= layer(f'backbone.stages.{i}', f'layer{i + 1}', block, self.blocks)
        for i in range(2):
            if authors:
                names |= {
                    f'neck.reduce.{i}.conv': f'dec_c{i + 2}.0',
                    f'neck.reduce.{i}.bn': f'dec_c{i + 2}.1',
                }
                names |= nest(f'neck.fusions.{i}', f'bottomuplocal_fpn_{i + 1}', BOTTOM_UP_FUSION)
            else:
                names[f'neck.ups.{i}'] = f'deconv{i + 1}'
                names |= nest(f'neck.fusions.{i}', f'fuse{i + 1}{i + 2}', ASYMMETRIC_FUSION)
        names['neck.last'] = 'deconv0'
        return names | nest('decode_head', 'head', FCN_HEAD)


def published_alcnet_shape(published: Mapping[str, Any]) -> ALCNetShape:
    """The network that a checkpoint with the published key names belongs to; its ``model()`` gives the
    config.

    Raises:
        UserError: The stem or the decoder is missing.
    """
    state = published_tensors(published)
    source = 'toolbox' if 'deconv0.weight' in state else 'authors'
    last = state.get('stem.7.weight' if source == 'toolbox' else 'stem.1.weight')
    if last is None or not (source == 'toolbox' or 'dec_c3.0.weight' in state):
        raise UserError(
            f"{PUBLISHED}: it has a stem with neither deconv0.weight (the toolbox's) nor dec_c3.0.weight "
            f"(the authors'), or no stem; its first keys are {some(state)}"
        )
    blocks = count_blocks(state, 'layer1.')
    return ALCNetShape(source, state['stem.1.weight'].shape[1], last.shape[0], blocks)


def convert_alcnet(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of our ALCNet from a checkpoint of either published one.

    Residual blocks of the toolbox's port that it never runs are dropped.

    Args:
        published: The published state dict, its keys with or without ``model.``, bare or under
            ``state_dict``; of the authors' MXNet network the arrays as tensors. Its form is read from it; see
            :func:`published_alcnet_shape`.

    Returns:
        State dict of an ``IRSTDSegmentor`` (keys ``backbone.``, ``neck.``, ``decode_head.``) of that form.

    Raises:
        UserError: Keys or shapes differ from the published architecture; the message names them.
    """
    state, shape = published_tensors(published), published_alcnet_shape(published)
    names = shape.names()
    ours = template(**shape.model())
    if shape.source == 'authors':
        state = from_mxnet(state, rename(ours, names))
    else:
        state = {key: value for key, value in state.items() if not key.startswith(DEAD)}
    return to_ours(state, ours, names, PUBLISHED)


def export_alcnet(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inverse of :func:`convert_alcnet`: the published key names for a state dict of our ALCNet.

    The toolbox's residual blocks ``uplayer1`` and ``uplayer2``, which have no effect, are missing: load with
    ``strict=False``.

    Raises:
        UserError: The state dict is of another architecture.
    """
    state = unwrap(state_dict)
    authors = 'neck.reduce.0.conv.weight' in state
    keys = [f'backbone.stem.{i}.conv.weight' for i in ((1, 1) if authors else (1, 3))]
    absent = [key for key in keys if key not in state]
    if absent:
        raise UserError(f'{OURS}: it has no {absent[0]}; its first keys are {some(state)}')
    shape = ALCNetShape(
        'authors' if authors else 'toolbox',
        in_channels=state[keys[0]].shape[1],
        base_channels=state[keys[1]].shape[0],
        blocks=count_blocks(state, 'backbone.stages.0.'),
    )
    published = to_published(state, template(**shape.model()), shape.names(), OURS)
    return to_mxnet(published) if authors else published
