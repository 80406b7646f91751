"""Testing a config: what is made of it, and what is said of the result."""

import json
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS, MODELS

import madnet  # noqa: F401
from madnet.engine.config import load_config
from madnet.engine.folder_lock import own_folder
from madnet.engine.hooks.save_scores_hook import SaveScoresHook
from madnet.engine.hooks.show_hook import ShowHook
from madnet.engine.speed import batch_for_gpu
from madnet.engine.test import config_for_test, run_test
from madnet.errors import UserError
from madnet.files import CannotWrite
from madnet.inference import Predictor
from madnet.models.segmentors import IRSTDSegmentor
from madnet.records import MetricsFile, write_results


@METRICS.register_module()
class ImageCounter(BaseMetric):
    """A metric of somebody else."""

    default_prefix = 'count'

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return {'images': len(results)}


def test_a_list_of_evaluators(tiny_config, tmp_path):
    tiny_config.write_text(
        tiny_config.read_text()
        + "test_evaluator = [dict(type='ImageCounter'), _base_.test_evaluator]\n"
        + 'test_dataloader = dict(dataset=dict(length=2))\n'
    )
    model = MODELS.build(load_config(tiny_config).model)
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    found = run_test(str(tiny_config), str(tmp_path / 'weights.pth'), 'native,abc', out=str(tmp_path / 'out'))
    assert set(found.results) == {'native', 'abc'}
    assert found.dataset.images == 2
    assert set(json.loads((tmp_path / 'out' / 'metrics.json').read_text())['results']) == {'native', 'abc'}


def test_nothing_of_the_training_is_left_in_a_tests_config(tiny_config):
    cfg = load_config(tiny_config, {'load_from': 'elsewhere.pth'})
    before = cfg.to_dict()
    hooks = [{'type': 'ShowHook', 'show_dir': 'pictures'}]
    made = config_for_test(cfg, ['abc'], 'tiny.py', split='val', hooks=hooks, views=4)
    assert cfg.to_dict() == before
    assert made.test_dataloader.dataset.split == 'val'
    assert made.test_evaluator.protocols == ['abc']
    assert made.model.test_cfg.views == 4
    assert made.custom_hooks == hooks
    assert made.train_dataloader is made.val_dataloader is made.optim_wrapper is made.load_from is None


def test_pictures_of_ids_with_folders_lie_in_folders_as_score_maps_do(tmp_path):
    """``a/1`` and ``a_1`` are two images."""
    drawn = []
    visualizer = SimpleNamespace(add_datasample=lambda *_, out_file, **__: drawn.append(out_file))
    samples = [SimpleNamespace(metainfo={'img_id': name}) for name in ('a/1', 'a_1')]
    batch = {'inputs': torch.zeros(2, 1, 8, 8)}
    ShowHook(str(tmp_path)).after_test_iter(SimpleNamespace(visualizer=visualizer), 0, batch, samples)
    assert drawn == [str(tmp_path / 'a' / '1.png'), str(tmp_path / 'a_1.png')]


def test_a_network_derived_from_ours_averages_views(tiny_config):
    @MODELS.register_module(force=True)
    class Derived(IRSTDSegmentor):
        pass

    cfg = load_config(tiny_config, {'model.type': 'Derived'})
    assert config_for_test(cfg, ['abc'], 'tiny.py', views=4).model.test_cfg.views == 4
    batch_for_gpu(cfg)
    assert cfg.test_dataloader.batch_size == 16


def test_a_test_and_a_prediction_ask_for_weights_in_the_same_words(tiny_config):
    said = []
    for use in (run_test, Predictor):
        with pytest.raises(
            UserError, match=r'needs trained weights; give the checkpoint, .*/best\.pth\.$'
        ) as e:
            use(str(tiny_config))
        said.append(str(e.value))
    assert said[0] == said[1]


def test_without_our_metric_there_is_nothing_to_report(tiny_config):
    cfg = load_config(tiny_config)
    cfg.test_evaluator = {'type': 'ImageCounter'}
    with pytest.raises(
        UserError, match=r'tiny\.py: test_evaluator: found ImageCounter, expected .*IRSTDMetric'
    ):
        config_for_test(cfg, ['native'], 'tiny.py')


def test_limits_of_components_are_told_and_recorded(tiny_config, tmp_path, capsys):
    model = MODELS.build(load_config(tiny_config).model)
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    given = str(tiny_config), str(tmp_path / 'weights.pth')
    options = {'test_dataloader.dataset.length': 2}
    with pytest.raises(UserError, match=r'--threshold 0\.3: --min-area tells components apart at .*0\.5'):
        run_test(*given, threshold=0.3, min_area=4)
    found = run_test(*given, out=str(tmp_path / 'out'), min_area=4, options=options)
    assert found.least == {'min_area': 4, 'min_scr': 0.0, 'min_rank': 0.0}
    assert 'left out: components with area below 4' in capsys.readouterr().out
    assert run_test(*given, out=str(tmp_path / 'all'), options=options).least is None


@pytest.fixture
def tested(tiny_config, tmp_path):
    """Tests a network of a seed on two scenes, and gives the folder of the results."""

    def test(seed, out='out', **how):
        torch.manual_seed(seed)
        weights = tmp_path / f'{seed}.pth'
        torch.save(MODELS.build(load_config(tiny_config).model).state_dict(), weights)
        how = {'options': {'test_dataloader.dataset.length': 2}, **how}
        run_test(str(tiny_config), str(weights), 'native', out=str(tmp_path / out), **how)
        return tmp_path / out

    return test


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file()}


