"""Which detector a user means: a shipped one, a training-free one, or a config with its checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from torch import nn

from madnet.datasets.image_pipeline import ImagePipeline
from madnet.engine.checkpoint import load_weights, read_checkpoint, sha256_of
from madnet.engine.config import load_config, telling_config_errors
from madnet.errors import UserError, nearest
from madnet.models.pretrained import get_pretrained, list_pretrained, load_pretrained

from .inputs import IMAGE_TYPES

_CONFIG_TYPES = ('.py', '.json', '.yaml', '.yml')


@dataclass(frozen=True)
class Detector:
    """A network or a training-free method, with what it takes to give it an image.

    Attributes:
        name: The shipped name, the method's, or the stem of the config.
        model: A segmentor in evaluation mode.
        pipeline: Image file or array → input.
        origin: For the record: ``config``, ``checkpoint`` and ``sha256`` as far as there are such.
    """

    name: str
    model: nn.Module
    pipeline: ImagePipeline
    origin: dict[str, Any] = field(default_factory=dict)


def open_detector(
    model: str | os.PathLike | Config,
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device = 'cpu',
    value_range: tuple[float, float] | None = None,
    options: Mapping[str, Any] | None = None,
    trust_checkpoint: bool = False,
) -> Detector:
    """Build a detector and load its weights.

    Args:
        model: A shipped name, the name of a training-free method, a config file, or a config.
        checkpoint: The weights for a config with a network.
        device: Where to put the model.
        value_range: See :class:`~madnet.datasets.image_pipeline.ImagePipeline`.
        options: Dotted keys and values that override a config.
        trust_checkpoint: Whether the checkpoint may hold pickled objects.

    Raises:
        UserError: Nothing goes by this name, a checkpoint is missing or too many, or does not fit.
    """
    if not isinstance(model, Config) and Path(model).suffix.lower() in IMAGE_TYPES:
        raise UserError(f'{model}: found an image where a detector is expected. {_known(str(model))}')
    if isinstance(model, Config) or Path(model).suffix in _CONFIG_TYPES or Path(model).exists():
        cfg = model if isinstance(model, Config) else load_config(model, dict(options or {}))
        return _from_config(cfg, checkpoint, device, value_range, trust_checkpoint)
    name = str(model)
    if checkpoint is not None or options:
        raise UserError(
            f'{name}: a checkpoint and options belong to a config file, such as configs/madnet_nudt.py'
            f'; found a name. {_known(name)}'
        )
    if name in list_pretrained():
        network, pipeline = load_pretrained(name, device, value_range=value_range)
        return Detector(name, network, pipeline, {'sha256': get_pretrained(name).sha256})
    if name in classical_methods():
        cfg = Config(dict(model=dict(type='ClassicalDetector', method=name), test_pipeline=[_PACK]))
        return _from_config(cfg, None, device, value_range, False, name)
    raise UserError(f'{name}: no detector of this name. {_known(name)}')


_PACK = dict(type='PackSIRSTInputs')


def classical_methods() -> tuple[str, ...]:
    """Names of the training-free methods."""
    return ()


def _known(name: str) -> str:
    shipped, methods = list_pretrained(), classical_methods()
    return (
        f'Shipped: {", ".join(shipped) or "none with this version"}. '
        + (f'Without training: {", ".join(methods)}. ' if methods else '')
        + 'Or give a config file and its checkpoint.'
        + nearest(name, [*shipped, *methods])
    )


def _from_config(
    cfg: Config,
    checkpoint: str | os.PathLike | None,
    device: str | torch.device,
    value_range: tuple[float, float] | None,
    trust_checkpoint: bool,
    name: str | None = None,
) -> Detector:
    where = cfg.filename or name or 'given'
    if cfg.get('model') is None:
        raise UserError(f'config {where}: has no model.')
    with telling_config_errors(str(where)):
        model = MODELS.build({**cfg.model, 'train_cfg': None, **_no_downloads(cfg.model)})
        pipeline = ImagePipeline.from_config(cfg, value_range)
    has_weights = next(model.parameters(), None) is not None
    origin = {'config': str(cfg.filename)} if cfg.filename else {}
    if checkpoint is not None:
        load_weights(model, read_checkpoint(checkpoint, trust_checkpoint), checkpoint)
        origin |= {'checkpoint': str(checkpoint), 'sha256': sha256_of(checkpoint)}
    elif has_weights:
        raise UserError(
            f'config {where}: its network needs trained weights; give the checkpoint, such as '
            f'work_dirs/{Path(where).stem}/best.pth.'
        )
    if cfg.get('channels_last'):
        # As tools/test.py runs it: another layout of memory, another last digit.
        model = model.to(memory_format=torch.channels_last)
    return Detector(name or Path(where).stem, model.to(device).eval(), pipeline, origin)


def _no_downloads(model: Mapping) -> dict[str, None]:
    """mmseg's old way to name weights to start from, which the checkpoint replaces anyway."""
    return {'pretrained': None} if model.get('pretrained') else {}
