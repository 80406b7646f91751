"""A large frame in bands gives the files and targets of the same frame predicted whole."""

import json

import cv2
import numpy as np
import pytest
import tifffile
from clutter import scene

from madnet.errors import UserError
from madnet.evaluation.targets import Least
from madnet.files import CannotWrite
from madnet.images import FrameLoader, loader
from madnet.inference import Predictor, base_predictor
from madnet.inference.base_predictor import BasePredictor
from madnet.inference.inputs import Frame
from madnet.inference.large_frame import predict_large
from madnet.inference.outputs import image_files, record
from madnet.inference.prediction import Maps
from madnet.inference.tiling import Tiling

KINDS = ('scores', 'masks', 'npy', 'yolo', 'overlays')


class Bright(BasePredictor):
    """Scores by brightness above the surroundings, seeing 8 pixels far."""

    name, origin, loader = 'bright', {}, FrameLoader(1, (0, 16383))

    def set_threads(self, number):
        pass

    def score_all(self, pixels, shown):
        return [Maps(self._above(one[..., 0].astype(np.float32))) for one in pixels]

    @staticmethod
    def _above(values):
        around = cv2.blur(values, (17, 17), borderType=cv2.BORDER_REFLECT)
        return np.clip((values - around) / 60, 0, 1)


@pytest.fixture
def frame(tmp_path):
    """A tiled TIFF of 14 bits with specks, a long thin object, and one that crosses many bands."""
    image = scene(700, 520).astype(np.uint16) * 50
    rng = np.random.default_rng(1)
    for y, x in rng.integers(0, (690, 510), (150, 2)):
        image[y : y + rng.integers(1, 4), x : x + rng.integers(1, 4)] += 6000
    image[100:620, 200:203] = 16000
    image[350:353, 60:400] = 16000
    tifffile.imwrite(tmp_path / 'wide.tif', image, tile=(64, 64), compression='zlib')
    return Frame(tmp_path / 'wide.tif')


def predictor(min_area=1):
    made = Bright(0.5, least=Least(min_area))
    made.tiling = Tiling((128, 160), 32)
    return made


@pytest.mark.parametrize('min_area', [1, 4])
def test_the_same_files(frame, tmp_path, min_area):
    whole = predictor(min_area)(frame)
    assert len(whole.targets) > 40
    assert (whole.too_small > 5) == (min_area == 4)
    for path, content in image_files(tmp_path / 'whole', KINDS, whole, 'wide'):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    found = predict_large(predictor(min_area), frame, tmp_path / 'bands', KINDS, 'wide')
    expected = record(whole, 'wide')
    for a, b in zip(found.pop('targets'), expected.pop('targets'), strict=True):
        assert a.keys() == b.keys()
        for key in a:
            assert a[key] == (pytest.approx(b[key], rel=1e-6) if isinstance(b[key], float) else b[key])
    assert found == expected
    for kind in ('scores', 'masks'):
        a, b = (cv2.imread(str(tmp_path / way / kind / 'wide.png'), -1) for way in ('bands', 'whole'))
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(np.load(tmp_path / 'bands/npy/wide.npy'), whole.score_map)
    assert (tmp_path / 'bands/labels/wide.txt').read_text() == (
        tmp_path / 'whole/labels/wide.txt'
    ).read_text()


def test_a_picture_of_a_reduced_copy(frame, tmp_path, monkeypatch):
    monkeypatch.setattr('madnet.inference.large_frame._OVERVIEW', 350)
    predict_large(predictor(), frame, tmp_path / 'out', ('overlays',), 'wide')
    picture = cv2.imread(str(tmp_path / 'out/overlays/wide.png'))
    # header, the frame halved, insets
    assert picture.shape[0] > 50 + 350 + 160
    assert picture[50 + 20 : 50 + 330, :260].std() > 10


def test_nothing_is_left_of_a_frame_that_cannot_be_read_to_its_end(frame, tmp_path):
    with tifffile.TiffFile(frame.path) as file:
        offset = file.pages[0].dataoffsets[-1]
    data = bytearray(frame.path.read_bytes())
    data[offset : offset + 30] = b'\xff' * 30
    frame.path.write_bytes(data)
    with pytest.raises(UserError, match='the tile at row 640, column 512 cannot be decoded'):
        predict_large(predictor(), frame, tmp_path / 'out', KINDS, 'wide')
    assert [p for p in (tmp_path / 'out').rglob('*') if p.is_file()] == []


def test_a_full_disk(frame, tmp_path, monkeypatch):
    def full(self, rows):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('madnet.images.png_rows.PngRows.add', full)
    with pytest.raises(CannotWrite, match='No space left'):
        predict_large(predictor(), frame, tmp_path / 'out', KINDS, 'wide')
    assert [p for p in (tmp_path / 'out').rglob('*') if p.is_file()] == []


def test_from_the_command_line(run, detectors, frame, tmp_path, monkeypatch):
    monkeypatch.setattr(base_predictor, 'LARGE', 100_000)
    config, checkpoint = detectors['native']
    (tmp_path / 'cut.tif').write_bytes(frame.path.read_bytes()[:50_000])
    options = ('--tile', '128', '--value-range', '0', '16383', '--format', 'all')
    code, _, err = run(
        *('predict', '--config', config, '--checkpoint', checkpoint, tmp_path, '--out', tmp_path / 'out'),
        *options,
    )
    assert code == 2
    assert '1 of 2 images' in err
    assert 'cut.tif' in err
    whole = Predictor(config, checkpoint, tile=128, value_range=(0, 16383))(frame.path)
    np.testing.assert_array_equal(np.load(tmp_path / 'out/npy/wide.npy'), whole.score_map)
    image, *_ = json.loads((tmp_path / 'out/targets.json').read_text())['images']
    assert len(image['targets']) == len(whole.targets)


def test_levels_of_each_image_are_not_those_of_a_tile(detectors):
    config, checkpoint = detectors['native']
    options = {'model.data_preprocessor.statistics': 'image'}
    with pytest.raises(UserError, match="statistics='image'"):
        Predictor(config, checkpoint, tile=128, options=options)


def test_a_range_is_measured_over_the_parts_of_a_large_frame(frame, monkeypatch):
    measured = []
    for limit in (2**24, 1000):
        monkeypatch.setattr(loader, 'LARGE', limit)
        load = FrameLoader(1, 'auto')
        load.measure([(frame.path, None)])
        measured.append(load.value_range)
    assert measured[0] == pytest.approx(measured[1])
