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
        batch: Images of one size.
    """
    samples = batch['data_samples']
    names = [name for name in samples[0].all_keys() if isinstance(samples[0].get(name), PixelData)]
    masks = {name: torch.stack([s.get(name).data for s in samples]) for name in names}
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


def several_sizes(batch: dict) -> str | None:
    """The first two sizes of a batch's images, where they differ."""
    height, width = batch['inputs'][0].shape[-2:]
    for image in batch['inputs']:
        if image.shape[-2:] != (height, width):
            return f'{height} × {width} and {image.shape[-2]} × {image.shape[-1]}'
    return None


def tensors_of(drawn: dict[str, np.ndarray]) -> Batch:
    return {name: torch.from_numpy(values) for name, values in drawn.items()}
