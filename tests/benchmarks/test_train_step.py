"""The benchmark of training steps: that both do what they are said to do, and the tool's report."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from madnet.benchmarks import train
from madnet.errors import UserError
from madnet.models.losses import soft_iou_loss


def test_the_plain_loss_is_the_published_one():
    torch.manual_seed(0)
    logits, masks = torch.randn(3, 1, 16, 16), (torch.rand(3, 1, 16, 16) > 0.9).float()
    assert train.batch_soft_iou(logits, masks).item() == pytest.approx(soft_iou_loss(logits, masks).item())


def test_pillows_images_and_masks_stay_together(tmp_path):
    train.write_scenes(tmp_path, 2, 96)
    files = [tuple(str(tmp_path / part / f'{i:04d}.png') for part in ('images', 'masks')) for i in range(2)]
    dataset = train.PillowImages([(mask, mask) for _, mask in files], 64, np.zeros(1), np.ones(1))
    np.random.seed(0)
    for _ in range(5):
        for i in range(len(dataset)):
            image, mask = dataset[i]
            assert image.shape == mask.shape == (1, 64, 64)
            assert image.min() >= 0
            assert image.max() <= 1
            # the "image" is the mask itself, but for its other resampling and the blur
            assert (image[mask > 0.5] > 0.2).float().mean() > 0.8 if mask.any() else True


def test_the_tool(tmp_path, repository):
    """At width 2, on synthetic scenes, so that it needs no data and no time."""
    command = [
        sys.executable, 'tools/benchmark.py', 'train', '--data', 'synthetic', '--batch', '2',
        '--cfg-options', 'model.backbone.base_channels=2',
        '--size', '64', '--steps', '1', '--repeats', '2', '--json', str(tmp_path / 'out.json'),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / 'out.json').read_text())
    for key in ('ours', 'published'):
        found = report[key]
        assert len(found['wall']) == len(found['cpu']) == 2
        assert set(found['parts']) == set(train.PARTS)
        assert all(seconds > 0 for seconds in [*found['wall'], *found['parts'].values()])
        assert found['images_per_second'] > 0
    assert report['ratio']['median'] > 0
    assert 'published form' in done.stdout


class TestUsersMistakes:
    def test_no_gpu(self, monkeypatch):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
        with pytest.raises(UserError, match='no GPU'):
            train.benchmark(device='cuda')

    def test_a_size_that_no_pyramid_takes(self):
        with pytest.raises(UserError, match='multiple of 32'):
            train.benchmark(size=100)
