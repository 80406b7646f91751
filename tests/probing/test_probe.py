"""Probes: what is changed is changed exactly, and what is counted is what a plain detector finds."""

import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest

from madnet.datasets import synth_scene
from madnet.datasets.catalogue import split_ids
from madnet.errors import UserError
from madnet.evaluation.components import find_components, grown
from madnet.images import FrameLoader, encode_png
from madnet.inference.prediction import Prediction
from madnet.models.input_check import MIN_SIZE
from madnet.probing.case import as_camera
from madnet.probing.changes import CHANGES
from madnet.probing.checks import check
from madnet.probing.command import SWEEPS, probe_detector
from madnet.probing.material import LEAST_SIDE, Frame, Material, load_material
from madnet.probing.page import probe_page
from madnet.probing.plants import BRIGHT
from madnet.probing.running import crossing, run_sweeps
from madnet.records import ProbeFile, ProbePoint, ProbeSweep

LEVEL = 60.0
NONE = np.zeros((0, 2), np.int64)


@pytest.fixture(scope='module')
def flat():
    """Two frames of one grey level, each with one target of 3 × 3 pixels at (x, y) = (20, 41), 80 above."""
    frames = []
    for n in range(2):
        grey = np.full((130, 150), LEVEL, np.float32)
        empty = grey.copy()
        grey[40:43, 19:22] += 80
        targets = find_components(grey > LEVEL)
        quiet = np.array([[90, 60 + n], [60, 110]])
        frames.append(Frame(str(n), grey, targets, empty, quiet, quiet))
    return Material('flat', 'test', tuple(frames), 0)


def brighter_than(level):
    """A detector: everything brighter than a grey level."""
    return lambda image: Prediction('', (image > level).astype(np.float32), 0.5)


def points(key, material, detect):
    (swept,) = run_sweeps(detect, [SWEEPS[key]], material)
    return swept.record, {p.value: p for p in swept.record.points}


def test_contrast_has_its_threshold_where_the_detector_has(flat):
    record, found = points('contrast', flat, brighter_than(LEVEL + 30.5))
    assert [found[v].found for v in (24, 32, 100)] == [0, 4, 4]
    assert 24 < record.half < 32
    assert all(p.targets == 4 and not p.false_components for p in record.points)


def test_two_targets_count_as_a_pair_only_if_both_are_found(flat):
    _, found = points('two', flat, brighter_than(LEVEL + BRIGHT / 2))
    assert (found[2].pairs, found[2].pairs_found, found[2].pd) == (4, 0, 0)
    assert (found[24].pairs, found[24].pairs_found, found[24].targets) == (4, 4, 8)

    def one_side(image):
        left = np.arange(image.shape[1]) < 60
        return Prediction('', ((image > LEVEL + 50) & left).astype(np.float32), 0.5)

    _, found = points('two', flat, one_side)
    assert 0 < found[24].found < 8
    assert found[24].pairs_found < found[24].found


def test_planted_targets_lie_where_they_are_said_to(flat):
    for key in ('contrast', 'size', 'shift', 'border', 'frame'):
        sweep = SWEEPS[key]
        for value in sweep.values:
            for case in sweep.cases(flat, value):
                level = int(LEVEL) + (value if key == 'contrast' else 48) / 2
                seen = find_components(case.image > level)
                for centre in case.centres:
                    assert np.hypot(*(seen.centroids - centre).T).min() < 0.8, (key, value)


def test_crops_hold_the_same_target(flat):
    cases = {v: next(SWEEPS['frame'].cases(flat, v)) for v in SWEEPS['frame'].values}
    assert {v: c.image.shape for v, c in cases.items()} == {v: (v, v) for v in cases}
    inner = cases[64].image
    for case in cases.values():
        middle = len(case.image) // 2
        window = slice(middle - 32, middle + 32)
        assert (case.image[window, window] == inner).all()


def test_frames_are_changed_as_they_say(flat):
    grey = flat.frames[0].grey
    first = {s.key: {v: next(s.cases(flat, v)) for v in s.values} for s in CHANGES}
    for sweep in CHANGES:
        if sweep.unchanged is not None:
            same = first[sweep.key][sweep.unchanged]
            assert (same.image == as_camera(grey)).all(), sweep.key
            assert np.allclose(same.centres, [[20, 41]])
    mean = grey.mean()
    assert np.allclose(first['gain'][2].image, np.rint(2 * (grey - mean) + mean), atol=1)
    assert (first['offset'][40].image == grey + 40).all()
    assert np.allclose(first['gamma'][2].image, np.rint(255 * (grey / 255) ** 2), atol=1)
    assert (first['turn'][90].image == np.rot90(grey)).all()
    assert np.allclose(first['turn'][90].centres, [[41, 150 - 1 - 20]])
    assert (first['turn'][180].image == np.rot90(grey, 2)).all()
    assert first['scale'][2].image.shape == (260, 300)
    assert np.allclose(first['scale'][2].centres, [[40.5, 82.5]])
    assert first['bits'][16].image.dtype == np.uint16
    assert (first['bits'][16].image == grey * 257).all()
    assert len(np.unique(first['bits'][3].image)) <= 8
    noisy = first['noise'][8].image - grey
    assert 7 < noisy.std() < 9


