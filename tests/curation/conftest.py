"""Two data sets whose statistics are known."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def write_set(root: Path, area: int, noise: float, count: int = 12, size: int = 64) -> Path:
    """A set in trainval/ and test/: noise around grey 100, with one target an image, brighter by 40."""
    rng = np.random.default_rng(area)
    for part in ('trainval', 'test'):
        for folder in ('images', 'masks'):
            (root / part / folder).mkdir(parents=True)
        for i in range(count):
            image, mask = rng.normal(100, noise, (size, size)), np.zeros((size, size), np.uint8)
            x, y = rng.integers(2, size - 8, 2)
            mask[y : y + area // 4, x : x + 4] = 255
            image[mask > 0] += 40
            Image.fromarray(np.uint8(image.round().clip(0, 255))).save(root / part / 'images' / f'{i}.png')
            Image.fromarray(mask).save(root / part / 'masks' / f'{i}.png')
    return root


@pytest.fixture
def two_sets(tmp_path) -> tuple[Path, Path]:
    """Targets of 4 pixels in little noise, and of 20 in much."""
    return write_set(tmp_path / 'small', 4, 2), write_set(tmp_path / 'large', 20, 10)
