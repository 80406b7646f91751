"""The augmentation and resizing with which MAD-Net was published, and most networks before it.

In training: stock ``RandomFlip(prob=0.5)``, :class:`RandomLongSideResize`, :class:`PadToSize`, stock
    ``RandomCrop``,
:class:`RandomPILGaussianBlur`; in testing :class:`PILResize`. The resampling is Pillow's, whose bilinear
filter widens when it shrinks (no aliasing) where OpenCV's does not: another filter is another input to the
network.
"""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS
from PIL import Image, ImageFilter


def pil_resize(array: np.ndarray, size: tuple[int, int], resample: Image.Resampling) -> np.ndarray:
    """Resize with Pillow.

    Args:
        array: (H, W) or (H, W, C), uint8 or float32.
        size: (width, height) in pixels.
        resample: Pillow's filter.

    Returns:
        (height, width) or (height, width, C), of the same type.
    """
    if array.ndim == 2:
        return np.array(Image.fromarray(np.ascontiguousarray(array)).resize(size, resample))
    if array.dtype == np.uint8 and array.shape[2] == 3:
        return np.array(Image.fromarray(np.ascontiguousarray(array)).resize(size, resample))
    return np.stack([pil_resize(array[..., c], size, resample) for c in range(array.shape[2])], axis=2)


def _resize_sample(results: dict, size: tuple[int, int], keep_ratio: bool) -> None:
    h, w = results['img'].shape[:2]
    results['img'] = pil_resize(results['img'], size, Image.Resampling.BILINEAR)
    for key in results.get('seg_fields', []):
        results[key] = pil_resize(results[key], size, Image.Resampling.NEAREST)
    results['img_shape'] = (size[1], size[0])
    results['scale_factor'] = (size[0] / w, size[1] / h)
    results['keep_ratio'] = keep_ratio


@TRANSFORMS.register_module()
class RandomLongSideResize(BaseTransform):
    """Bring the long side to a random length, the aspect kept.

    The long side is a uniform integer of ``[int(lo · base), int(hi · base)]``, both ends included, the short
    side ``int(short · long' / long + 0.5)``. Image by Pillow's bilinear filter, masks by nearest neighbour.

    Args:
        base_size: In pixels.
        ratio: (lo, hi).
    """

    def __init__(self, base_size: int, ratio: tuple[float, float] = (0.5, 2.0)):
        self.base_size = base_size
        self.ratio = tuple(ratio)

    def transform(self, results: dict) -> dict:
        h, w = results['img'].shape[:2]
        long_side = np.random.randint(
            int(self.base_size * self.ratio[0]), int(self.base_size * self.ratio[1]) + 1
        )
        if h > w:
            size = max(1, int(w * long_side / h + 0.5)), long_side
        else:
            size = long_side, max(1, int(h * long_side / w + 0.5))
        _resize_sample(results, size, keep_ratio=True)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(base_size={self.base_size}, ratio={self.ratio})'


@TRANSFORMS.register_module()
class PadToSize(BaseTransform):
    """Pad image and masks with zeros at the right and the bottom, where they are smaller than ``size``.

    Args:
        size: Height and width in pixels, or one number for both.
    """

    def __init__(self, size: int | tuple[int, int]):
        self.size = (size, size) if isinstance(size, int) else tuple(size)

    def transform(self, results: dict) -> dict:
        for key in ('img', *results.get('seg_fields', [])):
            array = results[key]
            pad = [(0, max(0, s - n)) for s, n in zip(self.size, array.shape[:2], strict=True)]
            if any(after for _, after in pad):
                results[key] = np.pad(array, pad + [(0, 0)] * (array.ndim - 2))
        results['img_shape'] = results['pad_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size})'


@TRANSFORMS.register_module()
class RandomPILGaussianBlur(BaseTransform):
    """Blur the image, never the masks, as Pillow's ``GaussianBlur`` does, with a radius drawn uniformly.

    Float images (from 16-bit files), which Pillow cannot blur, get the Gaussian of that standard deviation
    which Pillow approximates.

    Args:
        prob: Share of the samples that are blurred.
        radius: (lowest, highest), in pixels.
    """

    def __init__(self, prob: float = 0.5, radius: tuple[float, float] = (0.0, 1.0)):
        self.prob = prob
        self.radius = tuple(radius)

    def transform(self, results: dict) -> dict:
        if np.random.rand() < self.prob:
            results['img'] = _blur(results['img'], np.random.uniform(*self.radius))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, radius={self.radius})'


def _blur(img: np.ndarray, radius: float) -> np.ndarray:
    if img.dtype == np.uint8:
        image = Image.fromarray(np.ascontiguousarray(img[..., 0] if img.shape[2] == 1 else img))
        return np.array(image.filter(ImageFilter.GaussianBlur(radius))).reshape(img.shape)
    return cv2.GaussianBlur(img, (0, 0), max(radius, 1e-3)).reshape(img.shape)


@TRANSFORMS.register_module()
class PILResize(BaseTransform):
    """Resize straight to a size, whatever the aspect: the published test.

    Masks that are loaded already are resized too, by nearest neighbour; in a test pipeline they are loaded
    afterwards. Adds ``base_size`` (height, width), at which the protocol ``abc`` scores.

    Args:
        size: Height and width in pixels, or one number for both.
    """

    def __init__(self, size: int | tuple[int, int]):
        self.size = (size, size) if isinstance(size, int) else tuple(size)

    def transform(self, results: dict) -> dict:
        _resize_sample(results, (self.size[1], self.size[0]), keep_ratio=False)
        results['base_size'] = self.size
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size})'
