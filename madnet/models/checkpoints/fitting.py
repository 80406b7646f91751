"""Whether a checkpoint fits an architecture."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from madnet.errors import UserError


def unwrap(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a state dict, bare or under ``state_dict``."""
    nested = checkpoint.get('state_dict')
    state = nested if isinstance(nested, Mapping) else checkpoint
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


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


def first_keys(keys: Iterable[str], n: int = 3) -> str:
    """The first ``n`` keys for a message."""
    keys = list(keys)
    return ', '.join(keys[:n]) + (' …' if len(keys) > n else '') if keys else 'none'