def test_scaled_and_turned_targets_are_where_their_light_is(flat):
    for key in ('scale', 'turn'):
        for value in SWEEPS[key].values:
            for case in SWEEPS[key].cases(flat, value):
                seen = find_components(case.image > LEVEL + 30)
                assert np.hypot(*(seen.centroids - case.centres[0]).T).min() < 0.8, (key, value)


def test_defects_are_counted_where_they_alarm(flat):
    _, found = points('hot_pixels', flat, brighter_than(200))
    assert (found[10].defects, found[0].defects) == (20, None)
    assert 0 < found[10].false_components <= 20
    assert found[10].defects_alarmed == 20
    near = grown(flat.frames[0].targets.labels, 8)
    for case in SWEEPS['hot_pixels'].cases(flat, 100):
        assert not near[case.image == 255].any()
    _, found = points('hot_pixels', flat, lambda image: brighter_than(200)(cv2.blur(image, (3, 3))))
    assert found[1].defects_alarmed == 0
    _, found = points('dead_lines', flat, lambda image: brighter_than(254)(255 - image))
    assert (found[2].defects, found[2].defects_alarmed) == (4, 4)


def test_empty_frames_have_no_target(flat):
    record, found = points('empty', flat, brighter_than(254))
    assert [p.label for p in record.points] == ['targets filled in', 'synthetic', 'noise', 'grey', 'black']
    assert all(p.targets == 0 and p.pd is None for p in record.points)
    assert found[3].false_components == 0


def test_where_a_share_crosses_a_half():
    assert crossing([1, 2, 3], [0.0, 0.25, 0.75]) == 2.5
    assert crossing([1, 10, 100], [0.0, 0.0, 1.0], log=True) == pytest.approx(10**1.5)
    assert crossing([1, 2], [0.6, 0.9]) is None
    assert crossing([1, 2, 3], [0.4, None, 0.6]) == 2


@pytest.mark.parametrize(
    ('found', 'words'), [(7, 'largest change −22.2 points, at gain 0.5'), (9, 'no change')]
)
def test_a_change_is_told_with_its_sign(found, words):
    points = [ProbePoint(gain, 1, 100, 9, n, 0, 0) for gain, n in ((0.5, found), (1, 9), (2, 9))]
    sweep = ProbeSweep('gain', '', 'gain', '', points, unchanged=1)
    [told] = check(ProbeFile({}, 0.5, {}, 0, [sweep]))
    assert told.found == words


def test_what_finds_nothing_has_not_kept_its_targets():
    points = [ProbePoint(gain, 1, 100, 9, 0, 0, 0) for gain in (0.5, 1, 2)]
    [told] = check(ProbeFile({}, 0.5, {}, 0, [ProbeSweep('gain', '', 'gain', '', points, unchanged=1)]))
    assert (told.found, told.holds) == ('finds no target unchanged', None)


def test_what_finds_targets_at_another_gain_alone_does_not_hold():
    points = [ProbePoint(gain, 1, 100, 9, found, 0, 0) for gain, found in ((0.5, 0), (1, 0), (2, 9))]
    [told] = check(ProbeFile({}, 0.5, {}, 0, [ProbeSweep('gain', '', 'gain', '', points, unchanged=1)]))
    assert (told.found, told.holds) == ('largest change +100.0 points, at gain 2', False)


def test_synthetic_material_is_the_same_again():
    a, b = (load_material('synthetic', 'test', 2, 3) for _ in range(2))
    for x, y in zip(a.frames, b.frames, strict=True):
        assert (x.grey == y.grey).all()
        assert (x.quiet == y.quiet).all()
    for frame in a.frames:
        near = grown(frame.targets.labels, 20)
        assert not any(near[y, x] for y, x in (*frame.quiet, *frame.anywhere))


