"""Plans: what a YAML file and the command line mean, and what is said to wrong ones."""

from pathlib import Path

import pytest
from mmseg.registry import MODELS, TRANSFORMS

from madnet.engine.cli import parse_options
from madnet.engine.config import load_config
from madnet.errors import UserError
from madnet.experiments.plan import find_shard, known_networks, read_plan
from madnet.experiments.systems import label_of, load_systems, system_of


@pytest.fixture
def configs(repository, monkeypatch):
    monkeypatch.chdir(repository)


def names(plan):
    return [run.name for run in plan.runs()]


def test_the_shipped_example(configs):
    runs = read_plan('experiments/small_comparison/plan.yaml').runs()
    assert [run.name for run in runs][-1] == 'ipi nuaa'
    assert runs[0].config == 'configs/modern/madnet_nano_nuaa.py'
    assert runs[0].label == 'MAD-Net nano'
    assert runs[0].options[0] == 'train_cfg.max_epochs=30'
    assert runs[0].folder == 'work_dirs/small_comparison/madnet_nano/nuaa/seed42'
    assert (runs[-1].seed, runs[-1].options) == (None, ())


def test_the_shipped_ablation_changes_one_part_at_a_time(configs):
    runs = read_plan('experiments/ablation/plan.yaml').runs()
    assert len(runs) == 3 * len({run.network for run in runs})
    assert all('test_dataloader.dataset.split=val' in run.options for run in runs)
    read = {run.network: load_config(run.config, parse_options(list(run.options))) for run in runs[::3]}
    assert read['nano'].train_dataloader.dataset.split == 'fit'
    parts = ['model', 'train_dataloader', 'optim_wrapper', 'param_scheduler', 'custom_hooks', 'train_cfg']
    parts.append('load_from')
    for name, config in read.items():
        over = 'batch_overlap' if name.startswith('batch_') and name != 'batch_overlap' else 'nano'
        changed = sum(config.get(part) != read[over].get(part) for part in parts)
        assert changed == (0 if name == over else 1), name
        MODELS.build(config.model)
        for step in config.train_dataloader.dataset.pipeline:
            TRANSFORMS.build(step)


def test_products_and_recipes(configs):
    plan = read_plan(networks=['acm', 'tophat'], datasets=['nuaa', 'nudt'], seeds=[0, 1])
    assert names(plan) == [
        'acm nuaa seed 0', 'acm nuaa seed 1', 'tophat nuaa',
        'acm nudt seed 0', 'acm nudt seed 1', 'tophat nudt',
    ]  # fmt: skip
    assert plan.runs()[0].config == 'configs/zoo/modern/acm_nuaa.py'
    paper = read_plan(networks=['acm', 'madnet'], recipe='paper').runs()
    assert [run.config for run in paper] == ['configs/zoo/acm_nuaa.py', 'configs/madnet_nuaa.py']


def test_groups(configs):
    runs = read_plan(networks=['all', {'name': 'acm', 'label': 'mine'}], datasets=['nuaa', 'nudt']).runs()
    assert [run.label for run in runs if run.network == 'acm'] == ['mine', 'mine']
    hybrids = [run.dataset for run in runs if run.network == 'hybrid_mim_madnet']
    assert hybrids == ['nuaa']  # the data set that it has a config for
    assert not [run.network for run in runs if 'finetune' in run.network]  # they begin from given weights
    named = read_plan(networks=['madnet_nano_finetune'], datasets=['nuaa']).runs()
    assert [run.config for run in named] == ['configs/modern/madnet_nano_finetune_nuaa.py']
    classical = read_plan(networks='classical').runs()
    assert len(classical) == len(known_networks('configs', ['classical']))


def test_the_shipped_recipe_in_three_steps(configs):
    joint, wide, tuned = (
        {
            run.seed: run
            for run in read_plan('experiments/whole_recipe/plan.yaml').runs()
            if run.network == name
        }
        for name in ('joint', 'wide', 'tuned')
    )
    for before, after in ((joint, wide), (wide, tuned)):
        assert set(after) == {42, 43, 44}
        for seed, run in after.items():
            config = load_config(run.config, parse_options(list(run.options)))
            assert config.load_from == f'{before[seed].folder}/last.pth'
            [overlap, _] = config.model.decode_head.loss_decode
            assert not overlap.per_image
    assert load_config(wide[42].config, parse_options(list(wide[42].options))).train_cfg.max_epochs == 6


def test_one_part_begins_from_the_weights_of_another(configs):
    first = {'name': 'first', 'config': 'configs/modern/madnet_nano_joint.py'}
    second = {
        'name': 'second',
        'config': 'configs/modern/madnet_nano_{dataset}.py',
        'options': {'load_from': 'runs/first/{dataset}/seed{seed}/last.pth'},
    }
    runs = read_plan(networks=[first, second], seeds=[1, 2], work_dir='runs').runs()
    for before, after in zip(runs[:2], runs[2:], strict=True):
        assert after.options == (f'load_from={before.folder}/last.pth',)


def test_views_are_tested_one_after_the_other(configs):
    network, detector = read_plan(networks=['acm', 'tophat'], views=[1, 8], work_dir='runs').runs()
    folder = Path('runs/acm/nuaa/seed42')
    assert network.tests() == {1: folder, 8: folder / 'views8'}
    assert detector.tests() == {None: Path('runs/tophat/nuaa/test')}


def test_views_are_refused_before_a_network_that_has_none_trains(configs, repository, tmp_path):
    config = tmp_path / 'foreign_nuaa.py'
    config.write_text(
        f"_base_ = '{repository}/configs/modern/madnet_nano_nuaa.py'\nmodel = dict(type='EncoderDecoder')\n"
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


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        ({'networks': ['dnanett']}, "'dnanet'"),
        ({'networks': ['acm'], 'datasets': ['nua']}, "'nuaa'"),
        ({'networks': ['hybrid_mim_madnet'], 'datasets': ['nudt']}, 'only for nuaa'),
        ({'networks': ['madnet']}, "under recipe 'paper' only"),
        ({'networks': ['acm', 'acm']}, 'comes 2 times'),
        ({'networks': ['acm'], 'recipe': 'modren'}, "'modern'"),
        ({'networks': ['acm'], 'seeds': [-1]}, 'seeds'),
        ({'networks': [{'name': 'acm', 'confg': 'x'}]}, "'config'"),
        ({'networks': [{'name': 'x', 'config': 'no_{dataset}.py'}]}, 'no_nuaa.py'),
        ({'networks': [3]}, 'networks: found 3'),
        ({'networks': ['acm'], 'views': [1, 3]}, 'views: found 3, expected some of'),
        ({}, 'no networks'),
    ],
)
def test_errors(configs, given, words):
    with pytest.raises(UserError, match=words):
        read_plan(**given).runs()


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
    for wrong in ('0/3', '4/3', '1', 'a/b', '1/0'):
        with pytest.raises(UserError, match='--shard'):
            find_shard(wrong, {})


def test_systems():
    assert system_of('madnet_nano') == 'madnet'
    assert system_of('madness') is None
    assert label_of('dnanet') == 'DNANet'
    assert label_of('abc_b') == 'ABC b'
    assert label_of('tophat') == 'Top-hat 5×5'
    assert label_of('my_own') == 'my_own'
    for key, system in load_systems()['networks'].items():
        assert {'name', 'paper'} <= set(system), key
