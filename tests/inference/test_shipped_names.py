"""Shipped names go wherever a checkpoint goes; weights keep the normalisation they were trained with."""

import pytest
import torch
from mmseg.registry import MODELS

from madnet.engine.checkpoint import load_weights, recorded_statistics, statistics_of
from madnet.engine.checkpoint_file import find_checkpoint, is_registered, read_checkpoint
from madnet.engine.config import load_config
from madnet.engine.convert import convert_checkpoint
from madnet.engine.runner import build_runner
from madnet.engine.test import run_test
from madnet.engine.train import training_config
from madnet.errors import UserError
from madnet.files import sha256_of
from madnet.inference import Predictor
from madnet.records import get_pretrained

NANO = {'mean': [99.423], 'std': [57.959]}


@pytest.fixture(scope='module')
def nano(repository):
    """The config of the network that madnet_nano has."""
    return str(repository / 'configs' / 'madnet' / 'madnet_nano.py')


def test_a_name_is_a_file_with_statistics(tmp_path, monkeypatch):
    weights = get_pretrained('madnet_nano').weights
    for name in ('madnet_nano', 'madnet://madnet_nano'):
        assert is_registered(name)
        assert find_checkpoint(name) == weights
        assert recorded_statistics(read_checkpoint(name)) == NANO
    assert recorded_statistics(read_checkpoint(weights)) == NANO
    monkeypatch.chdir(tmp_path)
    torch.save({'a': torch.ones(1)}, 'madnet_nano')  # a file of that name is meant
    assert not is_registered('madnet_nano')
    assert [*read_checkpoint('madnet_nano')] == ['a']


def test_testing_by_name_brings_the_config(image_set, nano, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = run_test('madnet_nano', dataset=str(image_set))
    folder = tmp_path / 'work_dirs' / 'madnet_nano_my-set'
    assert (folder / 'metrics.json').is_file()
    assert found.checkpoint.sha256 == get_pretrained('madnet_nano').sha256
    capsys.readouterr()
    same = run_test(nano, 'madnet_nano', dataset=str(image_set), out='again')
    said = capsys.readouterr()
    assert same.results == found.results
    assert "normalised by the checkpoint's mean [99.423], deviation [57.959]" in said.err
    with pytest.raises(UserError, match='say on which data'):
        run_test('madnet_nano')
    by_name, by_path = (training_config(c, dataset=str(image_set)) for c in ('madnet_nano', nano))
    assert by_name.pretty_text == by_path.pretty_text  # a training takes the config
    with pytest.raises(UserError, match='madnet_nan: no such file'):
        run_test('madnet_nan', dataset=str(image_set))


def test_predicting_with_a_config_and_a_name(image_set, nano):
    image = image_set / 'test' / 'images' / 'test0.png'
    by_config = Predictor(nano, 'madnet_nano', dataset=str(image_set))
    assert by_config.detector.origin['sha256'] == sha256_of(find_checkpoint('madnet_nano'))
    assert (by_config(image).score_map == Predictor('madnet_nano')(image).score_map).all()


def test_training_from_a_name(nano, image_set, tmp_path):
    options = {'load_from': 'madnet_nano', 'work_dir': str(tmp_path), 'custom_hooks': []}
    cfg = load_config(nano, options, str(image_set))
    runner = build_runner(cfg)
    runner.load_or_resume()
    state = read_checkpoint('madnet_nano')['state_dict']
    assert all(
        torch.equal(value.float(), state[key].float()) for key, value in runner.model.state_dict().items()
    )


def test_converting_a_name(tmp_path):
    convert_checkpoint('madnet', 'madnet_nano', str(tmp_path / 'published.pth'), reverse=True)
    assert len(read_checkpoint(tmp_path / 'published.pth')['state_dict']) > 100


def test_statistics_of_the_weights_win_where_the_config_is_open(detectors, nano, image_set, tmp_path, capfd):
    cfg = load_config(nano, dataset=str(image_set))
    model = MODELS.build(cfg.model)
    path = tmp_path / 'a.pth'
    meta = {'data_preprocessor': {'mean': [70.25], 'std': [31.5]}}
    torch.save({'state_dict': model.state_dict(), 'meta': meta}, path)
    predictor = Predictor(nano, path, dataset=str(image_set))
    assert statistics_of(predictor.model) == meta['data_preprocessor']
    said = capfd.readouterr()
    assert said.err.count("normalised by the checkpoint's mean [70.25], deviation [31.5]") == 1
    assert 'trained with' not in said.out + said.err

    stated = {'model.data_preprocessor': {'mean': [99.0], 'std': [57.0]}}
    predictor = Predictor(nano, path, dataset=str(image_set), options=stated)
    assert statistics_of(predictor.model) == stated['model.data_preprocessor']
    said = capfd.readouterr()
    [line] = [line for line in said.err.splitlines() if 'trained with' in line]
    assert 'mean [70.25], deviation [31.5], the config has mean [99.0], deviation [57.0]' in line
    assert 'model.data_preprocessor.mean=[70.25] model.data_preprocessor.std=[31.5]' in line

    torch.save({'state_dict': model.state_dict()}, path)  # says nothing: as before
    assert statistics_of(Predictor(nano, path, dataset=str(image_set)).model) == {
        key: cfg.model.data_preprocessor[key] for key in ('mean', 'std')
    }
    said = capfd.readouterr()
    assert 'normalised by' not in said.err
    assert 'trained with' not in said.out + said.err


def test_odd_records_of_statistics_are_none():
    for meta in (None, [], {'data_preprocessor': None}, {'data_preprocessor': {'mean': 'x', 'std': [1]}}):
        assert recorded_statistics({'meta': meta}) == {}
    assert recorded_statistics(None) == recorded_statistics({}) == {}


def test_weights_of_a_deployed_repisd_load_by_its_config(repository, tmp_path):
    from madnet.models import switch_to_deploy

    options = {'model.backbone.base_channels': 2}
    cfg = load_config(repository / 'configs' / 'repisd' / 'repisd.py', options, 'nuaa')
    torch.manual_seed(0)
    trained = MODELS.build(cfg.model).eval()
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        expected = trained.encode_decode(image)
        switch_to_deploy(trained)
    torch.save({'net': trained.state_dict()}, tmp_path / 'deployed.pth')
    found = MODELS.build(cfg.model).eval()
    load_weights(found, read_checkpoint(tmp_path / 'deployed.pth'), 'deployed.pth')
    assert any('.fused.' in key for key in found.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(found.encode_decode(image), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(UserError, match='another architecture'):
        load_weights(
            MODELS.build(load_config(repository / 'configs' / 'acm' / 'acm.py').model),
            read_checkpoint(tmp_path / 'deployed.pth'),
            'deployed.pth',
        )
