"""Whether a checkpoint fits an architecture."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, strided

from madnet.errors import UserError

#: What profilers leave behind as buffers in every layer.
COUNTERS = ('total_ops', 'total_params')


def unwrap(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a state dict, bare or as one entry of a checkpoint, without a profiler's counters.

    The entry may have any name (``net``, ``model``, ``params``, …) where no other one is a dict of tensors;
    ``state_dict`` goes before all others.

    Raises:
        UserError: Several entries are dicts of tensors, or what should be one is not; sparse or quantised
            tensors.
    """
    state = find_state(checkpoint)
    if odd := [key for key in state if not isinstance(key, str)]:
        raise UserError(
            f'found {odd[0]!r} ({type(odd[0]).__name__}) as the name of a tensor, expected text such as '
            'backbone.conv.weight; this is no state dict.'
        )
    tensors = {k: v for k, v in state.items() if isinstance(v, Tensor) and not is_counter(k)}
    if odd := [key for key, value in tensors.items() if value.layout != strided or value.is_quantized]:
        kind = 'quantised' if tensors[odd[0]].is_quantized else f'stored as {tensors[odd[0]].layout}'
        raise UserError(f'its tensor {odd[0]} is {kind}, expected dense numbers; save them as such first.')
    return tensors


def is_counter(key: str) -> bool:
    """Whether a key is of one of the :data:`COUNTERS`."""
    return key.rpartition('.')[2] in COUNTERS


def find_state(checkpoint: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entry of :func:`unwrap`, as it is."""
    if 'state_dict' in checkpoint:
        state = checkpoint['state_dict']
        if not isinstance(state, Mapping):
            raise UserError(f'its state_dict is {_in_words(state)}, expected a dict of tensors.')
        nested = state.get('state_dict')
        return nested if isinstance(nested, Mapping) else state
    wrapped = {key: state for key, value in checkpoint.items() if (state := _as_state(value))}
    if len(wrapped) > 1:
        names = ', '.join(map(str, wrapped))
        raise UserError(
            f'{len(wrapped)} of its entries are dicts of tensors: {names}. Save the one that is '
            'meant alone, under state_dict.'
        )
    return next(iter(wrapped.values()), checkpoint)


def _as_state(value: Any) -> Mapping[str, Any] | None:
    """A value that is a state dict, or that holds one under ``state_dict``; else None."""
    if isinstance(value, Mapping) and isinstance(value.get('state_dict'), Mapping):
        value = value['state_dict']
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return None
    tensors = [v for v in value.values() if isinstance(v, Tensor)]
    # random states are dicts of tensors too, of bytes
    real = any(t.is_floating_point() for t in tensors)
    return value if real and len(tensors) == len(value) else None


def _in_words(value: Any) -> str:
    return 'None' if value is None else f'of type {type(value).__name__}'


def without_prefixes(
    checkpoint: Mapping[str, Any], prefixes: Iterable[str] = ('module.', 'model.', 'decode_head.')
) -> dict[str, Tensor]:
    """:func:`unwrap`, each of the prefixes removed where all keys begin with it: what trainers wrap around a
    network."""
    state = unwrap(checkpoint)
    for prefix in prefixes:
        if state and all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return state


def check_same(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], verdict: str) -> None:
    """Raises a ``UserError`` that begins with ``verdict`` and names the keys and shapes that differ."""
    if differences := key_differences(state, expected):
        raise UserError(f'{verdict}; {differences}')


def key_differences(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Which keys and shapes of ``state`` differ from the expected ones, in short; empty where none does."""
    missing = [key for key in expected if key not in state]
    unknown = [key for key in state if key not in expected]
    other = [
        f'{key} {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}'
        for key in expected
        if key in state and state[key].shape != expected[key].shape
    ]
    parts = [
        f'{len(keys)} {what}: {first_keys(keys)}'
        for what, keys in (('missing', missing), ('unknown', unknown), ('of another shape', other))
        if keys
    ]
    return f'of {len(expected)} keys {"; ".join(parts)}' if parts else ''


def first_keys(keys: Iterable[str]) -> str:
    """The first three keys for a message."""
    keys = list(keys)
    return ', '.join(keys[:3]) + (' …' if len(keys) > 3 else '') if keys else 'none'
