"""The stronger augmentation: crops at the image's own scale, where a target of three pixels stays one.

In training: :class:`RandomTargetCrop`, stock ``RandomFlip``, :class:`RandomRot90`, :class:`GainOffsetJitter`;
where wanted :class:`CopyPasteTargets`, :class:`RandomBlur`, :class:`SensorDefects`, :class:`RandomNoise`. All
take one channel or three, uint8 or float32 on the 0–255 scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import cv2
import numpy as np
from mmseg.registry import TRANSFORMS

from madnet.datasets.transforms.sample_transform import (
    DrawnTransform,
    fields_of,
    range_of,
    reflected,
    size_of,
)
from madnet.errors import UserError, expect_number, expect_whole
from madnet.records import NegativesFile


@TRANSFORMS.register_module()
@dataclass(eq=False, repr=False)
class RandomTargetCrop(DrawnTransform):
    """Cut a square, at native scale unless ``zoom`` says otherwise, often one with a target inside.

    Uniform crops of a 500-pixel scene seldom show a target at all. With probability ``target_prob`` a target
    pixel is drawn, and the crop uniformly among those that show it at least ``margin`` pixels from their
    border (where the image allows); not always in the middle, or the network learns the position. An image
    smaller than the crop is continued by reflection on all sides, its masks likewise.

    Args:
        size: Side of the crop in pixels; several take turns, one an epoch, so that the crops of a batch are
            alike.
        target_prob: Share of crops placed around a target; an image without one gets a uniform crop.
        margin: In pixels of the image, less than half the side of the crop.
        zoom: Range of the factor, log-uniform, by which the crop is enlarged (above 1: cut smaller, then
            brought to ``size``), for targets larger and smaller than the training images have. ``(1, 1)``,
            the default, leaves every pixel as it is. Enlarged by bilinear interpolation, labels by nearest
            neighbour; shrunk by the mean over area, labels by :func:`shrunk_labels`, which loses no target.
        negatives: File of hard negatives, as ``madnet test --save-negatives`` writes it: places of training
            images where a detector saw a target and none is. None for none.
        negative_prob: Share of crops placed around one of them, as around a target; an image without any gets
            a uniform crop.

    Raises:
        UserError: ``zoom`` is not two positive numbers, the smaller first; ``size`` is empty; ``margin`` is
            below 0; a share is not in 0–1, the two add up to more than 1, or one of ``negatives`` and
            ``negative_prob`` is given alone; several sizes for a data set that gives samples without their
            ``epoch``; hard negatives of other images than those.
    """

    size: int | Sequence[int] = 256
    target_prob: float = 0.5
    margin: int = 16
    zoom: tuple[float, float] = (1.0, 1.0)
    negatives: str | None = None
    negative_prob: float = 0.0

    looks_at_labels = geometric = True

    def __post_init__(self):
        super().__post_init__()
        expect_whole(self.margin, 'RandomTargetCrop.margin', least=0)
        self.zoom = range_of('RandomTargetCrop.zoom', self.zoom, None)
        sizes = self.size if isinstance(self.size, Sequence) else [self.size]
        whole = (isinstance(size, Integral) and not isinstance(size, bool) for size in sizes)
        if not sizes or not all(whole) or min(sizes) < 1:
            raise UserError(f'RandomTargetCrop.size: found {self.size!r}, expected pixels, 1 or more.')
        if (self.negatives is None) != (self.negative_prob == 0):
            raise UserError(
                f'RandomTargetCrop: found negatives={self.negatives!r} and negative_prob='
                f'{self.negative_prob:g}, expected a file and a share above 0, or neither.'
            )
        if self.target_prob + self.negative_prob > 1:
            raise UserError(
                f'RandomTargetCrop: found target_prob={self.target_prob:g}, negative_prob='
                f'{self.negative_prob:g}, expected at most 1 together.'
            )
        self._points = {} if self.negatives is None else NegativesFile.read(self.negatives).points

    def draw(self, sample: dict) -> dict:
        out = self._size_of_epoch(sample)
        side, size = max(1, round(out / _log_uniform(self.zoom))), size_of(sample)
        lacking = [max(0, side - n) for n in size]
        before = [np.random.randint(n + 1) for n in lacking] if any(lacking) else [0, 0]
        h, w = (n + more for n, more in zip(size, lacking, strict=True))
        y, x = np.random.randint(h - side + 1), np.random.randint(w - side + 1)
        chosen = np.random.rand()
        if self.target_prob <= chosen < self.target_prob + self.negative_prob:
            points = self._points.get(sample.get('dataset_name', ''), {}).get(sample.get('img_id', ''), ())
            if points:
                point = points[np.random.randint(len(points))]
                self._check_inside(point, size, sample)
                y, x = (self._corner(p + b, n, side) for p, b, n in zip(point, before, (h, w), strict=True))
        if chosen < self.target_prob and 'gt_seg_map' in sample:
            pad = [(b, n - b) for b, n in zip(before, lacking, strict=True)]
            labels = sample['gt_seg_map']
            target = np.flatnonzero(np.pad(labels, pad, mode='reflect') if any(lacking) else labels)
            if target.size:
                pixel_y, pixel_x = divmod(int(target[np.random.randint(target.size)]), w)
                y, x = self._corner(pixel_y, h, side), self._corner(pixel_x, w, side)
        return {'side': side, 'size': out, 'top': y - before[0], 'left': x - before[1]}

    def apply(self, sample: dict, drawn: dict) -> dict:
        side, corner, size = drawn['side'], (drawn['top'], drawn['left']), size_of(sample)
        rows, columns = (np.s_[start : start + side] for start in corner)
        if any(start < 0 or start + side > n for start, n in zip(corner, size, strict=True)):
            rows, columns = (reflected(np.arange(i, i + side), n) for i, n in zip(corner, size, strict=True))
        for key in fields_of(sample):
            cut = self._to_size(sample[key][rows][:, columns], drawn['size'], key == 'gt_seg_map')
            sample[key] = np.ascontiguousarray(cut)
        sample['img_shape'] = (drawn['size'], drawn['size'])
        return sample

    def _size_of_epoch(self, sample: dict) -> int:
        if not isinstance(self.size, Sequence):
            return self.size
        if 'epoch' not in sample:
            raise UserError(
                f'RandomTargetCrop.size: found {self.size}, expected one number: the data set of '
                f'{sample.get("img_path", "this sample")} does not say the epoch, as ours do.'
            )
        return self.size[sample['epoch'] % len(self.size)]

    def _check_inside(self, point: Sequence[int], size: tuple[int, int], sample: dict) -> None:
        if not all(0 <= p < n for p, n in zip(point, size, strict=True)):
            raise UserError(
                f'{self.negatives}: row {point[0]}, column {point[1]} lies outside of {sample["img_id"]} of '
                f'{sample["dataset_name"]}, {size[0]} × {size[1]} pixels; it was made of other images.'
            )

    def _corner(self, pixel: int, length: int, side: int) -> int:
        margin = min(self.margin, (side - 1) // 2)
        first, last = pixel + margin + 1 - side, pixel - margin
        first, last = (min(max(v, 0), length - side) for v in (first, last))
        return np.random.randint(first, last + 1)

    @staticmethod
    def _to_size(field: np.ndarray, size: int, labels: bool) -> np.ndarray:
        side = field.shape[0]
        if side == size:
            return field
        if labels and side > size:
            return shrunk_labels(field, size)
        enlarged = cv2.INTER_NEAREST_EXACT if labels else cv2.INTER_LINEAR
        way = enlarged if side < size else cv2.INTER_AREA
        resized = cv2.resize(field, (size, size), interpolation=way)
        return resized.reshape(size, size, *field.shape[2:])  # OpenCV drops a single channel


def shrunk_labels(labels: np.ndarray, size: int) -> np.ndarray:
    """Labels of a square, (h, h) uint8 of 0 and 1, brought to a smaller one, (size, size).

    A pixel is target where targets cover at least half of it. A target so small that it covers half of no
    pixel keeps the one that it covers most: what it adds to the image is spread over that pixel, and a
    network is to find it all the same.
    """
    covered = cv2.resize(labels.astype(np.float64), (size, size), interpolation=cv2.INTER_AREA)
    # of pixels that are covered alike, the first
    ranked = covered - 1e-9 * np.arange(size * size).reshape(size, size)
    highest = cv2.dilate(ranked, np.ones((3, 3), np.uint8))
    kept = (covered > 1e-6) & (ranked == highest) & (cv2.dilate(covered, np.ones((3, 3), np.uint8)) < _HALF)
    return ((covered >= _HALF) | kept).astype(np.uint8)


_HALF = 0.5 - 1e-6  # sums of areas end a little off it


@TRANSFORMS.register_module()
class RandomRot90(DrawnTransform):
    """Turn image and masks by 0, 90, 180 or 270 degrees, each as likely."""

    geometric = True

    def draw(self, sample: dict) -> dict:
        return {'turns': np.random.randint(4)}

    def apply(self, sample: dict, drawn: dict) -> dict:
        h, w = size_of(sample)
        for key in fields_of(sample):
            sample[key] = np.ascontiguousarray(np.rot90(sample[key], drawn['turns']))
        sample['img_shape'] = (w, h) if drawn['turns'] % 2 else (h, w)
        return sample


def to_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Grey values clipped to 0–255, rounded where the type is whole numbers."""
    values = np.clip(values, 0, 255)
    return (np.rint(values) if dtype == np.uint8 else values).astype(dtype, copy=False)


