"""What keeps a training step from being a graph: seen before it is captured, while, and afterwards."""

import traceback
from collections.abc import Iterable, Iterator, Mapping
from numbers import Number
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from madnet.engine.random_state import get_random_state, set_random_state

#: Operators that need a number on the CPU to go on.
_WAITING = {
    *('_local_scalar_dense', 'nonzero', 'masked_select', '_unique2', 'unique_dim', 'unique_consecutive'),
    *('equal', 'bincount', 'repeat_interleave'),
}


class Watched(TorchDispatchMode):
    """Notes the first operator for which a GPU would have to wait, and the line that it came from.

    Attributes:
        found: In words; None as long as there was none.
    """

    def __init__(self):
        super().__init__()
        self.found: str | None = None

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if self.found is None and _waits(func, args):
            self.found = f'{func.overloadpacket.__name__} waits for a number ({_place()}).'
        return func(*args, **(kwargs or {}))


def _waits(func, args: tuple) -> bool:
    name = func.overloadpacket.__name__
    if name in ('index', 'index_put', 'index_put_'):
        return any(isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8) for i in args[1])
    return name in _WAITING


def in_one_line(error: BaseException) -> str:
    """What an error says first, and the line of ours that it came from.

    Where the end of a capture fails as well, as it does after an error inside, the error inside is meant.
    """
    first = _first(error)
    said = (str(first).strip() or type(first).__name__).splitlines()[0]
    return f'{said} ({_place(first)})'


def place_of(error: BaseException) -> str:
    """The line of code that an error came from."""
    return _place(_first(error))


def _first(error: BaseException) -> BaseException:
    while error.__context__ is not None:
        error = error.__context__
    return error


def _place(error: BaseException | None = None) -> str:
    """The innermost line outside of torch, this file and what watches operators, in an error or on the way
    here."""
    frames = traceback.extract_stack() if error is None else traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f.filename != __file__ and '/torch/' not in f.filename]
    ours = [f for f in ours if f.name != '__torch_dispatch__']
    last = (ours or frames)[-1]
    return f'{"/".join(last.filename.split("/")[-3:])}, line {last.lineno}, in {last.name}'


def plain_values(modules: Iterable[tuple[str, nn.Module]]) -> dict[tuple[str, str], Number | str]:
    """What modules keep as plain values of Python, also inside lists, tuples and dictionaries, which a graph
    would keep as they are; by the name of the module and that of the value, such as ``loss_weights.0``."""
    return {(name, key): value for name, module in modules for key, value in _plain_leaves(vars(module))}


def _plain_leaves(value: Any, path: str = '') -> Iterator[tuple[str, Number | str]]:
    if isinstance(value, Number | str):
        yield path, value
        return
    inner: Iterable = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    for key, each in inner:
        yield from _plain_leaves(each, f'{path}.{key}' if path else str(key))


class Snapshot:
    """Tensors that a step changes, and the generators, to be put back.

    Args:
        tensors: On one device.
    """

    def __init__(self, tensors: Iterable[Tensor]):
        self._tensors = list(tensors)
        self._before = [tensor.detach().clone() for tensor in self._tensors]
        self._random = get_random_state()

    @torch.no_grad()
    def restore(self) -> None:
        """Put back what was there."""
        for tensor, before in zip(self._tensors, self._before, strict=True):
            tensor.copy_(before)
        set_random_state(self._random)


def flat(tensors: Iterable[Tensor]) -> Tensor:
    """All values of tensors in one (N,) of float32, a copy."""
    return torch.cat([tensor.detach().reshape(-1).float() for tensor in tensors])


def far_apart(ours: Tensor, theirs: Tensor, share: float) -> bool:
    """Whether two vectors (N,) differ by more than a share of the second's length; NaN counts as alike."""
    apart = torch.linalg.vector_norm(ours - theirs) > share * torch.linalg.vector_norm(theirs)
    return bool(apart)
