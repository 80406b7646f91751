"""What makes networks run faster without their own code knowing of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from madnet.datasets.transforms import PublishedTestResize
from madnet.datasets.wrappers import inner_datasets
from madnet.models.segmentors import IRSTDSegmentor
from madnet.ops import conv3x3, layer_norm

#: Images of a batch in tests and validations on a GPU, where the config has one.
_BATCH = 16


def batch_for_gpu(cfg: Config) -> None:
    """Let a GPU have several images at once in tests and validations, where a config loads one by one.

    ``IRSTDSegmentor`` runs those of one size together; networks of other types keep what the config says.
    """
    model = cfg.get('model') or {}
    name = getattr(model.get('type'), '__name__', model.get('type'))
    if name != IRSTDSegmentor.__name__ or (model.get('test_cfg') or {}).get('together') is False:
        return
    for loader in (cfg.get('val_dataloader'), cfg.get('test_dataloader')):
        if loader and loader.get('batch_size') == 1:
            loader['batch_size'] = _BATCH


@contextmanager
def tuning_for(dataset: Any) -> Iterator[None]:
    """Do without cuDNN where the images of a data set have many sizes: for each of them it plans every
    convolution anew, a second for a narrow network's 29, which take ten milliseconds without it.

    Args:
        dataset: Whose images are shown to a network one by one.
    """
    enabled = all(map(_has_one_size, inner_datasets(dataset)))
    with torch.backends.cudnn.flags(
        enabled=torch.backends.cudnn.enabled and enabled,
        benchmark=torch.backends.cudnn.benchmark,
        deterministic=torch.backends.cudnn.deterministic,
        allow_tf32=torch.backends.cudnn.allow_tf32,
    ):
        yield


def _has_one_size(dataset: Any) -> bool:
    steps = getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    facts = getattr(dataset, 'facts', None)
    resized = any(isinstance(step, PublishedTestResize) for step in steps)
    return resized or facts is None or all(low == high for low, high in (facts.widths, facts.heights))


def make_fast(model: nn.Module) -> None:
    """Let every plain ``nn.BatchNorm2d`` of few channels train as :class:`NarrowBatchNorm2d`, every plain 3×3
    convolution as :class:`NarrowConv2d`, and every plain ``nn.LayerNorm`` over one axis as
    :class:`HalfLayerNorm`, in place.

    Parameters, buffers, hooks and the state dict stay what and where they are.
    """
    for module in model.modules():
        if type(module) is nn.BatchNorm2d and module.num_features < NarrowBatchNorm2d.few:
            module.__class__ = NarrowBatchNorm2d
        elif type(module) is nn.Conv2d and _is_plain(module):
            module.__class__ = NarrowConv2d
        elif type(module) is nn.LayerNorm and len(module.normalized_shape) == 1 and module.bias is not None:
            module.__class__ = HalfLayerNorm


def _is_plain(conv: nn.Conv2d) -> bool:
    form = conv.kernel_size, conv.stride, conv.padding, conv.dilation, conv.groups, conv.padding_mode
    return form == ((3, 3), (1, 1), (1, 1), (1, 1), 1, 'zeros')


class NarrowConv2d(nn.Conv2d):
    """PyTorch's ``Conv2d``, by :func:`madnet.ops.conv3x3`."""

    def forward(self, x: Tensor) -> Tensor:
        return conv3x3(x, self.weight, self.bias)


class HalfLayerNorm(nn.LayerNorm):
    """PyTorch's ``LayerNorm`` over the last axis, by :func:`madnet.ops.layer_norm`."""

    def forward(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.weight, self.bias, self.eps)


class NarrowBatchNorm2d(nn.BatchNorm2d):
    """PyTorch's ``BatchNorm2d``, with training on a CPU in another order of sums where channels are few.

    Channels-last maps are normalised by PyTorch in steps of one pixel's channels; four of them fill an eighth
    of a vector register, and 8 × 4 × 256² values take fifteen times as long as they could. Here neighbouring
    pixels are taken together as one long row, so that the same sums run at the speed of memory. Values agree
    to rounding; state dict, evaluation and all other maps are PyTorch's.
    """

    #: Maps with fewer channels than this take the long rows.
    few = 8
    #: Values in a row.
    row = 64

    def forward(self, x: Tensor) -> Tensor:
        fast = (
            self.training
            and x.device.type == 'cpu'
            and x.dtype == torch.float32
            and x.shape[1] < self.few
            and self.affine
            and self.track_running_stats
            and self.momentum is not None
            and x.is_contiguous(memory_format=torch.channels_last)
            and x.numel() % self.row == self.row % x.shape[1] == 0
            and x.numel() > x.shape[1]
        )
        return self._by_rows(x) if fast and not torch.compiler.is_compiling() else super().forward(x)

    def _by_rows(self, x: Tensor) -> Tensor:
        channels, pixels = x.shape[1], x.numel() // x.shape[1]
        times = self.row // channels
        normalised, mean, var = _Rows.apply(
            x.permute(0, 2, 3, 1).reshape(-1, self.row), self.weight, self.bias, times, self.eps
        )
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * (pixels / (pixels - 1)), self.momentum)
        batch, _, height, width = x.shape
        return normalised.view(batch, height, width, channels).permute(0, 3, 1, 2)


class _Rows(torch.autograd.Function):
    """Rows of ``times`` pixels, (N, times · C), normalised; also mean (C,) and biased variance (C,)."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor, times: int, eps: float):
        count = x.shape[0] * times
        mean = _fold(x.sum(dim=0), times) / count
        centred = x - mean.repeat(times)
        var = _fold((centred * centred).sum(dim=0), times) / count
        scale = (var + eps).rsqrt()
        ctx.times, ctx.count = times, count
        ctx.save_for_backward(centred, weight, scale)
        ctx.mark_non_differentiable(mean, var)
        return torch.addcmul(bias.repeat(times), centred, (scale * weight).repeat(times)), mean, var

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor, *_):
        centred, weight, scale = ctx.saved_tensors
        times, count = ctx.times, ctx.count
        grad_bias = _fold(grad.sum(dim=0), times)
        grad_weight = _fold((grad * centred).sum(dim=0), times) * scale
        # dx = γ/σ · (g − mean(g) − x̂ · mean(g x̂))
        factor = weight * scale
        slope = -factor * scale * grad_weight / count
        grad_x = torch.addcmul((-factor * grad_bias / count).repeat(times), centred, slope.repeat(times))
        grad_x.addcmul_(grad, factor.repeat(times))
        return grad_x, grad_weight, grad_bias, None, None


def _fold(sums: Tensor, times: int) -> Tensor:
    """Sums of every place in a row (times · C,) → of every channel (C,)."""
    return sums.view(times, -1).sum(dim=0)
