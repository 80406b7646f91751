"""What the command-line tools share: options, errors in one line, exit codes."""

import argparse
import os
import select
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from madnet.engine.faults import translate
from madnet.engine.training_stopped import TrainingStopped
from madnet.errors import RunFailed, UserError
from madnet.starting import allow_interrupts

DONE, FAILED, USER_ERROR, STOPPED = 0, 1, 2, 130


def run_tool(function: Callable, *args, **kwargs) -> int:
    """Call a tool's function and turn what it raises into an exit code.

    What the machine does to a run (a full disk, no permission, a killed process) is one line as well, see
    :func:`madnet.engine.faults.translate`.

    Args:
        function: The one function of the package that the tool stands for; a text that it returns is printed,
            and a number is the exit code.
        args: Its arguments.
        kwargs: Its keyword arguments.

    Returns:
        0 done; 1 the run failed; 2 the user's input is wrong (one line on standard error each); 130 stopped
        by a signal. Anything else that is raised passes through, with its traceback, and ends the process
        with 1.
    """
    allow_interrupts()
    if hasattr(sys.stdout, 'reconfigure'):  # a name in other bytes than the terminal's must not end a tool
        sys.stdout.reconfigure(errors='backslashreplace')
    try:
        result = function(*args, **kwargs)
        if isinstance(result, str):
            print(result, flush=True)  # here, where a pipe whose reader has left is known
    except (Exception, KeyboardInterrupt) as e:
        try:
            return _conclude(e)
        except RuntimeError as later:
            if later is e:
                raise
            # torch tells of a loading process's death by a signal, at any moment, this one included
            return _conclude(later)
    return result if isinstance(result, int) else DONE


def _conclude(error: BaseException) -> int:
    """Print what an error comes to, and return the exit code; an error that nobody expects is raised."""
    if isinstance(error, BrokenPipeError) and _discard_output_without_reader():
        return DONE
    ending = _ending(error)
    if ending is None:
        raise error
    line, code = ending
    print(line, file=sys.stderr)
    return code


def _ending(error: BaseException) -> tuple[str, int] | None:
    """The line and the exit code with which an error ends a tool; None for one that nobody expects."""
    if _interrupted(error):
        return 'interrupted', STOPPED
    if isinstance(error, TrainingStopped):
        return str(error), STOPPED
    known = error if isinstance(error, (UserError, RunFailed)) else translate(error)
    if isinstance(known, UserError):
        return f'error: {message_of(known)}', USER_ERROR
    return None if known is None else (f'failed: {known}', FAILED)


def _interrupted(error: BaseException | None) -> bool:
    """Whether an error came of Ctrl-C, as where a library turns whatever is raised into its own."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def message_of(error: BaseException) -> str:
    """An error's own words: torch puts a data-loading process's traceback before those of a ``UserError``."""
    text = str(error)
    from_worker = text.startswith('Caught ') and ' worker process ' in text
    return text.rpartition(f'{UserError.__name__}: ')[2] if from_worker else text


def _discard_output_without_reader() -> bool:
    """Send standard output nowhere if it is a pipe whose reader has left, as ``head`` does; returns whether
    it is."""
    output = sys.stdout.fileno()
    poll = select.poll()
    poll.register(output, 0)
    left = any(event & select.POLLERR for _, event in poll.poll(0))
    if left:
        # or the interpreter complains once more when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return left


def parse_options(pairs: Sequence[str] | Mapping[str, Any] | None, **given: Any) -> dict[str, Any]:
    """``key.sub=value`` pairs of ``--cfg-options`` as a dict; values as Python literals where they are such.

    Args:
        pairs: Such pairs, or the dict itself.
        given: Keys that have options of their own, which win; None leaves one alone.

    Raises:
        UserError: A pair without ``=``, or with unbalanced brackets.
    """
    return {**_parsed(pairs), **{key: value for key, value in given.items() if value is not None}}


def _parsed(pairs: Sequence[str] | Mapping[str, Any] | None) -> dict[str, Any]:
    from mmengine.config import DictAction

    if isinstance(pairs, Mapping):
        return dict(pairs)
    holder = argparse.Namespace(cfg_options=None)
    action = DictAction(['--cfg-options'], 'cfg_options')
    for pair in pairs or []:
        if '=' not in pair:
            raise UserError(
                f'option {pair!r}: expected KEY=VALUE, such as train_cfg.max_epochs=10 (--cfg-options, or '
                "a plan's options)."
            )
        try:
            action(argparse.ArgumentParser(), holder, [pair])
        except (AssertionError, RecursionError, ValueError) as e:
            raise UserError(
                f'option {pair}: not understood ({e or type(e).__name__}). '
                'Numbers, strings, lists and tuples of them work; lists of dicts do not: write a config.'
            ) from None
    return holder.cfg_options or {}
