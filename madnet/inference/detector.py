"""Which detector a user means: a shipped one, a training-free one, or a config with its checkpoint."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from torch import nn

from madnet.classical.detectors import DETECTORS
from madnet.config_files import config_names, find_config_file
from madnet.datasets.image_pipeline import ImagePipeline
from madnet.engine.building import build_model, values_told
from madnet.engine.checkpoint import load_weights, needs_weights, recorded_statistics
from madnet.engine.checkpoint_file import find_checkpoint, read_checkpoint
from madnet.engine.config import check_config, load_config
from madnet.engine.training_record import read_as_trained
from madnet.errors import UserError
from madnet.files import read_json, sha256_of
from madnet.images import EXTENSIONS, VIDEO_EXTENSIONS
from madnet.images.values import ValueRange
from madnet.pretrained import get_pretrained, list_registered, load_pretrained
from madnet.pretrained.network_file import describe_network, load_network_file
from madnet.records import ExportInfo

from .naming import known_detectors

# What classical methods want: one channel at the image's own size.
_PIPELINE = [{'type': 'LoadSIRSTImage', 'channels': 1}, {'type': 'PackSIRSTInputs'}]


@dataclass(frozen=True)
class LoadedDetector:
    """A network or a training-free method, with what it takes to give it an image.

    Attributes:
        name: The shipped name, the method's, or the stem of the config.
        model: A segmentor in evaluation mode.
        pipeline: Image file or array → input.
        origin: For the record: ``config``, ``checkpoint`` and ``sha256`` as far as there are such.
        description: What it is built from, as :func:`~madnet.pretrained.network_file.describe_network` says.
        info: What an exported file says of itself; None for what is no such file.
    """

    name: str
    model: nn.Module
    pipeline: ImagePipeline
    origin: dict[str, Any] = field(default_factory=dict)
    description: dict[str, Any] | None = None
    info: ExportInfo | None = None

    @property
    def threshold(self) -> float:
        """Score above which is target, 0–1."""
        return 0.5 if self.info is None else self.info.threshold


def load_detector(
    model: str | os.PathLike | Config,
    checkpoint: str | os.PathLike | None = None,
    device: str | torch.device = 'cpu',
    value_range: ValueRange = None,
    options: Mapping[str, Any] | None = None,
    trust_checkpoint: bool = False,
    dataset: str | None = None,
) -> LoadedDetector:
    """Build a detector and load its weights.

    Args:
        model: A name of the registry, whose weights ship or are fetched, the name of a training-free method,
            a config file or its name (which goes before one of the registry where there is a checkpoint), a
            config, a file of ``madnet export``, or a folder of
            :func:`~madnet.inference.saving.save_pretrained`.
        checkpoint: The weights for a config with a network: a file, or the name of shipped ones.
        device: Where to put the model.
        value_range: See :class:`~madnet.datasets.image_pipeline.ImagePipeline`.
        options: Dotted keys and values that override a config.
        trust_checkpoint: Whether the checkpoint may hold pickled objects.
        dataset: For a config file, as of :func:`~madnet.engine.config.load_config`: whose mean, deviation and
            base size.

    Raises:
        UserError: Nothing goes by this name, a checkpoint is missing or too many, or does not fit.
    """
    if isinstance(model, Config):
        return _from_config(model, checkpoint, device, value_range, trust_checkpoint)
    name = str(model)
    is_method, is_known = name in DETECTORS, name in list_registered()
    if is_method and checkpoint is not None:
        raise UserError(f'{name}: takes no checkpoint; one belongs to a config file, such as my_network.py.')
    if checkpoint is not None or (name in config_names() and not is_method and not is_known):
        model, is_known = find_config_file(model), False
    suffix = Path(model).suffix.lower()
    is_file = suffix == '.py' or Path(model).is_file()
    if dataset is not None and not is_file:
        raise UserError(f'dataset {dataset!r}: is for config files, found {name}.')
    if is_method:
        cfg = Config({'model': {'type': 'ClassicalDetector', 'method': name}, 'test_pipeline': _PIPELINE})
        cfg.merge_from_dict(dict(options or {}))
        return _from_config(cfg, None, device, value_range, trust_checkpoint, name)
    if is_known:
        if options:
            raise UserError(f'{name}: comes with its config, which options cannot change.')
        entry = get_pretrained(name)
        network, pipeline = load_pretrained(name, device, value_range=value_range)
        return LoadedDetector(name, network, pipeline, {'sha256': entry.sha256}, read_json(entry.config))
    saved = Path(model, 'model.safetensors') if Path(model).is_dir() else Path(model)  # of save_pretrained
    if saved.suffix.lower() == '.safetensors' and saved.is_file():
        if checkpoint is not None:
            raise UserError(f'{name}: holds its weights, so takes no checkpoint; leave {checkpoint} out.')
        return load_exported(saved, device, value_range)
    if suffix in (*EXTENSIONS, *VIDEO_EXTENSIONS):
        raise UserError(f'{name}: found an image where a detector is expected. {known_detectors(name)}')
    if suffix == '.onnx':
        raise UserError(
            f'{name}: an exported network, which madnet.runtime.Predictor and madnet predict take; expected '
            'the network that it was made from.'
        )
    if is_file and suffix != '.py':
        raise UserError(
            f'{name}: found a file with {suffix or "no ending"}, expected a detector. {known_detectors(name)}'
        )
    if is_file:
        weights = None if checkpoint is None else read_checkpoint(checkpoint, trust_checkpoint)
        cfg = load_config(model, options, dataset, recorded_statistics(weights))
        read_as_trained(cfg, weights)
        return _from_config(cfg, checkpoint, device, value_range, trust_checkpoint)
    raise UserError(f'{name}: no detector of this name. {known_detectors(name)}')


def _from_config(
    cfg: Config,
    checkpoint: str | os.PathLike | None,
    device: str | torch.device,
    value_range: ValueRange,
    trust_checkpoint: bool,
    name: str | None = None,
) -> LoadedDetector:
    where = cfg.filename or name or 'given'
    if cfg.get('model') is None:
        raise UserError(f'config {where}: has no model.')
    check_config(cfg, str(where))
    # mmseg's segmentors look their parts up in the scope that a Runner would have set
    scope = MODELS.switch_scope_and_registry(cfg.get('default_scope') or 'mmseg')
    with scope, values_told('cannot be built', where):
        model = build_model({'model': {**cfg.model, **_no_downloads(cfg.model)}}, where)
        pipeline = ImagePipeline.from_config(cfg, value_range)
    has_weights = next(model.parameters(), None) is not None
    origin = {'config': str(cfg.filename)} if cfg.filename else {}
    if checkpoint is not None:
        load_weights(model, read_checkpoint(checkpoint, trust_checkpoint), checkpoint)
        origin |= {'checkpoint': str(checkpoint), 'sha256': sha256_of(find_checkpoint(checkpoint))}
    elif has_weights:
        raise needs_weights(where, cfg.get('work_dir') or f'work_dirs/{Path(where).stem}')
    if cfg.get('channels_last'):
        # As madnet test runs it: another layout of memory, another last digit.
        model = model.to(memory_format=torch.channels_last)
    description = describe_network(cfg) if has_weights else None
    return LoadedDetector(name or Path(where).stem, model.to(device).eval(), pipeline, origin, description)


def load_exported(
    file: str | os.PathLike,
    device: str | torch.device = 'cpu',
    value_range: ValueRange = None,
    content: bytes | None = None,
) -> LoadedDetector:
    """A network in one file, as ``madnet export`` writes it; its ``content`` where that is not yet there.

    Raises:
        UserError: The file cannot be read, is damaged, or holds weights alone.
    """
    content = Path(file).read_bytes() if content is None else content
    model, pipeline, info = load_network_file(content, str(file), device, value_range)
    return LoadedDetector(info.name, model, pipeline, info.origin, info.network, info)


def _no_downloads(model: Mapping) -> dict[str, None]:
    """mmseg's old way to name weights to start from, which the checkpoint replaces anyway."""
    return {'pretrained': None} if model.get('pretrained') else {}
