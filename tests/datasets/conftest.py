"""Tiny data sets in any layout."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def draw(path: Path, mask: bool, size: tuple[int, int] = (40, 32), seed: int = 0) -> None:
    """Write a grey image of noise, or a mask with one 3 × 3 target; size is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, size[::-1], dtype=np.uint8)
    if mask:
        pixels = np.zeros_like(pixels)
        pixels[10:13, 20:23] = 255
    Image.fromarray(pixels).save(path)


@pytest.fixture
def make_set(tmp_path: Path) -> Callable[..., Path]:
    """Write a data set: a function of (folder name, ids, image pattern, mask pattern, lists)."""

    def make(
        name: str,
        ids: list[str],
        images: str = 'images/{}.png',
        masks: str = 'masks/{}.png',
        lists: dict[str, list[str]] | None = None,
    ) -> Path:
        root = tmp_path / name
        for n, i in enumerate(ids):
            draw(root / images.format(i), mask=False, seed=n)
            draw(root / masks.format(i), mask=True)
        for path, listed in (lists or {}).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text('\n'.join(listed))
        return root

    return make
