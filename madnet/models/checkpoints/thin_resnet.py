"""What the published ACM and ALCNet share: their residual network, and checkpoints that come from MXNet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from madnet.models.checkpoints.blocks import (
    FCN_HEAD,
    RESIDUAL_BODY,
    RESIDUAL_NAMED,
    STEM1,
    STEM4,
    count_blocks,
    layer,
)
from madnet.models.checkpoints.conversion import to_ours, to_published
from madnet.models.checkpoints.fitting import without_prefixes
from madnet.models.checkpoints.renaming import Names, nest, rename
from madnet.models.checkpoints.template import template

INPUT_NORM = 'stem.0'
"""The normalisation of the image, which the authors' networks have without learnt factors and offsets; MXNet
saves them all the same, and does not use them."""

LEAVES = {'gamma': 'weight', 'beta': 'bias'}
"""MXNet's name → PyTorch's name of a normalisation's parameters."""


@dataclass(frozen=True)
class ThinResNetShape:
    """What distinguishes one published network over ``ThinResNet`` from another; each adds its decoder.

    ``source`` is who published it: ``'authors'`` in MXNet, ``'toolbox'`` (BasicIRSTD), or another port.
    """

    source: str
    in_channels: int
    base_channels: int
    blocks: int
    stem_stride: int

    @property
    def block(self) -> Names:
        """Our names → the published ones inside a residual block."""
        return RESIDUAL_NAMED if self.source == 'toolbox' else RESIDUAL_BODY

    def decoder(self) -> dict[str, dict]:
        """``neck`` and ``decode_head`` of the config; abstract."""
        raise NotImplementedError

    def decoder_names(self) -> Names:
        """Our names → the published ones of the neck; abstract."""
        raise NotImplementedError

    def model(self) -> dict[str, dict]:
        """``backbone``, ``neck`` and ``decode_head`` of the config of this network, with all that makes its
        output equal to the published one."""
        backbone = dict(
            type='ThinResNet',
            in_channels=self.in_channels,
            base_channels=self.base_channels,
            blocks=self.blocks,
            stem_stride=self.stem_stride,
            input_affine=self.source != 'authors',
        )
        return dict(backbone=backbone, **self.decoder())

    def names(self) -> Names:
        """Our names → the published ones."""
        names = nest('backbone.stem', 'stem', STEM4 if self.stem_stride == 4 else STEM1)
        for i in range(3):
            names |= layer(f'backbone.stages.{i}', f'layer{i + 1}', self.block, self.blocks)
        return names | self.decoder_names() | nest('decode_head', 'head', FCN_HEAD)

    def to_ours(self, published: Mapping[str, Tensor], verdict: str) -> dict[str, Tensor]:
        """Our state dict from the published tensors of this shape; ``verdict`` begins an error."""
        ours, names = template(**self.model()), self.names()
        if self.source == 'authors':
            published = from_mxnet(published, rename(ours, names))
        return to_ours(published, ours, names, verdict)

    def to_published(self, ours: Mapping[str, Tensor], verdict: str) -> dict[str, Tensor]:
        """The inverse of :meth:`to_ours`."""
        published = to_published(ours, template(**self.model()), self.names(), verdict)
        return to_mxnet(published) if self.source == 'authors' else published


def measure(state: Mapping[str, Tensor], stem: str, last: str, layer1: str) -> dict[str, int] | None:
    """``in_channels``, ``base_channels`` and ``blocks`` by the stem's first and last convolution and by what
    stands before the first layer's blocks; None where one of the convolutions is missing."""
    if stem not in state or last not in state:
        return None
    return dict(
        in_channels=state[stem].shape[1],
        base_channels=state[last].shape[0],
        blocks=count_blocks(state, layer1),
    )


def published_tensors(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a checkpoint without what trainers put before the keys, by PyTorch's names."""
    state = {}
    for key, value in without_prefixes(checkpoint).items():
        module, _, leaf = key.rpartition('.')
        state[f'{module}.{LEAVES.get(leaf, leaf)}'] = value
    return state


def is_from_mxnet(state: Mapping[str, Tensor]) -> bool:
    """Whether nothing counts the batches of a normalisation, as PyTorch's always do."""
    return not any(key.endswith('.num_batches_tracked') for key in state)


def from_mxnet(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Drops the unused factors of the image's normalisation and adds the counters of batches that are
    expected, all 0."""
    unused = {f'{INPUT_NORM}.weight', f'{INPUT_NORM}.bias'}
    counters = {key: torch.tensor(0) for key in expected if key.endswith('.num_batches_tracked')}
    return {key: value for key, value in state.items() if key not in unused} | counters


def to_mxnet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of :func:`from_mxnet`, by PyTorch's names."""
    channels = len(state[f'{INPUT_NORM}.running_mean'])
    unused = {f'{INPUT_NORM}.weight': torch.ones(channels), f'{INPUT_NORM}.bias': torch.zeros(channels)}
    return unused | {key: v for key, v in state.items() if not key.endswith('.num_batches_tracked')}
