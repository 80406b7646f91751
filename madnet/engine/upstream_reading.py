"""mmengine and mmseg read checkpoints, YAML and class weights the way our tools do: nothing in a file runs.

Their own ways end in ``pickle``: mmengine unpickles whatever torch refuses, be it named by ``init_cfg``, by
``load_from`` or by a backbone; its YAML builds any Python object; mmseg's class weights may be a pickle.
Importing this module replaces these ends; what leads to them, such as ``torchvision://``, stays.
"""

from madnet import _quiet_import  # noqa: F401  # isort: skip
import os
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse

import torch
import yaml
from mmengine.fileio import BaseFileHandler, load, register_handler
from mmengine.runner import checkpoint as upstream
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.models.losses import utils as losses

from madnet.engine.checkpoint import state_dict_of
from madnet.engine.checkpoint_file import SCHEME, read_file, read_stream
from madnet.errors import UserError, nearest
from madnet.models.checkpoints.fitting import find_state
from madnet.plain_yaml import read_yaml


def _torch_load(file, map_location=None, weights_only=None) -> Any:
    """In the place of mmengine's ``_safe_torch_load``, which unpickles where torch refuses."""
    if isinstance(file, (str, os.PathLike)):
        return read_file(file)
    return read_stream(file, getattr(file, 'name', 'of an object storage'))


def _load_url(url: str, model_dir: str | None = None, map_location=None, progress: bool = True) -> Any:
    """In the place of torch.hub's ``load_state_dict_from_url``: the same place for the file."""
    folder = Path(model_dir or Path(torch.hub.get_dir(), 'checkpoints'))
    path = folder / PurePosixPath(urlparse(url).path).name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), progress=progress)
    return read_file(path)


@CheckpointLoader.register_scheme(prefixes='', force=True)
@CheckpointLoader.register_scheme(prefixes=SCHEME)
def load_from_local(filename: str, map_location=None) -> Any:
    """A file, or shipped weights; in the place of mmengine's of the same name."""
    return read_file(filename)


_load = CheckpointLoader.load_checkpoint.__func__


def _load_checkpoint(cls, filename: str, map_location=None, logger='current') -> Any:
    """mmengine's; says in one line what is wrong, and finds the weights under any name."""
    try:
        found = _load(cls, filename, map_location, logger)
    except UserError:
        raise
    except KeyError as e:
        raise UserError(f'checkpoint {filename}: no weights of the name {e} are known there.') from None
    except (ImportError, OSError, ValueError) as e:
        raise UserError(f'checkpoint {filename}: cannot be fetched ({type(e).__name__}: {e}).') from None
    if isinstance(found, dict) and 'state_dict' not in found and _is_wrapped(found):
        found = {**found, 'state_dict': state_dict_of(found, filename)}
    return found


def _is_wrapped(checkpoint: dict) -> bool:
    try:
        return find_state(checkpoint) is not checkpoint
    except UserError:  # several: whoever asked for it may know which it wants
        return False


def _load_part(prefix: str, filename: str, map_location=None) -> dict[str, torch.Tensor]:
    """In the place of mmengine's ``_load_checkpoint_with_prefix``, which ``init_cfg`` with a prefix asks."""
    found = CheckpointLoader.load_checkpoint(filename, map_location)
    state = found.get('state_dict', found)
    prefix = prefix.removesuffix('.') + '.'
    part = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if not part:
        parts = sorted({name.partition('.')[0] for name in state})
        raise UserError(
            f'checkpoint {filename}: no tensor is called {prefix}… (init_cfg.prefix); the names begin with '
            f'{", ".join(parts[:10])}.' + nearest(prefix, parts)
        )
    return part


@register_handler(['yaml', 'yml'])
class PlainYamlHandler(BaseFileHandler):
    """YAML as data, without tags that build Python objects."""

    def load_from_fileobj(self, file, **kwargs) -> Any:
        return read_yaml(file)

    def dump_to_fileobj(self, obj: Any, file, **kwargs) -> None:
        yaml.dump(obj, file, **kwargs)

    def dump_to_str(self, obj: Any, **kwargs) -> str:
        return yaml.dump(obj, **kwargs)


def _load_class_weights(file, *args, **kwargs) -> Any:
    if str(file).lower().endswith(('.pkl', '.pickle')):
        raise UserError(
            f'class_weight {file}: a pickle, which can run code when loaded. Use .npy, .json, or a list in '
            'the config.'
        )
    return load(file, *args, **kwargs)


upstream._safe_torch_load = _torch_load
upstream.load_url = _load_url
upstream._load_checkpoint_with_prefix = _load_part
CheckpointLoader.load_checkpoint = classmethod(_load_checkpoint)
losses.load = _load_class_weights
