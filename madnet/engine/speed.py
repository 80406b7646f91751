"""What makes networks run faster without their own code knowing of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.datasets.transforms import PublishedTestResize
from madnet.datasets.wrappers import inner_datasets, is_kind
from madnet.models.segmentors import IRSTDSegmentor
from madnet.ops import conv3x3, layer_norm

#: Images of a batch in tests and validations on a GPU, where the config has one.
_BATCH = 16


def batch_for_gpu(cfg: Config) -> None:
    """Let a GPU have several images at once in tests and validations, where a config loads one by one.

    ``IRSTDSegmentor`` runs those of one size together; networks of other types keep what the config says.
    """
    model = cfg.get('model') or {}
    ours = is_kind(model.get('type'), MODELS, IRSTDSegmentor)
    if not ours or (model.get('test_cfg') or {}).get('together') is False:
        return
    for loader in (cfg.get('val_dataloader'), cfg.get('test_dataloader')):
        if loader and loader.get('batch_size') == 1:
            loader['batch_size'] = _BATCH


@contextmanager
def exact_convolutions(tuned: bool = True) -> Iterator[None]:
    """Let cuDNN compute float32 in float32: PyTorch lets it round factors to 10 bits (TF32), which moves
    scores by up to 0.01. Half precision, where it is asked for, stays.

    Args:
        tuned: Whether cuDNN is used at all.
    """
    cudnn: Any = torch.backends.cudnn
    # PyTorch 2.9 and later have a setting for each kind of operator, which holds whatever the old one says,
    # and refuse to read the old one where it says otherwise
    kinds = [cudnn.conv, cudnn.rnn] if hasattr(cudnn, 'conv') else []
    before = [kind.fp32_precision for kind in kinds]
    rounds, enabled = 'tf32' in before if kinds else cudnn.allow_tf32, cudnn.enabled

    def put(enabled: bool, rounds: bool, precisions: list[str]) -> None:
        cudnn.enabled, cudnn.allow_tf32 = enabled, rounds
        for kind, precision in zip(kinds, precisions, strict=True):
            kind.fp32_precision = precision

    put(enabled and tuned, False, ['ieee'] * len(kinds))
    try:
        yield
    finally:
        put(enabled, rounds, before)


@contextmanager
def tuning_for(dataset: Any) -> Iterator[None]:
    """On a GPU, test in float32, and without cuDNN where the images of a data set have many sizes: for each
    of them it plans every convolution anew, a second for a narrow network's 29, which take ten milliseconds
    without it.

    Args:
        dataset: Whose images are shown to a network one by one.
    """
    if not torch.cuda.is_available():
        yield
        return
    with exact_convolutions(tuned=all(map(_has_one_size, inner_datasets(dataset)))):
        yield


def _has_one_size(dataset: Any) -> bool:
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    facts = getattr(dataset, 'facts', None)
    resized = any(isinstance(step, PublishedTestResize) for step in steps)
    return resized or facts is None or all(low == high for low, high in (facts.widths, facts.heights))


def make_fast(model: nn.Module) -> None:
    """Let every plain 3×3 convolution train as :class:`NarrowConv2d`, every plain ``nn.LayerNorm`` over one
    axis as :class:`HalfLayerNorm`, and count the batches of all ``nn.BatchNorm2d`` at once, in place.

    Parameters, buffers, hooks and the state dict stay what and where they are.
    """
    for module in model.modules():
        if type(module) is nn.Conv2d and _is_plain(module):
            module.__class__ = NarrowConv2d
        elif type(module) is nn.LayerNorm and len(module.normalized_shape) == 1 and module.bias is not None:
            module.__class__ = HalfLayerNorm
        elif type(module) is nn.BatchNorm2d and module.running_mean is not None and module.momentum:
            module.__class__ = UncountedBatchNorm2d
    model.register_forward_pre_hook(_count_batches)


def _is_plain(conv: nn.Conv2d) -> bool:
    form = conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups, conv.padding_mode
    return form == ((3, 3), (1, 1), (1, 1), (1, 1), 1, 'zeros')


class NarrowConv2d(nn.Conv2d):
    """PyTorch's ``Conv2d``, by :func:`madnet.ops.conv3x3`."""

    def forward(self, x: Tensor) -> Tensor:
        return conv3x3(x, self.weight, self.bias)


class UncountedBatchNorm2d(nn.BatchNorm2d):
    """PyTorch's ``BatchNorm2d``, which leaves counting the batches to whoever calls the network."""

    def forward(self, x: Tensor) -> Tensor:
        statistics = self.running_mean, self.running_var
        return F.batch_norm(x, *statistics, self.weight, self.bias, self.training, self.momentum, self.eps)


def _count_batches(model: nn.Module, given: tuple) -> None:
    norms = (m for m in model.modules() if isinstance(m, UncountedBatchNorm2d) and m.training)
    if model.training and (counts := [norm.num_batches_tracked for norm in norms]):
        torch._foreach_add_(counts, 1)


class HalfLayerNorm(nn.LayerNorm):
    """PyTorch's ``LayerNorm`` over the last axis, by :func:`madnet.ops.layer_norm`."""

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.weight, self.bias, self.eps)