@TRANSFORMS.register_module()
@dataclass(eq=False, repr=False)
class GainOffsetJitter(DrawnTransform):
    """Another sensor setting, or another sensor: gamma, then gain and offset, clipped to 0–255.

    ``x = 255 · (img / 255) ** gamma``, then ``(x - p) · gain + p + offset``.

    Args:
        gain: Largest relative change of the gain, below 1, drawn uniformly; or its (lowest, highest) value,
            drawn log-uniformly, so that 0.5 is as likely as 2.
        offset: Largest change of the offset in grey levels, drawn uniformly.
        gamma: (lowest, highest) exponent, drawn log-uniformly.
        pivot: p, the grey level that the gain leaves alone: ``'black'`` is 0; ``'mean'`` is the image's own,
            as a camera's automatic level would, so that a large gain saturates little of it.

    Raises:
        UserError: A range is not two positive numbers, the smaller first; a gain that could turn dark and
            bright round, an offset below 0, or an unknown pivot.
    """

    gain: float | tuple[float, float] = 0.2
    offset: float = 15.0
    gamma: tuple[float, float] = (1.0, 1.0)
    pivot: str = 'black'

    def __post_init__(self):
        if isinstance(self.gain, (int, float)):
            expect_number(self.gain, 'GainOffsetJitter.gain', least=0, below=1)
        else:
            self.gain = range_of('GainOffsetJitter.gain', self.gain, None)
        expect_number(self.offset, 'GainOffsetJitter.offset', least=0)
        self.gamma = range_of('GainOffsetJitter.gamma', self.gamma, None)
        if self.pivot not in ('black', 'mean'):
            raise UserError(f"GainOffsetJitter.pivot: found {self.pivot!r}, expected 'black' or 'mean'.")

    def draw(self, sample: dict) -> dict:
        if isinstance(self.gain, tuple):
            gain = _log_uniform(self.gain)
        else:
            gain = np.random.uniform(1 - self.gain, 1 + self.gain)
        offset = np.random.uniform(-self.offset, self.offset)
        return {'gain': gain, 'offset': offset, 'gamma': _log_uniform(self.gamma)}

    def apply(self, sample: dict, drawn: dict) -> dict:
        img = sample['img']
        gain, offset, gamma = (np.float32(drawn[key]) for key in ('gain', 'offset', 'gamma'))
        values = img.astype(np.float32)
        if gamma != 1:
            values = 255 * (np.clip(values, 0, None) / 255) ** gamma
        if self.pivot == 'mean':
            offset += (1 - gain) * values.mean(dtype=np.float64).astype(np.float32)
        sample['img'] = to_type(values * gain + offset, img.dtype)
        return sample


