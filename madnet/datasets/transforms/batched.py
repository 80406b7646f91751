"""The transforms of a training pipeline on a whole batch at once, on the device where it lies.

What they draw is drawn as ever, sample by sample, by the transforms themselves; here the numbers of a batch
come as tensors (B, …), and no Python number depends on them, so that all of it may be part of a CUDA graph.
Results equal those of the transforms; where OpenCV and Pillow round to fixed-point weights (scales, blurs of
uint8), to one grey level, and where a scaled mask's pixel lies just between two, either may be taken.
"""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import RandomFlip
from mmseg.datasets.transforms import RandomFlip as MMSegFlip
from torch import Tensor

from madnet.datasets.transforms.maximum_scale import ScaleToMaximum
from madnet.datasets.transforms.native_scale import (
    _HALF,
    CopyPasteTargets,
    GainOffsetJitter,
    RandomBlur,
    RandomNoise,
    RandomRot90,
    RandomTargetCrop,
)
from madnet.datasets.transforms.published_chain import (
    PublishedBlur,
    PublishedFlip,
    PublishedRandomCrop,
    PublishedRandomScale,
)
from madnet.datasets.transforms.sample_transform import DrawnTransform, reflected
from madnet.datasets.transforms.sensor_defects import SensorDefects
from madnet.datasets.transforms.toolbox_crop import ToolboxCrop

Drawn = dict[str, Tensor]


@dataclass
class SampleBatch:
    """Samples that are transformed together.

    Attributes:
        image: (B, C, H, W) float32, on the 0–255 scale.
        masks: ``gt_seg_map`` of 0 and 1 and ``gt_mask``, (B, H, W) uint8.
        size: (B, 2), height and width of each sample, in the upper left of its maps.
        whole: (B, 1, 1, 1), which images hold whole grey levels, and are rounded to them.
        base_size: (Height, width) of the data set, where it has one.
        scaled: (B, 2), what the samples are to be scaled to by the crop that comes next.
    """

    image: Tensor
    masks: dict[str, Tensor]
    size: Tensor
    whole: Tensor
    base_size: tuple[int, int] | None = None
    scaled: Tensor | None = None


def draw(step: DrawnTransform | RandomFlip, sample: dict) -> dict:
    """What a transform draws for a sample."""
    if isinstance(step, DrawnTransform):
        return step.draw(sample)
    direction = step._choose_direction()
    return {'columns': direction in ('horizontal', 'diagonal'), 'rows': direction in ('vertical', 'diagonal')}


@singledispatch
def apply_batch(step: Any, batch: SampleBatch, drawn: Drawn) -> None:
    """Apply a transform to a batch, in place.

    Args:
        step: The transform.
        batch: Samples, of one size except before the first crop.
        drawn: What it has drawn for them, (B, …) each; a size that comes to one of several, n, as (B, n).
    """
    raise NotImplementedError(f'{type(step).__name__} has no form for batches')


def works_on_batches(step: Any) -> bool:
    """Whether a transform is among these; a class derived from one of them may apply itself otherwise, and
    is registered on its own."""
    return type(step) in apply_batch.registry


def _each(values: Tensor) -> Tensor:
    """(B,) → (B, 1, 1, 1)."""
    return values[:, None, None, None]


def _count(length: int, like: Tensor) -> Tensor:
    return torch.arange(length, device=like.device)


def _to_type(batch: SampleBatch, image: Tensor) -> Tensor:
    image = image.clamp(0, 255)
    return torch.where(batch.whole, image.round(), image)