def test_the_tool_writes_page_and_record(run, tmp_path):
    args = ('--dataset', 'synthetic', '--frames', 1, '--only', 'contrast,two,gain,hot_pixels,empty')
    code, out, err = run('probe', 'tophat', *args, '--beside', 'maxmean', '--out', tmp_path / 'a')
    assert code == 0, err
    assert '50 % at' in out
    record = ProbeFile.read(tmp_path / 'a/probe.json')
    assert [s.key for s in record.sweeps] == ['contrast', 'two', 'gain', 'hot_pixels', 'empty']
    assert record.checks == check(record)
    assert len(record.checks) == 3
    html = (tmp_path / 'a/index.html').read_text()
    assert len(re.findall(r'data:image/svg\+xml', html)) == 5
    assert 'maxmean' in html
    ids = set(re.findall(r'id="([\w-]+)"', html))
    assert set(re.findall(r'href="#([\w-]+)"', html)) <= ids
    code, out, err = run(
        'probe', 'maxmean', *args, '--beside', tmp_path / 'a/probe.json', '--out', tmp_path / 'b'
    )
    assert code == 0, err
    again = json.loads((tmp_path / 'b/probe.json').read_text())
    assert again['material'] == json.loads((tmp_path / 'a/probe.json').read_text())['material']


def test_the_record_says_what_was_asked_for(tmp_path):
    args = {'dataset': 'synthetic', 'frames': 1, 'only': 'size', 'out': str(tmp_path)}
    plain = probe_detector('tophat', **args, threshold=None)
    assert plain.detector == {'name': 'tophat'}
    asked = probe_detector('tophat', **args, threshold=0.6, options={'model.rule': 'mean+3std'})
    assert asked.detector == {'name': 'tophat', 'options': {'model.rule': 'mean+3std'}}
    assert asked.threshold == 0.6
    assert ProbeFile.read(tmp_path / ProbeFile.FILE) == asked
    assert 'model.rule' in (tmp_path / 'index.html').read_text()


def test_a_page_without_expectations_has_no_section_for_them(run, tmp_path):
    args = ('--dataset', 'synthetic', '--frames', 1, '--only', 'contrast', '--out', tmp_path)
    assert run('probe', 'tophat', *args)[0] == 0
    assert 'What to expect' not in (html := (tmp_path / 'index.html').read_text())
    assert 'one target of tophat at' in html


@pytest.mark.parametrize(
    ('args', 'words'),
    [
        (['tophat', '--only', 'contrsat'], "no sweep 'contrsat'"),
        (['tophatt'], 'no detector of this name'),
        (['tophat', '--frames', '0', '--dataset', 'synthetic'], '--frames 0'),
        (['tophat', '--seed', '-1', '--dataset', 'synthetic'], '--seed -1'),
        (['tophat', '--dataset', 'nowhere'], 'nowhere'),
    ],
)
def test_refusals_are_one_line(run, args, words):
    code, _, err = run('probe', *args)
    assert code == 2
    assert words in err
    assert err.count('\n') == 1


@pytest.mark.parametrize(
    'how', [{'value_range': (0, 16383)}, {'value_range': (20000.0, 24000.0)}, {'bit_depth': 14}]
)
def test_made_frames_are_shown_as_the_detectors_camera_gives_them(how):
    grey = np.arange(256, dtype=np.uint8)[None].repeat(2, 0)
    loader = FrameLoader(1, **how)
    for frame in (grey, (257 * grey.astype(np.uint16))):
        np.testing.assert_allclose(loader(loader.as_taken(frame))[..., 0], grey, atol=0.02)


def test_a_probe_is_the_same_whatever_range_the_detector_reads(tmp_path):
    args = {'dataset': 'synthetic', 'frames': 1, 'only': 'size', 'out': str(tmp_path)}
    found = [probe_detector('tophat', **args, value_range=r).sweeps[0].points for r in (None, (0, 16383))]
    assert found[0] == found[1]
    assert any(point.found for point in found[0])


def test_a_measured_range_is_one_for_all_frames_and_stands_on_the_page(tmp_path, monkeypatch):
    """Of each changed frame anew, it would undo the change."""
    ranges = set()
    load = FrameLoader.__call__
    monkeypatch.setattr(
        FrameLoader, '__call__', lambda self, *a: (ranges.add(self.value_range), load(self, *a))[1]
    )
    frames = tmp_path / 'frames'
    frames.mkdir()
    for number in range(2):
        image = 20000 + 10 * synth_scene(0, number, 96).image.astype(np.uint16)
        (frames / f'{number}.png').write_bytes(encode_png(image))
    args = {'dataset': str(frames), 'only': 'gain', 'out': str(tmp_path / 'out')}
    measured = probe_detector('tophat', **args, value_range='auto')
    low, high = measured.material['value_range']
    assert 20000 <= low < high <= 22550
    again = probe_detector('tophat', **args, value_range=(low, high))
    assert measured.sweeps == again.sweeps
    assert ranges == {(low, high)}
    assert f'{low:g} to {high:g}' in (tmp_path / 'out/index.html').read_text()


