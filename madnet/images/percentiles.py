"""Percentiles of an array that is there in parts only."""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

_DIGIT = 16  # bits that one pass over the parts settles


def percentiles_of_parts(parts: Callable[[], Iterable[np.ndarray]], q: Sequence[float]) -> list[float]:
    """What ``np.percentile(all, q)`` gives of all parts together, without ever holding them together.

    The values that lie at the ranks in question are found digit by digit of 16 bits: one pass over numbers of
    16 bits, two over those of 32.

    Args:
        parts: Gives the parts, of one type and any shape, anew each time.
        q: 0–100.
    """
    total, dtype = 0, np.dtype(np.uint8)
    for part in parts():
        total, dtype = total + part.size, part.dtype
    if not total:
        raise ValueError('no values to take percentiles of')
    places = [share / 100 * (total - 1) for share in q]
    ranks = sorted({rank for place in places for rank in (math.floor(place), math.ceil(place))})
    values = dict(zip(ranks, _at_ranks(parts, ranks, dtype), strict=True))
    return [
        values[math.floor(p)] + (values[math.ceil(p)] - values[math.floor(p)]) * (p - math.floor(p))
        for p in places
    ]


def _at_ranks(
    parts: Callable[[], Iterable[np.ndarray]], ranks: Sequence[int], dtype: np.dtype
) -> list[float]:
    """The values at these places of the sorted whole."""
    bits = 8 * dtype.itemsize
    found = [(0, rank) for rank in ranks]  # the digits known so far, and the rank among those that share them
    for shift in range(max(0, bits - _DIGIT), -1, -_DIGIT):
        counts = {digits: np.zeros(2**_DIGIT, np.int64) for digits, _ in found}
        for part in parts():
            keys = _to_keys(part)
            above = keys >> min(shift + _DIGIT, bits - 1) if shift + _DIGIT < bits else None
            for digits, count in counts.items():
                own = keys if above is None else keys[above == digits]
                own = (own >> shift if shift else own) & (2**_DIGIT - 1) if bits > _DIGIT else own
                count += np.bincount(own.ravel().astype(np.int64), minlength=2**_DIGIT)
        for i, (digits, rank) in enumerate(found):
            below = np.cumsum(counts[digits])
            digit = int(np.searchsorted(below, rank, side='right'))
            found[i] = digits << _DIGIT | digit, rank - int(below[digit - 1] if digit else 0)
    return [_from_key(digits, dtype) for digits, _ in found]


def _to_keys(values: np.ndarray) -> np.ndarray:
    """Unsigned whole numbers of the same width and order."""
    values = np.ascontiguousarray(values).ravel()
    keys = values.view(f'u{values.dtype.itemsize}')
    if values.dtype.kind == 'u':
        return keys
    sign = keys.dtype.type(1 << (8 * keys.dtype.itemsize - 1))
    if values.dtype.kind == 'i':
        return keys ^ sign
    return np.where(keys & sign, ~keys, keys | sign)


def _from_key(key: int, dtype: np.dtype) -> float:
    sign = 1 << (8 * dtype.itemsize - 1)
    if dtype.kind == 'i':
        key ^= sign
    elif dtype.kind == 'f':
        key = key ^ sign if key & sign else ~key % (2 * sign)
    return float(np.array([key], f'u{dtype.itemsize}').view(dtype)[0])
