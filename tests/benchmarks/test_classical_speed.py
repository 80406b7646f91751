"""The benchmark of training-free detectors."""

import numpy as np
import pytest
from PIL import Image

from madnet.benchmarks import classical
from madnet.benchmarks.classical import benchmark


@pytest.mark.parametrize(
    ('asked', 'taken'), [(1, [0]), (4, [0, 2, 3, 5]), (6, [*range(6)]), (9, [*range(6)])]
)
def test_images_are_spread_over_the_part(tmp_path, monkeypatch, asked, taken):
    for name, grey in (('images', 1), ('masks', 0)):
        (tmp_path / name).mkdir()
        for k in range(6):
            Image.fromarray(np.full((16, 16), k * grey, np.uint8)).save(tmp_path / name / f'{k}.png')
    seen = []
    monkeypatch.setattr(classical, '_seconds', lambda _, image: seen.append(int(image.max())) or 0.0)
    report = benchmark(str(tmp_path), split='all', methods=['tophat'], images=asked)
    assert seen == taken
    assert report['images'] == len(taken)
