"""A loader's batch as plain tensors, which can be copied to where a captured step reads them, and back."""

import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor

Batch = dict[str, Tensor]


def stacked(batch: dict) -> Batch:
    """A loader's batch as tensors (B, …): ``inputs``, and the masks of its samples by name.

    Args:
        batch: Of which :func:`why_not_stacked` says nothing.
    """
    samples = batch['data_samples']
    masks = {name: torch.stack([s.get(name).data for s in samples]) for name in _masks_of(samples[0])}
    return {'inputs': torch.stack(list(batch['inputs'])), **masks}


def unstacked(tensors: Batch) -> dict:
    """The inverse of :func:`stacked`, without metainfo; the images stay together."""
    masks = {name: value.unbind() for name, value in tensors.items() if name != 'inputs'}
    samples = []
    for k in range(len(tensors['inputs'])):
        sample = SegDataSample()
        sample.set_data({name: PixelData(data=values[k]) for name, values in masks.items()})
        samples.append(sample)
    return {'inputs': tensors['inputs'], 'data_samples': samples}


def why_not_stacked(batch: dict) -> str | None:
    """In what the samples of a loader's batch differ, with the first two that do; None if in nothing."""
    sizes = [f'{image.shape[-2]} × {image.shape[-1]}' for image in batch['inputs']]
    masks = [' with '.join(_masks_of(sample)) or 'none' for sample in batch['data_samples']]
    for what, values in (('sizes', sizes), ('masks', masks)):
        if other := next((value for value in values if value != values[0]), None):
            return f'images of one batch have several {what}, {values[0]} and {other}'
    return None


def _masks_of(sample: SegDataSample) -> list[str]:
    return sorted(name for name in sample.all_keys() if isinstance(sample.get(name), PixelData))


def tensors_of(drawn: dict[str, np.ndarray]) -> Batch:
    return {name: torch.from_numpy(values) for name, values in drawn.items()}
