"""Checkpoints of a training: which of a folder to go on from, what lies in them, and how it is made plain."""

import copy
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.logging import HistoryBuffer
from torch import nn

from madnet.engine.checkpoint_file import UnusableCheckpoint, read_checkpoint
from madnet.errors import UserError
from madnet.models.checkpoints.fitting import COUNTERS, find_state, is_counter, key_differences, unwrap
from madnet.models.deploy import switch_to_deploy

LAST = 'last.pth'
PREVIOUS = 'previous.pth'
BEST = 'best.pth'
#: The validation metric that it is the best by, where a config names no other.
BEST_BY = 'nIoU'
#: Where the meta of a checkpoint says what its training images hold: a text of each set's, see
#: :meth:`~madnet.datasets.contents.Contents.text`.
HASHES = 'image hashes'
#: The same of its validation's images and masks.
VALIDATION_HASHES = 'validation image hashes'
#: All such → the loader and the files that they are of; an older checkpoint has none of training masks,
#: which come last: that they differ is a warning, and may not be said where others are refused.
HELD = {
    HASHES: ('train_dataloader', ('images',)),
    VALIDATION_HASHES: ('val_dataloader', ('images', 'masks')),
    'mask hashes': ('train_dataloader', ('masks',)),
}
#: Where it says, in words, that a hook ended the training before its time, and when.
STOPPED = 'stopped early'

_BUFFER_MARK = '__history_buffer__'


def find_whole_checkpoint(
    work_dir: str | Path, warn: Callable[[str], None], trust: bool | None = None
) -> tuple[Path, dict] | None:
    """The newest whole checkpoint that training can go on from.

    Args:
        work_dir: The folder in which a run left ``last.pth`` and ``previous.pth``.
        warn: Called with one line for each damaged file that is passed over.
        trust: As of :func:`~madnet.engine.checkpoint_file.read_checkpoint`.

    Returns:
        The file and its content, or None where the folder has none.

    Raises:
        UserError: There are such files, but every one is damaged; or the newest whole one cannot be opened,
            or holds pickled objects.
    """
    seen = [p for name in (LAST, PREVIOUS) if (p := Path(work_dir) / name).is_file()]
    for path in seen:
        try:
            return path, read_checkpoint(path, trust)
        except UnusableCheckpoint as e:
            warn(f'{e} Passed over.')
    if seen:
        raise UserError(
            f'{work_dir}: nothing to resume from, {" and ".join(p.name for p in seen)} are damaged.'
        )
    return None


def needs_weights(where: object, work_dir: str | Path) -> UserError:
    """What to raise where a network is to be used and no checkpoint is given.

    Args:
        where: Its config.
        work_dir: The folder in which its training leaves ``best.pth``.
    """
    return UserError(
        f'config {where}: its network needs trained weights; give the checkpoint, such as {work_dir}/{BEST}.'
    )


def state_dict_of(checkpoint: Mapping, path: object) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint without ``module.`` prefixes and a profiler's counters.

    See :func:`~madnet.models.checkpoints.fitting.unwrap`; ``path`` names the checkpoint in messages.
    """
    try:
        state = unwrap(checkpoint)
    except UserError as e:
        raise UserError(f'checkpoint {path}: {e}') from None
    if not state:
        found = ', '.join(f'{key!r}' for key in [*checkpoint][:5]) or 'nothing'
        raise UserError(f'checkpoint {path}: found no weights in it; its entries are {found}.')
    if counters := sum(map(is_counter, find_state(checkpoint))):
        _warn(f'checkpoint {path}: left out {counters} counters of a profiler ({", ".join(COUNTERS)})')
    return {key.removeprefix('module.'): value for key, value in state.items()}


def load_weights(model: nn.Module, checkpoint: Mapping, path: object) -> None:
    """Put a checkpoint's weights into a model, all of them or none.

    A checkpoint of the deployed form of a re-parameterised network gives the model that form.

    Raises:
        UserError: Keys or shapes differ, or a tensor is not finite: says which, in short.
    """
    state = state_dict_of(checkpoint, path)
    if differences := key_differences(state, model.state_dict()):
        deployed = switch_to_deploy(copy.deepcopy(model).to('meta'))
        if key_differences(state, deployed.state_dict()):
            raise UserError(
                f'checkpoint {path} is of another architecture than the config: {differences}. Give the '
                'config that it was trained with, or convert published weights by '
                'madnet convert.'
            )
        switch_to_deploy(model)
    if broken := not_finite(model, state):
        raise UserError(
            f'checkpoint {path}: {len(broken)} of its {len(state)} tensors hold NaN or infinity, such as '
            f'{broken[0]}: the training that wrote it had diverged. Take an earlier checkpoint.'
        )
    model.load_state_dict(state)
    compare_statistics(model, checkpoint, path)


def meta_of(checkpoint: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """What a training wrote beside the weights; empty where there is nothing of the kind."""
    meta = (checkpoint or {}).get('meta')
    return meta if isinstance(meta, Mapping) else {}


def statistics_of(model: nn.Module) -> dict[str, Any]:
    """By what a model's preprocessor normalises, as a checkpoint keeps it in ``meta['data_preprocessor']``.

    Returns:
        ``mean`` and ``std``, lists; ``statistics`` and ``floor`` as well where those of each image count;
        empty where nothing is normalised.
    """
    preprocessor: Any = getattr(model, 'data_preprocessor', None)
    found: dict[str, Any] = {key: getattr(preprocessor, key, None) for key in ('mean', 'std')}
    if not all(isinstance(value, torch.Tensor) for value in found.values()):
        return {}
    # the shortest decimals that are these float32: 99.423, not 99.4229965
    numbers = {
        k: [float(str(v)) for v in value.flatten().float().cpu().numpy()] for k, value in found.items()
    }
    if getattr(preprocessor, 'statistics', None) == 'image':
        return {**numbers, 'statistics': 'image', 'floor': preprocessor.floor}
    return numbers


def recorded_statistics(checkpoint: Mapping | None) -> dict[str, Any]:
    """What :func:`statistics_of` said of the model that a checkpoint was saved from, as far as it says."""
    recorded: Any = meta_of(checkpoint).get('data_preprocessor')
    try:
        numbers = {key: [float(value) for value in recorded[key]] for key in ('mean', 'std')}
        if recorded.get('statistics') == 'image':
            return {**numbers, 'statistics': 'image', 'floor': float(recorded['floor'])}
        return numbers
    except (AttributeError, KeyError, TypeError, ValueError):
        return {}


def same_statistics(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two normalise alike, to the third decimal, which is what the catalogue has."""
    return all(a.get(k) == b.get(k) for k in ('statistics', 'floor')) and all(
        len(a[k]) == len(b[k]) and np.allclose(a[k], b[k], rtol=0, atol=1e-3) for k in ('mean', 'std')
    )


