"""Plain configs of mmseg in our tools: they work, or a sentence says why not."""

import csv

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

import madnet  # noqa: F401
from madnet.engine.irstd_metric import IRSTDMetric, target_probability
from madnet.engine.test import run_test
from madnet.engine.train import train
from madnet.errors import UserError
from madnet.inference import Predictor

MMSEG = """
default_scope = 'mmseg'
norm_cfg = dict(type='BN')
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', mean=[100.0] * 3, std=[50.0] * 3, test_cfg=dict(size_divisor=32)),
    backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8, norm_cfg=norm_cfg),
    decode_head=dict(
        type='FCNHead', in_channels=64, in_index=3, channels=8, num_convs=1, concat_input=False,
        num_classes=2, {out} norm_cfg=norm_cfg),
    test_cfg=dict(mode='whole'))
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
test_dataloader = dict(
    batch_size=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BaseSegDataset', data_root='{root}', img_suffix='.png', seg_map_suffix='.png',
        metainfo=dict(classes=('background', 'target'), palette=[[0, 0, 0], [255, 0, 0]]),
        data_prefix=dict(img_path='images', seg_map_path='labels'), pipeline=test_pipeline))
test_cfg = dict(type='TestLoop')
test_evaluator = {evaluator}
train_cfg = dict(type='IterBasedTrainLoop', max_iters=10)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
train_dataloader = test_dataloader
"""


@pytest.fixture
def foreign(tmp_path):
    rng = np.random.default_rng(0)
    for folder in ('images', 'labels'):
        (tmp_path / folder).mkdir()
    for name in 'ab':
        cv2.imwrite(str(tmp_path / f'images/{name}.png'), rng.integers(0, 255, (64, 96, 3), np.uint8))
        label = np.zeros((64, 96), np.uint8)
        label[20:24, 30:33] = 1
        cv2.imwrite(str(tmp_path / f'labels/{name}.png'), label)

    def make(out='', evaluator="dict(type='IRSTDMetric')"):
        config = tmp_path / 'foreign.py'
        config.write_text(MMSEG.format(out=out, evaluator=evaluator, root=tmp_path))
        torch.manual_seed(0)
        with MODELS.switch_scope_and_registry('mmseg'):
            model = MODELS.build(Config.fromfile(config).model)
        torch.save(model.state_dict(), tmp_path / 'foreign.pth')
        return str(config), str(tmp_path / 'foreign.pth')

    return make


@pytest.mark.parametrize('out', ['', 'out_channels=1, threshold=0.3,'])
def test_a_config_of_mmseg_is_tested(foreign, out, tmp_path):
    config, checkpoint = foreign(out)
    found = run_test(config, checkpoint, out=str(tmp_path / 'out'), threshold=0.4)
    assert (found.dataset.images, found.results['native']['targets']) == (2, 2)
    with open(tmp_path / 'out/per_image.csv', newline='') as file:  # named as maps and pictures are
        assert [row['name'] for row in csv.DictReader(file)] == ['a', 'b']
    predictions = Predictor(config, checkpoint)(tmp_path / 'images')
    false = sum((p.score_map > 0.4).sum() for p in predictions)
    numbers = found.results['native']
    assert numbers['pixels'] == 2 * 64 * 96
    hits = numbers['recall'] * 24
    assert round(hits / numbers['precision'] if hits else 0) == (false if hits else 0)
    with pytest.raises(UserError, match=r'--split val: .* a BaseSegDataset has no parts'):
        run_test(config, checkpoint, out=str(tmp_path / 'out'), split='val')


def test_what_keeps_a_config_of_mmseg_from_our_tools_is_a_sentence(foreign, tmp_path):
    config, checkpoint = foreign(evaluator="dict(type='IoUMetric')")
    with pytest.raises(UserError, match=r'test_evaluator: found IoUMetric, expected .*IRSTDMetric'):
        run_test(config, checkpoint, out=str(tmp_path / 'out'))
    with pytest.raises(
        UserError, match=r"found train_cfg of type IterBasedTrainLoop .* by mmseg's own tools"
    ):
        train(config, work_dir=str(tmp_path / 'run'))


def test_two_channels_are_softmaxed():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 8, 9, generator=generator)
    probability = target_probability(logits)
    np.testing.assert_allclose(probability, torch.softmax(logits, 0)[1], atol=1e-6)
    metric = IRSTDMetric()
    mask = {'data': torch.zeros(1, 8, 9, dtype=torch.int64)}
    metric.process({}, [{'seg_logits': {'data': logits}, 'gt_sem_seg': mask, 'img_id': 'x'}])
    numbers = metric.evaluate(1)
    assert numbers['precision'] == 0 < (probability > 0.5).sum()
    with pytest.raises(UserError, match='gives 3 classes'):
        target_probability(torch.zeros(3, 8, 9))
