"""The model that stands for a detector, in and around mmengine."""

from functools import partial, wraps

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from test_plain_forms import scene

from madnet.classical import DETECTORS, Detector, get_detector, get_rule
from madnet.errors import UserError
from madnet.inference.classical_predictor import ClassicalPredictor
from madnet.models import ClassicalDetector


def _inputs(*shapes):
    return [torch.from_numpy(scene(*shape, seed=i))[None] for i, shape in enumerate(shapes)]


def test_its_result_is_the_rule_s_decision():
    model = MODELS.build({'type': 'ClassicalDetector', 'method': 'tophat', 'rule': 'mean+3std'})
    images = _inputs((50, 60), (33, 41))
    results = model.test_step({'inputs': images, 'data_samples': [SegDataSample() for _ in images]})
    for image, result in zip(images, results, strict=True):
        raw = get_detector('tophat')(image[0].numpy())
        found = get_rule('mean+3std').detect(raw)
        assert 0 < found.sum() < 200
        np.testing.assert_array_equal(result.pred_sem_seg.data[0].numpy() == 1, found)
        np.testing.assert_array_equal(result.seg_logits.data[0].numpy() > 0.5, found)
        logits = model.encode_decode(image[None])
        assert logits.shape == (1, 1, *found.shape)
        assert logits.isfinite().all()
        np.testing.assert_array_equal(logits[0, 0].numpy() > 0, found)


@pytest.mark.parametrize('method', ['mpcm', 'pstnn'])
def test_the_number_of_processes_changes_nothing(method):
    images = _inputs((60, 70), (64, 48), (50, 50))
    alone = ClassicalDetector(method).predict(images)
    shared = ClassicalDetector(method, workers=2).predict(images)
    for a, b in zip(alone, shared, strict=True):
        assert torch.equal(a.seg_logits.data, b.seg_logits.data)


def test_three_channels_are_bgr_or_a_repeated_grey():
    (image,) = _inputs((40, 50))
    model = ClassicalDetector('dog')
    grey = model.predict([image])[0].seg_logits.data
    assert torch.equal(model.predict([image.repeat(3, 1, 1)])[0].seg_logits.data, grey)
    assert torch.equal(model(torch.stack([image, image]))[1], grey)


def test_parameters_and_description():
    model = ClassicalDetector('tllcm', rule='minmax0.5', params={'scales': (9,)})
    told = model.describe()
    assert told['parameters'] == {'scales': (9,)}
    assert (told['rule'], told['method']) == ('minmax0.5', 'tllcm')
    assert '0.5' in told['formula']


def test_what_it_refuses():
    with pytest.raises(UserError, match='needs no training'):
        ClassicalDetector('tophat')(_inputs((9, 9)), mode='loss')
    with pytest.raises(UserError, match='Did you mean'):
        ClassicalDetector('pstn')
    with pytest.raises(UserError, match='unknown threshold rule'):
        ClassicalDetector('pstnn', rule='otsu')


@pytest.mark.parametrize('workers', [1, 2])
def test_an_image_that_is_not_taken_is_named(workers):
    images = _inputs((60, 60), (40, 64))
    samples = [SegDataSample(metainfo={'img_path': f'set/{name}.png'}) for name in 'ab']
    with pytest.raises(UserError, match=r'^set/b\.png: 64 × 40 pixels are less than one patch of 50 × 50'):
        ClassicalDetector('nram', params={'max_iterations': 1}, workers=workers).predict(images, samples)


@pytest.fixture
def own(monkeypatch):
    """Registers a function as the detector ``own``."""
    return lambda function: monkeypatch.setitem(DETECTORS, 'own', Detector('own', 'Own', function, 'nobody'))


def test_a_detector_of_one_s_own_is_given_grey_images_by_every_tool(own):
    given = []

    def keep(image):
        given.append((image.shape, image.dtype))
        return image.astype(np.float32)

    own(keep)
    (image,) = _inputs((40, 50))
    grey = image[0].numpy()
    for array in (grey, grey[..., None], np.dstack([grey] * 3)):
        raw = get_detector('own')(array)
        np.testing.assert_array_equal(raw, grey)
        assert raw.dtype == np.float64
    by_model = ClassicalDetector('own').predict([image])[0].seg_logits.data[0].numpy()
    np.testing.assert_array_equal(ClassicalPredictor('own')(grey).score_map, by_model)
    assert set(given) == {((40, 50), np.dtype(np.float64))}


@pytest.mark.parametrize(
    ('function', 'told'),
    [
        (lambda image: image[::2, ::2], r'shape \(20, 25\) and type float64, expected .* \(40, 50\)'),
        (lambda image: image[..., None], r'shape \(40, 50, 1\)'),
        (lambda image: image + 0j, 'type complex128'),
        (lambda image: None, r'shape \(\) and type object'),
        (lambda image: np.where(image == image.max(), np.nan, image), 'NaN or infinite'),
        (lambda image: np.where(image == image.max(), np.inf, image), 'NaN or infinite'),
    ],
)
def test_scores_of_a_detector_of_one_s_own_are_checked(own, function, told):
    own(function)
    (image,) = _inputs((40, 50))
    for predict in (ClassicalDetector('own').predict, lambda _: ClassicalPredictor('own')(image[0].numpy())):
        with pytest.raises(UserError, match=f"^detector 'own': found scores .*{told}"):
            predict([image])


def _gained(image, gain=1.0, *, power=1):
    return gain * image**power


class _Gained:
    def __call__(self, image, gain=1.0, *, power=1):
        return _gained(image, gain, power=power)


@wraps(_gained)
def _wrapped(*args, **kwargs):
    return _gained(*args, **kwargs)


def _any(image, **parameters):
    return _gained(image, **parameters)


@pytest.mark.parametrize('function', [_gained, _Gained(), _wrapped, partial(_gained, gain=3.0), _any])
def test_parameters_of_any_callable(own, function):
    own(function)
    image = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(get_detector('own', gain=2.0, power=2)(image), 2 * image**2)
    if function is not _any:
        with pytest.raises(UserError, match=r"no parameter 'gian'\. Did you mean 'gain'.*has: gain, power"):
            get_detector('own', gian=2.0)
