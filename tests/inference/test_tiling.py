"""Tiles cover an image without seams."""

from itertools import product

import cv2
import numpy as np
import pytest
from clutter import scene

from madnet.errors import UserError
from madnet.images import notices
from madnet.inference import Predictor, base_predictor
from madnet.inference.halo import fit_tiling, measure_halo
from madnet.inference.inputs import Frame
from madnet.inference.tiling import Tiling


def seeing(radius):
    """A detector that sees ``radius`` pixels far."""

    def score(pixels):
        values = pixels[..., 0].astype(np.float32) / 255
        return cv2.boxFilter(values, -1, (2 * radius + 1,) * 2, borderType=cv2.BORDER_REFLECT)

    return score


def blocky(pixels):
    """A detector that averages blocks of 32 × 32 pixels, from the top left corner on."""
    values = pixels[..., 0].astype(np.float32) / 255
    out = np.empty_like(values)
    for y in range(0, values.shape[0], 32):
        for x in range(0, values.shape[1], 32):
            out[y : y + 32, x : x + 32] = values[y : y + 32, x : x + 32].mean()
    return out


def applied(tiling, score, pixels):
    """Scores (H, W) of an image in tiles."""
    return np.concatenate(list(tiling.bands(lambda window: score(pixels[window]), *pixels.shape[:2])))


@pytest.mark.parametrize(('overlap', 'align'), [(0, 1), (1, 1), (7, 1), (16, 8), (24, 32)])
def test_cover(overlap, align):
    rng = np.random.default_rng(overlap)
    for _ in range(40):
        height, width = (int(n) for n in rng.integers(1, 300, 2))
        tiling = Tiling((64, 96), overlap, align)
        weight = np.zeros((height, width))
        for window in tiling.windows(height, width):
            rows, columns = window
            assert rows.start % align == 0
            assert columns.start % align == 0
            assert rows.stop - rows.start <= 64
            assert columns.stop - columns.start <= 96
            weight[window] += tiling.weights(window, height, width)
        assert weight.min() > 0.2 * 0.2
        if height > 64 and overlap:
            assert len(tiling.windows(height, width)) >= 2


def test_equal_to_the_whole_where_the_view_is_short():
    pixels = scene(300, 410)[..., None]
    tiling = Tiling((128, 128), 32)
    whole = seeing(8)(pixels)
    np.testing.assert_allclose(applied(tiling, seeing(8), pixels), whole, atol=1e-6)
    # seams appear where it is not, and stay small
    further = abs(applied(tiling, seeing(24), pixels) - seeing(24)(pixels))
    assert 1e-4 < further.max() < 0.05


def test_tiles_keep_the_grid_of_smaller_maps():
    pixels = scene(300, 410)[..., None]
    np.testing.assert_allclose(applied(Tiling((128, 96), 32), blocky, pixels), blocky(pixels), atol=1e-6)
    unaligned = applied(Tiling((128, 96), 32, align=1), blocky, pixels)
    assert abs(unaligned - blocky(pixels)).max() > 1e-3


def test_an_image_that_fits_a_tile_is_not_cut(detectors, image_set, caplog, monkeypatch):
    monkeypatch.setattr(notices, '_said', set())
    path = image_set / 'test' / 'images' / 'test0.png'
    whole = Predictor(*detectors['files'], min_rank=0.1)(path)
    tiled = Predictor(*detectors['files'], min_rank=0.1, tile=128)
    found = tiled(path)
    np.testing.assert_array_equal(found.score_map, whole.score_map)
    np.testing.assert_array_equal(found.logits, whole.logits)  # which scores have rounded
    assert found.targets == whole.targets
    [clip] = tiled.clip([cv2.imread(str(path), -1)])
    assert clip.targets == whole.targets
    monkeypatch.setattr(base_predictor, 'LARGE', 0)
    assert not tiled.is_large(Frame(path))
    assert not caplog.records
    tiled(scene(180, 330))
    assert [line.split(':')[0] for line in caplog.messages] == ['tiles', 'min_rank']


def test_processes_say_once_what_tiles_change(run, image_set, tmp_path, caplog, monkeypatch):
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    monkeypatch.setattr(notices, '_said', set())
    folder = image_set / 'test' / 'images'
    for tile, said in ((512, []), (64, ['tiles'])):
        options = ('--out', tmp_path / str(tile), '--jobs', 2, '--tile', tile, '--format', 'csv')
        code, _, err = run('predict', 'madnet_nano', folder, *options)
        assert code == 0, err
        assert [line.split(':')[0] for line in caplog.messages] == said


def test_a_network_in_tiles(detectors):
    image = scene(180, 330)
    whole = Predictor(*detectors['files'])(image).score_map
    tiled = Predictor(*detectors['files'], tile=(128, 160), overlap=64)(image).score_map
    assert tiled.shape == whole.shape
    # random weights: the network's memory looks at all of a tile, its convolutions dominate
    assert abs(tiled - whole).mean() < 0.02
    assert np.corrcoef(tiled.ravel(), whole.ravel())[0, 1] > 0.98


def test_tiles_of_the_base_size_are_not_resized(detectors):
    image = scene(64, 128)
    predictor = Predictor(*detectors['published'], tile=64, overlap=0)
    left, right = (
        Predictor(*detectors['published'])(half).score_map for half in (image[:, :64], image[:, 64:])
    )
    np.testing.assert_allclose(predictor(image).score_map, np.concatenate([left, right], 1), atol=1e-6)


