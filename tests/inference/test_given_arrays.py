"""Images that a program gives as arrays, rightly and wrongly."""

import json

import cv2
import numpy as np
import pytest
from clutter import scene

from madnet.errors import UserError
from madnet.evaluation import evaluate
from madnet.inference import Predictor
from madnet.inference.command import predict_files
from madnet.probing.command import probe_detector


@pytest.mark.parametrize('way', ['clip', 'call', 'stream', 'lists'])
def test_frames_may_all_come_in_one_array(way):
    """As the programs of cameras give them."""
    images = [scene(40, 48, seed=seed) for seed in range(6)]
    buffer = np.empty_like(images[0])

    def camera():
        for image in images:
            buffer[:] = image
            yield [buffer] if way == 'lists' else buffer

    predictor = Predictor('tophat', batch=4)
    if way == 'clip':
        found = [result.prediction for result in predictor.clip(camera())]
    else:
        found = list(predictor.stream(camera()) if way == 'stream' else predictor(camera()))
    for prediction, image in zip(found, images, strict=True):
        np.testing.assert_array_equal(prediction.score_map, predictor(image).score_map)
        np.testing.assert_array_equal(prediction.image[..., 0], image)


def wrong(frame):
    return [frame / 255, frame.astype(np.int16), frame[..., None, None], None, [1]]


@pytest.mark.parametrize('track', [False, True])
@pytest.mark.parametrize('number', range(5))
def test_a_clip_whose_first_frame_is_wrong_ends_and_a_later_one_is_a_result(number, track):
    frame = scene(40, 48, seed=0)
    bad = wrong(frame)[number]
    for value_range in (None, 'auto')[: 2 if bad is None else 1]:
        predictor = Predictor('tophat', value_range=value_range)
        with pytest.raises(UserError, match='expected'):
            next(predictor.clip([bad, frame, bad], track=track))
        first, second, third = predictor.clip([frame, bad, frame], track=track)
        assert (first.error, third.error) == (None, None)
        assert 'expected' in second.error
        assert second.prediction is None


@pytest.mark.parametrize(
    'source', [np.zeros((40, 48)), np.zeros((40, 48, 3)), np.zeros(()), b'abc', bytearray(3), None, 0]
)
def test_what_is_no_sequence_of_frames(source):
    with pytest.raises(UserError, match='clip: found'):
        Predictor('tophat').clip(source)


def targets_of(array):
    """By SCR too, whose means a masked pixel would change."""
    return Predictor('tophat', min_scr=1.0)(array).targets


def test_subclasses_of_arrays_are_taken_by_their_values():
    image = scene(40, 48, seed=0)
    expected = targets_of(image)
    assert expected
    assert targets_of(image.view(np.matrix)) == targets_of(np.ma.masked_array(image)) == expected
    masked = np.ma.masked_array(image, image > 200)
    truth = image > 200
    for call in (
        lambda: targets_of(masked),
        lambda: next(Predictor('tophat', value_range='auto').clip([masked])),
        lambda: evaluate([masked / 255], [truth]),
        lambda: evaluate([image / 255], [np.ma.masked_array(truth, truth)]),
    ):
        with pytest.raises(UserError, match='holds masked pixels; fill them first'):
            call()


@pytest.mark.parametrize('dtype', ['>u2', '>f4', '<u2', '<f4'])
def test_the_order_of_bytes_is_no_matter(dtype):
    image = scene(40, 48, seed=0)
    given = (image * (257.0 if 'u' in dtype else 1.0)).astype(dtype)  # a product is in the machine's order
    assert targets_of(given) == targets_of(given.astype(dtype[1:]))
    truth = ((image > 200) * (65535 if 'u' in dtype else 255)).astype(dtype)
    scores = (image / 255).astype(dtype.replace('u2', 'f4'))
    assert evaluate([scores], [truth]) == evaluate([scores.astype('f4')], [image > 200])


def test_a_range_may_be_an_array(tmp_path):
    image, limits = scene(40, 48, seed=0), (10, 250)
    cv2.imwrite(str(tmp_path / 'a.png'), image)
    expected = Predictor('tophat', value_range=limits)(image).score_map
    found = Predictor('tophat', value_range=np.array(limits))(image).score_map
    np.testing.assert_array_equal(found, expected)
    for number, value_range in enumerate((limits, np.array(limits))):
        out = tmp_path / str(number)
        predict_files('tophat', [tmp_path / 'a.png'], out=out, value_range=value_range, formats='json')
        assert json.loads((out / 'targets.json').read_text())['value_range'] == list(limits)
        probe = probe_detector(
            'tophat', out=str(out), dataset='synthetic', frames=1, only='contrast', value_range=value_range
        )
        assert probe.detector['value_range'] == limits