def compare_statistics(model: nn.Module, checkpoint: Mapping, path: object) -> None:
    """Warn, in one line with both, where a model normalises otherwise than its weights were trained with, on
    images of as many channels."""
    theirs, here = recorded_statistics(checkpoint), statistics_of(model)
    if not theirs or not here or same_statistics(theirs, here):
        return
    if any(len(theirs[key]) != len(here[key]) for key in ('mean', 'std')):
        return

    def in_words(of: Mapping) -> str:
        words = f'mean {[round(v, 3) for v in of["mean"]]}, deviation {[round(v, 3) for v in of["std"]]}'
        own = f", each image's own statistics with floor {of['floor']:g}" if 'statistics' in of else ''
        return words + own

    lists = {key: str([round(v, 3) for v in theirs[key]]).replace(' ', '') for key in ('mean', 'std')}
    way = {key: theirs.get(key, other) for key, other in (('statistics', 'training'), ('floor', None))}
    wanted = lists | {k: v for k, v in way.items() if v is not None and theirs.get(k) != here.get(k)}
    changes = ' '.join(f'model.data_preprocessor.{key}={value}' for key, value in wanted.items())
    _warn(
        f'checkpoint {path}: trained with {in_words(theirs)}, the config has {in_words(here)}. '
        f"With the checkpoint's: --cfg-options {changes}"
    )


def _warn(line: str) -> None:
    if is_main_process():
        print(f'warning: {line}', file=sys.stderr, flush=True)


def not_finite(model: nn.Module, state: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of tensors with NaN in them, or infinity in a parameter (a buffer may hold it on purpose)."""
    floating = {k: v for k, v in state.items() if v.is_floating_point()}
    parameters = {name for name, _ in model.named_parameters()}
    return [
        k for k, v in floating.items() if (not v.isfinite().all() if k in parameters else v.isnan().any())
    ]


def to_plain(value: Any) -> Any:
    """A copy of a nested value with nothing in it that needs unpickling: tensors, numbers, strings,
    containers.

    NumPy arrays become tensors, NumPy scalars Python's, mmengine's history buffers marked dicts.
    """
    if isinstance(value, HistoryBuffer):
        values, counts = value.data
        return {
            _BUFFER_MARK: [torch.as_tensor(np.asarray(values)), torch.as_tensor(np.asarray(counts))],
            'max_length': value.max_length,
        }
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, torch.Tensor | str | bytes | bool | int | float):
        return value
    if isinstance(value, np.ndarray):
        return torch.as_tensor(value)
    if isinstance(value, Mapping):
        return {k: to_plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(to_plain(v) for v in value)
    if isinstance(value, list):
        return [to_plain(v) for v in value]
    return str(value)


def from_plain(value: Any) -> Any:
    """Undo what :func:`to_plain` did to history buffers."""
    if isinstance(value, dict):
        if _BUFFER_MARK in value:
            values, counts = value[_BUFFER_MARK]
            return HistoryBuffer(values.numpy(), counts.numpy(), value['max_length'])
        return {k: from_plain(v) for k, v in value.items()}
    return value
