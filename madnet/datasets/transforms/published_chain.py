"""The augmentation and resizing with which MAD-Net was published, and most networks before it.

In training :class:`PublishedFlip`, :class:`PublishedRandomScale`, :class:`PublishedRandomCrop` and
:class:`PublishedBlur`, in this order; in testing :class:`PublishedTestResize`. The resampling is Pillow's,
whose bilinear filter widens when it shrinks (no aliasing) where OpenCV's does not: another filter is another
input to the network. Base and crop size are the data set's own (``base_size`` of the sample, from the
catalogue) unless a transform is given another.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from mmseg.registry import TRANSFORMS
from PIL import Image, ImageFilter

from madnet.datasets.transforms.sample_transform import (
    DrawnTransform,
    SampleTransform,
    fields_of,
    range_of,
    sides_of,
    size_of,
)
from madnet.errors import UserError, expect_number
from madnet.images.resizing import pil_resize


def _size(results: dict, size: int | tuple[int, int] | None, transform: SampleTransform) -> tuple[int, int]:
    """(Height, width) that the transform was given, or else the sample's base size."""
    name = f'{type(transform).__name__}.size'
    sides = sides_of(name, results.get('base_size') if size is None else size)
    if sides is None:
        raise UserError(
            f'{type(transform).__name__}: no size given, and none known for '
            f'{results.get("dataset_name", "this set")}; give the dataset base_size or the transform size.'
        )
    return sides


def _resize_sample(results: dict, size: tuple[int, int], keep_ratio: bool) -> dict:
    """The sample brought to (width, height)."""
    h, w = size_of(results)
    for key in fields_of(results):
        way = Image.Resampling.BILINEAR if key == 'img' else Image.Resampling.NEAREST
        results[key] = pil_resize(results[key], size, way)
    results.update(img_shape=size[::-1], scale_factor=(size[0] / w, size[1] / h), keep_ratio=keep_ratio)
    return results


@TRANSFORMS.register_module()
@dataclass(eq=False, repr=False)
class PublishedFlip(DrawnTransform):
    """Mirror image and masks left to right, with probability ``prob``."""

    prob: float = 0.5

    geometric = True

    def draw(self, sample: dict) -> dict:
        return {'flip': bool(np.random.rand() < self.prob)}

    def apply(self, sample: dict, drawn: dict) -> dict:
        sample['flip'] = drawn['flip']
        sample['flip_direction'] = 'horizontal' if drawn['flip'] else None
        if drawn['flip']:
            for key in fields_of(sample):
                sample[key] = np.ascontiguousarray(sample[key][:, ::-1])
        return sample


@TRANSFORMS.register_module()
@dataclass(eq=False, repr=False)
class PublishedRandomScale(DrawnTransform):
    """Bring the long side to a random length, the aspect kept.

    The long side is a uniform integer of ``[int(lo · base), int(hi · base)]``, both ends included, the short
    side ``int(short · long' / long + 0.5)``. Image by Pillow's bilinear filter, masks by nearest neighbour.

    Args:
        ratio_range: (lo, hi).
        base_size: In pixels; None for the sample's.

    Raises:
        UserError: ``ratio_range`` is not two positive numbers, the smaller first, or ``base_size`` no size.
    """

    ratio_range: tuple[float, float] = (0.5, 2.0)
    base_size: int | None = None

    geometric = True

    def __post_init__(self):
        sides_of('PublishedRandomScale.base_size', self.base_size)
        self.ratio_range = range_of('PublishedRandomScale.ratio_range', self.ratio_range, None)

    def draw(self, sample: dict) -> dict:
        h, w = size_of(sample)
        base = max(_size(sample, self.base_size, self))
        long_side = np.random.randint(int(base * self.ratio_range[0]), int(base * self.ratio_range[1]) + 1)
        if h > w:
            return {'width': max(1, int(w * long_side / h + 0.5)), 'height': long_side}
        return {'width': long_side, 'height': max(1, int(h * long_side / w + 0.5))}

    def apply(self, sample: dict, drawn: dict) -> dict:
        return _resize_sample(sample, (drawn['width'], drawn['height']), keep_ratio=True)


@TRANSFORMS.register_module()
@dataclass(eq=False, repr=False)
class PublishedRandomCrop(DrawnTransform):
    """Pad with zeros at the right and the bottom where the crop needs it, then cut it out anywhere.

    ``size`` is height and width in pixels, or one number for both; None for the sample's base size.
    """

    size: int | tuple[int, int] | None = None

    geometric = True

    def draw(self, sample: dict) -> dict:
        crop = _size(sample, self.size, self)
        spare = [max(0, n - c) for c, n in zip(crop, size_of(sample), strict=True)]
        top, left = (np.random.randint(n + 1) for n in spare)
        return {'top': top, 'left': left}

    def apply(self, sample: dict, drawn: dict) -> dict:
        crop, (y, x) = _size(sample, self.size, self), (drawn['top'], drawn['left'])
        lacking = [max(0, c - n) for c, n in zip(crop, size_of(sample), strict=True)]
        for key in fields_of(sample):
            array = sample[key][y : y + crop[0], x : x + crop[1]]
            sample[key] = np.pad(array, [(0, n) for n in lacking] + [(0, 0)] * (array.ndim - 2))
        sample['img_shape'] = crop
        return sample


@TRANSFORMS.register_module()
@dataclass(eq=False, repr=False)
class PublishedBlur(DrawnTransform):
    """Blur the image, never the masks, as Pillow's ``GaussianBlur`` does, with a radius of U(0, max_radius).

    Float images (from 16-bit files), which Pillow cannot blur, get the Gaussian of that standard deviation
    which Pillow approximates.

    Args:
        prob: Share of the samples that are blurred.
        max_radius: In pixels.

    Raises:
        UserError: ``max_radius`` is below 0.
    """

    prob: float = 0.5
    max_radius: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        expect_number(self.max_radius, 'PublishedBlur.max_radius', least=0)

    def draw(self, sample: dict) -> dict:
        return {'radius': np.random.uniform(0, self.max_radius) if np.random.rand() < self.prob else 0.0}

    def apply(self, sample: dict, drawn: dict) -> dict:
        if drawn['radius']:
            sample['img'] = _blur(sample['img'], drawn['radius'])
        return sample


def _blur(img: np.ndarray, radius: float) -> np.ndarray:
    if img.dtype == np.uint8:
        image = Image.fromarray(np.ascontiguousarray(img[..., 0] if img.shape[2] == 1 else img))
        return np.array(image.filter(ImageFilter.GaussianBlur(radius))).reshape(img.shape)
    return cv2.GaussianBlur(img, (0, 0), max(radius, 1e-3)).reshape(img.shape)


@TRANSFORMS.register_module()
@dataclass(eq=False, repr=False)
class PublishedTestResize(SampleTransform):
    """Resize straight to a size, whatever the aspect.

    Masks that are loaded already are resized too, by nearest neighbour; in a test pipeline they are loaded
    afterwards, so that truth keeps its own size. ``size`` is as that of :class:`PublishedRandomCrop`.
    """

    size: int | tuple[int, int] | None = None

    def transform(self, results: dict) -> dict:
        size = results['base_size'] = _size(results, self.size, self)
        return _resize_sample(results, size[::-1], keep_ratio=False)
