"""Weights in half precision, all at once instead of one by one where each is used."""

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

_USERS = nn.Linear | nn.Conv1d | nn.Conv2d


class HalfWeights:
    """The weights and biases of a network that autocast would cast, cast in three operators.

    Autocast casts each weight of a convolution or linear layer by itself, and its gradient back by itself:
    two small operators each. Here all lie in one row for that. Values and gradients are the same.

    Only layers that have been called count: a layer that merely holds weights for something else, as those
    of a re-parameterised block, keeps them as they are.

    Args:
        model: Whose calls are watched until :meth:`found` is asked.
    """

    def __init__(self, model: nn.Module):
        self._called: set[nn.Module] = set()
        self._names: dict[str, Tensor] | None = None
        self._model = model
        self._handles: list[RemovableHandle] = [
            module.register_forward_pre_hook(lambda layer, given: self._called.add(layer))
            for module in model.modules()
            if isinstance(module, _USERS)
        ]

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
        if not names:
            return {}
        rows = [_in_memory_order(p) for p in names.values()]
        cast = torch.cat([row.reshape(-1) for row in rows]).to(dtype)
        parts = cast.split([row.numel() for row in rows])
        return {
            name: _as_before(part.view(row.shape), parameter)
            for (name, parameter), part, row in zip(names.items(), parts, rows, strict=True)
        }


def _channels_last(weight: Tensor) -> bool:
    return weight.ndim == 4 and weight.is_contiguous(memory_format=torch.channels_last)


def _in_memory_order(weight: Tensor) -> Tensor:
    """A view whose last axis is the innermost in memory."""
    return weight.permute(0, 2, 3, 1) if _channels_last(weight) else weight


def _as_before(row: Tensor, weight: Tensor) -> Tensor:
    """The inverse of :func:`_in_memory_order`."""
    return row.permute(0, 3, 1, 2) if _channels_last(weight) else row


def type_of_autocast(device: torch.device) -> torch.dtype | None:
    """The type that products have on a device now; None where autocast is off."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
