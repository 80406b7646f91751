"""Images that a network was trained on: what its record says, and where a line says so."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from mmseg.registry import MODELS

from madnet.datasets import SIRSTDataset
from madnet.datasets.catalogue import get_entry, get_split_set, split_ids
from madnet.datasets.seen import (
    SCORED,
    TrainedPart,
    images_in,
    keys_of,
    look_for_seen,
    parts_of_entry,
)
from madnet.engine.checkpoint import HASHES
from madnet.engine.checkpoint_file import read_checkpoint
from madnet.engine.config import load_config
from madnet.engine.train import train
from madnet.engine.training_record import parts_before, training_parts
from madnet.files import sha256_of
from madnet.images import notices
from madnet.inference import Predictor
from madnet.inference.export import export_network
from madnet.records import Calibration, MetricsFile, get_pretrained, list_pretrained
from madnet.records.pretrained_index import FOLDER, registered_as


@pytest.fixture(autouse=True)
def said(monkeypatch):
    """What was said once, which is said again in every test."""
    found = set()
    monkeypatch.setattr(notices, '_said', found)
    return found


def images(name, split, split_set=None):
    """The images of a part of a set of the catalogue, without their files."""
    return [keys_of(get_entry(name), split, i) for i in split_ids(name, split, split_set)]


def count(trained, *sets):
    return look_for_seen('x', sets, trained, SCORED)


NANO = parts_of_entry(get_pretrained('madnet_nano'))


def test_images_of_shipped_weights_are_known_by_their_ids(said):
    assert count(NANO, images('NUAA-SIRST', 'test'), images('SIRST-AUG', 'val')) == [None, None]
    assert not said
    near = set(get_split_set(get_entry('nudt')).near_test) & set(split_ids('nudt', 'val'))
    assert near  # which the weights were not trained on
    found = count(NANO, images('NUAA-SIRST', 'val'), images('NUDT-SIRST', 'val'))
    assert found == [85, 133 - len(near)]
    [line] = said
    assert line.startswith(f'warning: x: the network was trained on {sum(found)} of these 218 images')
    assert '(NUAA-SIRST idx_427 trainval, NUDT-SIRST basicirstd trainval, by the registry' in line
    both = set(split_ids('nuaa', 'test', 'basicirstd')) & set(split_ids('nuaa', 'trainval', 'idx_427'))
    assert count(NANO, images('nuaa', 'test', 'basicirstd')) == [len(both)]  # of other authors' lists


def test_lists_that_are_not_those_of_the_record_say_nothing():
    assert count([replace(NANO[0], sha256='0' * 64)], images('NUAA-SIRST', 'val')) == [None]
    assert registered_as(None) is registered_as('0' * 64) is None


def test_a_number_is_another_image_in_another_folder(monkeypatch, tmp_path):
    monkeypatch.setenv('MADNET_DATA_ROOT', str(tmp_path))
    trained = [TrainedPart('its config', 'fit', 'SIRST-AUG')]
    assert count(trained, images('SIRST-AUG', 'test'), images('SIRST-AUG', 'val')) == [None, None]
    assert count(trained, images('SIRST-AUG', 'trainval')) == [6825]
    assert set(split_ids('sirstaug', 'test')) & set(split_ids('sirstaug', 'fit'))
    trained = [TrainedPart('its config', 'trainval', 'NUDT-SIRST', exclude_near_test=True)]
    assert count(trained, images('NUDT-SIRST', 'trainval')) == [631]


def test_files_are_known_by_their_place_and_by_the_folder_above(make_set, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    root = make_set('mine', ['a', 'b', 'c', 'd'], lists={'train.txt': ['a', 'b', 'c'], 'test.txt': ['d']})
    (tmp_path / 'link').symlink_to(root)
    files = images_in(sorted((tmp_path / 'link/images').iterdir()))
    assert count([TrainedPart('its config', 'trainval', data_root='mine')], files) == [3]
    assert count([TrainedPart('its config', 'trainval', data_root='mine', indices=2)], files) == [2]
    last = TrainedPart('its config', 'trainval', data_root='mine', indices=-1)
    assert [count([last], [file]) for file in files] == [[None], [None], [1], [None]]
    assert count([TrainedPart('its config', 'trainval', data_root='moved')], files) == [None]
    assert count([TrainedPart('its config', 3, data_root={})], files) == [None]  # of another kind
    names = [split_ids('nuaa', part)[0] for part in ('val', 'test')]
    assert count(NANO, images_in(f'NUAA_SIRST/images/{name}.png' for name in names)) == [1]
    assert count(NANO, images_in(f'elsewhere/images/{name}.png' for name in names)) == [None]


def test_copies_are_known_by_what_they_hold(make_set, tmp_path):
    root = make_set('mine', ['a', 'b', 'c'], lists={'train.txt': ['a', 'b'], 'test.txt': ['c']})
    hashes = SIRSTDataset(root, 'trainval').contents().text(['images'])
    config = f"type='SIRSTDataset', data_root={str(root)!r}, split='trainval'"
    config = f'train_dataloader = dict(dataset=dict({config}))'
    content = {'state_dict': {}, 'meta': {'cfg': config, HASHES: [hashes]}}
    torch.save(content, tmp_path / 'w.pth')
    torch.save({**content, 'meta': {'cfg': config}}, tmp_path / 'older.pth')
    root.rename(tmp_path / 'gone')
    copies = tmp_path / 'copied'
    shutil.copytree(tmp_path / 'gone/images', copies)
    assert count(training_parts(tmp_path / 'w.pth'), images_in(sorted(copies.iterdir()))) == [2]
    assert count(training_parts(tmp_path / 'older.pth'), images_in(sorted(copies.iterdir()))) == [None]


def test_shipped_calibrations_say_what_they_were_measured_on():
    for name in list_pretrained():
        trained = parts_of_entry(get_pretrained(name))
        for one in Calibration.read(FOLDER / f'{name}.calibration.json').sets:
            assert [one.trained_on] == count(trained, images(one.name, one.split, one.split_set))
            assert one.trained_on


def test_weights_that_a_training_began_with_count_too(tmp_path, said):
    def save(name, dataset, load_from):
        cfg = f'train_dataloader = dict(dataset=dict({dataset}))\nload_from = {str(load_from)!r}'
        torch.save({'state_dict': {}, 'meta': {'cfg': cfg}}, tmp_path / name)
        return str(tmp_path / name)

    ours = "type='SIRSTDataset', name='IRSTD-1K', split='fit'"
    first = save('first.pth', ours, 'madnet://madnet_nano')
    second = save('second.pth', "type='SyntheticSIRSTDataset', split='fit'", first)
    assert [p.words for p in training_parts(second)] == ['IRSTD-1K fit', *(p.words for p in NANO)]
    save('first.pth', ours, first)  # written over what it began with
    assert [p.words for p in training_parts(second)] == ['IRSTD-1K fit']
    save('first.pth', ours, tmp_path / 'gone.pth')
    assert [p.words for p in training_parts(second)] == ['IRSTD-1K fit']
    assert f'what {tmp_path / "gone.pth"} was trained on is not known: it cannot be read here' in said
    torch.save({'state_dict': {}}, tmp_path / 'bare.pth')
    assert training_parts(tmp_path / 'bare.pth') == training_parts(None) == []
    copied = tmp_path / 'copied.safetensors'
    copied.write_bytes(get_pretrained('madnet_nano').weights.read_bytes())
    assert training_parts(copied) == NANO
    assert registered_as(sha256_of(copied)).name == 'madnet_nano'


def test_what_took_the_place_of_an_exported_checkpoint_says_nothing_of_the_export(tmp_path, said):
    old, weights = tmp_path / 'old.pth', read_checkpoint('madnet_nano')['state_dict']
    torch.save({'state_dict': weights}, old)
    network = Predictor('madnet_nano', old, device='cpu')
    export_network(network, tmp_path / 'mine.safetensors', 'torch')
    cfg = "train_dataloader = dict(dataset=dict(type='SIRSTDataset', name='IRSTD-1K', split='fit'))"
    torch.save({'state_dict': weights, 'meta': {'cfg': cfg}}, old)
    assert [p.words for p in training_parts(old)] == ['IRSTD-1K fit']
    exported = Predictor(tmp_path / 'mine.safetensors', device='cpu')
    assert exported.trained == []
    assert not any(str(old) in line for line in said)
    exported.detector.info.trained = None  # of an older version
    assert exported.trained == []
    assert f'what {old} was trained on is not known: another file lies there by now' in said


def test_weights_that_are_trusted_say_what_they_were_trained_on(tmp_path, run, said, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg = "train_dataloader = dict(dataset=dict(type='SIRSTDataset', name='IRSTD-1K', split='fit'))"
    weights = read_checkpoint('madnet_nano')['state_dict']
    torch.save({'state_dict': weights, 'meta': {'cfg': cfg, 'own': tmp_path}}, 'own.pth')
    for command, out in (
        (('export', 'madnet_nano', 'own.pth', '--format', 'torch', '--out'), 'mine.safetensors'),
        (('pretrained', 'widen', 'madnet_nano', 'madnet_tiny', '--checkpoint', 'own.pth'), 'wide.pth'),
    ):
        code, _, err = run(*command, out, '--trust-checkpoint')
        assert code == 0, err
        assert [p.words for p in training_parts(out)] == ['IRSTD-1K fit']
    assert not any('is not known' in line for line in said)


def test_a_flag_in_the_place_of_weights_names_none(said):
    assert (
        parts_before({'model': {'backbone': {'type': 'mmpretrain.TIMMBackbone', 'pretrained': True}}}) == []
    )
    assert not said


@pytest.fixture
def trained(make_set, repository, tmp_path):
    """(config, a function that writes a checkpoint trained on a part, data set of six and four images)."""
    ids = [f'i{n}' for n in range(10)]
    data = make_set('mine', ids, lists={'trainval.txt': ids[:6], 'test.txt': ids[6:]})
    for n, path in enumerate(sorted((data / 'images').iterdir())):
        cv2.imwrite(str(path), np.random.default_rng(n).integers(0, 255, (64, 64), np.uint8))
        mask = np.zeros((64, 64), np.uint8)
        mask[20:23, 30:33] = 255
        cv2.imwrite(str(data / 'masks' / path.name), mask)
    config = repository / 'configs/madnet/madnet_nano.py'
    torch.manual_seed(4)
    cfg = load_config(config, {'model.backbone.base_channels': 2}, dataset=str(data))
    model = MODELS.build(cfg.model)

    def save(split):
        cfg.train_dataloader.dataset.split = split
        torch.save({'state_dict': model.state_dict(), 'meta': {'cfg': cfg.pretty_text}}, tmp_path / 'w.pth')
        return tmp_path / 'w.pth'

    return config, save, data


def warnings(said):
    return sorted(line for line in said if line.startswith('warning: '))


NARROW = ('--cfg-options', 'model.backbone.base_channels=2', 'test_dataloader.num_workers=0')


def test_a_threshold_and_a_test_on_images_of_the_training(run, trained, said, tmp_path):
    config, save, data = trained
    test = (config, save('trainval'), '--dataset', data, '--out', tmp_path / 'out', *NARROW)
    code, _, err = run('test', *test, '--threshold', 'best:val', '--fa-budget', '1')
    assert code == 0, err
    [line] = warnings(said)
    assert line.startswith("warning: the choice on 'val': the network was trained on 1 of these 1 images")
    assert f'({data.name} trainval, by the config in {tmp_path / "w.pth"}): it finds more' in line
    assert MetricsFile.read(tmp_path / 'out/metrics.json').dataset.trained_on is None
    code, _, err = run('test', *test, '--split', 'trainval')
    assert code == 0, err
    assert warnings(said)[-1].startswith('warning: this test: the network was trained on 6 of these 6')
    assert json.loads((tmp_path / 'out/metrics.json').read_text())['dataset']['trained_on'] == 6


def test_of_images_that_were_left_out_nothing_is_said(run, trained, said, tmp_path):
    config, save, data = trained
    test = (config, save('fit'), '--dataset', data, '--out', tmp_path / 'out', *NARROW)
    code, _, err = run('test', *test, '--threshold', 'best:val')
    assert code == 0, err
    assert not warnings(said)
    assert 'trained_on' not in json.loads((tmp_path / 'out/metrics.json').read_text())['dataset']


def test_a_calibration_and_frames_without_targets(run, trained, said, tmp_path):
    config, save, data = trained
    config = tmp_path / 'narrow.py'
    config.write_text(
        f"_base_ = 'madnet_nano'\nmodel = dict(backbone=dict(base_channels=2))\ndataset = {str(data)!r}\n"
    )
    weights = save('fit')
    code, _, err = run('calibrate', config, weights, '--dataset', data, '--split', 'trainval')
    assert code == 0, err
    [line] = warnings(said)
    assert line.startswith('warning: calibration: the network was trained on 5 of these 6 images')
    [one] = Calibration.read(tmp_path / 'w.calibration.json').sets
    assert (one.images, one.trained_on) == (6, 5)
    said.clear()
    predict = ('--config', config, '--checkpoint', weights, data / 'images', '--out', tmp_path / 'found')
    code, _, err = run('predict', *predict, '--calibrated')
    assert code == 0, err
    [line] = warnings(said)
    assert 'w.calibration.json: the network was trained on 5 of the 6 images that this was measured' in line
    said.clear()
    code, _, err = run('predict', *predict, '--false-alarms', 0, '--background', data / 'images')
    assert code == 0, err
    [line] = warnings(said)
    assert f'--background {data}/images: the network was trained on 5 of these 10 images' in line
    said.clear()
    code, _, err = run('predict', *predict)
    assert code == 0, err
    assert not warnings(said)


#: How a training's config names weights to begin with, or to learn from.
NAMED = {
    'load_from': lambda weights, _: {'load_from': weights},
    'load_from an export': lambda _, export: {'load_from': export},
    'init_cfg': lambda weights, _: {'model.init_cfg': {'type': 'Pretrained', 'checkpoint': weights}},
    'teacher': lambda _, export: {'custom_hooks': [{'type': 'TeacherHook', 'teacher': export}]},
}


@pytest.mark.parametrize('named', NAMED)
def test_what_earlier_weights_were_trained_on_is_kept_where_their_file_goes(
    named, trained, tiny_config, tmp_path, monkeypatch
):
    config, save, data = trained
    monkeypatch.chdir(tmp_path)
    save('trainval')
    narrow = {'model.backbone.base_channels': 2}
    network = Predictor(config, 'w.pth', options=narrow, dataset=str(data))
    export_network(network, 'w.safetensors', 'torch', frames=sorted((data / 'images').iterdir())[:1])
    few = {'train_cfg.max_epochs': 1, 'selection': 'last', 'train_dataloader.dataset.length': 4}
    train(str(tiny_config), work_dir='run', options=few | NAMED[named]('w.pth', 'w.safetensors'))
    for file in ('w.pth', 'w.safetensors'):
        (tmp_path / file).unlink()
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    found = training_parts(tmp_path / 'run/last.pth')
    assert [part.words for part in found] == [f'{data.name} trainval']
    assert count(found, images_in(sorted((data / 'images').iterdir()))) == [6]
