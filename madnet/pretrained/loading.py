"""From a name to a network with its weights and its preprocessing."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.registry import MODELS
from torch import nn

from madnet.datasets.image_pipeline import ImagePipeline
from madnet.errors import UserError
from madnet.pretrained.index import PretrainedEntry, get_pretrained

#: How ``load_from`` names shipped weights.
SCHEME = 'madnet://'


def load_pretrained(
    name: str,
    device: str | torch.device = 'cpu',
    folder: Path | None = None,
    value_range: tuple[float, float] | None = None,
) -> tuple[nn.Module, ImagePipeline]:
    """A shipped network, ready to predict or to be trained further.

    Args:
        name: One of :func:`list_pretrained`.
        device: Where to put it.
        folder: Another folder of shipped weights; None for the package's own.
        value_range: Grey values that become black and white; see
            :class:`~madnet.datasets.image_pipeline.ImagePipeline`.

    Returns:
        The segmentor in evaluation mode, and the pipeline that turns an image file or array into what
        ``model.test_step`` takes (its normalisation is part of the segmentor)::

            model, pipeline = load_pretrained('madnet_nano')
            sample = pipeline('scene.png')
            result = model.test_step({k: [v] for k, v in sample.items()})[0]
            result.seg_logits.data  # (1, H, W) probabilities

    Raises:
        UserError: An unknown name, or a file that is missing or not the one that was shipped.
    """
    entry = get_pretrained(name, folder)
    config = json.loads(_read(entry.config, name))
    model = MODELS.build(config['model'])
    model.load_state_dict(_weights(entry))
    if config.get('channels_last'):
        model = model.to(memory_format=torch.channels_last)
    return model.to(device).eval(), ImagePipeline(**config['pipeline'], value_range=value_range)


def _weights(entry: PretrainedEntry) -> dict[str, torch.Tensor]:
    # imported here: a training that needs no shipped weights needs no safetensors either
    import safetensors.torch

    data = _read(entry.weights, entry.name)
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise UserError(
            f'{entry.weights}: sha256 {found[:12]}… is not the {entry.sha256[:12]}… of {entry.name}: the '
            'file was changed or cut short; install the package again.'
        )
    return safetensors.torch.load(data)


@CheckpointLoader.register_scheme(prefixes=SCHEME)
def load_shipped(path: str, map_location: str | torch.device | None = None) -> dict[str, torch.Tensor]:
    """The weights of ``madnet://<name>``, so that ``load_from`` of any mmengine config can name shipped ones.

    Args:
        path: The scheme and one of :func:`list_pretrained`.
        map_location: Where to put the tensors; None leaves them on the CPU.

    Raises:
        UserError: As :func:`load_pretrained`.
    """
    weights = _weights(get_pretrained(path.removeprefix(SCHEME)))
    return weights if map_location is None else {k: v.to(map_location) for k, v in weights.items()}


def _read(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise UserError(
            f'{path}: cannot be read ({e.strerror}), shipped weights {name!r} need it; '
            'install the package again.'
        ) from None