def _take(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Maps (B, C, H, W) or (B, H, W) at rows (B, h) and columns (B, w)."""
    if maps.ndim == 3:
        return _take(maps[:, None], rows, columns)[:, 0]
    b, c = _count(maps.shape[0], maps), _count(maps.shape[1], maps)
    return maps[_each(b), c[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]


def _take_all(batch: SampleBatch, rows: Tensor, columns: Tensor) -> None:
    batch.image = _take(batch.image, rows, columns)
    batch.masks = {name: _take(mask, rows, columns) for name, mask in batch.masks.items()}


def _resize_to(batch: SampleBatch, height: int, width: int) -> None:
    """Say that all samples have that size now."""
    # filled on the device: numbers brought there could not be part of a graph
    batch.size = torch.stack([torch.full_like(batch.size[:, 0], n) for n in (height, width)], dim=1)


def _flip(batch: SampleBatch, rows: Tensor, columns: Tensor) -> None:
    """Turn samples upside down where ``rows`` (B,) says so, and left to right where ``columns`` does."""
    places = []
    for axis, flipped in enumerate((rows, columns)):
        place, length = _count(batch.image.shape[axis + 2], batch.image)[None], batch.size[:, axis, None]
        places.append(torch.where(flipped[:, None] & (place < length), length - 1 - place, place))
    _take_all(batch, *places)


@apply_batch.register(RandomFlip)
@apply_batch.register(MMSegFlip)
def _(step: RandomFlip, batch: SampleBatch, drawn: Drawn) -> None:
    _flip(batch, drawn['rows'], drawn['columns'])


@apply_batch.register
def _(step: PublishedFlip, batch: SampleBatch, drawn: Drawn) -> None:
    _flip(batch, torch.zeros_like(drawn['flip']), drawn['flip'])


@apply_batch.register
def _(step: RandomRot90, batch: SampleBatch, drawn: Drawn) -> None:
    turns = drawn['turns']
    odd = _each(turns % 2 == 1)
    batch.image = torch.where(odd, batch.image.transpose(2, 3), batch.image)
    batch.masks = {n: torch.where(odd[:, 0], m.transpose(1, 2), m) for n, m in batch.masks.items()}
    _flip(batch, (turns == 1) | (turns == 2), turns >= 2)


@apply_batch.register
def _(step: RandomTargetCrop, batch: SampleBatch, drawn: Drawn) -> None:
    size = step.size if isinstance(step.size, int) else drawn['size'].shape[1]
    longest = max(1, round(size / step.zoom[0]))
    places = [
        reflected(drawn[start][:, None] + _count(longest, batch.image), batch.size[:, axis, None])
        for axis, start in enumerate(('top', 'left'))
    ]
    _take_all(batch, *places)
    if step.zoom[0] != step.zoom[1] or longest != size:
        _zoom(batch, drawn['side'], size)
    _resize_to(batch, size, size)


def _zoom(batch: SampleBatch, side: Tensor, size: int) -> None:
    """Bring the upper left ``side`` × ``side`` pixels of each sample to ``size``, as OpenCV does."""
    place, source = _count(size, side)[None], _count(batch.image.shape[2], side)
    scale = (side.double() / size)[:, None]
    # bilinear where it grows (a hat around each centre), means over areas where it shrinks
    centre = ((place + 0.5) * scale - 0.5).clamp(min=0).minimum(side[:, None] - 1.0)
    hat = (1 - (centre[..., None] - source).abs()).clamp(min=0)
    area = _overlap(place * scale, scale, source) / scale[..., None]
    weights = torch.where((side < size)[:, None, None], hat, area)
    nearest = ((place + 0.5) * scale).long().minimum(side[:, None] - 1)
    labels = batch.masks['gt_seg_map']
    covered = _weighted(labels[:, None].double(), area, area)[:, 0]
    enlarged = _take(labels, nearest, nearest)
    batch.masks['gt_seg_map'] = torch.where((side > size)[:, None, None], _labels_of(covered), enlarged)
    weights = weights.float()
    batch.image = _to_type(batch, _weighted(batch.image, weights, weights))
    mask = batch.masks['gt_mask'][:, None].float()
    batch.masks['gt_mask'] = _weighted(mask, weights, weights)[:, 0].round().to(torch.uint8)


def _overlap(start: Tensor, length: Tensor, source: Tensor) -> Tensor:
    """How much of pixels 0 … M - 1 lies in [start, start + length): (B, N) → (B, N, M)."""
    end = (start + length)[..., None].minimum(source + 1.0)
    return (end - start[..., None].maximum(source.double())).clamp(min=0)


def _weighted(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Maps (B, C, H, W) by weights (B, h, H) and (B, w, W) → (B, C, h, w)."""
    return rows[:, None] @ (maps @ columns[:, None].mT)


def _labels_of(covered: Tensor) -> Tensor:
    """The rule of :func:`~madnet.datasets.transforms.native_scale.shrunk_labels`, of what is covered."""
    size = covered.shape[1]
    ranked = covered - 1e-9 * _count(size * size, covered).view(size, size)
    highest, most = (F.max_pool2d(m, 3, 1, 1) for m in (ranked, covered))
    kept = (covered > 1e-6) & (ranked == highest) & (most < _HALF)
    return ((covered >= _HALF) | kept).to(torch.uint8)


@apply_batch.register
def _(step: ToolboxCrop, batch: SampleBatch, drawn: Drawn) -> None:
    place = _count(step.size, batch.image)
    rows, columns = (drawn[start][:, None] + place for start in ('top', 'left'))
    inside = (rows < batch.size[:, :1])[:, :, None] & (columns < batch.size[:, 1:])[:, None]
    height, width = batch.image.shape[2:]
    _take_all(batch, rows.clamp(max=height - 1), columns.clamp(max=width - 1))
    padded = (batch.size < step.size).any(dim=1)
    batch.whole = batch.whole & ~_each(padded)
    batch.image = torch.where(inside[:, None], batch.image, step.pad_value)
    batch.masks = {name: mask * inside for name, mask in batch.masks.items()}
    _resize_to(batch, step.size, step.size)


@apply_batch.register
def _(step: PublishedRandomScale, batch: SampleBatch, drawn: Drawn) -> None:
    batch.scaled = torch.stack([drawn['height'], drawn['width']], dim=1)  # only what is cropped is made


@apply_batch.register
def _(step: PublishedRandomCrop, batch: SampleBatch, drawn: Drawn) -> None:
    size = step.size or batch.base_size
    assert size is not None  # the place was drawn by it
    crop = (size, size) if isinstance(size, int) else size
    scaled = batch.size if batch.scaled is None else batch.scaled
    weights, places, inside = [], [], []
    for axis, start in enumerate(('top', 'left')):
        row = drawn[start][:, None] + _count(crop[axis], batch.image)
        inside.append(row < scaled[:, axis, None])
        scale = (batch.size[:, axis].double() / scaled[:, axis])[:, None]
        places.append(((row + 0.5) * scale).long().minimum(batch.size[:, axis, None] - 1))
        weights.append(_triangles((row + 0.5) * scale, scale.clamp(min=1), batch, axis))
    inside = inside[0][:, :, None] & inside[1][:, None]
    columns = batch.image @ weights[1][:, None].mT
    columns = torch.where(batch.whole, (columns + 0.5).floor(), columns)  # Pillow rounds between its passes
    image = weights[0][:, None] @ columns
    image = torch.where(batch.whole, (image + 0.5).floor().clamp(0, 255), image)
    batch.image = image * inside[:, None]
    batch.masks = {name: _take(mask, *places) * inside for name, mask in batch.masks.items()}
    batch.scaled = None
    _resize_to(batch, *crop)


def _triangles(centre: Tensor, width: Tensor, batch: SampleBatch, axis: int) -> Tensor:
    """Pillow's bilinear filter: weights (B, n, N) of the N pixels of an axis around centres (B, n)."""
    source = _count(batch.image.shape[axis + 2], batch.image)
    weight = (1 - ((source + 0.5 - centre[..., None]) / width[..., None]).abs()).clamp(min=0)
    weight = weight * (source < batch.size[:, axis, None, None])
    return (weight / weight.sum(dim=-1, keepdim=True).clamp(min=1e-12)).float()


@apply_batch.register
def _(step: GainOffsetJitter, batch: SampleBatch, drawn: Drawn) -> None:
    gain, offset, gamma = (_each(drawn[key].float()) for key in ('gain', 'offset', 'gamma'))
    image = batch.image
    if step.gamma != (1, 1):
        image = torch.where(gamma == 1, image, 255 * (image.clamp(min=0) / 255) ** gamma)
    if step.pivot == 'mean':
        mean = image.double().mean(dim=(1, 2, 3), keepdim=True).float()
        offset = offset + (1 - gain) * mean
    batch.image = _to_type(batch, image * gain + offset)


@apply_batch.register
def _(step: RandomNoise, batch: SampleBatch, drawn: Drawn) -> None:
    noisy = _to_type(batch, batch.image + drawn['noise'].permute(0, 3, 1, 2))
    batch.image = torch.where(_each(drawn['on']), noisy, batch.image)


@apply_batch.register
def _(step: RandomBlur, batch: SampleBatch, drawn: Drawn) -> None:
    # the edge's pixels are repeated by OpenCV's BORDER_REFLECT
    blurred = _gaussian(batch, drawn['sigma'], step.sigma[1], repeat=True)
    batch.image = torch.where(_each(drawn['sigma'] > 0), _to_type(batch, blurred), batch.image)


def _gaussian(batch: SampleBatch, sigma: Tensor, highest: float, repeat: bool) -> Tensor:
    """OpenCV's Gaussian blur of standard deviation ``sigma`` (B,), at most ``highest``; its kernels end at 3
    σ in uint8, at 4 σ in float images."""
    reach = round(8 * highest + 1) // 2
    distance = torch.arange(-reach, reach + 1, device=sigma.device).abs()
    sigma = sigma.double().clamp(min=1e-3)[:, None]
    taps = torch.where(batch.whole[:, 0, 0], 6 * sigma + 1, 8 * sigma + 1).round().long() | 1
    kernel = torch.exp(-(distance**2) / (2 * sigma**2)) * (distance <= taps // 2)
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).float()
    return _convolved(_convolved(batch.image, kernel, 3, repeat), kernel, 2, repeat)


def _convolved(image: Tensor, kernel: Tensor, axis: int, repeat: bool | None) -> Tensor:
    """Images (B, C, H, W) by kernels (B, K) along an axis. Beyond the border lies the reflected image, its
    edge repeated or not, or nothing but the edge (``repeat=None``)."""
    length, reach = image.shape[axis], kernel.shape[1] // 2
    place = torch.arange(-reach, length + reach, device=image.device)
    if repeat is None:
        place = place.clamp(0, length - 1)
    elif repeat:
        place = place % (2 * length)
        place = torch.where(place < length, place, 2 * length - 1 - place)
    else:
        place = reflected(place, length)
    padded = image.index_select(axis, place)
    out = torch.zeros_like(image)
    for k in range(kernel.shape[1]):
        out = out + padded.narrow(axis, k, length) * _each(kernel[:, k])
    return out


@apply_batch.register
def _(step: PublishedBlur, batch: SampleBatch, drawn: Drawn) -> None:
    """Pillow's Gaussian is three box blurs along each axis, rounded after each."""
    radius = drawn['radius'].double()
    side, edge = _box(radius)
    reach = int(_box(step.max_radius)[0]) + 1
    distance = torch.arange(-reach, reach + 1, device=radius.device).abs()
    middle = 1 / (2 * (side + edge) + 1)
    rest = (1 - (2 * side + 1) * middle) / 2
    kernel = torch.where(distance <= side[:, None], middle[:, None], 0.0)
    kernel = torch.where(distance == side[:, None] + 1, rest[:, None], kernel).float()
    boxed = batch.image
    for axis in (3, 3, 3, 2, 2, 2):
        boxed = (_convolved(boxed, kernel, axis, repeat=None) + 0.5).floor()
    deep = _gaussian(batch, radius, step.max_radius, repeat=False)
    blurred = torch.where(batch.whole, boxed, deep)
    batch.image = torch.where(_each(radius > 0), blurred, batch.image)


def _box(radius):
    """Radius of the boxes whose threefold application is a Gaussian, a number's or each of a tensor's: its
    whole part, and the rest (Gwosdek et al., 2011)."""
    variance = radius**2 / 3
    side = ((12 * variance + 1) ** 0.5 - 1) / 2 // 1
    rest = (2 * side + 1) * (side * (side + 1) - 3 * variance) / (6 * (variance - (side + 1) ** 2))
    return side, rest


@apply_batch.register
def _(step: ScaleToMaximum, batch: SampleBatch, drawn: Drawn) -> None:
    highest = batch.image.amax(dim=(1, 2, 3), keepdim=True).double()
    batch.image = batch.image * (255 / torch.where(highest == 0, 255.0, highest)).float()
    batch.whole = torch.zeros_like(batch.whole)


@apply_batch.register
def _(step: SensorDefects, batch: SampleBatch, drawn: Drawn) -> None:
    image = batch.image
    rows, columns = (_count(n, image) for n in image.shape[2:])
    for k in range(drawn['on'].shape[1]):  # in turn: they may lie on each other
        top, left, height, width = (drawn['box'][:, k, i, None] for i in range(4))
        here = ((rows >= top) & (rows < top + height))[:, :, None]
        here = here & ((columns >= left) & (columns < left + width))[:, None]
        here = (here & drawn['on'][:, k, None, None])[:, None]
        value = image * _each(drawn['added'][:, k]) + _each(drawn['value'][:, k])
        image = torch.where(here, value, image)
    batch.image = torch.where(_each(drawn['on'].any(dim=1)), _to_type(batch, image), batch.image)


@apply_batch.register
def _(step: CopyPasteTargets, batch: SampleBatch, drawn: Drawn) -> None:
    image = batch.image.clone()
    masks = {name: mask.clone() for name, mask in batch.masks.items()}
    side = step.max_size + 2 * step.ring
    for k in range(drawn['placed'].shape[1]):  # in turn: what lies on each other is added up in this order
        copy = {name: value[:, k] for name, value in drawn.items()}
        rows, columns, inside, there = _copied_from(copy, side)
        rows, columns = rows.clamp(0, image.shape[2] - 1), columns.clamp(0, image.shape[3] - 1)
        patch, target = _patch_and_target(batch, copy['box'], side)
        patch = _contrast(step, patch, target, copy['box'])
        own = (rows - copy['box'][:, 0, None, None]).clamp(0, side - 1)
        own = own * side + (columns - copy['box'][:, 1, None, None]).clamp(0, side - 1)
        shown = inside & copy['placed'][:, None, None]
        flat = own.flatten(1)
        contrast = patch.flatten(2).gather(2, flat[:, None].expand(-1, patch.shape[1], -1))
        contrast = contrast * (shown.flatten(1) * copy['factor'][:, None])[:, None]
        goal = (there[0] * image.shape[3] + there[1]).masked_fill(~shown, 0).flatten(1)
        image.flatten(2).scatter_add_(2, goal[:, None].expand_as(contrast), contrast)
        covered = target.flatten(1).gather(1, flat) & shown.flatten(1)
        for name, mask in masks.items():
            values = _take_flat(batch.masks[name], rows * image.shape[3] + columns) * covered
            mask.flatten(1).scatter_reduce_(1, goal, values, 'amax')
    any_placed = _each(drawn['placed'].any(dim=1))
    batch.image = torch.where(any_placed, _to_type(batch, image), batch.image)
    batch.masks = masks


def _take_flat(maps: Tensor, place: Tensor) -> Tensor:
    return maps.flatten(1).gather(1, place.flatten(1))


def _copied_from(copy: Drawn, side: int) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor]]:
    """For every pixel (B, side, side) of turned patches: row and column of the image that it shows, whether
    it is part of the patch, and the row and column where it goes."""
    i, j = torch.meshgrid(*[torch.arange(side, device=copy['turns'].device)] * 2, indexing='ij')
    top, left, height, width = (copy['box'][:, n, None, None] for n in range(4))
    turns = copy['turns'][:, None, None]
    odd = turns % 2 == 1
    h, w = torch.where(odd, width, height), torch.where(odd, height, width)
    inside = (i < h) & (j < w)
    across = torch.where(copy['mirrored'][:, None, None], w - 1 - j, j)
    down = i.expand_as(across)
    # numpy.rot90's rule, read backwards
    row = torch.where(odd, across, down)
    column = torch.where(odd, down, across)
    row = torch.where((turns == 2) | (turns == 3), height - 1 - row, row)
    column = torch.where((turns == 1) | (turns == 2), width - 1 - column, column)
    there = (copy['corner'][:, 0, None, None] + i, copy['corner'][:, 1, None, None] + j)
    return top + row, left + column, inside, there


