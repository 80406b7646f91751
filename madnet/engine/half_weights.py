"""Weights in half precision, all at once instead of one by one where each is used."""

import sys
from collections import defaultdict
from collections.abc import Sequence

import torch
from mmengine.dist import is_main_process
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class HalfWeights(TorchDispatchMode):
    """The parameters of a network that autocast would cast, cast in one operator.

    Autocast casts each weight of a convolution or linear layer by itself, and its gradient back by itself:
    two small operators each. Values and gradients are the same here.

    A forward pass under autocast, inside of which this is entered, shows which they are: those that nothing
    but such a cast takes. A weight that goes into something else as well (a sum, a layer that is left in full
    precision, a kernel that casts as it reads) stays as it is.

    Args:
        model: Whose parameters they are.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self._model = model
        self._uses: dict[int, set] = defaultdict(set)  # what a parameter is cast to, None for all else
        self._names: dict[str, Tensor] | None = None

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        use = kwargs.get('dtype') if func is torch.ops.aten._to_copy.default else None
        for given in tree_leaves((args, kwargs)):
            if isinstance(given, nn.Parameter):
                self._uses[id(given)].add(use)
        return func(*args, **kwargs)

    def found(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The parameters that autocast casts to a type, by name."""
        if self._names is None:
            named = self._model.named_parameters()
            self._names = {n: p for n, p in named if self._uses.get(id(p)) == {dtype}}
        return self._names

    def cast(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Those parameters in that type, differentiable, for ``torch.func.functional_call``."""
        names = self.found(dtype)
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


def warn_where_half_is_slow(kind: str) -> None:
    """Say in one line that this processor has no products of bfloat16, where it is asked for them: imitated,
    they take eight times as long as float32's or more."""
    can: dict = getattr(torch.cpu, 'get_capabilities', dict)()  # older versions of torch cannot tell
    fast = can.get('avx512_bf16') or can.get('amx_bf16')
    if kind == 'cpu' and can.get('architecture') == 'x86_64' and not fast and is_main_process():
        print(
            'warning: amp: this processor has no instructions for bfloat16 (AVX512-BF16 or AMX) and computes '
            'slower with it; leave it out.',
            file=sys.stderr,
            flush=True,
        )
