"""Weights in half precision, all at once instead of one by one where each is used."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from madnet.engine.speed import NarrowConv2d
from madnet.ops import takes_float32

#: Layers whose weights autocast casts; their subclasses may cast otherwise, as a deformable convolution does.
_USERS = (nn.Linear, nn.Conv1d, nn.Conv2d, NarrowConv2d)


class HalfWeights:
    """The weights and biases of a network that autocast would cast, cast in one operator.

    Autocast casts each weight of a convolution or linear layer by itself, and its gradient back by itself:
    two small operators each. Values and gradients are the same here.

    Only layers that have been called count: a layer that merely holds weights for something else, as those
    of a re-parameterised block, keeps them as they are; so does one whose kernel casts them as it reads.

    Args:
        model: Whose calls are watched until :meth:`found` is asked.
    """

    def __init__(self, model: nn.Module):
        self._called: set[nn.Module] = set()
        self._names: dict[str, Tensor] | None = None
        self._model = model
        self._handles: list[RemovableHandle] = [
            module.register_forward_pre_hook(self._note)
            for module in model.modules()
            if type(module) in _USERS
        ]

    def _note(self, layer: nn.Module, given: tuple) -> None:
        if not (isinstance(layer, NarrowConv2d) and takes_float32(given[0], layer.weight)):
            self._called.add(layer)

    def found(self) -> dict[str, Tensor]:
        """The parameters, by name; the first call ends the watch."""
        if self._names is None:
            for handle in self._handles:
                handle.remove()
            used = {id(p) for layer in self._called for p in layer.parameters(recurse=False)}
            named = self._model.named_parameters()
            self._names = {n: p for n, p in named if id(p) in used and p.dtype == torch.float32}
        return self._names

    def cast(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Those parameters in another type, differentiable, for ``torch.func.functional_call``."""
        names = self.found()
        return dict(zip(names, _Cast.apply(dtype, *names.values()), strict=True)) if names else {}


class _Cast(torch.autograd.Function):
    """Tensors in another type, each in memory of its own: cuDNN and cuBLAS take kernels that are many times
    slower for weights that do not lie on a multiple of 16 bytes, as slices of one row do not."""

    @staticmethod
    def forward(ctx, dtype: torch.dtype, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.types = [w.dtype for w in weights]
        return tuple(_in_type([dtype] * len(weights), weights))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, *grads: Tensor):
        return None, *_in_type(ctx.types, grads)


def _in_type(types: Sequence[torch.dtype], tensors: Sequence[Tensor]) -> list[Tensor]:
    cast = [torch.empty_like(t, dtype=dtype) for t, dtype in zip(tensors, types, strict=True)]
    torch._foreach_copy_(cast, list(tensors))
    return cast


def type_of_autocast(device: torch.device) -> torch.dtype | None:
    """The type that products have on a device now; None where autocast is off."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None


def half_type(kind: str) -> torch.dtype:
    """What half precision is on a kind of device: bfloat16, whose range is that of float32; float16 on a GPU
    that lacks it."""
    lacks = kind == 'cuda' and not torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.float16 if lacks else torch.bfloat16
