"""A network in one file: weights, and in the metadata the model and the pipeline that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from torch import nn

from madnet.datasets.image_pipeline import ImagePipeline, pipeline_settings, with_range
from madnet.engine.checkpoint_file import metadata_of
from madnet.errors import UserError, in_brief
from madnet.images.values import ValueRange
from madnet.models.deploy import fold
from madnet.records.export_info import KEY, ExportInfo


def describe_network(cfg: Config) -> dict[str, Any]:
    """What of a config prediction needs: ``model``, ``pipeline`` (the arguments of
    :class:`~madnet.datasets.image_pipeline.ImagePipeline`) and ``channels_last``."""
    model = cfg.model.to_dict()
    model.pop('train_cfg', None)
    return {
        'model': model,
        'pipeline': pipeline_settings(cfg),
        'channels_last': bool(cfg.get('channels_last')),
    }


def build_network(
    description: Mapping[str, Any], value_range: ValueRange = None
) -> tuple[nn.Module, ImagePipeline]:
    """The network of :func:`describe_network`, without its weights, in evaluation mode, and its pipeline."""
    model = MODELS.build(dict(description['model']))
    if description.get('folded'):
        fold(model)
    if description.get('channels_last'):
        model = model.to(memory_format=torch.channels_last)
    return model.eval(), ImagePipeline(**with_range(description['pipeline'], value_range))


def network_bytes(model: nn.Module, description: Mapping[str, Any], info: ExportInfo, folded: bool) -> bytes:
    """The content of a safetensors file of a network.

    Args:
        model: The network with its weights, which stays as it is.
        description: Of :func:`describe_network`.
        info: What the file says of itself; with the ``dtype`` of half precision weights are :func:`halved`.
        folded: Whether to fold what inference does not need apart, for the layout of memory that convolutions
            are quickest in (channels-last).
    """
    import safetensors.torch

    description = {**description, 'channels_last': folded or bool(description.get('channels_last'))}
    twin, _ = build_network(description)
    twin.load_state_dict(model.state_dict())
    if folded:
        fold(twin)
    state = {key: value.contiguous() for key, value in twin.state_dict().items()}
    if info.dtype == 'float16':
        state = halved(state)
    info = replace(info, network={**description, 'folded': folded})
    return safetensors.torch.save(state, {KEY: info.as_text()})


def halved(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict in half precision, but for what stays as it is: statistics of normalisation, which are few
    and often large, whole numbers, and tensors whose numbers are too large or too small for it."""
    return {key: value.half() if _halves(key, value) else value for key, value in state.items()}


def _halves(key: str, value: torch.Tensor) -> bool:
    if not value.is_floating_point() or key.endswith(('.running_mean', '.running_var')):
        return False
    # rounding takes 2^-11 of a number at most; what overflows or vanishes loses more
    return bool((value.half() - value.double()).norm() <= 2**-10 * value.double().norm())


def load_network_file(
    content: bytes, shown: str, device: str | torch.device = 'cpu', value_range: ValueRange = None
) -> tuple[nn.Module, ImagePipeline, ExportInfo]:
    """A network from the content of its file, its pipeline, and what the file says of itself; nothing in it
    can run.

    Raises:
        UserError: The file is damaged, or not one of ours.
    """
    import safetensors.torch

    info = ExportInfo.of_file(metadata_of(content).get(KEY), shown)
    try:
        state = safetensors.torch.load(content)
        model, pipeline = build_network(info.network or {}, value_range)
        model.load_state_dict(state)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as e:
        raise UserError(f'{shown}: damaged, export it again ({in_brief(e)}).') from None
    return model.to(device), pipeline, info
