"""Training-free detectors by name and by config."""

import cv2
import numpy as np
import pytest
from clutter import scene
from mmengine.config import Config

from madnet.classical import get_detector, get_rule
from madnet.errors import UserError
from madnet.inference import Predictor
from madnet.inference.classical_predictor import ClassicalPredictor


@pytest.mark.parametrize('method', ['tophat', 'mpcm', 'pstnn'])
def test_by_name(method):
    image = scene(90, 120)
    prediction = Predictor(method)(image)
    raw = get_detector(method)(image.astype(np.float64))
    np.testing.assert_array_equal(prediction.mask, get_rule().detect(raw))
    assert any(t.box[1] <= 31 < t.box[3] and t.box[0] <= 61 < t.box[2] for t in prediction.targets)
    other = Predictor(method, options={'model.rule': 'minmax0.5'})(image)
    np.testing.assert_array_equal(other.mask, get_rule('minmax0.5').detect(raw))


@pytest.mark.parametrize('depth', [np.uint8, np.uint16])
def test_without_torch_scores_are_the_same(depth, tmp_path):
    image = (scene(90, 120) * (np.iinfo(depth).max / 255)).astype(depth)
    cv2.imwrite(str(tmp_path / 'grey.png'), image)
    cv2.imwrite(str(tmp_path / 'colour.png'), np.dstack([image, image // 2, image]))
    for path in tmp_path.iterdir():
        for method in ('tophat', 'mpcm_signed'):
            light = ClassicalPredictor(method)(path)
            np.testing.assert_array_equal(light.score_map, Predictor(method)(path).score_map)


def test_config_without_a_checkpoint(repository, image_set):
    by_config = Predictor(repository / 'configs/classical/classical.py')
    by_name = Predictor('tophat')
    for path in sorted((image_set / 'test' / 'images').iterdir()):
        np.testing.assert_array_equal(by_config(path).score_map, by_name(path).score_map)


def test_a_folder_of_that_name_is_in_nobody_s_way(tmp_path, monkeypatch):
    (tmp_path / 'tophat').mkdir()
    monkeypatch.chdir(tmp_path)
    assert Predictor('tophat').detector.name == 'tophat'


def test_what_a_method_cannot_take(detectors):
    with pytest.raises(UserError, match='whole image'):
        Predictor('tophat', tile=64)
    with pytest.raises(UserError, match='takes no checkpoint'):
        Predictor('tophat', detectors['files'][1])
    with pytest.raises(UserError, match="Did you mean 'tophat'"):
        Predictor('top_hat')
    with pytest.raises(UserError, match='no method'):
        Predictor(
            Config({'model': {'type': 'ClassicalDetector', 'method': 'no method'}, 'test_pipeline': []})
        )
