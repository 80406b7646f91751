"""Checkpoints from published key names to ours, and back."""

import inspect
from collections.abc import Callable
from pathlib import Path

import torch

from madnet.engine.checkpoint import read_checkpoint, state_dict_of
from madnet.errors import UserError, nearest
from madnet.files import replacing
from madnet.models.checkpoints import (
    convert_abc,
    convert_acm,
    convert_alcnet,
    convert_dnanet,
    convert_isnet,
    convert_madnet,
    convert_mim,
    convert_mshnet,
    convert_rdian,
    convert_repisd,
    convert_sctransnet,
    convert_uiunet,
    export_abc,
    export_acm,
    export_alcnet,
    export_dnanet,
    export_isnet,
    export_madnet,
    export_mim,
    export_mshnet,
    export_rdian,
    export_repisd,
    export_sctransnet,
    export_uiunet,
)

#: network → (published names → ours, ours → published names), both on state dicts
CONVERTERS: dict[str, tuple[Callable, Callable]] = {
    'abc': (convert_abc, export_abc),
    'acm': (convert_acm, export_acm),
    'alcnet': (convert_alcnet, export_alcnet),
    'dnanet': (convert_dnanet, export_dnanet),
    'isnet': (convert_isnet, export_isnet),
    'madnet': (convert_madnet, export_madnet),
    'mim': (convert_mim, export_mim),
    'mshnet': (convert_mshnet, export_mshnet),
    'rdian': (convert_rdian, export_rdian),
    'repisd': (convert_repisd, export_repisd),
    'sctransnet': (convert_sctransnet, export_sctransnet),
    'uiunet': (convert_uiunet, export_uiunet),
}


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
        network: A key of ``CONVERTERS``.
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
    convert, export = CONVERTERS[network]
    if like and not reverse:
        raise UserError('--like: goes with --reverse only. Remove it, or add --reverse.')
    if like and 'like' not in inspect.signature(export).parameters:
        raise UserError(f'--like: all published names of {network} are known. Remove it.')
    state = state_dict_of(read_checkpoint(source, trust_checkpoint))
    options = {'like': state_dict_of(read_checkpoint(like, trust_checkpoint))} if like else {}
    converted = export(state, **options) if reverse else convert(state)
    with replacing(target) as temporary, temporary.open('wb') as file:
        torch.save({'state_dict': converted}, file)
    print(f'{len(converted)} tensors written to {out}')
    return target
