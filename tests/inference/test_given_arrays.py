"""Images that a program gives as arrays, rightly and wrongly."""

import numpy as np
import pytest
from clutter import scene

from madnet.inference import Predictor


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
