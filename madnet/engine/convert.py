"""Checkpoints from published key names to ours, and back."""

import io
from pathlib import Path

import torch

from madnet.engine.checkpoint import state_dict_of
from madnet.engine.checkpoint_file import read_checkpoint
from madnet.errors import UserError, nearest
from madnet.files import expect_writable, write_whole
from madnet.models.checkpoints import CONVERTERS


def convert_checkpoint(
    network: str,
    source: str,
    out: str,
    reverse: bool = False,
    like: str | None = None,
    trust_checkpoint: bool = False,
) -> Path:
    """Rename the weights of a checkpoint file.

    Args:
        network: A key of :data:`~madnet.models.checkpoints.CONVERTERS`.
        source: File to read.
        out: File to write: ``{'state_dict': …}``.
        reverse: From our names to the published ones.
        like: In reverse, a published checkpoint of the same network, where its names are not all known from
            elsewhere: names of containers and parameters without effect are then taken over from it.
        trust_checkpoint: Whether ``source`` and ``like`` may hold pickled objects.

    Returns:
        The file written.

    Raises:
        UserError: Unknown network, unreadable file, keys or shapes that do not fit, or ``out`` exists.
    """
    if network not in CONVERTERS:
        known = ', '.join(CONVERTERS)
        raise UserError(
            f'network {network!r}: unknown, expected one of {known}.{nearest(network, CONVERTERS)}'
        )
    target = Path(out)
    if target.exists():
        raise UserError(f'{out}: exists already. Name another file, or remove it first.')
    expect_writable(target)
    converter = CONVERTERS[network]
    if like and not reverse:
        raise UserError('--like: goes with --reverse only. Remove it, or add --reverse.')
    if like and not converter.takes_like:
        raise UserError(f'--like: all published names of {network} are known. Remove it.')
    state = state_dict_of(read_checkpoint(source, trust_checkpoint), source)
    options = {'like': state_dict_of(read_checkpoint(like, trust_checkpoint), like)} if like else {}
    converted = converter.to_published(state, **options) if reverse else converter.to_ours(state)
    # into memory first: torch.save says of a full disk only that a position was not the one it expected
    data = io.BytesIO()
    torch.save({'state_dict': converted}, data)
    write_whole(target, data.getvalue())
    print(f'{len(converted)} tensors written to {out}')
    return target
