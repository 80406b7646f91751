"""Networks of images with other than one or three channels, which a step of one's own makes."""

import cv2
import numpy as np
import pytest
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from madnet.datasets.image_pipeline import channels_of
from madnet.engine.config import load_config
from madnet.engine.runner import build_runner
from madnet.errors import UserError
from madnet.inference import Predictor
from madnet.inference.detector import load_detector
from madnet.models.segmentors import IRSTDPreProcessor


@TRANSFORMS.register_module()
class BlurredBand(BaseTransform):
    def transform(self, results):
        grey = results['img'].squeeze()
        results['img'] = np.stack([grey, cv2.GaussianBlur(grey, (5, 5), 0)], -1)
        return results


CONFIG = """
_base_ = 'madnet_nano'
dataset = {!r}
model = dict(
    backbone=dict(base_channels=2, in_channels=2),
    data_preprocessor=dict(mean=[99.0, 98.0], std=[40.0, 38.0]),
)
replace_steps = dict(
    LoadSIRSTImage=[dict(type='LoadSIRSTImage', channels=1), dict(type='BlurredBand')],
    RandomTargetCrop=dict(size=32),
)
train_dataloader = dict(batch_size=4, num_workers=0)
val_dataloader = dict(num_workers=0)
train_cfg = dict(max_epochs=1)
"""


@pytest.fixture
def config(make_set, tmp_path):
    ids = [str(k) for k in range(13)]
    folder = make_set('mine', ids, lists={'train.txt': ids[:10], 'test.txt': ids[10:]})
    path = tmp_path / 'two_bands.py'
    path.write_text(CONFIG.format(str(folder)))
    return path


def test_a_network_of_two_bands_is_trained_and_predicts(config, tmp_path):
    cfg = load_config(config, {'work_dir': str(tmp_path / 'run')})
    assert channels_of(cfg) == 2
    runner = build_runner(cfg)
    runner.train()
    assert runner.iter == 2
    assert runner.model.data_preprocessor.mean.flatten().tolist() == [99, 98]
    detector = load_detector(config, tmp_path / 'run' / 'last.pth')
    assert Predictor(detector, device='cpu')(np.full((40, 40), 90, np.uint8)).score_map.shape == (40, 40)


def test_without_such_a_step_the_advice_can_be_followed(config):
    config.write_text(config.read_text().replace(", dict(type='BlurredBand')", ''))
    with pytest.raises(UserError, match=r'in_channels=1, or put a step of your own behind .* that makes 2$'):
        load_config(config)
    options = {'model.backbone.in_channels': 1}
    with pytest.raises(UserError, match='mean: found 2 numbers, but LoadSIRSTImage gives images of 1 '):
        load_config(config, options)
    statistics = {'model.data_preprocessor.mean': [99.0], 'model.data_preprocessor.std': [40.0]}
    load_config(config, options | statistics)


def test_mean_and_deviation_are_of_the_same_channels():
    with pytest.raises(UserError, match=r'found mean=\[1\.0, 2\.0\] and std=\[3\.0\], expected a number of'):
        IRSTDPreProcessor(mean=[1.0, 2.0], std=[3.0])