def _log_uniform(values: tuple[float, float]) -> float:
    """A number from a range; nothing is drawn where the range is one number."""
    low, high = values
    return low if low == high else float(np.exp(np.random.uniform(np.log(low), np.log(high))))


@TRANSFORMS.register_module()
@dataclass(eq=False, repr=False)
class RandomNoise(DrawnTransform):
    """Add a sensor's noise, alike in all channels (an infrared sensor has one), clipped to 0–255.

    Args:
        prob: Share of the samples.
        std: (lowest, highest) standard deviation of white Gaussian noise in grey levels, drawn uniformly.
        stripes: The same of what all pixels of a column, or of a row, have in common: amplifiers that are not
            quite alike (fixed-pattern noise).

    Raises:
        UserError: A range is not two numbers from 0 on, the smaller first.
    """

    prob: float = 0.5
    std: tuple[float, float] = (0.0, 4.0)
    stripes: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self):
        super().__post_init__()
        self.std = range_of('RandomNoise.std', self.std)
        self.stripes = range_of('RandomNoise.stripes', self.stripes)

    def draw(self, sample: dict) -> dict:
        on, (h, w) = np.random.rand() < self.prob, size_of(sample)
        if not on:
            return {'on': False, 'noise': np.zeros((h, w, 1), np.float32)}
        noise = np.random.normal(0, np.random.uniform(*self.std), (h, w, 1))
        if any(self.stripes):
            shape = (1, w, 1) if np.random.rand() < 0.5 else (h, 1, 1)
            noise = noise + np.random.normal(0, np.random.uniform(*self.stripes), shape)
        return {'on': True, 'noise': noise.astype(np.float32)}

    def apply(self, sample: dict, drawn: dict) -> dict:
        if drawn['on']:
            sample['img'] = to_type(sample['img'] + drawn['noise'], sample['img'].dtype)
        return sample


