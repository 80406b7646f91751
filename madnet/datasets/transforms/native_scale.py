"""The stronger augmentation: crops at the image's own scale, where a target of three pixels stays one.

In training: :class:`RandomTargetCrop`, stock ``RandomFlip``, :class:`RandomRot90`, :class:`GainOffsetJitter`,
where wanted :class:`RandomNoise`. All take one channel or three, uint8 or float32 on the 0–255 scale.
"""

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS


def _fields(results: dict) -> tuple[str, ...]:
    return ('img', *results.get('seg_fields', []))


@TRANSFORMS.register_module()
class RandomTargetCrop(BaseTransform):
    """Cut a square at native scale, often one with a target inside.

    Uniform crops of a 500-pixel scene seldom show a target at all. With probability ``target_prob`` a target
    pixel is drawn, and the crop uniformly among those that show it at least ``margin`` pixels from their
    border (where the image allows); not always in the middle, or the network learns the position. An image
    smaller than the crop is continued by reflection on all sides, its masks likewise.

    Args:
        size: Side of the crop in pixels.
        target_prob: Share of crops placed around a target; an image without one gets a uniform crop.
        margin: In pixels, less than ``size / 2``.
    """

    def __init__(self, size: int = 256, target_prob: float = 0.5, margin: int = 16):
        self.size = size
        self.target_prob = target_prob
        self.margin = min(margin, (size - 1) // 2)

    def transform(self, results: dict) -> dict:
        self._reflect(results)
        h, w = results['img'].shape[:2]
        y, x = np.random.randint(h - self.size + 1), np.random.randint(w - self.size + 1)
        around_target = np.random.rand() < self.target_prob
        if around_target and 'gt_seg_map' in results:
            target = np.flatnonzero(results['gt_seg_map'])
            if target.size:
                pixel_y, pixel_x = divmod(int(target[np.random.randint(target.size)]), w)
                y, x = self._corner(pixel_y, h), self._corner(pixel_x, w)
        for key in _fields(results):
            results[key] = np.ascontiguousarray(results[key][y : y + self.size, x : x + self.size])
        results['img_shape'] = (self.size, self.size)
        return results

    def _corner(self, pixel: int, length: int) -> int:
        first, last = pixel + self.margin + 1 - self.size, pixel - self.margin
        first, last = (min(max(v, 0), length - self.size) for v in (first, last))
        return np.random.randint(first, last + 1)

    def _reflect(self, results: dict) -> None:
        lacking = [max(0, self.size - n) for n in results['img'].shape[:2]]
        if not any(lacking):
            return
        before = [np.random.randint(n + 1) for n in lacking]
        pad = [(b, n - b) for b, n in zip(before, lacking, strict=True)]
        for key in _fields(results):
            results[key] = np.pad(results[key], pad + [(0, 0)] * (results[key].ndim - 2), mode='reflect')

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(size={self.size}, target_prob={self.target_prob}, margin={self.margin})'
        )


@TRANSFORMS.register_module()
class RandomRot90(BaseTransform):
    """Turn image and masks by 0, 90, 180 or 270 degrees, each as likely."""

    def transform(self, results: dict) -> dict:
        turns = np.random.randint(4)
        for key in _fields(results):
            results[key] = np.ascontiguousarray(np.rot90(results[key], turns))
        results['img_shape'] = results['img'].shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


def _to_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    values = np.clip(values, 0, 255)
    return (np.rint(values) if dtype == np.uint8 else values).astype(dtype, copy=False)


@TRANSFORMS.register_module()
class GainOffsetJitter(BaseTransform):
    """Another sensor setting: ``img · U(1 - gain, 1 + gain) + U(-offset, offset)``, clipped to 0–255.

    Args:
        gain: Largest relative change of the gain.
        offset: Largest change of the offset in grey levels.
    """

    def __init__(self, gain: float = 0.2, offset: float = 15.0):
        self.gain = gain
        self.offset = offset

    def transform(self, results: dict) -> dict:
        img = results['img']
        gain, offset = (
            np.random.uniform(1 - self.gain, 1 + self.gain),
            np.random.uniform(-self.offset, self.offset),
        )
        results['img'] = _to_type(img.astype(np.float32) * np.float32(gain) + np.float32(offset), img.dtype)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(gain={self.gain}, offset={self.offset})'


@TRANSFORMS.register_module()
class RandomNoise(BaseTransform):
    """Add white Gaussian sensor noise, alike in all channels (an infrared sensor has one), clipped to 0–255.

    Args:
        prob: Share of the samples.
        std: (lowest, highest) standard deviation in grey levels, drawn uniformly.
    """

    def __init__(self, prob: float = 0.5, std: tuple[float, float] = (0.0, 4.0)):
        self.prob = prob
        self.std = tuple(std)

    def transform(self, results: dict) -> dict:
        if np.random.rand() < self.prob:
            img = results['img']
            noise = np.random.normal(0, np.random.uniform(*self.std), (*img.shape[:2], 1)).astype(np.float32)
            results['img'] = _to_type(img + noise, img.dtype)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(prob={self.prob}, std={self.std})'
