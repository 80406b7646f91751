"""What scores mean: measured, kept beside the weights, and put to use by predictors and tools."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from madnet.errors import UserError
from madnet.evaluation import Evaluator
from madnet.evaluation.calibration import PlattScaling
from madnet.evaluation.targets import Least
from madnet.images import notices
from madnet.inference import OnnxPredictor, Predictor
from madnet.inference.calibrating import in_words
from madnet.inference.calibration import (
    READING,
    Measured,
    calibration_file,
    find_calibration,
    rank_for_alarms,
    rank_for_budget,
)
from madnet.inference.classical_predictor import ClassicalPredictor
from madnet.inference.command import predictor_maker
from madnet.inference.export import export_network
from madnet.inference.prediction import Prediction
from madnet.inference.saving import save_pretrained
from madnet.records import Calibration, DatasetInfo
from madnet.records.pretrained_index import FOLDER


def scene(seed):
    """Image (H, W) uint8, truth, and logits that are four times too sure: two targets, two false alarms."""
    rng = np.random.default_rng(seed)
    image = rng.normal(90, 4, (64, 80))
    truth = np.zeros(image.shape, bool)
    logits = np.full(image.shape, -9.0)
    for n, (y, x) in enumerate([(10, 12), (30, 50), (50, 20), (14, 64)]):
        patch = np.s_[y : y + 4, x : x + 4]
        image[patch] += 60 if n < 2 else 4
        logits[patch] = rng.normal(2, 1.5, (4, 4))
        truth[patch] = (n < 2) & (rng.random((4, 4)) < 1 / (1 + np.exp(-logits[patch])))
    return np.clip(image, 0, 255).astype(np.uint8), truth, (4 * logits).astype(np.float32)


def with_targets(data):
    """A data set of ``make_set``, its images and masks those of scenes in which something is found."""
    for seed, path in enumerate(sorted((data / 'images').iterdir())):
        image, truth, _ = scene(seed)
        cv2.imwrite(str(path), image)
        cv2.imwrite(str(data / 'masks' / path.name), 255 * truth.astype(np.uint8))
    return data


@pytest.fixture(scope='module')
def found():
    measured = Measured(READING)
    for seed in range(20):
        image, truth, logits = scene(seed)
        measured.add((1 / (1 + np.exp(-logits / np.float32(8)))), truth, image[..., None])
    return measured.result({'name': 'made'}, [DatasetInfo('made', images=20)])


def test_the_temperature_mends_the_errors(found):
    assert 3.5 < found.temperature < 4.5
    assert found.pixels.after < found.pixels.before
    assert found.separation['rank'] > 0.99
    again = Calibration.from_json(json.loads(json.dumps(found.to_json())))
    assert (again.temperature, again.bias, again.ranked) == (found.temperature, found.bias, found.ranked)
    assert again.pixels.diagram_after['count'] == found.pixels.diagram_after['count']


def test_a_budget_is_kept_on_the_images_it_was_chosen_on(found):
    least = rank_for_budget(found, 1e-6)
    false = 0
    for seed in range(20):
        image, _, logits = scene(seed)
        prediction = Prediction(
            '', 1 / (1 + np.exp(-logits / 4)), 0.5, None, image, Least(min_rank=least), PlattScaling(4.0)
        )
        for t in prediction.targets:
            assert t.rank >= least
            false += min(np.hypot(t.x - x, t.y - y) for x, y in ((13.5, 11.5), (51.5, 31.5))) > 2
        assert prediction.too_small >= 2
    assert false == 0
    with pytest.raises(UserError, match='expected false pixels over all pixels'):
        rank_for_budget(found, -1)
    with pytest.raises(UserError, match=r'by best\.calibration\.json, no detection'):
        rank_for_budget(replace(found, ranked={k: [] for k in found.ranked}), 1e-6, 'best.calibration.json')


def test_a_budget_keeps_detections_of_infinite_rank(tmp_path):
    measured, truth = Measured(READING), np.zeros((64, 64), bool)
    truth[20:23, 30:33] = True
    image = np.where(truth, 200, 20).astype(np.uint8)
    scores = np.where(truth, np.float32(0.9), np.float32(0.1))
    scores[50:52, 8:10] = 0.95  # false, and on nothing to be seen
    measured.add(scores, truth, image[..., None])
    found = measured.result({'name': 'made'}, [DatasetInfo('made', images=1)])
    least = rank_for_budget(Calibration.read(found.write(tmp_path / 'made.calibration.json')), 1e-6)
    prediction = Prediction('', scores, 0.5, None, image, Least(min_rank=least))
    assert [(t.x, t.y, t.rank) for t in prediction.targets] == [(31, 21, np.inf)]


def test_a_budget_is_a_number():
    for budget in ('1e-5', [1e-5]):
        with pytest.raises(UserError, match=r'fa_budget: found .* expected a number'):
            Predictor('madnet_nano', fa_budget=budget)


def test_limits_leave_out_components_by_what_is_known_of_them():
    image, _, logits = scene(0)
    everything = Prediction('', 1 / (1 + np.exp(-logits)), 0.5, None, image)
    limits = sorted(t.scr for t in everything.targets)
    some = Prediction('', everything.score_map, 0.5, None, image, Least(min_scr=limits[-2]))
    assert [t for t in everything.targets if t.scr >= limits[-2]] == list(some.targets)
    assert some.mask.sum() == sum(t.area for t in some.targets)
    assert (
        Prediction('', everything.score_map, 0.5, least=Least(min_scr=1.0)).targets == ()
    )  # nothing known: no image


@pytest.mark.parametrize('bias', [0.0, -0.6])
def test_a_calibration_changes_no_mask_and_brings_logits_back(bias):
    image = np.random.default_rng(0).normal(60, 9, (96, 128))
    for y, x in ((20, 30), (50, 90), (70, 40)):
        image[y : y + 3, x : x + 3] += 120
    image = cv2.GaussianBlur(image, (0, 0), 1).astype(np.uint8)
    plain, warm = Predictor('madnet_nano', device='cpu'), Predictor('madnet_nano', device='cpu')
    warm.scaling = PlattScaling(5.0, bias)
    warm.model.set_test_time(**warm.scaling._asdict())
    warm.threshold = warm.scaling.moved(warm.threshold)
    a, b = plain(image), warm(image)
    assert (a.mask == b.mask).all()
    assert bias == 0 or (a.mask != (b.score_map > 0.5)).any(), 'the threshold has to move for that'
    seen = (a.score_map > 1e-4) & (a.score_map < 1 - 1e-4)
    p = b.score_map[seen].astype(np.float64)
    assert np.allclose(
        5 * (np.log(p / (1 - p)) - bias), np.log(a.score_map[seen] / (1 - a.score_map[seen])), atol=0.02
    )
    with pytest.raises(UserError, match='temperature: found 0'):
        plain.model.set_test_time(temperature=0)
    with pytest.raises(UserError, match='bias: found nan'):
        plain.model.set_test_time(bias=float('nan'))


def test_logits_and_ranks_are_on_one_scale():
    """A score rounds to 1 from 16.6 on: what predicts, and what tests and calibrates, take the logits."""
    image = cv2.GaussianBlur(np.random.default_rng(0).normal(60, 9, (96, 128)), (0, 0), 1)
    for y, x in ((20, 30), (50, 90), (70, 40)):
        image[y : y + 3, x : x + 3] += 120
    image = image.astype(np.uint8)
    plain, warm = (
        Predictor('madnet_nano', device='cpu'),
        Predictor('madnet_nano', device='cpu', calibrated=True),
    )
    found, again = plain(image), warm(image)
    assert max(t.logit for t in found.targets) > 17
    assert [t.rank for t in again.targets] == [t.rank for t in found.targets]
    assert [t.mean_logit for t in again.targets] == [t.mean_logit for t in found.targets]
    tested = Evaluator('native')
    tested.update(found.score_map, found.mask, net_logits=found.logits, image=found.image)
    assert tested.predicted('native')['rank'] == pytest.approx([t.rank for t in found.targets], rel=1e-6)


def test_where_a_calibration_is_kept(tmp_path):
    assert calibration_file('my.py', tmp_path / 'best.pth') == tmp_path / 'best.calibration.json'
    assert calibration_file('my.py', 'madnet_nano') == Path('madnet_nano.calibration.json')
    with pytest.raises(UserError, match='madnet calibrate measures it'):
        find_calibration('my.py', tmp_path / 'best.pth')


def test_shipped_weights_keep_their_calibration_and_a_users_goes_first(run, make_set, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = FOLDER / 'madnet_nano.calibration.json'
    before, own = shipped.read_bytes(), find_calibration('madnet_nano', None)
    data = with_targets(make_set('mine', ['a', 'b']))
    code, out, err = run('calibrate', 'madnet_nano', '--dataset', data, '--split', 'trainval')
    assert code == 0, err
    assert 'written madnet_nano.calibration.json' in out
    assert shipped.read_bytes() == before
    assert find_calibration('madnet_nano', None).sets != own.sets
    Path('madnet_nano.calibration.json').unlink()
    assert find_calibration('my.py', 'madnet_nano').sets == own.sets


def test_a_calibration_of_other_weights_is_refused(run, detector):
    config, checkpoint, data = detector
    assert run('calibrate', config, checkpoint, '--dataset', data, '--split', 'trainval')[0] == 0
    assert find_calibration(config, checkpoint).sets
    state = torch.load(checkpoint, weights_only=True)
    next(iter(state['state_dict'].values())).add_(1)
    torch.save(state, checkpoint)
    with pytest.raises(UserError, match=r'measured on other weights than those of best\.pth'):
        Predictor(config, checkpoint, calibrated=True)


def test_a_folder_for_a_hub_keeps_its_own_calibration_of_its_own_weights(run, make_set, tmp_path):
    folders = [tmp_path / 'hub', tmp_path / 'hub.v2']
    for folder, name in zip(folders, ('madnet_nano', 'madnet_tiny'), strict=True):
        save_pretrained(name, folder)
    code, _, err = run(
        'calibrate',
        folders[0],
        '--dataset',
        with_targets(make_set('mine', ['a', 'b'])),
        '--split',
        'trainval',
    )
    assert code == 0, err
    written = folders[0] / 'model.calibration.json'
    before = Predictor('madnet_nano', calibrated=True).scaling.temperature
    assert (
        Predictor(folders[0], calibrated=True).scaling.temperature
        == Calibration.read(written).temperature
        != before
    )
    assert Predictor(folders[1], calibrated=True).scaling.temperature  # what its file says
    written.replace(folders[1] / written.name)
    assert Predictor(folders[0], calibrated=True).scaling.temperature == before
    with pytest.raises(UserError, match=r'measured on other weights than those of hub\.v2'):
        Predictor(folders[1], calibrated=True)


def test_false_alarms_that_no_rank_keeps_out_are_refused(run, tmp_path):
    background = tmp_path / 'background'
    background.mkdir()
    frame = np.zeros((64, 64), np.uint8)
    frame[30, 30] = 255
    cv2.imwrite(str(background / 'a.png'), frame)
    args = ('--false-alarms', 0, '--background', background, '--out', tmp_path / 'out')
    code, _, err = run('predict', 'tophat', background, *args)
    assert code == 2
    assert 'so no rank keeps them out' in err


@pytest.fixture
def clutter(tmp_path):
    """A maker of folders of four 16-bit frames without targets, by name and grey value of a warm corner."""

    def make(name, corner):
        (tmp_path / name).mkdir()
        for n in range(4):
            rng = np.random.default_rng(n)
            frame = rng.normal(3000, 5, (64, 64))
            for y, x in rng.integers(4, 58, (6, 2)):
                frame[y : y + 2, x : x + 2] += 500 + rng.integers(0, 100)
            frame[44:, 44:] = corner
            cv2.imwrite(str(tmp_path / name / f'{n}.png'), frame.astype(np.uint16))
        return tmp_path / name

    return make


def test_false_alarms_are_measured_in_the_range_of_the_images(run, clutter, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(notices, '_said', set())
    args = ('predict', 'tophat', clutter('images', 3300), '--format', 'json', '--out', tmp_path / 'out')
    args = (*args, '--false-alarms', 0, '--background', clutter('background', 12000), '--value-range')
    found = []
    for value_range in (['auto'], []):
        value_range = value_range or found[0]['value_range']
        code, _, err = run(*args, *value_range)
        assert code == 0, err
        found.append(json.loads((tmp_path / 'out/targets.json').read_text()))
    assert found[0]['min_rank'] == found[1]['min_rank'] > 0
    assert caplog.text.count('value range') == 1


def test_a_printed_rank_does_what_is_said_of_it(found, clutter, capsys):
    background, predictor = clutter('background', 3000), ClassicalPredictor('tophat')
    ranks = np.array([t.rank for prediction in predictor.stream(background) for t in prediction.targets])
    assert len(ranks) > 9
    for alarms in range(len(ranks)):
        least = rank_for_alarms(predictor, background, alarms / 4)
        [printed] = re.findall(r'those of a rank of (\S+) or more are kept', capsys.readouterr().out)
        assert float(printed) == least
        assert (ranks >= least).sum() == alarms
    false, kept = np.array(found.ranked['Fa']), np.array(found.ranked['threshold'])
    said = re.findall(r'Fa <= (\S+): Pd .*, rank (\S+) or more', in_words(found))
    assert said
    for budget, printed in said:
        assert kept[kept >= float(printed)].tolist() == kept[false <= float(budget)].tolist()


def test_missing_files_are_named_before_a_missing_calibration(detector, tmp_path):
    config, checkpoint, _ = detector
    missing = tmp_path / 'missing.pth'
    with pytest.raises(UserError, match=rf'{missing}: no such file, nor') as e:
        predictor_maker(str(config), checkpoint=str(missing), fa_budget=1e-5)()
    assert 'calibration' not in str(e.value)
    with pytest.raises(UserError, match=r'missing\.py: no such file, and no name'):
        predictor_maker('missing.py', checkpoint=str(checkpoint), calibrated=True)()
    with pytest.raises(UserError, match=r'best\.calibration\.json: no such file'):
        predictor_maker(str(config), checkpoint=str(checkpoint), calibrated=True)()


def test_from_calibrate_to_predict(run, detector, tmp_path):
    config, checkpoint, data = detector
    code, out, err = run('calibrate', config, checkpoint, '--dataset', data, '--split', 'trainval')
    assert code == 0, err
    record = Calibration.read(checkpoint.with_suffix('.calibration.json'))
    assert f'temperature {record.temperature:.3f}' in out
    assert ' cannot say much about a budget' in out
    assert record.sets[0].images == 3
    args = ('--config', config, '--checkpoint', checkpoint, data / 'images', '--format', 'csv,json')
    code, out, err = run('predict', *args, '--calibrated', '--out', tmp_path / 'all')
    assert code == 0, err
    found = json.loads((tmp_path / 'all/targets.json').read_text())
    assert found['temperature'] == record.temperature
    rows = list(csv.DictReader((tmp_path / 'all/targets.csv').open()))
    assert {'logit', 'mean_logit', 'scr', 'rank'} <= set(rows[0])
    background = tmp_path / 'background'
    background.mkdir()
    for path in (data / 'images').iterdir():
        (background / path.name).write_bytes(path.read_bytes())
    args = (*args, '--false-alarms', 0, '--background', background, '--out', tmp_path / 'none')
    code, out, err = run('predict', *args)
    assert code == 0, err
    assert '0 targets in 3 images' in out
    assert 'above the threshold left out by --false-alarms\n' in out


def test_a_calibration_takes_the_place_of_what_the_config_says(run, detector, tmp_path):
    config, checkpoint, data = detector
    found = []
    own = tmp_path / 'own.py'
    own.write_text(f"_base_ = '{config}'\nmodel = dict(test_cfg=dict(temperature=6.0, bias=-2.0))\n")
    for said in (config, own):
        out = tmp_path / str(len(found))
        args = ('--dataset', data, '--split', 'trainval', '--out', out)
        code, _, err = run('calibrate', said, checkpoint, *args)
        assert code == 0, err
        found.append(Calibration.read(out / f'{checkpoint.stem}.calibration.json'))
    assert (found[0].temperature, found[0].bias) == (found[1].temperature, found[1].bias)
    assert found[0].ranked == found[1].ranked


def test_a_calibration_holds_for_what_was_averaged_when_it_was_measured(run, detector, tmp_path, caplog):
    config, checkpoint, data = detector
    averaged = ('--views', 2, '--scales', '1,0.5', '--merge', 'max')
    code, _, err = run('calibrate', config, checkpoint, '--dataset', data, '--split', 'trainval', *averaged)
    assert code == 0, err
    file = checkpoint.with_suffix('.calibration.json')
    found = Calibration.read(file)
    assert (found.views, found.scales, found.merge) == (2, [1, 0.5], 'max')
    how = {'views': 2, 'scales': (0.5, 1), 'merge': 'max'}
    assert Predictor(config, checkpoint, calibrated=True, **how).scaling.temperature == found.temperature
    frames = ('--config', config, '--checkpoint', checkpoint, data / 'images', '--out', tmp_path / 'out')
    code, _, err = run('predict', *frames, '--fa-budget', 1e-3)
    words = 'measured with --views 2 --scales 1,0.5 --merge max, found --views 1, for which'
    assert (code, err.count('\n')) == (2, 1)
    assert f'{file}: was {words}' in err
    out = tmp_path / 'net.onnx'
    export_network(Predictor(config, checkpoint, device='cpu'), out, frames=[scene(0)[0]])
    assert f'is left out of {out}' in caplog.text
    with pytest.raises(UserError, match='nothing was known of its false alarms'):
        OnnxPredictor(out, calibrated=True)
    # files of before say nothing, and were of one view
    old = json.loads(file.read_text())
    file.write_text(json.dumps({k: v for k, v in old.items() if k not in how}))
    Predictor(config, checkpoint, calibrated=True)
    with pytest.raises(UserError, match='measured with --views 1, found --views 8, '):
        Predictor(config, checkpoint, calibrated=True, views=8)


def test_packed_images_are_measured_on_their_whole_scale(run, detector, packed_tiff, tmp_path):
    config, checkpoint, data = detector
    packed, twin = tmp_path / 'packed', tmp_path / 'twin'
    for home, kind in ((packed, 'tif'), (twin, 'png')):
        (home / 'images').mkdir(parents=True)
        (home / 'masks').symlink_to(data / 'masks')
        for path in (data / 'images').iterdir():
            deep = cv2.imread(str(path), 0).astype(np.uint16) * 64
            if kind == 'tif':
                packed_tiff(home / 'images' / f'{path.stem}.tif', deep[None], 14)
            else:
                cv2.imwrite(str(home / 'images' / path.name), deep)
    found = []
    for home, value_range in ((packed, ()), (twin, ('--value-range', 0, 16383))):
        out = home / 'out'
        where = '--dataset', home, '--split', 'trainval', '--out', out
        code, _, err = run('calibrate', config, checkpoint, *where, *value_range)
        assert code == 0, err
        found.append(Calibration.read(out / 'best.calibration.json'))
    assert found[0].pixels.before == pytest.approx(found[1].pixels.before)


@pytest.fixture
def detector(make_set, repository, tmp_path):
    """(config, checkpoint, data set) of a network that scores about half of noise as targets."""
    from mmseg.registry import MODELS

    from madnet.engine.config import load_config

    config = tmp_path / 'tiny.py'
    config.write_text(
        f"_base_ = ['{repository}/configs/madnet_synthetic.py']\n"
        'model = dict(backbone=dict(base_channels=2))\n'
    )
    torch.manual_seed(4)
    model = MODELS.build(load_config(config).model)
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'best.pth')
    data = make_set('mine', ['a', 'b', 'c'])
    for n, path in enumerate(sorted((data / 'images').iterdir())):
        cv2.imwrite(str(path), np.random.default_rng(n).integers(0, 255, (64, 64), np.uint8))
        mask = np.zeros((64, 64), np.uint8)
        mask[20:23, 30:33] = 255
        cv2.imwrite(str(data / 'masks' / path.name), mask)
    return config, tmp_path / 'best.pth', data


@pytest.mark.parametrize(
    ('args', 'words'),
    [
        (['tophat', 'x', '--false-alarms', '1'], '--false-alarms and --background go together'),
        (['tophat', 'x', '--min-scr', '-1'], 'min_scr: found -1'),
    ],
)
def test_refusals_are_one_line(run, tmp_path, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'x').write_bytes(cv2.imencode('.png', np.zeros((64, 64), np.uint8))[1].tobytes())
    code, _, err = run('predict', *args)
    assert code == 2
    assert words in err


def test_the_test_part_is_refused(run, make_set):
    root = make_set('own', ['a', 'b'])
    for part in ('test', 'all'):
        code, _, err = run('calibrate', 'tophat', '--dataset', root, '--split', part)
        assert code == 2
        assert 'choose val' in err
    err = run('calibrate', 'tophat', '--dataset', root, '--split', 'vall')[2]
    assert "unknown split 'vall': expected one of train, val, trainval, fit." in err