@TRANSFORMS.register_module()
@dataclass(eq=False, repr=False)
class RandomBlur(DrawnTransform):
    """Another lens or focus: a Gaussian blur, before :class:`RandomNoise`, which no lens blurs.

    Args:
        prob: Share of the samples.
        sigma: (lowest, highest) standard deviation in pixels, drawn uniformly. Much above 1 a target of three
            pixels drowns while its mask stays.

    Raises:
        UserError: ``sigma`` is not two numbers from 0 on, the smaller first.
    """

    prob: float = 0.3
    sigma: tuple[float, float] = (0.3, 1.0)

    def __post_init__(self):
        super().__post_init__()
        self.sigma = range_of('RandomBlur.sigma', self.sigma)

    def draw(self, sample: dict) -> dict:
        return {'sigma': np.random.uniform(*self.sigma) if np.random.rand() < self.prob else 0.0}

    def apply(self, sample: dict, drawn: dict) -> dict:
        img = sample['img']
        if drawn['sigma']:
            blurred = cv2.GaussianBlur(img, (0, 0), drawn['sigma'], borderType=cv2.BORDER_REFLECT)
            sample['img'] = blurred.reshape(img.shape)
        return sample


@TRANSFORMS.register_module()
@dataclass(eq=False, repr=False)
class CopyPasteTargets(DrawnTransform):
    """Paste targets of the image at other places of it: most scenes show one, where a network could see ten
    (augmentation by copies of small objects: Kisantal et al., 2019).

    What is added is the target's contrast: its patch less the level of the ring around it, faded out over the
    ring. So the clutter at the new place shines through, and the sensor's noise is not doubled. A copy is
    mirrored and turned at random, its contrast scaled; it keeps off every target.

    Args:
        prob: Share of the samples.
        copies: (fewest, most) copies, drawn uniformly.
        contrast: (lowest, highest) factor on the copy's contrast, drawn uniformly.
        ring: Pixels around the target's box that are taken along, 2 or more.
        max_size: Targets whose box is larger, in pixels, are not copied.
        group: (fewest, most) targets of a formation: each copy is followed by more of the same target, on a
            line of random direction. 1 is the copy alone, (2, 2) are pairs.
        gap: (lowest, highest) distance between the boxes of two that follow each other, in pixels, drawn
            uniformly; at least one pixel of background stays between them.

    Raises:
        UserError: A range is not two such numbers, the smaller first; ``ring`` is below 2; ``max_size`` is
            below 1.
    """

    prob: float = 0.5
    copies: tuple[int, int] = (1, 3)
    contrast: tuple[float, float] = (0.6, 1.2)
    ring: int = 3
    max_size: int = 32
    group: tuple[int, int] = (1, 1)
    gap: tuple[float, float] = (1.0, 8.0)

    looks_at_labels = geometric = True

    def __post_init__(self):
        super().__post_init__()
        expect_whole(self.max_size, 'CopyPasteTargets.max_size', least=1)
        if self.ring < 2:
            raise UserError(
                f'CopyPasteTargets.ring: found {self.ring}, expected 2 or more: the pixel next to a target '
                'is no part of what its contrast is measured against.'
            )
        self.copies = range_of('CopyPasteTargets.copies', self.copies, whole=True)
        self.group = range_of('CopyPasteTargets.group', self.group, 1, whole=True)
        self.contrast = range_of('CopyPasteTargets.contrast', self.contrast)
        self.gap = range_of('CopyPasteTargets.gap', self.gap)

    def draw(self, sample: dict) -> dict:
        most = self.copies[1] * self.group[1]
        drawn = {
            'box': np.zeros((most, 4), np.int64),  # top, left, height, width of the patch that is copied
            'turns': np.zeros(most, np.int64),
            'mirrored': np.zeros(most, bool),
            'factor': np.zeros(most, np.float32),
            'corner': np.zeros((most, 2), np.int64),  # where the patch goes, after it is turned
            'placed': np.zeros(most, bool),
        }
        if np.random.rand() >= self.prob or not sample['gt_seg_map'].any():
            return drawn
        boxes = self._boxes(sample['gt_seg_map'])
        if not boxes:
            return drawn
        labels, k = sample['gt_seg_map'].copy(), 0
        for _ in range(np.random.randint(self.copies[0], self.copies[1] + 1)):
            box = boxes[np.random.randint(len(boxes))]
            turns, mirrored = np.random.randint(4), np.random.rand() < 0.5
            factor = np.random.uniform(*self.contrast)
            patch = _turned(sample['gt_seg_map'][inside(box)], turns, mirrored)
            for corner in self._formation(labels, patch):
                labels[inside((*corner, *patch.shape))] |= patch
                values = (box, turns, mirrored, factor, corner, True)
                for key, value in zip(drawn, values, strict=True):
                    drawn[key][k] = value
                k += 1
        return drawn

    def _formation(self, labels: np.ndarray, patch: np.ndarray) -> list[tuple[int, int]]:
        """Corners of a patch (h, w) that covers no target, and of those that follow it on a line."""
        first = _free_corner(labels, patch.shape)
        if first is None:
            return []
        if self.group[1] == 1:
            return [first]
        size = np.array(patch.shape) - 2 * self.ring
        turn = np.random.uniform(0, 2 * np.pi)
        direction = np.array([np.sin(turn), np.cos(turn)])
        # the boxes are apart as soon as they are along one of the two axes
        touching = (size / np.maximum(np.abs(direction), 1e-9)).min()
        taken, corners, way = labels.copy(), [first], 0.0
        around = cv2.dilate(patch, np.ones((3, 3), np.uint8))
        for _ in range(np.random.randint(self.group[0], self.group[1] + 1) - 1):
            taken[inside((*corners[-1], *patch.shape))] |= patch
            way += touching + np.random.uniform(*self.gap)
            y, x = (int(v) for v in np.rint(np.array(first) + way * direction))
            h, w = patch.shape
            fits = 0 <= y <= labels.shape[0] - h and 0 <= x <= labels.shape[1] - w
            if not fits or (taken[inside((y, x, h, w))] & around).any():
                break
            corners.append((y, x))
        return corners

    def apply(self, sample: dict, drawn: dict) -> dict:
        before = {key: sample[key] for key in fields_of(sample)}
        # where only numbers are drawn, masks are not followed once no later step looks at them
        if not drawn['placed'].any() or 'gt_seg_map' not in before:
            return sample
        after = {key: np.copy(field) for key, field in before.items()}
        if 'img' in before:
            after['img'] = before['img'].astype(np.float32)
        for k in np.flatnonzero(drawn['placed']):
            source, turns, mirrored = inside(drawn['box'][k]), drawn['turns'][k], drawn['mirrored'][k]
            patches = {key: _turned(field[source], turns, mirrored) for key, field in before.items()}
            target = patches['gt_seg_map'] > 0
            where = inside((*drawn['corner'][k], *target.shape))
            for key, patch in patches.items():
                if key == 'img':
                    after['img'][where] += drawn['factor'][k] * self._contrast(patch, target)
                else:
                    after[key][where] = np.maximum(after[key][where], patch * target)
        sample.update(after)
        if 'img' in before:
            sample['img'] = to_type(after['img'], before['img'].dtype)
        return sample

    def _boxes(self, labels: np.ndarray) -> list[tuple[int, int, int, int]]:
        """Top, left, height and width of the targets' boxes with their ring, where nothing else looks in."""
        count, parts, stats, _ = cv2.connectedComponentsWithStats(labels, connectivity=8)
        found = []
        for i in range(1, count):
            x, y, w, h = stats[i, :4]
            box = (y - self.ring, x - self.ring, h + 2 * self.ring, w + 2 * self.ring)
            fits = min(box[:2]) >= 0 and box[0] + box[2] <= labels.shape[0]
            if max(w, h) > self.max_size or not fits or box[1] + box[3] > labels.shape[1]:
                continue
            if (parts[inside(box)] == i).sum() == (labels[inside(box)] > 0).sum():
                found.append(box)
        return found

    def _contrast(self, patch: np.ndarray, target: np.ndarray) -> np.ndarray:
        """What a target (h, w) adds to its surroundings in a patch (h, w, C), faded out over the ring."""
        near = cv2.dilate(target.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        patch = patch.astype(np.float32)
        level = np.median(patch[~near], axis=0)
        distance = cv2.distanceTransform((~target).astype(np.uint8), cv2.DIST_L2, 5)
        return (patch - level) * np.clip(1 - distance / (self.ring + 1), 0, 1)[..., None]


def inside(box: Sequence[int]) -> tuple[slice, slice]:
    """Where a box (top, left, height, width) lies."""
    top, left, height, width = box
    return np.s_[top : top + height, left : left + width]


def _turned(patch: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    patch = np.rot90(patch, turns)
    return patch[:, ::-1] if mirrored else patch


def _free_corner(labels: np.ndarray, size: tuple[int, int]) -> tuple[int, int] | None:
    """Where a patch (h, w) covers no target, in ten tries."""
    if any(n > m for n, m in zip(size, labels.shape, strict=True)):
        return None
    for _ in range(10):
        y, x = (np.random.randint(m - n + 1) for n, m in zip(size, labels.shape, strict=True))
        if not labels[inside((y, x, *size))].any():
            return y, x
    return None
