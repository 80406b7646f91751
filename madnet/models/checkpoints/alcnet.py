"""Checkpoints of the published ALCNet networks, to and from ours."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from madnet.errors import UserError
from madnet.models.checkpoints.blocks import ASYMMETRIC_FUSION
from madnet.models.checkpoints.conversion import Converter
from madnet.models.checkpoints.fitting import first_keys, unwrap
from madnet.models.checkpoints.renaming import Names, nest
from madnet.models.checkpoints.thin_resnet import ThinResNetShape, measure, published_tensors

PUBLISHED = 'not a checkpoint of a published ALCNet'
OURS = 'not a state dict of our ALCNet'
DEAD = ('uplayer1.', 'uplayer2.')
"""Residual blocks that the toolbox's port builds and never runs."""

BOTTOM_UP_FUSION: Names = {
    **{'norm_high': 'bn1', 'norm_low': 'bn2'},
    **{'gate.0.conv': 'bottomup_att.0', 'gate.0.bn': 'bottomup_att.1'},
    **{'gate.1.conv': 'bottomup_att.3', 'gate.1.bn': 'bottomup_att.4'},
}


class ALCNetShape(ThinResNetShape):
    """What distinguishes one published ALCNet from another.

    ``source`` is who published it: ``'toolbox'`` (BasicIRSTD, without local contrast, stem of stride 4) or
    ``'authors'`` (open-alcnet, stem of stride 1).
    """

    def decoder(self) -> dict[str, dict]:
        if self.source == 'authors':
            neck = dict(type='ALCNetNeck', align_corners=True)
            return dict(neck=neck, decode_head=dict(type='FCNSegHead', align_corners=True))
        return dict(neck=dict(type='ALCNetBasicNeck'), decode_head=dict(type='FCNSegHead', stride=2))

    def decoder_names(self) -> Names:
        names: Names = {'neck.last': 'deconv0'}
        for i in range(2):
            if self.source == 'authors':
                names |= nest(f'neck.reduce.{i}', f'dec_c{i + 2}', {'conv': '0', 'bn': '1'})
                names |= nest(f'neck.fusions.{i}', f'bottomuplocal_fpn_{i + 1}', BOTTOM_UP_FUSION)
            else:
                names[f'neck.ups.{i}'] = f'deconv{i + 1}'
                names |= nest(f'neck.fusions.{i}', f'fuse{i + 1}{i + 2}', ASYMMETRIC_FUSION)
        return names


def published_alcnet_shape(published: Mapping[str, Any]) -> ALCNetShape:
    """The network that a checkpoint with the published key names belongs to; its ``model()`` gives the
    config.

    Raises:
        UserError: The stem or the decoder is missing.
    """
    state = published_tensors(published)
    toolbox = 'deconv0.weight' in state
    numbers = measure(state, 'stem.1.weight', f'stem.{7 if toolbox else 1}.weight', 'layer1.')
    if numbers is None or not (toolbox or 'dec_c3.0.weight' in state):
        raise UserError(
            f"{PUBLISHED}: it has a stem with neither deconv0.weight (the toolbox's) nor dec_c3.0.weight "
            f"(the authors'), or no stem; its first keys are {first_keys(state)}"
        )
    return _shape(toolbox, numbers)


def convert_alcnet(published: Mapping[str, Any]) -> dict[str, Tensor]:
    """State dict of our ALCNet from a checkpoint of either published one.

    Residual blocks of the toolbox's port that it never runs are dropped.
    """
    state, shape = published_tensors(published), published_alcnet_shape(published)
    if shape.source == 'toolbox':
        state = {key: value for key, value in state.items() if not key.startswith(DEAD)}
    return shape.to_ours(state, PUBLISHED)


def export_alcnet(state_dict: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inverse of :func:`convert_alcnet`: the published key names for a state dict of our ALCNet.

    The toolbox's residual blocks ``uplayer1`` and ``uplayer2``, which have no effect, are missing: load with
    ``strict=False``.
    """
    state = unwrap(state_dict)
    toolbox = 'neck.reduce.0.conv.weight' not in state
    first, last = (f'backbone.stem.{i}.conv.weight' for i in (1, 3 if toolbox else 1))
    numbers = measure(state, first, last, 'backbone.stages.0.')
    if numbers is None:
        raise UserError(
            f'{OURS}: it has no {last if first in state else first}; its first keys are {first_keys(state)}'
        )
    return _shape(toolbox, numbers).to_published(state, OURS)


def _shape(toolbox: bool, numbers: dict[str, int]) -> ALCNetShape:
    source, stride = ('toolbox', 4) if toolbox else ('authors', 1)
    return ALCNetShape(source=source, stem_stride=stride, **numbers)


CONVERTER = Converter(
    'alcnet',
    "ALCNet: its authors' (MXNet arrays as tensors), BasicIRSTD's",
    convert_alcnet,
    export_alcnet,
)