def _patch_and_target(batch: SampleBatch, box: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The patches (B, C, side, side) of boxes (B, 4), and where their targets are."""
    place = _count(side, box)
    rows = (box[:, 0, None] + place).clamp(max=batch.image.shape[2] - 1)
    columns = (box[:, 1, None] + place).clamp(max=batch.image.shape[3] - 1)
    inside = _in_box(box, side)
    return _take(batch.image, rows, columns), (_take(batch.masks['gt_seg_map'], rows, columns) > 0) & inside


def _in_box(box: Tensor, side: int) -> Tensor:
    place = _count(side, box)
    return (place < box[:, 2, None])[:, :, None] & (place < box[:, 3, None])[:, None]


def _contrast(step: CopyPasteTargets, patch: Tensor, target: Tensor, box: Tensor) -> Tensor:
    """What targets (B, s, s) add to their surroundings in patches (B, C, s, s), faded out over the ring."""
    side = patch.shape[-1]
    near = F.max_pool2d(target[:, None].float(), 3, 1, 1)[:, 0] > 0
    around = _in_box(box, side) & ~near
    ordered = patch.masked_fill(~around[:, None], torch.inf).flatten(2).sort(dim=2).values
    number = around.flatten(1).sum(dim=1)
    halves = [((number - 1).clamp(min=0) // 2), number // 2]
    low, high = (ordered.gather(2, n[:, None, None].expand(-1, ordered.shape[1], 1)) for n in halves)
    level = torch.where(_each(number > 0), ((low + high) / 2)[..., None], 0.0)
    reach = step.ring + 1
    spot = np.ones((2 * reach + 1,) * 2, np.uint8)
    spot[reach, reach] = 0
    fade = np.clip(1 - cv2.distanceTransform(spot, cv2.DIST_L2, 5) / reach, 0, 1)
    shares = torch.zeros_like(patch[:, 0])
    padded = F.pad(target.float(), (reach,) * 4)
    for y, x in np.argwhere(fade > 0).tolist():
        shares = shares.maximum(padded[:, y : y + side, x : x + side] * float(fade[y, x]))
    return (patch - level) * shares[:, None]
