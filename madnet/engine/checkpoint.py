"""Checkpoint files: written whole or not at all, read without running code that lies in them."""

import hashlib
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from madnet.errors import UserError
from madnet.models.checkpoints.fitting import key_differences

LAST = 'last.pth'
PREVIOUS = 'previous.pth'
BEST = 'best.pth'

_BUFFER_MARK = '__history_buffer__'


def read_checkpoint(path: str | Path, trust: bool = False) -> dict:
    """Read a checkpoint onto the CPU.

    Files are read as tensors and plain values only (``weights_only``), so that nothing in them can run.

    Args:
        path: A file of ours, of mmengine, or a bare state dict; or shipped weights, ``madnet://<name>``.
        trust: Unpickle arbitrary objects too. Only for files whose origin is trusted.

    Returns:
        The dict in the file.

    Raises:
        UserError: The file is missing, truncated or damaged, holds pickled objects, or is no checkpoint.
    """
    if str(path).startswith('madnet://'):  # madnet.pretrained, a room above, has taught mmengine this scheme
        return {'state_dict': CheckpointLoader.load_checkpoint(str(path), 'cpu')}
    path = Path(path)
    if not path.is_file():
        raise UserError(f'checkpoint {path}: no such file. Train first, or check the path.')
    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=not trust)
    except pickle.UnpicklingError as e:
        if 'weights_only' in str(e) or 'Weights only' in str(e):
            raise UserError(
                f'checkpoint {path}: holds pickled Python objects beside tensors, which can run code when '
                'loaded. If you trust where it comes from, add --trust-checkpoint.'
            ) from None
        raise UserError(_damaged(path)) from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, ImportError, IndexError):
        raise UserError(_damaged(path)) from None
    if not isinstance(checkpoint, dict):
        raise UserError(
            f'checkpoint {path}: found a {type(checkpoint).__name__}, expected a dict of weights.'
        )
    return checkpoint


def _damaged(path: Path) -> str:
    return (
        f'checkpoint {path}: damaged or truncated ({path.stat().st_size} bytes), not a whole PyTorch file. '
        'Use another one, or copy it again.'
    )


def find_whole_checkpoint(work_dir: str | Path, warn: Callable[[str], None]) -> tuple[Path, dict] | None:
    """The newest whole checkpoint that training can go on from.

    Args:
        work_dir: The folder in which a run left ``last.pth`` and ``previous.pth``.
        warn: Called with one line for each damaged file that is passed over.

    Returns:
        The file and its content, or None where the folder has none.

    Raises:
        UserError: There are such files, but every one is damaged.
    """
    seen = [p for name in (LAST, PREVIOUS) if (p := Path(work_dir) / name).is_file()]
    for path in seen:
        try:
            return path, read_checkpoint(path)
        except UserError as e:
            warn(f'{e} Passed over.')
    if seen:
        raise UserError(
            f'{work_dir}: nothing to resume from, {" and ".join(p.name for p in seen)} are damaged.'
        )
    return None


def state_dict_of(checkpoint: Mapping) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint, whether nested under ``state_dict`` or bare, without ``module.``
    prefixes."""
    state = checkpoint.get('state_dict', checkpoint)
    return {k.removeprefix('module.'): v for k, v in state.items() if isinstance(v, torch.Tensor)}


def load_weights(model: nn.Module, checkpoint: Mapping, path: str | Path) -> None:
    """Put a checkpoint's weights into a model, all of them or none.

    Raises:
        UserError: Keys or shapes differ: says which, in short.
    """
    state = state_dict_of(checkpoint)
    if differences := key_differences(state, model.state_dict()):
        raise UserError(
            f'checkpoint {path} is of another architecture than the config: {differences}. Give the config '
            'that it was trained with, or convert published weights by tools/convert_checkpoint.py.'
        )
    model.load_state_dict(state)


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with open(path, 'rb') as f:
        return hashlib.file_digest(f, 'sha256').hexdigest() if hasattr(hashlib, 'file_digest') else _sha256(f)


def _sha256(f) -> str:  # Python 3.10 has no file_digest
    digest = hashlib.sha256()
    while block := f.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


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
