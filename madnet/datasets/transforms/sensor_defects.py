"""Bad pixels, dead lines and specks: what is bright and small, and no target."""

from dataclasses import dataclass

import numpy as np
from mmseg.registry import TRANSFORMS

from madnet.datasets.transforms.native_scale import inside, to_type
from madnet.datasets.transforms.sample_transform import DrawnTransform, range_of, size_of
from madnet.errors import expect_whole
from madnet.evaluation.components import grown


@TRANSFORMS.register_module()
@dataclass(eq=False, repr=False)
class SensorDefects(DrawnTransform):
    """Hot and dead pixels, dead lines, and specks of one or two pixels, none of which is a target.

    They are as sharp as no lens draws a point, which is what tells them from targets; so this stands after
    every blur, and the noise after it. Nothing lies within ``clearance`` pixels of a target, whose light it
    would hide.

    Args:
        prob: Share of the samples.
        pixels: (fewest, most) single pixels stuck at a grey level of 0–40 or 215–255.
        lines: (fewest, most) rows or columns, whole ones, stuck at one grey level of 0–255.
        specks: (fewest, most) specks of 1 × 1, 1 × 2 or 2 × 1 pixels, brighter than what lies there.
        contrast: (lowest, highest) grey levels that a speck adds, drawn uniformly.
        clearance: In pixels.

    Raises:
        UserError: A range is not two such numbers from 0 on, the smaller first, or ``clearance`` is below 0.
    """

    prob: float = 0.5
    pixels: tuple[int, int] = (0, 4)
    lines: tuple[int, int] = (0, 1)
    specks: tuple[int, int] = (0, 6)
    contrast: tuple[float, float] = (20.0, 150.0)
    clearance: int = 4

    looks_at_labels = True

    def __post_init__(self):
        super().__post_init__()
        expect_whole(self.clearance, 'SensorDefects.clearance', least=0)
        for name in ('pixels', 'lines', 'specks', 'contrast'):
            values = range_of(f'SensorDefects.{name}', getattr(self, name), whole=name != 'contrast')
            setattr(self, name, values)

    def draw(self, sample: dict) -> dict:
        most = self.pixels[1] + self.lines[1] + self.specks[1]
        drawn: dict[str, np.ndarray] = {
            'box': np.zeros((most, 4), np.int64),  # top, left, height, width
            'value': np.zeros(most, np.float32),
            'added': np.zeros(most, bool),  # to what lies there; else the value takes its place
            'on': np.zeros(most, bool),
        }
        if np.random.rand() >= self.prob:
            return drawn
        height, width = size_of(sample)
        defects = []
        for _ in range(_count(self.pixels)):
            level = np.random.uniform(0, 40) + 215 * np.random.randint(2)
            defects.append((_place(height, width, 1, 1), level, False))
        for _ in range(_count(self.lines)):
            shape = (1, width) if np.random.randint(2) else (height, 1)
            defects.append((_place(height, width, *shape), np.random.uniform(0, 255), False))
        for _ in range(_count(self.specks)):
            shape = ((1, 1), (1, 2), (2, 1))[np.random.randint(3)]
            defects.append((_place(height, width, *shape), np.random.uniform(*self.contrast), True))
        forbidden = self._near_targets(sample)
        for k, (box, value, added) in enumerate(defects):
            free = forbidden is None or not forbidden[inside(box)].any()
            for key, each in zip(drawn, (box, value, added, free), strict=True):
                drawn[key][k] = each
        return drawn

    def _near_targets(self, sample: dict) -> np.ndarray | None:
        if 'gt_seg_map' not in sample:
            return None
        return grown(sample['gt_seg_map'], self.clearance)

    def apply(self, sample: dict, drawn: dict) -> dict:
        img = sample['img']
        if not drawn['on'].any():
            return sample
        values = img.astype(np.float32)
        for k in np.flatnonzero(drawn['on']):
            place = inside(drawn['box'][k])
            values[place] = values[place] * drawn['added'][k] + drawn['value'][k]
        sample['img'] = to_type(values, img.dtype)
        return sample


def _count(limits: tuple[int, int]) -> int:
    return np.random.randint(limits[0], limits[1] + 1)


def _place(height: int, width: int, h: int, w: int) -> tuple[int, int, int, int]:
    return np.random.randint(height - h + 1), np.random.randint(width - w + 1), h, w
