"""Errors that a user can cause, in one line."""

import difflib
import operator
from collections.abc import Callable, Iterable
from numbers import Real
from typing import Any

from madnet.text import printable


class _OneLine(Exception):
    """An error that a tool prints without a traceback; control characters, of a file name or a key, are
    escaped in it."""

    def __init__(self, message: str):
        super().__init__(printable(' '.join(str(message).split())))


class UserError(_OneLine):
    """The user's input is wrong; the message is one line that says what, where, and what to do.

    The tools print it as ``error: <message>`` on standard error and exit with code 2.
    """


class RunFailed(_OneLine):
    """A run cannot go on, though nothing that the user typed is wrong: diverged, stalled, a process killed.

    The message is one line that says what happened, what is kept, and what to do. The tools print it as
    ``failed: <message>`` on standard error and exit with code 1.
    """


def expect_number(
    value: Any,
    name: str,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """A number that a program gives, of Python's or NumPy's types, within limits; NaN is within none, and
    True and False are no numbers.

    Raises:
        UserError: It is none; ``name`` is what the message calls it.
    """
    limits: list[tuple[float | None, Callable[[Any, Any], bool], str]] = [
        (least, operator.ge, 'from {:g} on'),
        (above, operator.gt, 'above {:g}'),
        (most, operator.le, 'at most {:g}'),
        (below, operator.lt, 'below {:g}'),
    ]
    given = [(limit, holds, said.format(limit)) for limit, holds, said in limits if limit is not None]
    fits = isinstance(value, Real) and not isinstance(value, bool)
    if not fits or not all(holds(value, limit) for limit, holds, _ in given):
        wanted = f'a number {", ".join(said for *_, said in given)}'.rstrip()
        raise UserError(f'{name}: found {value!r}, expected {wanted}.')
    return float(value)


def expect_whole(value: Any, name: str, least: int | None = None) -> int:
    """A whole number that a program gives, of Python's or NumPy's types, from ``least`` on; True is none.

    Raises:
        UserError: It is none; ``name`` is what the message calls it.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least):
        limit = '' if least is None else f' from {least} on'
        raise UserError(f'{name}: found {value!r}, expected a whole number{limit}.')
    return number


def in_brief(error: BaseException) -> str:
    """What an error of another package says, in one line of 200 characters at most."""
    return ' '.join(str(error).split())[:200]


def nearest(name: str, candidates: Iterable[str]) -> str:
    """The hint to append to an error about an unknown name.

    Args:
        name: What the user wrote.
        candidates: The names that would have been right.

    Returns:
        ``" Did you mean 'a' or 'b'?"``, of three names at most, those that hold ``name`` first, or an empty
        string where nothing comes near.
    """
    by_lower = {c.lower(): c for c in candidates}
    word = name.lower()
    holding = [c for c in by_lower if word in c] if len(word) > 2 else []
    close = [
        *difflib.get_close_matches(word, holding, n=3, cutoff=0),
        *difflib.get_close_matches(word, by_lower.keys() - holding, n=3, cutoff=0.5),
    ][:3]
    if not close:
        return ''
    return ' Did you mean ' + ' or '.join(repr(by_lower[c]) for c in close) + '?'
