"""The stronger augmentation: crops at the image's own scale, where a target of three pixels stays one.

In training: :class:`RandomTargetCrop`, stock ``RandomFlip``, :class:`RandomRot90`, :class:`GainOffsetJitter`;
where wanted :class:`CopyPasteTargets`, :class:`RandomBlur`, :class:`RandomNoise`. All take one channel or
three, uint8 or float32 on the 0–255 scale.
"""

import cv2
import numpy as np
from mmseg.registry import TRANSFORMS

from madnet.datasets.transforms.sample_transform import SampleTransform
from madnet.errors import UserError


def _fields(results: dict) -> tuple[str, ...]:
    return ('img', *results.get('seg_fields', []))


@TRANSFORMS.register_module()
class RandomTargetCrop(SampleTransform):
    """Cut a square, at native scale unless ``zoom`` says otherwise, often one with a target inside.

    Uniform crops of a 500-pixel scene seldom show a target at all. With probability ``target_prob`` a target
    pixel is drawn, and the crop uniformly among those that show it at least ``margin`` pixels from their
    border (where the image allows); not always in the middle, or the network learns the position. An image
    smaller than the crop is continued by reflection on all sides, its masks likewise.

    Args:
        size: Side of the crop in pixels.
        target_prob: Share of crops placed around a target; an image without one gets a uniform crop.
        margin: In pixels of the image, less than half the side of the crop.
        zoom: Range of the factor, log-uniform, by which the crop is enlarged (above 1: cut smaller, then
            brought to ``size``), for targets larger and smaller than the training images have. ``(1, 1)``,
            the default, leaves every pixel as it is.

    Raises:
        UserError: ``zoom`` is not two positive numbers, the smaller first.
    """

    def __init__(
        self,
        size: int = 256,
        target_prob: float = 0.5,
        margin: int = 16,
        zoom: tuple[float, float] = (1.0, 1.0),
    ):
        low, high = zoom
        if not 0 < low <= high:
            raise UserError(
                f'RandomTargetCrop.zoom: found {zoom}, expected two positive numbers, the smaller first'
            )
        self.size = size
        self.target_prob = target_prob
        self.margin = margin
        self.zoom = (low, high)

    def transform(self, results: dict) -> dict:
        side = self._side()
        self._reflect(results, side)
        h, w = results['img'].shape[:2]
        y, x = np.random.randint(h - side + 1), np.random.randint(w - side + 1)
        around_target = np.random.rand() < self.target_prob
        if around_target and 'gt_seg_map' in results:
            target = np.flatnonzero(results['gt_seg_map'])
            if target.size:
                pixel_y, pixel_x = divmod(int(target[np.random.randint(target.size)]), w)
                y, x = self._corner(pixel_y, h, side), self._corner(pixel_x, w, side)
        for key in _fields(results):
            cut = results[key][y : y + side, x : x + side]
            results[key] = np.ascontiguousarray(self._to_size(cut, labels=key == 'gt_seg_map'))
        results['img_shape'] = (self.size, self.size)
        return results

    def _side(self) -> int:
        low, high = self.zoom
        if low == high == 1:
            return self.size
        return max(1, round(self.size / np.exp(np.random.uniform(np.log(low), np.log(high)))))

    def _corner(self, pixel: int, length: int, side: int) -> int:
        margin = min(self.margin, (side - 1) // 2)
        first, last = pixel + margin + 1 - side, pixel - margin
        first, last = (min(max(v, 0), length - side) for v in (first, last))
        return np.random.randint(first, last + 1)

    @staticmethod
    def _reflect(results: dict, side: int) -> None:
        lacking = [max(0, side - n) for n in results['img'].shape[:2]]
        if not any(lacking):
            return
        before = [np.random.randint(n + 1) for n in lacking]
        pad = [(b, n - b) for b, n in zip(before, lacking, strict=True)]
        for key in _fields(results):
            results[key] = np.pad(results[key], pad + [(0, 0)] * (results[key].ndim - 2), mode='reflect')

    def _to_size(self, field: np.ndarray, labels: bool) -> np.ndarray:
        side = field.shape[0]
        if side == self.size:
            return field
        if labels:
            way = cv2.INTER_NEAREST_EXACT
        else:
            way = cv2.INTER_LINEAR if side < self.size else cv2.INTER_AREA
        resized = cv2.resize(field, (self.size, self.size), interpolation=way)
        return resized.reshape(self.size, self.size, *field.shape[2:])  # OpenCV drops a single channel


@TRANSFORMS.register_module()
class RandomRot90(SampleTransform):
    """Turn image and masks by 0, 90, 180 or 270 degrees, each as likely."""

    def transform(self, results: dict) -> dict:
        turns = np.random.randint(4)
        for key in _fields(results):
            results[key] = np.ascontiguousarray(np.rot90(results[key], turns))
        results['img_shape'] = results['img'].shape[:2]
        return results


def _to_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    values = np.clip(values, 0, 255)
    return (np.rint(values) if dtype == np.uint8 else values).astype(dtype, copy=False)


@TRANSFORMS.register_module()
class GainOffsetJitter(SampleTransform):
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


@TRANSFORMS.register_module()
class RandomNoise(SampleTransform):
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


@TRANSFORMS.register_module()
class RandomBlur(SampleTransform):
    """Another lens or focus: a Gaussian blur, before :class:`RandomNoise`, which no lens blurs.

    Args:
        prob: Share of the samples.
        sigma: (lowest, highest) standard deviation in pixels, drawn uniformly. Much above 1 a target of three
            pixels drowns while its mask stays.
    """

    def __init__(self, prob: float = 0.3, sigma: tuple[float, float] = (0.3, 1.0)):
        self.prob = prob
        self.sigma = tuple(sigma)

    def transform(self, results: dict) -> dict:
        if np.random.rand() < self.prob:
            img = results['img']
            blurred = cv2.GaussianBlur(
                img, (0, 0), np.random.uniform(*self.sigma), borderType=cv2.BORDER_REFLECT
            )
            results['img'] = blurred.reshape(img.shape)
        return results


@TRANSFORMS.register_module()
class CopyPasteTargets(SampleTransform):
    """Paste targets of the image at other places of it: most scenes show one, where a network could see ten
    (augmentation by copies of small objects: Kisantal et al., 2019).

    What is added is the target's contrast: its patch less the level of the ring around it, faded out over the
    ring. So the clutter at the new place shines through, and the sensor's noise is not doubled. A copy is
    mirrored and turned at random, its contrast scaled; it keeps off every target.

    Args:
        prob: Share of the samples.
        copies: (fewest, most) copies, drawn uniformly.
        contrast: (lowest, highest) factor on the copy's contrast, drawn uniformly.
        ring: Pixels around the target's box that are taken along.
        max_size: Targets whose box is larger, in pixels, are not copied.
    """

    def __init__(
        self,
        prob: float = 0.5,
        copies: tuple[int, int] = (1, 3),
        contrast: tuple[float, float] = (0.6, 1.2),
        ring: int = 3,
        max_size: int = 32,
    ):
        self.prob = prob
        self.copies = tuple(copies)
        self.contrast = tuple(contrast)
        self.ring = ring
        self.max_size = max_size

    def transform(self, results: dict) -> dict:
        if np.random.rand() >= self.prob or not results['gt_seg_map'].any():
            return results
        sources = self._cut(results)
        if not sources:
            return results
        img = results['img'].astype(np.float32)
        masks = {key: results[key].copy() for key in results['seg_fields']}
        for _ in range(np.random.randint(self.copies[0], self.copies[1] + 1)):
            self._paste(img, masks, sources[np.random.randint(len(sources))])
        results['img'] = _to_type(img, results['img'].dtype)
        results.update(masks)
        return results

    def _cut(self, results: dict) -> list[dict[str, np.ndarray]]:
        """The image's targets as patches: contrast (h, w, C), already faded, and each mask (h, w)."""
        img, labels = results['img'], results['gt_seg_map']
        count, parts, stats, _ = cv2.connectedComponentsWithStats(labels, connectivity=8)
        found = []
        for i in range(1, count):
            x, y, w, h = stats[i, :4]
            top, left = y - self.ring, x - self.ring
            bottom, right = y + h + self.ring, x + w + self.ring
            if (
                max(w, h) > self.max_size
                or min(top, left) < 0
                or bottom > img.shape[0]
                or right > img.shape[1]
            ):
                continue
            where = np.s_[top:bottom, left:right]
            target = parts[where] == i
            if (labels[where] > 0).sum() != target.sum():
                continue  # another target looks in
            near = cv2.dilate(target.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            patch = img[where].astype(np.float32)
            level = np.median(patch[~near], axis=0)
            distance = cv2.distanceTransform((~target).astype(np.uint8), cv2.DIST_L2, 5)
            fade = np.clip(1 - distance / (self.ring + 1), 0, 1)[..., None]
            copy = {key: results[key][where] * target for key in results['seg_fields']}
            found.append({'contrast': (patch - level) * fade, **copy})
        return found

    def _paste(self, img: np.ndarray, masks: dict[str, np.ndarray], source: dict[str, np.ndarray]) -> None:
        turns, mirror = np.random.randint(4), np.random.rand() < 0.5
        source = {key: np.rot90(patch, turns) for key, patch in source.items()}
        if mirror:
            source = {key: patch[:, ::-1] for key, patch in source.items()}
        factor = np.float32(np.random.uniform(*self.contrast))
        h, w = source['contrast'].shape[:2]
        if h > img.shape[0] or w > img.shape[1]:
            return
        for _ in range(10):
            y = np.random.randint(img.shape[0] - h + 1)
            x = np.random.randint(img.shape[1] - w + 1)
            where = np.s_[y : y + h, x : x + w]
            if not masks['gt_seg_map'][where].any():
                img[where] += factor * source['contrast']
                for key, mask in masks.items():
                    mask[where] = np.maximum(mask[where], source[key])
                return