def test_what_lies_in_a_folder_is_of_one_test(tested, tmp_path):
    pictures = {'save_scores': True, 'show_dir': str(tmp_path / 'out' / 'overlays')}
    before = contents(tested(1, options={'test_dataloader.dataset.length': 3}, **pictures))
    after = contents(tested(2, **pictures))
    for found, count in ((before, 3), (after, 2)):
        for kind in ('scores', 'overlays'):
            assert sum(name.startswith(kind) for name in found) == count
    assert all(after[name] != before[name] for name in after if name.startswith('scores'))
    assert not [name for name in contents(tested(3)) if name.startswith(('scores', 'overlays'))]


@pytest.mark.parametrize('fails', ['SaveScoresHook', 'write_results'])
def test_a_test_that_fails_leaves_the_results_of_the_former_one(tested, tmp_path, fails, monkeypatch):
    before = contents(tested(1, save_scores=True))

    def fail(*_, **__):
        raise UserError('later')

    if fails == 'SaveScoresHook':
        monkeypatch.setattr(SaveScoresHook, 'after_test_epoch', fail)
    else:
        monkeypatch.setattr('madnet.engine.test.write_results', fail)
    with pytest.raises(UserError, match='later'):
        tested(2, save_scores=True)
    assert contents(tmp_path / 'out') == before


def test_a_killed_test_leaves_no_numbers_beside_maps_of_another(tested, tmp_path, monkeypatch):
    tested(1, save_scores=True)
    monkeypatch.setattr('madnet.records.metrics_file._exchange', Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        tested(2, save_scores=True)
    assert not (tmp_path / 'out' / 'metrics.json').exists()


@pytest.mark.parametrize('beside', [(), ('metrics.json', '.madnet')])
def test_maps_that_are_no_former_tests_are_not_replaced(tested, tmp_path, beside, monkeypatch):
    monkeypatch.setattr('madnet.engine.test.build_runner', pytest.fail)
    theirs = tmp_path / 'out' / 'scores' / 'mine.png'
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    for name in beside:
        (tmp_path / 'out' / name).write_text('scores\n')
    with pytest.raises(UserError, match=r'out/scores: holds files that no earlier test .* --out'):
        tested(1)
    assert theirs.exists()


def test_maps_that_were_scored_are_not_replaced(tested, tmp_path):
    out = tmp_path / 'out'
    maps = [str(name) for name in contents(tested(1, save_scores=True)) if name.startswith('scores')]
    write_results(out, MetricsFile({}, predictions=str(out / 'scores')), [])  # as madnet evaluate does
    with pytest.raises(UserError, match='no earlier test'):
        tested(1)
    assert set(maps) <= set(contents(out))


def test_pictures_lie_where_they_are_asked_for(tested, tmp_path):
    overlays = tmp_path / 'out' / 'overlays'
    for _ in range(2):
        tested(1, show_dir=str(overlays / 'mine'))
        assert len(list((overlays / 'mine').iterdir())) == 2
    with pytest.raises(UserError, match=r'out/scores/mine: is for score maps'):
        tested(1, show_dir=str(tmp_path / 'out' / 'scores' / 'mine'))


def test_links_to_where_maps_lie_stay(tested, tmp_path):
    links = {name: tmp_path / 'out' / name for name in ('scores', 'overlays')}
    (tmp_path / 'out').mkdir()
    for name, link in links.items():
        link.symlink_to(tmp_path / 'large' / name)
    for _ in range(2):
        tested(1, save_scores=True, show_dir=str(tmp_path / 'large' / 'overlays'))
        for link in links.values():
            assert link.is_symlink()
            assert len(list(link.iterdir())) == 2
        assert {p.name for p in (tmp_path / 'large').iterdir()} == links.keys()


def test_a_table_that_could_not_be_written_is_written_later(tested, monkeypatch):
    with monkeypatch.context() as disk:
        disk.setattr('madnet.records.metrics_file._table', Mock(side_effect=CannotWrite('full')))
        with pytest.raises(CannotWrite, match='full'):
            tested(1, save_scores=True)
    assert 'metrics.json' in contents(tested(1, save_scores=True))


def test_one_test_a_folder(tested, tmp_path):
    in_use = pytest.raises(UserError, match=r'\.new-scores: is in use by process \d+ on ')
    with own_folder(tmp_path / 'out' / '.new-scores'), ThreadPoolExecutor() as pool, in_use:
        pool.submit(tested, 1).result()  # in another thread, for one thread may take it twice


def test_a_folder_that_cannot_be_written_is_refused_before_the_test(tested, tmp_path, monkeypatch):
    monkeypatch.setattr('madnet.engine.test.build_runner', pytest.fail)
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match=r'file/metrics\.json: cannot be written'):
        tested(1, out='file')


def test_maps_and_pictures_need_folders_of_their_own(tested, tmp_path):
    (tmp_path / 'one').mkdir()
    (tmp_path / 'out').mkdir()
    for name in ('scores', 'overlays'):
        (tmp_path / 'out' / name).symlink_to(tmp_path / 'one')
    with pytest.raises(UserError, match='out/overlays: leads where scores does'):
        tested(1, save_scores=True)
