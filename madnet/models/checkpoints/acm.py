"""Checkpoints of the published ACM networks, to and from ours."""

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
from .mxnet import from_mxnet, is_from_mxnet, published_tensors, to_mxnet
from .renaming import Names, nest, rename
from .template import template

PUBLISHED = 'not a checkpoint of a published ACM'
OURS = 'not a state dict of our ACM'


class ACMShape(NamedTuple):
    """What tells one published ACM from another.

    ``host`` is ``'unet'`` or ``'fpn'``; ``source`` who published it: ``'toolbox'`` (BasicIRSTD),
    ``'acm-pytorch'`` or ``'authors'`` (open-acm).
    """

    host: str
    source: str
    in_channels: int
    base_channels: int
    blocks: int
    stem_stride: int

    def model(self) -> dict[str, dict]:
        """``backbone``, ``neck`` and ``decode_head`` of the config of this network, with all that makes its
        output equal to the published one."""
        authors, port = self.source == 'authors', self.source == 'acm-pytorch'
        backbone = dict(
            type='ThinResNet',
            in_channels=self.in_channels,
            base_channels=self.base_channels,
            blocks=self.blocks,
            stem_stride=self.stem_stride,
            input_affine=not authors,
        )
        if self.host == 'unet':
            neck = dict(type='ACMUNetNeck', blocks=self.blocks, reduce_high=port)
        else:
            neck = dict(type='ACMFPNNeck', stretch=port, align_corners=authors)
        head = dict(type='FCNSegHead', align_corners=authors, stretch=port)
        return dict(backbone=backbone, neck=neck, decode_head=head)

    def names(self) -> Names:
        """Our names → the published ones."""
        block = RESIDUAL_NAMED if self.source == 'toolbox' else RESIDUAL_BODY
        names = nest('backbone.stem', 'stem', STEM4 if self.stem_stride == 4 else STEM1)
        for i in range(3):
            names |= layer(f'backbone.stages.{i}', f'layer{i + 1}', block, self.blocks)
        for i in range(2):
            if self.host == 'unet':
                names[f'neck.ups.{i}'] = f'deconv{i + 1}'
                names |= nest(f'neck.fusions.{i}', f'fuse{i + 1}', ASYMMETRIC_FUSION)
                names |= layer(f'neck.layers.{i}', f'uplayer{i + 1}', block, self.blocks)
            else:
                names |= nest(f'neck.fusions.{i}', f'fuse{i + 1}{i + 2}', ASYMMETRIC_FUSION)
        return names | nest('decode_head', 'head', FCN_HEAD)


def published_acm_shape(published: Mapping[str, Any]) -> ACMShape:
    """The network that a checkpoint with the published key names belongs to; its ``model()`` gives the
    config.

    Raises:
        UserError: The stem or the decoder is missing.
    """
    state = published_tensors(published)
    stride = 4 if 'stem.7.weight' in state else 1
    last = state.get('stem.7.weight', state.get('stem.1.weight'))
    host = 'unet' if 'deconv2.weight' in state else 'fpn'
    if last is None or not (host == 'unet' or 'fuse23.post.0.weight' in state):
        raise UserError(
            f'{PUBLISHED}: it lacks stem.1.weight, or deconv2.weight (U-Net) and fuse23.post.0.weight (FPN); '
            f'its first keys are {some(state)}'
        )
    if is_from_mxnet(state):
        source = 'authors'
    else:
        source = 'toolbox' if 'layer1.0.conv1.weight' in state else 'acm-pytorch'
    blocks = count_blocks(state, 'layer1.')
    return ACMShape(host, source, state['stem.1.weight'].shape[1], last.shape[0], blocks, stride)


def convert_acm(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of our ACM from a checkpoint of any of the published ones.

    Args:
        published: The published state dict, its keys with or without ``model.``, bare or under
            ``state_dict``; of the authors' MXNet networks the arrays as tensors. Its form is read from it;
            see :func:`published_acm_shape`.

    Returns:
        State dict of an ``IRSTDSegmentor`` (keys ``backbone.``, ``neck.``, ``decode_head.``) of that form.

    Raises:
        UserError: Keys or shapes differ from the published architecture; the message names them.
    """
    state, shape = published_tensors(published), published_acm_shape(published)
    names = shape.names()
    ours = template(**shape.model())
    if shape.source == 'authors':
        state = from_mxnet(state, rename(ours, names))
    return to_ours(state, ours, names, PUBLISHED)


def export_acm(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inverse of :func:`convert_acm`: the published key names for a state dict of our ACM.

    Which of the published networks it belongs to follows from its parts: without learnt factors on the
    image the authors', with a convolution on the deeper map before the U-Net's fusion, or an FPN,
    acm-pytorch's, otherwise the toolbox's.

    Raises:
        UserError: The state dict is of another architecture.
    """
    state = unwrap(state_dict)
    stem = [f'backbone.stem.{i}.conv.weight' for i in (1, 3)]
    if stem[0] not in state or 'neck.fusions.1.post.conv.weight' not in state:
        raise UserError(
            f'{OURS}: it has no {stem[0]} or no neck.fusions.1.post.conv.weight; '
            f'its first keys are {some(state)}'
        )
    stride = 4 if stem[1] in state else 1
    host = 'unet' if 'neck.ups.0.weight' in state else 'fpn'
    if 'backbone.stem.0.weight' not in state:
        source = 'authors'
    else:
        source = 'acm-pytorch' if 'neck.fusions.0.reduce_high.conv.weight' in state else 'toolbox'
    last = state[stem[1] if stride == 4 else stem[0]].shape[0]
    blocks = count_blocks(state, 'backbone.stages.0.')
    shape = ACMShape(host, source, state[stem[0]].shape[1], last, blocks, stride)
    published = to_published(state, template(**shape.model()), shape.names(), OURS)
    return to_mxnet(published) if source == 'authors' else published
