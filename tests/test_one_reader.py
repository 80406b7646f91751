"""A file means the same to a data set, to prediction, to evaluation and to the statistics, or is refused by
all of them. ``python tests/test_one_reader.py`` prints the table."""

import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from madnet.curation.measures import measure
from madnet.curation.sources import open_parts, walk
from madnet.datasets import SIRSTDataset
from madnet.datasets.image_pipeline import ImagePipeline
from madnet.datasets.statistics import measure_statistics
from madnet.errors import UserError
from madnet.evaluation import score_folder
from madnet.evaluation.strata import TARGET
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


#: Those that no range mends.
BROKEN = {'nan.npy', 'pages.tif', 'frames.npy', 'text.png', 'cut.png'}


def new_folder(place):
    root = place / 'mine'
    for part in ('images', 'masks', 'scores'):
        (root / part).mkdir(parents=True)
    (root / 'train.txt').write_text('x\n')
    (root / 'test.txt').write_text('\n')
    return root


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return new_folder(tmp_path)


def outcome(function):
    try:
        return function()
    except UserError:
        return 'refused'


def by_stats(folder, **reading):
    """What the page of statistics measures."""
    [part] = open_parts([str(folder)], ['train'], **reading)
    return measure(walk(part)).values


def by_evaluation(folder, **options):
    """The numbers of a perfect map, and the local SCR of the target."""
    np.save(folder / 'scores' / 'x.npy', TRUTH.astype(np.float32))
    evaluator, _ = score_folder(folder / 'scores', folder / 'masks', **options)
    targets = evaluator.counted('native').rows('target_rows', TARGET)
    return evaluator.compute()['native']['IoU'], targets['scr'].tolist()


def of_image(folder, name, value_range):
    """Column → what a tool makes of an image: the mean grey value of what it sees, or the target's SCR."""
    path = folder / 'images' / f'x.{name.rpartition(".")[2]}'
    IMAGES[name](path)
    Image.fromarray(WHITE).save(folder / 'masks' / 'x.png')

    def mean(pixels):
        assert pixels.shape == (24, 30, 1)
        return float(pixels.mean(dtype=np.float64))

    def dataset():
        return mean(SIRSTDataset(folder, 'train', pipeline=LOAD, value_range=value_range)[0]['img'])

    stats = outcome(lambda: by_stats(folder, value_range=value_range))
    return {
        'data set': outcome(dataset),
        'predict.py': outcome(lambda: mean(ImagePipeline([LOAD[0]], value_range=value_range).load(path))),
        'stats': stats if stats == 'refused' else float(stats['mean'][0]),
        'mean of the config': outcome(
            lambda: measure_statistics([path], 1, value_range=value_range)['mean'][0]
        ),
        'stats, SCR': stats if stats == 'refused' else float(stats['scr'][0]),
        'evaluate.py, SCR': outcome(lambda: by_evaluation(folder, image_dir=folder / 'images')[1][0]),
    }


@pytest.mark.parametrize('name', IMAGES)
@pytest.mark.parametrize('value_range', [None, (10, 300), 'auto'])
def test_images(folder, name, value_range):
    seen = of_image(folder, name, value_range)
    if name in REFUSED and (value_range is None or name in BROKEN):
        assert [*seen.values()][:5] == ['refused'] * 5
        # an SCR has no black and white: floats and signed numbers have one without a range
        assert (seen['evaluate.py, SCR'] == 'refused') == (name in BROKEN)
        return
    assert seen['data set'] == seen['predict.py'] == pytest.approx(seen['stats'], rel=1e-6)
    assert seen['mean of the config'] == pytest.approx(seen['data set'], abs=6e-4)
    assert seen['stats, SCR'] == seen['evaluate.py, SCR']


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


def of_mask(folder, name, values):
    """Column → what a tool makes of a mask: the target's area in pixels, or the IoU of a perfect map."""
    Image.fromarray(GREY).save(folder / 'images' / 'x.png')
    path = folder / 'masks' / f'x.{name.rpartition(".")[2]}'
    MASKS[name](path)

    def dataset(cache=False):
        data = SIRSTDataset(folder, 'train', pipeline=LOAD, mask_values=values, cache=cache)
        assert data.facts.targets == 1
        np.testing.assert_array_equal(data[0]['gt_mask'] > 127, TRUTH)
        return float((data[0]['gt_mask'] > 127).sum())

    return {
        'data set': outcome(dataset),
        'cached': outcome(lambda: dataset(True)),
        'stats': outcome(lambda: float(by_stats(folder, mask_values=values)['area'].sum())),
        'evaluate.py': outcome(lambda: by_evaluation(folder, mask_values=values)[0]),
    }


@pytest.mark.parametrize('name', MASKS)
@pytest.mark.parametrize('told', [False, True])
def test_masks(folder, name, told):
    values = TOLD.get(name) if told else None
    seen = of_mask(folder, name, values)
    if name in NO_MASK and not values:
        assert [*seen.values()] == ['refused'] * 4
        return
    assert [*seen.values()] == [12, 12, 12, 1]
    path = folder / 'masks' / f'x.{name.rpartition(".")[2]}'
    if name != 'twice.png':
        np.testing.assert_array_equal(read_mask(path, MaskRule(values)) > 127, TRUTH)


def table() -> str:
    """What every tool makes of every file."""
    rows = []
    for name in IMAGES:
        for value_range in (None, 'auto') if name in REFUSED or 'deep' in name else (None,):
            rows.append((f'image {name}' + (', auto' if value_range else ''), of_image, name, value_range))
    for name in MASKS:
        for values in (None, TOLD[name]) if name in TOLD else (None,):
            rows.append((f'mask {name}' + (f', {values}' if values else ''), of_mask, name, values))
    lines, kind = [], None
    for title, function, name, told in rows:
        with tempfile.TemporaryDirectory() as place:
            os.environ['XDG_CACHE_HOME'] = place
            cells = function(new_folder(Path(place)), name, told)
        if function is not kind:
            lines += [text_row('', cells)]
            kind = function
        lines += [text_row(title, [c if c == 'refused' else f'{c:.3f}' for c in cells.values()])]
    return '\n'.join(lines)


def text_row(title, cells) -> str:
    return f'{title:26}' + ''.join(f'{cell:>20}' for cell in cells)


if __name__ == '__main__':
    print(table())
