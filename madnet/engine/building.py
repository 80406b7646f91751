"""Networks built from a config, with one line for what cannot be built."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mmseg.registry import MODELS
from torch import nn

from madnet.engine.faults import translate
from madnet.engine.step_checks import place_of
from madnet.errors import UserError, in_brief


def build_model(cfg: Mapping, where: str | os.PathLike | None = None) -> nn.Module:
    """The network of a config, with its initial weights.

    Args:
        cfg: A config, resolved, or a dict with its ``model``.
        where: What to call it in messages; None: by its file.

    Raises:
        UserError: It has no model, or one that cannot be built.
    """
    where = where or getattr(cfg, 'filename', None)
    if cfg.get('model') is None:
        raise UserError(f'{_name(where)}: has no model.')
    with values_told('cannot be built', where):
        return MODELS.build(dict(cfg['model']))


@contextmanager
def values_told(what: str, where: str | os.PathLike | None = None) -> Iterator[None]:
    """Say a value that a component does not take in one line, with the line of code that found it: the
    component may be the user's own. What the machine does to a run is left alone.

    Args:
        what: What cannot be done, or the key of the component.
        where: The config's file; None where it has none.

    Raises:
        UserError: In the place of what a component raises in the ``with`` block.
    """
    try:
        yield
    except (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        if translate(e) is not None:
            raise
        found = in_brief(e) or type(e).__name__
        raise UserError(f'{_name(where)}: {what}: {found} ({place_of(e)}).') from e


def _name(where: str | os.PathLike | None) -> str:
    return f'config {where}' if where else 'config'
