"""A file means the same to a data set, to prediction, to evaluation and to the statistics, or is refused by
all of them."""

import cv2
import numpy as np
import pytest
from PIL import Image

from madnet.datasets import SIRSTDataset
from madnet.datasets.image_pipeline import ImagePipeline
from madnet.datasets.statistics import measure_statistics
from madnet.errors import UserError
from madnet.evaluation import score_folder
from madnet.images import MaskRule, read_mask

LOAD = [{'type': 'LoadSIRSTImage', 'channels': 1}, {'type': 'LoadSIRSTMask'}]
GREY = np.random.default_rng(3).integers(20, 230, (24, 30), dtype=np.uint8)
COLOUR = np.random.default_rng(4).integers(20, 230, (24, 30, 3), dtype=np.uint8)
TRUTH = np.zeros((24, 30), bool)
TRUTH[5:8, 9:13] = True
WHITE = TRUTH.astype(np.uint8) * 255


def palette(indices, *colours):
    image = Image.fromarray(np.asarray(indices, np.uint8), 'P')
    image.putpalette([v for colour in colours for v in colour])
    return image


def image(array):
    return lambda path: Image.fromarray(array).save(path)


def opencv(array):
    return lambda path: cv2.imwrite(str(path), array)


def numpy(array):
    return lambda path: np.save(path, array)