def test_refused():
    for size, overlap in (((64, 64), 64), ((64, 64), -1), ((20, 64), 0)):
        with pytest.raises(UserError, match='overlap'):
            Tiling(size, overlap)
    for how in ({'overlap': '32'}, {'overlap': 32.0}, {'tile': '160'}, {'tile': (64,)}, {'threshold': '0.3'}):
        with pytest.raises(UserError, match=f'^{next(iter(how))}: found '):
            Predictor('madnet_nano', device='cpu', **{'tile': 160, 'overlap': 32, **how})


def test_no_part_of_a_large_image_is_smaller_than_networks_take():
    accepted = 0
    for tile, overlap in product(range(32, 140), (0, 8, 32)):
        try:
            tiling = Tiling((tile, tile), overlap)
        except UserError:
            continue
        accepted += 1
        for length in range(64, 201):
            sides = [rows.stop - rows.start for rows, _ in tiling.windows(length, 1)]
            assert min(sides) >= 32, (tile, overlap, length)
    assert accepted == 3 * (140 - 64)


def test_numbers_of_numpy():
    tiling = Predictor('madnet_nano', device='cpu', tile=np.int64(160), overlap=np.uint8(32)).tiling
    assert (tiling.size, tiling.overlap) == ((160, 160), 32)


@pytest.mark.parametrize(('size', 'overlap'), [((64, 96), 32), ((128, 128), 0), ((64, 64), 16)])
def test_bands_are_the_whole_bit_for_bit(size, overlap):
    """As all windows over one sum of the whole image give it."""
    pixels = scene(300, 410)[..., None]
    tiling = Tiling(size, overlap)
    total, weight = np.zeros((300, 410), np.float32), np.zeros((300, 410), np.float32)
    for window in tiling.windows(300, 410):
        share = tiling.weights(window, 300, 410)
        total[window] += share * seeing(24)(pixels[window])
        weight[window] += share
    bands = list(tiling.bands(lambda window: seeing(24)(pixels[window]), 300, 410))
    assert len(bands) > 2
    np.testing.assert_array_equal(np.concatenate(bands), np.clip(total / weight, 0, 1))


def test_a_halo_that_covers_the_view():
    pixels = scene(300, 410)[..., None]
    whole = seeing(24)(pixels)
    tiled = applied(Tiling((128, 160), 2 * 24 + 16, halo=24), seeing(24), pixels)
    np.testing.assert_allclose(tiled, whole, atol=1e-6)


@pytest.mark.parametrize(('radius', 'expected'), [(5, 8), (20, 24), (40, 40), (60, None)])
def test_a_measured_halo(radius, expected):
    assert measure_halo(seeing(radius), 1, 128, 32) == expected


@pytest.mark.parametrize(('radius', 'overlap'), [(5, 48), (20, 80), (40, 80)])
def test_tiles_fit_what_a_detector_sees(radius, overlap):
    """The halo on either side, and 32 pixels to go over from one to the other where half a tile allows."""
    tiling = fit_tiling(seeing(radius), 1, (192, 192), 32, 'boxes')
    assert (tiling.halo, tiling.overlap) == (-(-radius // 8) * 8, overlap)
    pixels = scene(500, 410)[..., None].astype(np.float32)
    np.testing.assert_allclose(applied(tiling, seeing(radius), pixels), seeing(radius)(pixels), atol=1e-5)


def of_the_whole(pixels):
    """A detector that looks at all it gets."""
    return pixels[..., 0] / 255 * (0.5 + pixels.mean() / 510)


def test_no_halo_is_enough_for_what_looks_at_everything(detectors, caplog):
    with pytest.raises(UserError, match='too far for tiles of 96 × 96'):
        fit_tiling(of_the_whole, 1, (96, 96), 32, 'means', insist=True)
    with pytest.raises(UserError, match='too far for tiles'):
        Predictor(*detectors['files'], tile=96, overlap='auto')
    with pytest.raises(UserError, match='every tile is resized'):
        Predictor(*detectors['published'], tile=64, overlap='auto')
    assert not caplog.records
    tiling = fit_tiling(of_the_whole, 1, (96, 96), 32, 'means')
    assert (tiling.halo, tiling.overlap) == (None, 24)
    assert 'scores of means depend on what lies more than 32 pixels away' in tiling.note
    assert not caplog.records


def test_what_was_measured_is_kept_for_the_network(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    asked = []

    def score(pixels):
        asked.append(pixels.shape)
        return seeing(5)(pixels)

    for fingerprint, measured in ((b'one', 4), (b'one', 0), (b'other', 4), (b'one', 0)):
        tiling = fit_tiling(score, 1, (128, 128), 32, 'boxes', fingerprint)
        assert (tiling.halo, len(asked)) == (8, measured)
        asked.clear()
    for file in (tmp_path / 'madnet' / 'halos').iterdir():
        file.write_text('damaged')
    assert fit_tiling(score, 1, (128, 128), 32, 'boxes', b'one').halo == 8
    assert len(asked) == 4


def test_weights_and_views_tell_networks_apart(detectors):
    prints = [
        Predictor(*detectors['files'], **how)._fingerprint()
        for how in ({}, {}, {'scales': (1, 0.5)}, {'threshold': 0.7})
    ]
    assert prints[0] == prints[1] == prints[3] != prints[2]
    other = Predictor(*detectors['files'])
    next(other.model.parameters()).data.mul_(1.01)
    assert other._fingerprint() != prints[0]
