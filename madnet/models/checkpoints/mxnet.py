"""Checkpoints of networks that were published in MXNet, their arrays read as tensors."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .fitting import without_prefixes

INPUT_NORM = 'stem.0'
"""The normalisation of the image, which these networks have without learnt factors and offsets; MXNet saves
them all the same, and does not use them."""

LEAVES = {'gamma': 'weight', 'beta': 'bias'}
"""MXNet's name → PyTorch's name of a normalisation's parameters."""


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
    """Drops the unused factors of the image's normalisation and adds counters of batches, all 0.

    Args:
        state: Published key → tensor.
        expected: The published form of our state dict.
    """
    unused = {f'{INPUT_NORM}.weight', f'{INPUT_NORM}.bias'}
    counters = {key: torch.tensor(0) for key in expected if key.endswith('.num_batches_tracked')}
    return {key: value for key, value in state.items() if key not in unused} | counters


def to_mxnet(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of :func:`from_mxnet`, by PyTorch's names."""
    channels = len(state[f'{INPUT_NORM}.running_mean'])
    unused = {f'{INPUT_NORM}.weight': torch.ones(channels), f'{INPUT_NORM}.bias': torch.zeros(channels)}
    return unused | {key: v for key, v in state.items() if not key.endswith('.num_batches_tracked')}