DEEP = GREY.astype(np.uint16) * 257
RAMP = [(i, i, i) for i in range(256)]
SPREAD = np.random.default_rng(5).integers(0, 256, (256, 3)).tolist()
IMAGES = {
    'grey.png': image(GREY),
    'grey.bmp': image(GREY),
    'grey.tif': image(GREY),
    'grey.jpg': image(GREY),
    'grey.webp': opencv(GREY),
    'grey.gif': image(GREY),
    'grey.npy': numpy(GREY),
    'colour.png': image(COLOUR),
    'colour.npy': numpy(COLOUR),
    'alpha.png': image(np.dstack([COLOUR, GREY])),
    'alpha.tif': image(np.dstack([COLOUR, GREY])),
    'palette.png': lambda path: palette(GREY, *SPREAD).save(path),
    'ramp.png': lambda path: palette(GREY, *RAMP).save(path),
    'bits.png': image(GREY > 99),
    'bits.tif': image(GREY > 99),
    'bool.npy': numpy(GREY > 99),
    'deep.png': image(DEEP),
    'deep.tif': image(DEEP),
    'deep.npy': numpy(DEEP),
    'deep colour.png': opencv(COLOUR.astype(np.uint16) * 257),
    'floats.tif': image(GREY.astype(np.float32)),
    'floats.npy': numpy(GREY.astype(np.float64)),
    'kelvin.tif': image(270 + GREY.astype(np.float32) / 8),
    'shares.npy': numpy(GREY / 255),
    'signed.npy': numpy(GREY.astype(np.int16) - 90),
    'nan.npy': numpy(np.where(GREY > 200, np.nan, GREY)),
    'pages.tif': lambda path: cv2.imwritemulti(str(path), [GREY, GREY]),
    'frames.npy': numpy(np.stack([GREY, GREY])),
    'text.png': lambda path: path.write_text('no image'),
    'cut.png': lambda path: path.write_bytes(cv2.imencode('.png', GREY)[1].tobytes()[:200]),
}
REFUSED = {
    'kelvin.tif',
    'shares.npy',
    'signed.npy',
    'nan.npy',
    'pages.tif',
    'frames.npy',
    'text.png',
    'cut.png',
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    root = tmp_path / 'mine'
    for part in ('images', 'masks', 'scores'):
        (root / part).mkdir(parents=True)
    (root / 'train.txt').write_text('x\n')
    (root / 'test.txt').write_text('\n')
    return root


def outcome(function):
    try:
        return function()
    except UserError:
        return 'refused'


@pytest.mark.parametrize('name', IMAGES)
@pytest.mark.parametrize('value_range', [None, (10, 300), 'auto'])
def test_images(folder, name, value_range):
    path = folder / 'images' / f'x.{name.rpartition(".")[2]}'
    IMAGES[name](path)
    Image.fromarray(WHITE).save(folder / 'masks' / 'x.png')

    def by_dataset():
        return SIRSTDataset(folder, 'train', pipeline=LOAD, value_range=value_range)[0]['img']

    def by_prediction():
        pipeline = ImagePipeline([LOAD[0]], value_range=value_range)
        return pipeline.load(path)

    def by_statistics():
        return measure_statistics([path], 1, value_range=value_range)

    seen = [outcome(by_dataset), outcome(by_prediction)]
    statistics = outcome(by_statistics)
    if name in REFUSED and (
        value_range is None or name in ('nan.npy', 'pages.tif', 'frames.npy', 'text.png', 'cut.png')
    ):
        assert [*map(str, seen), statistics] == ['refused'] * 3
        return
    np.testing.assert_array_equal(*seen)
    assert seen[0].shape == (24, 30, 1)
    assert statistics['mean'] == [pytest.approx(seen[0].astype(float).mean(), abs=6e-4)]


MASKS = {
    'white.png': image(WHITE),
    'white.bmp': image(WHITE),
    'white.tif': image(WHITE),
    'white.gif': image(WHITE),
    'white.npy': numpy(WHITE),
    'bits.png': image(TRUTH),
    'bool.npy': numpy(TRUTH),
    'deep.png': image(WHITE.astype(np.uint16) * 257),
    'deep low.png': image(WHITE.astype(np.uint16)),
    'red.png': image(np.dstack([WHITE, 0 * WHITE, 0 * WHITE])),
    'alpha.png': image(np.dstack([WHITE, WHITE, WHITE, WHITE | 255])),
    'voc.png': lambda path: palette(TRUTH, (0, 0, 0), (128, 0, 0)).save(path),
    'grey palette.png': lambda path: palette(~TRUTH, (255,) * 3, (0,) * 3).save(path),
    'floats.npy': numpy(TRUTH.astype(np.float32)),
    'whole.npy': numpy(WHITE.astype(np.int32)),
    'twice.png': image(WHITE.repeat(2, 0).repeat(2, 1)),
    'ones.png': image(TRUTH.astype(np.uint8)),
    'hundred.png': image(TRUTH.astype(np.uint8) * 100),
    'inverted.png': image(255 - WHITE),
    'padded.png': image(np.pad(WHITE, ((0, 1), (0, 1)))),
    'wide.png': image(np.pad(WHITE, ((0, 0), (0, 9)))),
    'large.npy': numpy(WHITE.astype(np.int64) * 1000),
    'negative.npy': numpy(WHITE.astype(np.int16) - 1),
    'text.png': lambda path: path.write_text('no mask'),
    'pages.tif': lambda path: cv2.imwritemulti(str(path), [WHITE, WHITE]),
}
NO_MASK = {
    *('ones.png', 'hundred.png', 'inverted.png', 'padded.png', 'wide.png', 'large.npy', 'negative.npy'),
    *('text.png', 'pages.tif'),
}
TOLD = {'ones.png': (0, 1), 'hundred.png': (0, 100), 'inverted.png': (255, 0)}


@pytest.mark.parametrize('name', MASKS)
@pytest.mark.parametrize('told', [False, True])
def test_masks(folder, name, told):
    Image.fromarray(GREY).save(folder / 'images' / 'x.png')
    np.save(folder / 'scores' / 'x.npy', TRUTH.astype(np.float32))
    path = folder / 'masks' / f'x.{name.rpartition(".")[2]}'
    MASKS[name](path)
    values = TOLD.get(name) if told else None

    def by_dataset(cache=False):
        dataset = SIRSTDataset(folder, 'train', pipeline=LOAD, mask_values=values, cache=cache)
        assert dataset.facts.targets == 1
        return dataset[0]['gt_mask'] > 127

    def by_evaluation():
        evaluator, _ = score_folder(folder / 'scores', folder / 'masks', mask_values=values)
        return evaluator.compute()['native']['IoU']

    seen = [outcome(by_dataset), outcome(lambda: by_dataset(True)), outcome(by_evaluation)]
    if name in NO_MASK and not values:
        assert [*map(str, seen)] == ['refused'] * 3
        return
    np.testing.assert_array_equal(seen[0], TRUTH)
    np.testing.assert_array_equal(seen[1], TRUTH)
    assert seen[2] == 1
    if name != 'twice.png':
        np.testing.assert_array_equal(read_mask(path, MaskRule(values)) > 127, TRUTH)
