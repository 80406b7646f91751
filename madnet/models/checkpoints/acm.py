"""Checkpoints of the published ACM networks, to and from ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from madnet.errors import UserError
from madnet.models.checkpoints.blocks import ASYMMETRIC_FUSION, layer
from madnet.models.checkpoints.conversion import Converter
from madnet.models.checkpoints.fitting import first_keys, unwrap
from madnet.models.checkpoints.renaming import Names, nest
from madnet.models.checkpoints.thin_resnet import (
    ThinResNetShape,
    is_from_mxnet,
    measure,
    published_tensors,
)

PUBLISHED = 'not a checkpoint of a published ACM'
OURS = 'not a state dict of our ACM'


@dataclass(frozen=True)
class ACMShape(ThinResNetShape):
    """What distinguishes one published ACM from another.

    ``host`` is ``'unet'`` or ``'fpn'``; ``source`` who published it: ``'toolbox'`` (BasicIRSTD),
    ``'acm-pytorch'`` or ``'authors'`` (open-acm).
    """

    host: str

    def decoder(self) -> dict[str, dict]:
        authors, port = self.source == 'authors', self.source == 'acm-pytorch'
        if self.host == 'unet':
            neck = dict(type='ACMUNetNeck', blocks=self.blocks, reduce_high=port)
        else:
            neck = dict(type='ACMFPNNeck', stretch=port, align_corners=authors)
        return dict(neck=neck, decode_head=dict(type='FCNSegHead', align_corners=authors, stretch=port))

    def decoder_names(self) -> Names:
        names: Names = {}
        for i in range(2):
            if self.host == 'unet':
                names[f'neck.ups.{i}'] = f'deconv{i + 1}'
                names |= nest(f'neck.fusions.{i}', f'fuse{i + 1}', ASYMMETRIC_FUSION)
                names |= layer(f'neck.layers.{i}', f'uplayer{i + 1}', self.block, self.blocks)
            else:
                names |= nest(f'neck.fusions.{i}', f'fuse{i + 1}{i + 2}', ASYMMETRIC_FUSION)
        return names


def published_acm_shape(published: Mapping[str, Any]) -> ACMShape:
    """The network that a checkpoint with the published key names belongs to; its ``model()`` gives the
    config.

    Raises:
        UserError: The stem or the decoder is missing.
    """
    state = published_tensors(published)
    stride = 4 if 'stem.7.weight' in state else 1
    numbers = measure(state, 'stem.1.weight', f'stem.{7 if stride == 4 else 1}.weight', 'layer1.')
    host = 'unet' if 'deconv2.weight' in state else 'fpn'
    if numbers is None or not (host == 'unet' or 'fuse23.post.0.weight' in state):
        raise UserError(
            f'{PUBLISHED}: it lacks stem.1.weight, or deconv2.weight (U-Net) and fuse23.post.0.weight (FPN); '
            f'its first keys are {first_keys(state)}'
        )
    if is_from_mxnet(state):
        source = 'authors'
    else:
        source = 'toolbox' if 'layer1.0.conv1.weight' in state else 'acm-pytorch'
    return ACMShape(source=source, stem_stride=stride, host=host, **numbers)


def convert_acm(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of our ACM from a checkpoint of any of the published ones.

    The arrays of the authors' MXNet networks are expected as tensors. See :func:`published_acm_shape`.
    """
    return published_acm_shape(published).to_ours(published_tensors(published), PUBLISHED)


def export_acm(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inverse of :func:`convert_acm`: the published key names for a state dict of our ACM.

    Which of the published networks it belongs to follows from its parts: without learnt factors on the
    image the authors', with a convolution on the deeper map before the U-Net's fusion, or an FPN,
    acm-pytorch's, otherwise the toolbox's.
    """
    state = unwrap(state_dict)
    first, third = (f'backbone.stem.{i}.conv.weight' for i in (1, 3))
    numbers = measure(state, first, third if third in state else first, 'backbone.stages.0.')
    if numbers is None or 'neck.fusions.1.post.conv.weight' not in state:
        raise UserError(
            f'{OURS}: it has no {first} or no neck.fusions.1.post.conv.weight; '
            f'its first keys are {first_keys(state)}'
        )
    if 'backbone.stem.0.weight' not in state:
        source = 'authors'
    else:
        source = 'acm-pytorch' if 'neck.fusions.0.reduce_high.conv.weight' in state else 'toolbox'
    shape = ACMShape(
        source=source,
        stem_stride=4 if third in state else 1,
        host='unet' if 'neck.ups.0.weight' in state else 'fpn',
        **numbers,
    )
    return shape.to_published(state, OURS)


CONVERTER = Converter(
    'acm',
    "ACM, U-Net and FPN: its authors' (MXNet arrays as tensors), acm-pytorch's, BasicIRSTD's",
    convert_acm,
    export_acm,
)