def test_frames_without_masks_have_no_targets(tmp_path, caplog):
    for number in range(3):
        (tmp_path / f'{number}.png').write_bytes(encode_png(synth_scene(0, number, 96).image))
    material = load_material(str(tmp_path), 'test', 2, 0)
    assert [(frame.name, len(frame.targets)) for frame in material.frames] == [('0', 0), ('2', 0)]
    assert 'every detection in them counts as a false alarm' in caplog.text
    with pytest.raises(UserError):
        load_material(str(tmp_path / 'none'), 'test', 2, 0)


def test_the_tool_takes_frames_without_masks(run, tmp_path):
    (tmp_path / 'frames').mkdir()
    (tmp_path / 'frames/0.png').write_bytes(encode_png(synth_scene(0, 0, 96).image))
    args = ('--dataset', tmp_path / 'frames', '--only', 'empty', '--out', tmp_path / 'out')
    code, _, err = run('probe', 'tophat', *args)
    assert code == 0, err
    assert ProbeFile.read(tmp_path / 'out/probe.json').material['split'] == 'frames without masks'


def test_what_is_wrong_with_a_set_does_not_make_it_frames_without_masks(make_set):
    folder = make_set('mine', ['a'], images='{}.png', masks='{}_mask.png')
    with pytest.raises(UserError, match='nothing'):
        load_material(str(folder), 'nothing', 1, 0)


@pytest.mark.parametrize('dataset', ['nuaa', None])
def test_reading_options_hold_for_sets_of_the_catalogue(dataset, tmp_path, monkeypatch):
    monkeypatch.setenv('MADNET_DATA_ROOT', str(tmp_path))
    grey = np.full((64, 80), 50, np.uint8)
    mask = np.zeros_like(grey)
    mask[30:33, 40:43] = 1
    for part, pixels in (('images', grey), ('masks', mask)):
        (tmp_path / 'NUAA-SIRST' / part).mkdir(parents=True)
        for image_id in split_ids('NUAA-SIRST', 'test'):
            (tmp_path / 'NUAA-SIRST' / part / f'{image_id}.png').write_bytes(encode_png(pixels))
    args = {'dataset': dataset, 'frames': 1, 'only': 'scale', 'out': str(tmp_path / 'out')}
    shown = []
    monkeypatch.setattr(
        'madnet.probing.command.run_sweeps', lambda detect, sweeps, material: shown.append(material) or []
    )
    for given, level in ((None, 50), ((0, 100), 127.5)):
        probe_detector('tophat', **args, mask_values=[0, 1], value_range=given)
        [frame] = shown[-1].frames
        assert (frame.grey.mean(), len(frame.targets)) == (level, 1)
        assert shown[-1].value_range == given


def test_frames_are_not_shrunk_below_what_networks_take(flat):
    assert LEAST_SIDE == MIN_SIZE
    small = Frame('small', *(getattr(flat.frames[0], k) for k in ('grey', 'targets', 'empty')), *[NONE] * 2)
    small = replace(small, grey=small.grey[:80, :90], empty=small.empty[:80, :90])
    record, found = points('scale', replace(flat, frames=(small,)), brighter_than(LEVEL + 40))
    assert list(found) == [0.5, 0.7, 1, 1.4, 2]
    _, found = points('scale', replace(flat, frames=(small, flat.frames[0])), brighter_than(LEVEL + 40))
    assert [point.frames for point in found.values()] == [1, 2, 2, 2, 2, 2]
    probe, other = (ProbeFile({'name': n}, 0.5, {'frames': 1, 'name': n, 'split': n}, 0, []) for n in 'ab')
    probe.sweeps, other.sweeps = [record], [replace(record, points=record.points[1:])]
    page = probe_page({'a': probe, 'b': other}, {'scale': np.zeros((9, 9, 3), np.uint8)})
    assert re.findall(r'<tr>\s*<td>(0\.[57]|1)</td>', page) == ['0.5', '0.7', '1']


def test_frames_that_are_too_small_are_refused_with_and_without_masks(make_set, tmp_path):
    folder = make_set('mine', ['a'])
    for place in (folder, folder / 'images'):
        with pytest.raises(UserError, match=r'frame a: found 40×32 pixels .*sides of 49 or more'):
            load_material(str(place), 'all', 1, 0)
