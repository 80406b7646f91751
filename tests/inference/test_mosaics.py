"""Mosaics of real frames, in tiles as a whole: the same where a network sees a bounded part of them."""

import os

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from madnet.images import FrameLoader
from madnet.inference import Predictor
from madnet.models.layers.madnet_blocks import MemoryAttention

pytestmark = pytest.mark.slow

SETS = {'NUAA-SIRST': 'images', 'NUDT-SIRST': 'images', 'IRSTD-1K': 'images'}
COUNT = int(os.environ.get('MADNET_MOSAICS', '4'))
SIDE, TILE = 1024, 512


@pytest.fixture(scope='module')
def mosaics(data_root):
    """(SIDE, SIDE) uint8, of one set each: sixteen frames of 256 × 256 side by side."""
    found = []
    for number in range(COUNT):
        name, folder = list(SETS.items())[number % len(SETS)]
        files = sorted((data_root / name / folder).glob('*.png'))
        rng = np.random.default_rng(number)
        cells = [
            cv2.resize(FrameLoader(1)(files[k])[..., 0], (SIDE // 4, SIDE // 4))
            for k in rng.choice(len(files), 16, replace=False)
        ]
        found.append(np.concatenate([np.concatenate(cells[i : i + 4], 1) for i in range(0, 16, 4)]))
    return found


class _Through(nn.Module):
    """In place of attention to what a whole window of a map holds."""

    def forward(self, windows, valid=None):
        return windows


def bounded(predictor):
    """The weights of a network that ships, which without its memory sees a bounded part of a frame: no
    registered network does (they have memories, means over the map, or enlarge with aligned corners)."""
    for module in list(predictor.model.modules()):
        for name, child in module.named_children():
            if isinstance(child, MemoryAttention):
                setattr(module, name, _Through())
    return predictor


def compared(whole, tiled, mosaics):
    """Largest difference of a score, targets, and how many of them do not have the same pixels in tiles."""
    largest, targets, other = 0.0, 0, 0
    for mosaic in mosaics:
        a, b = whole(mosaic), tiled(mosaic)
        largest = max(largest, float(np.abs(a.score_map - b.score_map).max()))
        targets += len(a.targets)
        other += len({t.box for t in a.targets} ^ {t.box for t in b.targets})
    return largest, targets, other


def test_what_sees_a_bounded_part_is_the_same_in_tiles(mosaics, caplog):
    torch.set_num_threads(1)
    whole = bounded(Predictor('madnet_nano', device='cpu'))
    # its weights, cut off from their memory, see 136 pixels far: more than half of an overlap in tiles of 512
    tiled = Predictor(whole.detector, device='cpu', tile=768)
    largest, targets, other = compared(whole, tiled, mosaics)
    print(
        f'bounded, {COUNT} mosaics: halo {tiled.tiling.halo}, overlap {tiled.tiling.overlap}, {largest:.1e}, '
        f'{targets} targets, {other} of them with other pixels'
    )
    assert not caplog.records
    assert targets > 10 * COUNT
    assert largest <= 1e-3
    assert other == 0


def test_what_sees_all_of_them_says_so(mosaics, caplog):
    torch.set_num_threads(1)
    whole = Predictor('madnet_nano', device='cpu')
    tiled = Predictor(whole.detector, device='cpu', tile=TILE)
    largest, targets, other = compared(whole, tiled, mosaics)
    assert 'scores of madnet_nano depend on what lies more than 240 pixels away' in caplog.text
    print(f'madnet_nano, {COUNT} mosaics: {largest:.1e}, {targets} targets, {other} boxes of one alone')
    assert other < 0.3 * targets
