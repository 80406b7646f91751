"""Plans: what a YAML file and the command line mean, and what is said to wrong ones."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmseg.registry import MODELS, TRANSFORMS
from PIL import Image

from madnet.classical.detectors import DETECTORS
from madnet.datasets.wrappers import is_kind, kind_of, sets_of
from madnet.errors import UserError
from madnet.experiments import compare
from madnet.experiments.networks import known_networks, label_of
from madnet.experiments.plan import _look_for_test_parts, read_plan
from madnet.experiments.run import Run
from madnet.experiments.shard import find_shard
from madnet.experiments.state import _has_moved, weights_of
from madnet.models.segmentors import IRSTDSegmentor
from madnet.records import get_pretrained

EXPERIMENTS = Path(__file__).resolve().parents[2] / 'experiments'


@pytest.fixture
def configs(repository, monkeypatch):
    monkeypatch.chdir(repository)


def names(plan):
    return [run.name for run in plan.runs()]


@pytest.mark.parametrize(
    'path', sorted(EXPERIMENTS.glob('*/plan*.yaml')), ids=lambda p: f'{p.parent.name}/{p.stem}'
)
def test_every_plan_of_an_experiment_can_be_run(path, configs, capsys):
    compare(str(path), dry_run=True)
    printed = capsys.readouterr().out
    assert 'new ' in printed
    assert '{' not in printed  # no template is left


def test_the_shipped_example(configs):
    runs = read_plan('experiments/small_comparison/plan.yaml').runs()
    assert [run.name for run in runs][-1] == 'ipi nuaa'
    assert runs[0].config == 'configs/madnet/madnet_nano.py'
    assert runs[0].label == 'MAD-Net nano'
    assert runs[0].options['train_cfg.max_epochs'] == 30
    assert runs[0].folder == 'work_dirs/small_comparison/madnet_nano/nuaa/seed42'
    assert (runs[-1].seed, runs[-1].options) == (None, {'model.method': 'ipi', 'dataset': 'nuaa'})


def test_the_shipped_ablation_changes_one_part_at_a_time(configs):
    runs = read_plan('experiments/ablation/plan.yaml').runs()
    assert len(runs) == 3 * len({run.network for run in runs})
    read = {run.network: run.settings for run in runs[::3]}
    assert all(config['test_dataloader']['dataset']['split'] == 'val' for config in read.values())
    assert read['nano']['train_dataloader']['dataset']['split'] == 'fit'
    parts = ['model', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'custom_hooks', 'train_cfg']
    parts.append('load_from')
    for name, config in read.items():
        over = 'batch_overlap' if name.startswith('batch_') and name != 'batch_overlap' else 'nano'
        changed = sum(config.get(part) != read[over].get(part) for part in parts)
        assert changed == (0 if name == over else 1), name
        MODELS.build(config['model'])
        for step in config['train_dataloader']['dataset']['pipeline']:
            TRANSFORMS.build(step)


def test_products_and_recipes(configs):
    plan = read_plan(networks=['acm', 'tophat'], datasets=['nuaa', 'nudt'], seeds=[0, 1])
    assert names(plan) == [
        'acm nuaa seed 0', 'acm nuaa seed 1', 'tophat nuaa',
        'acm nudt seed 0', 'acm nudt seed 1', 'tophat nudt',
    ]  # fmt: skip
    first, *_, last = plan.runs()
    assert first.config == 'configs/acm/acm.py'
    assert first.settings['train_dataloader']['dataset']['name'] == 'NUAA-SIRST'
    assert last.settings['test_dataloader']['dataset']['name'] == 'NUDT-SIRST'
    published = read_plan(networks=['acm', 'madnet'], recipe='published').runs()
    assert [run.config for run in published] == [
        'configs/acm/acm_published.py',
        'configs/madnet/madnet_published.py',
    ]
    # a name with its ending mixes recipes
    [named] = read_plan(networks=['acm_toolbox']).runs()
    assert (named.config, named.label) == ('configs/acm/acm_toolbox.py', 'ACM toolbox')


def test_a_folder_is_a_data_set(configs, data_root):
    [run] = read_plan(networks=['tophat'], datasets=[str(data_root / 'NUDT-SIRST')]).runs()
    assert run.settings['test_dataloader']['dataset']['data_root'] == str(data_root / 'NUDT-SIRST')
    assert run.folder == 'work_dirs/comparison/tophat/nudt/test'


def test_groups(configs):
    runs = read_plan(networks=['all', {'name': 'acm', 'label': 'mine'}]).runs()
    assert [run.label for run in runs if run.network == 'acm'] == ['mine']
    assert {'madnet_nano', 'mim_tiny', 'mim_madnet', 'uiunet'} < {run.network for run in runs}
    assert not [run for run in runs if run.settings['load_from']]  # the second part of a training
    assert len(read_plan(networks='classical').runs()) == len(DETECTORS)
    assert not set(known_networks('common', 'configs')) & set(DETECTORS)


def test_the_whole_recipe_in_three_steps(configs):
    first, second, tuned = (
        {run.seed: run for run in read_plan('experiments/whole_recipe/plan.yaml').runs() if run.network == n}
        for n in ('first', 'second', 'tuned')
    )
    for before, after in ((first, second), (second, tuned)):
        assert set(after) == {42, 43, 44}
        for seed, run in after.items():
            assert run.settings['load_from'] == f'{before[seed].folder}/last.pth'
            overlap = run.settings['model']['decode_head']['loss_decode'][0]
            assert not overlap['per_image']
    assert second[42].settings['train_cfg']['max_epochs'] == 6


def test_training_on_several_sets_and_testing_on_one(configs):
    entry = {'name': 'joint', 'config': 'configs/madnet/madnet_nano.py', 'train_on': ['nuaa', 'nudt']}
    runs = read_plan(networks=[entry], datasets=['nuaa', 'irstd1k'], options={'selection': 'last'}).runs()
    for run, tested in zip(runs, ('NUAA-SIRST', 'IRSTD-1K'), strict=True):
        trained = run.settings['train_dataloader']['dataset']['datasets']
        assert [part['name'] for part in trained] == ['NUAA-SIRST', 'NUDT-SIRST']
        assert run.settings['test_dataloader']['dataset']['name'] == tested
    assert runs[0].settings['model']['data_preprocessor'] == runs[1].settings['model']['data_preprocessor']


def test_one_part_begins_from_the_weights_of_another(configs):
    first = {'name': 'first', 'config': 'configs/madnet/madnet_nano.py'}
    second = {**first, 'name': 'second', 'options': {'load_from': 'runs/first/{dataset}/seed{seed}/last.pth'}}
    runs = read_plan(networks=[first, second], seeds=[1, 2], work_dir='runs').runs()
    for before, after in zip(runs[:2], runs[2:], strict=True):
        assert after.options['load_from'] == f'{before.folder}/last.pth'
        assert after.settings['load_from'] == after.options['load_from']


def test_a_folder_without_a_test_part_is_refused_before_anything_trains(configs, make_set):
    mine, other = make_set('mine', [*'abcde']), make_set('other', [*'abcde'], lists={'test.txt': [*'ab']})
    for given in ({'datasets': [str(mine)]}, {'datasets': [str(other)], 'also_test_on': [str(mine)]}):
        with pytest.raises(UserError, match=r'mine.*no lists of ids .*has seen all'):
            compare(networks=['tophat'], dry_run=True, **given)
    # what is trained on only needs no test part
    network = {'name': 'madnet_nano', 'train_on': [str(mine)]}
    runs = read_plan(networks=[network], datasets=[str(other)], also_test_on=[str(other)]).runs()
    assert [run.test_on for run in runs] == [(str(other),)]


def test_a_part_that_may_be_partial_is_looked_for_as_it_will_be_tested(make_set):
    lists = {'train.txt': [*'abcd'], 'val.txt': [*'efg'], 'test.txt': [*'hi']}
    mine = make_set('mine', [*'abcdefhi'], lists=lists)  # without 'g'
    tested = {'type': 'SIRSTDataset', 'data_root': str(mine), 'split': 'val', 'split_set': 'folder'}
    run = SimpleNamespace(test_on=(), settings={'test_dataloader': {'dataset': tested}})
    with pytest.raises(UserError, match=r"mine.*1 of the 3 images of split 'val'"):
        _look_for_test_parts([run])
    tested['allow_partial'] = True
    _look_for_test_parts([run])
    tested['split'] = 'tset'
    with pytest.raises(UserError, match="unknown split 'tset'"):
        _look_for_test_parts([run])


@pytest.mark.parametrize(
    'given',
    [
        {'value_range': (5, 200), 'mask_values': [0, 1]},
        {'options': ['value_range=[5,200]', 'mask_values=0,1']},
    ],
)
def test_how_images_are_read_holds_for_every_run(configs, make_set, tmp_path, given):
    (tmp_path / 'w.pth').touch()
    mine = make_set('mine', [*'abcdefghij'], lists={'train.txt': [*'abcdefg'], 'test.txt': [*'hij']})
    for mask in (mine / 'masks').iterdir():
        Image.fromarray(np.array(Image.open(mask)) // 255).save(mask)
    weights = {'name': 'given', 'config': 'configs/madnet/madnet_nano.py', 'checkpoint': f'{tmp_path}/w.pth'}
    runs = read_plan(networks=['madnet_nano', 'tophat', weights], datasets=[str(mine)], **given).runs()
    for run in runs:
        tested = run.settings['test_dataloader']['dataset']
        assert ([*tested['value_range']], [*tested['mask_values']]) == ([5, 200], [0, 1])
        assert {'value_range', 'mask_values'} <= set(run.options)
    with pytest.raises(UserError, match='low < high'):
        read_plan(networks=['tophat'], value_range=(9, 1)).runs()


@pytest.mark.parametrize('given', [{'split_set': 'basicirstd'}, {'options': ['split_set=basicirstd']}])
def test_lists_hold_for_detectors_as_for_networks(configs, data_root, given):
    for run in read_plan(networks=['madnet_nano', 'tophat'], datasets=['nuaa'], **given).runs():
        assert run.settings['test_dataloader']['dataset']['split_set'] == 'basicirstd'


def test_views_are_tested_one_after_the_other(configs):
    network, detector = read_plan(networks=['acm', 'tophat'], views=[1, 8], work_dir='runs').runs()
    folder = Path('runs/acm/nuaa/seed42')
    assert network.tests() == {1: folder, 8: folder / 'views8'}
    assert detector.tests() == {None: Path('runs/tophat/nuaa/test')}


@MODELS.register_module()
class DerivedFromOurs(IRSTDSegmentor):
    pass


def test_a_network_derived_from_ours_may_be_tested_with_views(plan_file):
    wide = {'name': 'wide', 'config': str(plan_file.with_name('wide.py'))}
    derived = {**wide, 'options': {'model.type': 'DerivedFromOurs'}}
    [run] = read_plan(plan_file, networks=[derived], seeds=[1], views=[1, 8]).runs()
    assert [*run.tests()] == [1, 8]


def test_views_are_refused_before_a_network_that_has_none_trains(configs, repository, tmp_path):
    config = tmp_path / 'foreign.py'
    config.write_text(
        f"_base_ = '{repository}/configs/madnet/madnet_nano.py'\nmodel = dict(type='EncoderDecoder')\n"
    )
    foreign = {'name': 'foreign', 'config': str(config)}
    with pytest.raises(UserError, match='no IRSTDSegmentor'):
        read_plan(networks=[foreign], views=[1]).runs()
    assert len(read_plan(networks=[foreign]).runs()) == 1


def test_given_weights_are_tested_not_trained(configs, tmp_path):
    weights = tmp_path / 'acm_nuaa.pth'
    entry = {'name': 'acm', 'checkpoint': f'{tmp_path}/acm_{{dataset}}.pth'}
    with pytest.raises(UserError, match='no such file'):
        read_plan(networks=[entry]).runs()
    weights.touch()
    [run] = read_plan(networks=[entry], seeds=[1, 2]).runs()
    assert (run.seed, run.checkpoint) == (None, str(weights))


def test_given_weights_go_by_a_variable_or_a_name(configs, tmp_path, monkeypatch):
    monkeypatch.setenv('WEIGHTS', str(tmp_path))
    (tmp_path / 'acm.pth').touch()
    for checkpoint, file in (
        ('$WEIGHTS/acm.pth', tmp_path / 'acm.pth'),
        ('madnet_nano', get_pretrained('madnet_nano').weights),
        ('madnet://madnet_nano', get_pretrained('madnet_nano').weights),
    ):
        [run] = read_plan(networks=[{'name': 'acm', 'checkpoint': checkpoint}]).runs()
        assert run.checkpoint == checkpoint, 'no place of one machine in run.json'
        assert weights_of(run) == file
    for wrong, words in (('madnet_nanoo', "'madnet_nano'"), ('madnet://none', 'none')):
        with pytest.raises(UserError, match=words):
            read_plan(networks=[{'name': 'acm', 'checkpoint': wrong}]).runs()


_NUMBERS = ('size', 'seeds', 'views', 'minutes')


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        ({'networks': ['dnanett']}, "'dnanet'"),
        ({'networks': ['acm'], 'datasets': ['NUDT-SIRT']}, "'NUDT-SIRST'"),
        ({'networks': ['madnet']}, "under recipe 'published' only"),
        ({'networks': ['acm', 'acm']}, 'comes 2 times'),
        ({'networks': ['acm'], 'recipe': 'publishd'}, "'published'"),
        ({'networks': ['acm'], 'seeds': [-1]}, 'seeds'),
        ({'networks': [{'name': 'acm', 'confg': 'x'}]}, "'config'"),
        ({'networks': [{'name': 'x', 'config': 'no.py'}]}, 'no.py: no such file'),
        ({'networks': [3]}, 'networks: found 3'),
        ({'networks': ['acm'], 'options': {3: 4}}, 'options: found'),
        ({'networks': [{'name': 'acm', 'options': {3: 4}}]}, 'expected options as a mapping'),
        ({'networks': ['../acm']}, 'found the name'),
        ({'networks': [{'name': 'acm', 'train_on': [3]}]}, 'train_on as texts'),
        ({'networks': ['acm'], 'datasets': ['nuaa', 'NUAA-SIRST']}, "is called 'nuaa' too"),
        ({'networks': ['acm'], 'views': [1, 3]}, 'views: found 3, expected some of'),
        ({'networks': ['acm'], 'views': [[1, 8]]}, r'views: found \[1, 8\], expected a whole number'),
        (
            {'networks': [{'name': 'acm', 'checkpoint': 'acm_{seed}.pth'}]},
            'networks: acm: checkpoint: found {seed}, expected one file',
        ),
        ({'networks': ['acm'], 'seeds': [1, 1]}, 'seeds: found 1 more than once'),
        ({'networks': ['acm'], 'seeds': [[1]]}, r'seeds: found \[1\]'),
        ({'networks': ['acm'], 'protocols': ['native', 'nope']}, "unknown protocol 'nope'"),
        ({'networks': [{'name': n, 'config': 'acm', 'label': 'x'} for n in 'ab']}, "call both a and b 'x'"),
        ({'networks': ['acm'], 'seeds': []}, 'seeds: found none'),
        *(({'networks': ['acm'], key: True}, f'{key}: found True, expected a') for key in _NUMBERS),
        ({'networks': ['acm'], 'datasets': []}, 'datasets: found none'),
        ({'networks': ['acm'], 'amp': 'fp8'}, "amp: found 'fp8', expected auto"),
        ({'networks': ['acm'], 'size': 0}, 'size: found 0'),
        ({'networks': ['acm'], 'minutes': 0}, 'minutes: found 0'),
        ({}, 'no networks'),
    ],
)
def test_errors(configs, given, words):
    with pytest.raises(UserError, match=words):
        read_plan(**given).runs()


def test_options_of_the_command_line_and_minutes_join_those_of_the_file(tmp_path):
    path = tmp_path / 'plan.yaml'
    path.write_text('networks: [acm]\noptions: {train_dataloader.batch_size: 2, selection: last}\n')
    assert read_plan(path, minutes=0.5).options == {
        'train_dataloader.batch_size': 2,
        'selection': 'last',
        'train_cfg.minutes': 0.5,
    }
    assert read_plan(path, minutes=2).options['train_cfg.minutes'] == 2
    path.write_text(path.read_text() + 'minutes: 3\n')
    assert read_plan(path).options['train_cfg.minutes'] == 3
    assert read_plan(path, minutes=2).options['train_cfg.minutes'] == 2
    path.write_text(path.read_text().replace('minutes: 3\n', ''))
    given = read_plan(path, options=['selection=val', 'train_cfg.max_epochs=3'])
    assert given.options == {'train_dataloader.batch_size': 2, 'selection': 'val', 'train_cfg.max_epochs': 3}


def test_errors_of_the_file(tmp_path):
    path = tmp_path / 'plan.yaml'
    with pytest.raises(UserError, match='no such file'):
        read_plan(path)
    for text, words in (('networks: [', 'YAML'), ('- acm', 'found a list'), ('network: [acm]', "'networks'")):
        path.write_text(text)
        with pytest.raises(UserError, match=words):
            read_plan(path)


def test_shares():
    assert (find_shard(None, {}).rank, find_shard(None, {}).count) == (0, 1)
    runs = list(range(10))
    assert sorted(run for r in (1, 2, 3) for run in find_shard(f'{r}/3', {}).of(runs)) == runs
    torchrun = find_shard(None, {'RANK': '5', 'WORLD_SIZE': '8', 'LOCAL_RANK': '1'})
    assert (torchrun.rank, torchrun.count, torchrun.local_rank) == (5, 8, 1)
    srun = find_shard(None, {'SLURM_PROCID': '2', 'SLURM_STEP_NUM_TASKS': '4', 'SLURM_LOCALID': '0'})
    assert (srun.rank, srun.count, srun.local_rank) == (2, 4, 0)
    # a batch script that does not use srun runs once, whatever it reserved
    assert find_shard(None, {'SLURM_PROCID': '0', 'SLURM_NTASKS': '4'}).count == 1
    for wrong in ('0/3', '4/3', '1', 'a/b', '1/0', '²/3'):
        with pytest.raises(UserError, match='--shard'):
            find_shard(wrong, {})


def test_labels(configs):
    assert label_of('dnanet', 'configs/dnanet/dnanet.py') == 'DNANet'
    assert label_of('madnet_nano', 'configs/madnet/madnet_nano.py') == 'MAD-Net nano'
    assert label_of('tophat') == 'Top-hat 5×5'
    assert label_of('my_own', 'elsewhere/my_own.py') == 'my_own'


def test_each_set_is_left_out_once(repository, monkeypatch, tmp_path, make_set):
    monkeypatch.chdir(repository)
    nano = {'name': 'nano', 'config': 'configs/madnet/madnet_nano.py', 'train_on': 'others'}
    plan = read_plan(networks=[nano], datasets=['nuaa', 'nudt', 'irstd1k'], also_test_on=['sirstaug'])
    runs = plan.runs()
    trained = [[d['name'] for d in run.settings['train_dataloader']['dataset']['datasets']] for run in runs]
    assert trained == [['NUDT-SIRST', 'IRSTD-1K'], ['NUAA-SIRST', 'IRSTD-1K'], ['NUAA-SIRST', 'NUDT-SIRST']]
    assert [run.test_on for run in runs] == [(d, 'sirstaug') for d in ('nuaa', 'nudt', 'irstd1k')]
    runs[0].check_sets_to_test()
    assert Run.from_json(runs[0].as_json()).test_on == ('nuaa', 'sirstaug')

    own = {**nano, 'train_on': ['others', f'{tmp_path}/{{dataset}}_found']}
    for name in ('nuaa', 'nudt', 'irstd1k'):
        make_set(f'{name}_found', ['a'], lists={'train.txt': ['a']})
    sets = [
        run.settings['train_dataloader']['dataset']['datasets']
        for run in read_plan(networks=[own], datasets=['nuaa', 'nudt', 'irstd1k']).runs()
    ]
    assert [len(each) for each in sets] == [3, 3, 3]
    assert [Path(each[2]['data_root']).name for each in sets] == ['nuaa_found', 'nudt_found', 'irstd1k_found']

    free = tmp_path / 'nuaa_free'
    free.mkdir()
    [run] = read_plan(networks=['acm'], also_test_on=[f'{tmp_path}/{{dataset}}_free']).runs()
    assert run.test_on == ('nuaa', str(free))
    run.check_sets_to_test()
    (free / 'dataset.json').write_text('{"name": "NUAA-SIRST"}')
    with pytest.raises(UserError, match="two of the data sets are called 'NUAA-SIRST'"):
        run.check_sets_to_test()
    [run] = read_plan(networks=['acm'], also_test_on=['nuaa', 'NUAA-SIRST']).runs()
    assert run.test_on == ('nuaa', 'NUAA-SIRST')
    with pytest.raises(UserError, match="two of the data sets are called 'NUAA-SIRST'"):
        run.check_sets_to_test()
    for datasets in (['nuaa'], ['own', 'nuaa']):
        with pytest.raises(UserError, match="train_on 'others': found datasets"):
            read_plan(networks=[nano], datasets=datasets)
    with pytest.raises(UserError, match="also_test_on: found 'own'"):
        read_plan(networks=['acm'], datasets=['own'], also_test_on=['nuaa'])


@pytest.mark.parametrize(
    ('before', 'now', 'moved'),
    [
        ('mine', '{here}/mine', True),  # as an earlier version wrote it
        ('{here}/gone/mine', '{here}/mine', True),
        ('{here}/gone/mine', '{here}/other', False),
        ('{here}/other/mine', '{here}/mine', False),
    ],
)
def test_a_data_set_that_has_moved_makes_no_other_run(tmp_path, monkeypatch, before, now, moved):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'other' / 'mine').mkdir(parents=True)
    places = [place.format(here=tmp_path) for place in (before, now)]
    assert _has_moved('train_dataloader.dataset.data_root', *places) is moved
    assert not _has_moved('work_dir', *places)


def test_classes_as_types_are_known_by_their_names(plan_file, tmp_path):
    config = tmp_path / 'narrow.py'
    config.write_text(
        'from madnet.datasets import SyntheticSIRSTDataset as _Set\n'
        'from madnet.models.segmentors import IRSTDSegmentor as _Segmentor\n'
        f'{config.read_text()}model.update(type=_Segmentor)\ntest_dataloader["dataset"].update(type=_Set)\n'
    )
    [run] = read_plan(plan_file, seeds=[1], networks=[{'name': 'narrow', 'config': str(config)}]).runs()
    model, [tested] = run.settings['model'], sets_of(run.settings, 'test_dataloader')
    assert model['type'] == 'madnet.models.segmentors.irstd_segmentor.IRSTDSegmentor'
    assert kind_of(tested) == 'SyntheticSIRSTDataset'
    assert is_kind(model['type'], MODELS, IRSTDSegmentor)
    assert isinstance(MODELS.build(model), IRSTDSegmentor)
