"""Config loading: what is said in short becomes a static config, and what is wrong is said in one line."""

import copy
import importlib
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS
from PIL import Image
from torch import nn
from yapf.yapflib import yapf_api

from madnet.config_files import config_names
from madnet.datasets import SIRSTDataset, get_entry, ids_sha256, known_datasets, split_ids
from madnet.datasets.image_pipeline import ImagePipeline
from madnet.engine.cli import parse_options
from madnet.engine.config import check_config, load_config
from madnet.engine.config.checking import _LEAST, _arguments
from madnet.engine.config.reading import OURS, _read, files_of_modules
from madnet.engine.config.static_config import StaticConfig
from madnet.engine.config.steps import replace_steps
from madnet.engine.config.value_ranges import value_range_of
from madnet.engine.runner import build_runner
from madnet.engine.test import config_for_test, configs_by_set
from madnet.engine.train import training_config
from madnet.errors import UserError
from madnet.models.segmentors import IRSTDSegmentor

#: A network for any data set, as the common configs are.
OPEN = """
_base_ = ['{configs}/madnet_synthetic.py']
_train = [
    dict(type='LoadSIRSTImage', channels=1),
    dict(type='LoadSIRSTMask'),
    dict(type='RandomTargetCrop', size=64, target_prob=0.5),
    dict(type='RandomApply', prob=0.5, transforms=[dict(type='GainOffsetJitter', gain=0.2)]),
    dict(type='PackSIRSTInputs'),
]
test_pipeline = [
    dict(type='LoadSIRSTImage', channels=1), dict(type='LoadSIRSTMask'), dict(type='PackSIRSTInputs')
]
model = dict(backbone=dict(base_channels=2), data_preprocessor=dict(_delete_=True, type='IRSTDPreProcessor'))
train_dataloader = dict(batch_size=4, dataset=dict(_delete_=True, type='SIRSTDataset', pipeline=_train))
val_dataloader = dict(dataset=dict(_delete_=True, type='SIRSTDataset', pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(_delete_=True, type='SIRSTDataset', pipeline=test_pipeline))
train_cfg = dict(max_epochs=2)
param_scheduler = []
selection = 'val'
dataset = 'NUAA-SIRST'
per_dataset = {{
    'nudt': dict(
        train_cfg=dict(max_epochs=7),
        split_set='irsam',
        selection='last',
        optim_wrapper=dict(clip_grad=dict(_delete_=True, type='value', clip_value=1.0)),
    )
}}
"""


@pytest.fixture
def config(tmp_path, repository):
    """Path of that config; a text beside it becomes another one that builds on it."""
    path = tmp_path / 'open.py'
    path.write_text(OPEN.format(configs=repository / 'configs'))
    return path


@pytest.fixture
def on_top(config):
    def write(text):
        path = config.with_name('top.py')
        path.write_text(f"_base_ = ['{config}']\n{text}\n")
        return path

    return write


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A folder of twelve images, nine to train on, brighter by ten grey levels from one to the next."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    rng = np.random.default_rng(0)
    for i in range(12):
        for kind in ('images', 'masks'):
            (tmp_path / 'mine' / ('trainval' if i < 9 else 'test') / kind).mkdir(parents=True, exist_ok=True)
        folder = tmp_path / 'mine' / ('trainval' if i < 9 else 'test')
        image = rng.integers(50 + 10 * i, 60 + 10 * i, (72, 80 + i), dtype=np.uint8)
        mask = np.zeros_like(image)
        mask[20:24, 30:34] = 255
        image[mask > 0] = 250
        Image.fromarray(image).save(folder / 'images' / f'{i}.png')
        Image.fromarray(mask).save(folder / 'masks' / f'{i}.png')
    return tmp_path / 'mine'


def sets(cfg):
    return [cfg[f'{part}_dataloader'].dataset for part in ('train', 'val', 'test')]


def refusal(path, options=None, dataset=None):
    with pytest.raises(UserError) as e:
        load_config(path, options, dataset)
    assert '\n' not in str(e.value)
    return str(e.value)


def test_a_name_fills_every_set_and_the_statistics(config):
    cfg = load_config(config)
    assert [(d.name, d.split, d.base_size) for d in sets(cfg)] == [
        ('NUAA-SIRST', split, 512) for split in ('fit', 'val', 'test')
    ]
    grey = get_entry('NUAA-SIRST').statistics['grey']
    assert cfg.model.data_preprocessor == {'type': 'IRSTDPreProcessor', **grey}
    assert cfg.work_dir == 'work_dirs/open_nuaa'
    assert not {*OURS, '_train', 'test_pipeline', 'vis_backends'} & set(cfg)
    other = load_config(config, dataset='irstd1k')
    assert {d.name for d in sets(other)} == {'IRSTD-1K'}
    assert other.model.data_preprocessor.mean == [87.353]
    assert other.work_dir == 'work_dirs/open_irstd1k'
    assert load_config(config, {'dataset': 'irstd1k'}).to_dict() == other.to_dict()


def test_the_work_folder_does_not_name_the_set_twice(config):
    twin = config.rename(config.with_name('open_nuaa.py'))
    assert load_config(twin).work_dir == 'work_dirs/open_nuaa'


def test_three_channels_get_their_means_in_the_order_of_the_preprocessor(on_top):
    rgb = get_entry('NUAA-SIRST').statistics['rgb']['mean']
    three = 'replace_steps = dict(LoadSIRSTImage=dict(channels=3))\n'
    plain = three + 'model = dict(backbone=dict(in_channels=3){})'
    turned = plain.format(', data_preprocessor=dict(bgr_to_rgb=True)')
    assert load_config(on_top(turned)).model.data_preprocessor.mean == rgb
    assert load_config(on_top(plain.format(''))).model.data_preprocessor.mean == rgb[::-1]
    own = "base_size = 96\nsplit_set = 'basicirstd'\n"
    cfg = load_config(on_top(own + 'model = dict(data_preprocessor=dict(mean=[1.0], std=[2.0]))'))
    assert (cfg.model.data_preprocessor.mean, sets(cfg)[0].base_size) == ([1.0], 96)
    assert {d.split_set for d in sets(cfg)} == {'basicirstd'}


@pytest.mark.parametrize(
    ('selection', 'train', 'val'),
    [('val', 'fit', 'val'), ('test', 'trainval', 'test'), ('last', 'trainval', None)],
)
def test_selection_says_which_part_trains_and_which_chooses(config, selection, train, val):
    cfg = load_config(config, {'selection': selection})
    assert cfg.train_dataloader.dataset.split == train
    assert (cfg.val_dataloader and cfg.val_dataloader.dataset.split) == val
    assert cfg.default_hooks.checkpoint.save_best == (None if val is None else 'nIoU')


def test_a_file_beats_what_its_base_says_of_a_data_set(on_top):
    """A value that a new experiment states must not be lost to a ``per_dataset`` that it never sees."""
    path = on_top("dataset = 'nudt'\ntrain_cfg = dict(max_epochs=5)")
    cfg = load_config(path)
    assert cfg.train_cfg.max_epochs == 5
    assert {d.split_set for d in (cfg.train_dataloader.dataset, cfg.test_dataloader.dataset)} == {'irsam'}
    # in one and the same file, what it says of the data set is the more special
    both = "train_cfg = dict(max_epochs=5)\nper_dataset = {'nudt': dict(train_cfg=dict(max_epochs=6))}"
    assert load_config(on_top(both), dataset='nudt').train_cfg.max_epochs == 6


STEPS = 'train_dataloader = dict(dataset=dict(pipeline={}))'


@pytest.mark.parametrize(
    ('text', 'epochs', 'size'),
    [
        ('replace_steps = dict(RandomTargetCrop=None)', 7, None),
        ("replace_steps = dict(RandomTargetCrop=[dict(type='RandomBlur')])", 7, None),
        (STEPS.format("[dict(type='RandomTargetCrop', size=64), dict(type='PackSIRSTInputs')]"), 7, 64),
        ('_mine = dict(max_epochs=5)\ntrain_cfg = _mine', 5, 32),
        ('train_cfg: dict = dict(max_epochs=5)', 5, 32),
        ('if True:\n    train_cfg = dict(max_epochs=5)', 5, 32),
        ('_mine = dict(max_epochs=5)\ntrain_cfg = dict(**_mine)', 5, 32),
        ('_mine = dict(max_epochs=2)\ntrain_cfg = dict(**_mine)', 2, 32),  # what the bases come to without it
        ('train_cfg: dict = dict(max_epochs=2)', 2, 32),
        ('if True:\n    train_cfg = dict(max_epochs=2)', 2, 32),
        ('per_dataset = dict(nudt=dict(_delete_=True, split_set="irsam"))', 2, 64),
        ('per_dataset = dict(nudt=None)', 2, 64),
        ('per_dataset = None', 2, 64),
        ('train_cfg = dict(dict(max_epochs=5))', 5, 32),
        ("train_cfg = dict()\ntrain_cfg['max_epochs'] = 5", 5, 32),
        ('train_cfg = dict(val_interval=2)', 7, 32),
        ('_mine = dict(train_cfg=dict(val_interval=2))\ntrain_cfg = _mine["train_cfg"]', 7, 32),
        ('train_cfg = dict()\ntrain_cfg |= dict(max_epochs=5)', 5, 32),
        ("_more = {n: dict(train_cfg=dict(max_epochs=9)) for n in ['nudt']}\nper_dataset = _more", 9, 32),
        (
            "_set = dict(pipeline=[dict(type='RandomTargetCrop', size=64)])\n"
            'train_dataloader = dict(dataset=_set)',
            7,
            64,
        ),
    ],
)
def test_however_a_file_says_it_it_beats_its_base(config, text, epochs, size):
    """A whole that is put in another's place, or a value that is not written out where the key is."""
    base = config.with_name('steps.py')
    steps = 'RandomTargetCrop=dict(size=32), LoadSIRSTImage=dict(bit_depth=14)'
    more = f'replace_steps=dict({steps}), train_cfg=dict(max_epochs=7)'
    base.write_text(f"_base_ = 'open.py'\nper_dataset = {{'nudt': dict({more})}}\n")
    path = config.with_name('mine.py')
    path.write_text(f"_base_ = 'steps.py'\n{text}\n")
    cfg = load_config(path, dataset='nudt')
    assert cfg.train_cfg.max_epochs == epochs
    if epochs != 2 or size != 64:  # all but those that leave out what the base says of the data set
        assert {s.bit_depth for s in cfg.test_dataloader.dataset.pipeline if 'channels' in s} == {14}
    crops = [step for step in cfg.train_dataloader.dataset.pipeline if step.type == 'RandomTargetCrop']
    assert [crop.size for crop in crops] == ([] if size is None else [size])


@pytest.mark.parametrize('name', ['nudt', 'NUDT-SIRST', 'irstd1k'])
@pytest.mark.parametrize('bases', ['nudt', 'NUDT-SIRST'])
def test_a_data_set_that_is_deleted_leaves_the_config_as_it_is(config, bases, name):
    """Whether a base speaks of it, by this name or another of its names, or not."""
    base = (
        f"_base_ = 'open.py'\nper_dataset = {{'{bases}': dict(train_cfg=dict(max_epochs=7, val_interval=3))}}"
    )
    config.with_name('base.py').write_text(base)
    path = config.with_name('mine.py')
    path.write_text(
        f"_base_ = 'base.py'\nper_dataset = {{'{name}': dict(_delete_=True, train_cfg=dict(max_epochs=8))}}\n"
    )
    cfg, without = load_config(path, dataset=name), load_config(config, dataset='nuaa')
    assert cfg.train_cfg == {**without.train_cfg, 'max_epochs': 8}
    assert set(cfg) == set(without)


@pytest.mark.parametrize('name', ['nudt', 'NUDT-SIRST'])
@pytest.mark.parametrize('bases', ['clip_grad=dict(max_norm=2.0)', "_delete_=True, type='AmpOptimWrapper'"])
def test_a_part_deleted_of_a_data_set_is_the_configs_own_too(config, bases, name):
    for text in (f'per_dataset = dict(nudt=dict(optim_wrapper=dict({bases})))\n', ''):
        config.with_name('base.py').write_text(
            f"_base_ = 'open.py'\noptim_wrapper = dict(clip_grad=dict(max_norm=1.0))\n{text}"
        )
        path = config.with_name('mine.py')
        wrapper = "dict(_delete_=True, type='OptimWrapper', optimizer=dict(type='SGD', lr=0.3))"
        path.write_text(f"_base_ = 'base.py'\nper_dataset = {{'{name}': dict(optim_wrapper={wrapper})}}\n")
        found = load_config(path, dataset='nudt').optim_wrapper
        assert found == {'type': 'OptimWrapper', 'optimizer': {'type': 'SGD', 'lr': 0.3}}


def test_a_part_put_in_anothers_place_takes_nothing_from_its_bases_data_set(config):
    path = config.with_name('mine.py')
    for deleted in (False, True):
        wrapper = f"dict(_delete_={deleted}, type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.1))"
        path.write_text(f"_base_ = 'open.py'\noptim_wrapper = {wrapper}\n")
        assert ('clip_grad' in load_config(path, dataset='nudt').optim_wrapper) != deleted


@pytest.mark.parametrize('changed', ["dict(_delete_=True, type='value', clip_value=1.0)", 'None', '[]'])
def test_a_part_that_the_file_speaks_of_is_not_put_in_anothers_place(config, changed):
    """What the file says is not lost with the part, nor does it come into a part of another kind."""
    config.with_name('base.py').write_text(
        "_base_ = 'open.py'\noptim_wrapper = dict(clip_grad=dict(max_norm=1.0, norm_type=2))\n"
        f'per_dataset = dict(nudt=dict(_delete_=True, optim_wrapper=dict(clip_grad={changed})))\n'
    )
    for name in ('mine', 'further'):  # at whatever distance
        text = 'optim_wrapper = dict(clip_grad=dict(max_norm=3.0))' if name == 'further' else ''
        base = {'mine': 'base', 'further': 'mine'}[name]
        config.with_name(f'{name}.py').write_text(f"_base_ = '{base}.py'\n{text}\n")
    cfg = load_config(config.with_name('further.py'), dataset='nudt')
    assert cfg.optim_wrapper.clip_grad == {'max_norm': 3.0, 'norm_type': 2}


@pytest.mark.parametrize(
    ('base', 'text', 'kept'),
    [
        (
            'abc/abc_published.py',
            "optim_wrapper = dict(type='AmpOptimWrapper')",
            ['optim_wrapper', 'optimizer', 'lr'],
        ),
        ('acm/acm_toolbox.py', "model = dict(type='EncoderDecoder')", ['model', 'data_preprocessor', 'mean']),
    ],
)
def test_a_part_of_another_kind_around_leaves_what_parts_inside_take(tmp_path, base, text, kept):
    path = tmp_path / 'mine.py'
    path.write_text(f"_base_ = '{base}'\n{text}\n")
    found = [load_config(each, dataset='nuaa') for each in (Path(base).stem, path)]
    for key in kept:
        found = [values[key] for values in found]
    assert found[0] == found[1] in (3e-4, [101.0639])


def test_of_several_bases_the_nearest_file_decides(tmp_path):
    """``per_dataset`` at two levels, the lower one below a base beside which others hold what it changes."""
    said = 'train_cfg=dict(max_epochs=6, val_interval=6), replace_steps=dict(RandomTargetCrop=dict(size=32))'
    for name, text in {
        'low': "_base_ = '_base_/recipes/common.py'\n"
        f"per_dataset = dict(nudt=dict({said}, selection='last', model=dict(backbone=dict(num_stages=3))))",
        'middle': "_base_ = 'low.py'\ntrain_cfg = dict(val_interval=5)",
        'top': "_base_ = ['middle.py', '_base_/data/common.py', '_base_/models/madnet.py', "
        "'_base_/default_runtime.py']\nmodel = dict(backbone=dict(in_channels=1))\n"
        'per_dataset = dict(nudt=dict(train_cfg=dict(max_epochs=8)))',
        'mine': "_base_ = 'top.py'\nreplace_steps = dict(RandomTargetCrop=dict(target_prob=0.3))",
    }.items():
        (tmp_path / f'{name}.py').write_text(text)
    cfg = load_config(tmp_path / 'mine.py', dataset='nudt')
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval) == (8, 5)
    assert (cfg.train_dataloader.dataset.split, cfg.model.backbone.num_stages) == ('trainval', 3)
    crop = next(step for step in cfg.train_dataloader.dataset.pipeline if step.type == 'RandomTargetCrop')
    assert (crop.size, crop.target_prob) == (32, 0.3)
    told = load_config(tmp_path / 'mine.py', {'per_dataset.nudt.train_cfg.val_interval': 9}, 'nudt')
    assert told.train_cfg.val_interval == 9


def test_in_one_file_the_data_set_counts_whatever_its_base_says_of_it(config):
    path = config.with_name('mine.py')
    for epochs in (7, 8):  # 7 is the base's, too
        own = f"per_dataset = {{'nudt': dict(train_cfg=dict(max_epochs={epochs}))}}"
        path.write_text(f"_base_ = 'open.py'\ntrain_cfg = dict(max_epochs=5)\n{own}\n")
        assert load_config(path, dataset='nudt').train_cfg.max_epochs == epochs


@pytest.mark.parametrize('name', ['acm', 'isnet', 'rdian', 'alcnet_basic'])
def test_values_by_helpers_leave_what_they_do_not_hold_to_the_data_set(name, data_root):
    plain = load_config(f'{name}_toolbox', dataset='nudt').model.data_preprocessor
    assert (plain.mean, plain.std) == ([107.8091], [33.0227])


def test_an_option_without_effect_is_refused(config):
    """``optimizer`` is a helper variable in configs of mmseg; as an option it would change nothing."""
    assert "Did you mean 'optim_wrapper'" in refusal(config, {'optimizer.lr': 1e-3})


def test_per_dataset_stands_between_the_file_and_the_options(on_top):
    path = on_top("per_dataset = {'NUDT-SIRST': dict(train_cfg=dict(val_interval=3))}")
    cfg = load_config(path, dataset='NUDT')
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval) == (7, 3)
    assert cfg.train_dataloader.dataset.split_set == 'irsam'
    assert cfg.val_dataloader is None
    assert cfg.optim_wrapper.clip_grad == {'type': 'value', 'clip_value': 1.0}
    assert load_config(path, {'train_cfg.max_epochs': 5}, 'nudt').train_cfg.max_epochs == 5
    assert load_config(path, dataset='nuaa').train_cfg.max_epochs == 2
    assert load_config(path, dataset=['nuaa', 'nudt']).train_cfg.max_epochs == 2
    assert "Did you mean 'NUDT-SIRST'" in refusal(on_top("per_dataset = {'NUDT-SRIST': dict()}"))


def kinds(cfg):
    return [step.type for step in cfg.train_dataloader.dataset.pipeline]


def test_steps_are_replaced_by_their_type(on_top):
    path = on_top(
        'replace_steps = dict('
        'RandomTargetCrop=dict(size=32), GainOffsetJitter=dict(offset=3.0), LoadSIRSTMask=None, '
        "PackSIRSTInputs=[dict(type='RandomRot90'), dict(type='PackSIRSTInputs')])"
    )
    cfg = load_config(path, {'replace_steps.RandomTargetCrop.size': 48})
    assert kinds(cfg) == [
        *('LoadSIRSTImage', 'RandomTargetCrop', 'RandomApply', 'RandomRot90', 'PackSIRSTInputs')
    ]
    crop, apply = cfg.train_dataloader.dataset.pipeline[1:3]
    assert crop == {'type': 'RandomTargetCrop', 'size': 48, 'target_prob': 0.5}
    assert apply.transforms == [{'type': 'GainOffsetJitter', 'gain': 0.2, 'offset': 3.0}]
    assert [s.type for s in cfg.test_dataloader.dataset.pipeline] == [
        *('LoadSIRSTImage', 'RandomRot90', 'PackSIRSTInputs')
    ]
    said = refusal(path, {'replace_steps.RandomTragetCrop.size': 48})
    assert 'replace_steps.RandomTragetCrop: no pipeline' in said
    assert "Did you mean 'RandomTargetCrop'" in said
    for change in (3, 0, False, ['dict(type=RandomApply)']):  # as --cfg-options gives them
        assert 'expected dict' in refusal(path, {'replace_steps.RandomApply': change})


def test_a_scope_before_a_name_changes_nothing(on_top, mine):
    text = (
        "replace_steps = dict(LoadSIRSTImage=[dict(type='{0}LoadSIRSTImage', channels=1, "
        "value_range=(0, 200))], RandomTargetCrop=[dict(type='{0}ToolboxCrop', size=64)])\n"
        "model = dict(data_preprocessor=dict(type='{0}IRSTDPreProcessor'))"
    )
    plain, scoped = (load_config(on_top(text.format(scope)), dataset=mine) for scope in ('', 'mmseg.'))
    assert len(plain.model.data_preprocessor.mean) == 1
    assert scoped.model.data_preprocessor.mean == plain.model.data_preprocessor.mean
    crop = scoped.train_dataloader.dataset.pipeline[2]
    assert crop.pad_value == plain.model.data_preprocessor.mean[0]
    assert value_range_of(scoped.test_dataloader.dataset) == (0, 200)
    frame = mine / 'test' / 'images' / '9.png'
    shown, same = (ImagePipeline.from_config(cfg)(frame)['inputs'] for cfg in (plain, scoped))
    assert torch.equal(shown, same)
    said = refusal(on_top(text.format('mmseg.')), {'model.backbone.in_channels': 3}, mine)
    assert 'model.backbone.in_channels: found 3' in said


@pytest.mark.parametrize('key', ['RandomRotFlip', 'mmseg.RandomRotFlip'])
def test_a_step_is_replaced_by_its_name_with_its_scope_or_without(key):
    steps = [{'type': 'mmseg.RandomRotFlip'}, {'type': 'PackSIRSTInputs'}]
    cfg = Config({'train_dataloader': {'dataset': {'pipeline': steps}}, 'replace_steps': {key: None}})
    replace_steps(cfg)
    assert [s.type for s in cfg.train_dataloader.dataset.pipeline] == ['PackSIRSTInputs']


def test_a_step_becomes_a_choice_between_two_of_its_kind(on_top):
    path = on_top(
        "replace_steps = dict(RandomTargetCrop=[dict(type='RandomChoice', prob=[0.6, 0.4], transforms=["
        "[dict(type='RandomTargetCrop', size=64)], [dict(type='RandomTargetCrop', size=64, zoom=(0.5, 2)),"
        " dict(type='ToolboxCrop', size=64)]])])"
    )
    cfg = load_config(path)
    assert kinds(cfg)[2] == 'RandomChoice'
    plain, zoomed = cfg.train_dataloader.dataset.pipeline[2].transforms
    assert plain == [{'type': 'RandomTargetCrop', 'size': 64}]
    # what holds for all steps of a kind holds there too
    assert zoomed[1].pad_value == cfg.model.data_preprocessor.mean[0]
    check_config(cfg, 'open.py')


def test_toolbox_crop_pads_with_the_mean(on_top):
    crop = "replace_steps = dict(RandomTargetCrop=[dict(type='ToolboxCrop', size=64{})])"
    cfg = load_config(on_top(crop.format('')))
    assert cfg.train_dataloader.dataset.pipeline[2].pad_value == cfg.model.data_preprocessor.mean[0] > 0
    cfg = load_config(on_top(crop.format(', pad_value=3.0')))
    assert cfg.train_dataloader.dataset.pipeline[2].pad_value == 3.0


def test_several_sets_train_together(config):
    options = {'selection': 'last', 'train_dataloader.dataset.exclude_near_test': True}
    cfg = load_config(config, options, 'nuaa,nudt,irstd1k')
    parts = cfg.train_dataloader.dataset.datasets
    assert cfg.train_dataloader.dataset.type == 'ConcatDataset'
    assert [(p.name, p.split, p.exclude_near_test, len(p.pipeline)) for p in parts] == [
        (name, 'trainval', True, 5) for name in ('NUAA-SIRST', 'NUDT-SIRST', 'IRSTD-1K')
    ]
    # measured over all 1,768 images, each with the same weight
    assert cfg.model.data_preprocessor.mean == [99.423]
    assert cfg.model.data_preprocessor.std == [57.959]
    assert cfg.work_dir == 'work_dirs/open_nuaa+nudt+irstd1k'
    made = configs_by_set(config_for_test(cfg, ['native'], 'open.py'), [])
    assert [*made] == [one.test_dataloader.dataset.name for one in made.values()]
    assert [*made] == ['NUAA-SIRST', 'NUDT-SIRST', 'IRSTD-1K']
    assert all(one.test_dataloader.dataset.split == 'test' for one in made.values())
    one = load_config(config, {**options, 'test_dataloader.dataset.name': 'NUDT-SIRST'}, 'nuaa,nudt')
    assert config_for_test(one, ['native'], 'open.py').test_dataloader.dataset.name == 'NUDT-SIRST'
    assert len(one.train_dataloader.dataset.datasets) == 2


def test_resolving_again_changes_nothing(config, on_top, tmp_path, mine, capsys):
    for dataset in ('nudt', ['nuaa', 'irstd1k'], str(mine)):
        first = load_config(config, dataset=dataset)
        printed = tmp_path / 'printed.py'
        printed.write_text(first.pretty_text)
        assert load_config(printed).to_dict() == first.to_dict() == Config.fromfile(printed).to_dict()
    assert 'names its own data sets' in refusal(printed, dataset='nuaa')


def test_a_folder_is_measured_once(config, mine, capsys):
    cfg = load_config(config, dataset=str(mine))
    told = capsys.readouterr()
    assert told.err.startswith('mine: mean [')
    assert '9 training images' in told.err
    assert told.err.count('\n') == 1
    assert told.out == ''
    assert [d.data_root for d in sets(cfg)] == [str(mine)] * 3
    assert cfg.work_dir == 'work_dirs/open_mine'
    images = [np.asarray(Image.open(p)).astype(float) for p in sorted((mine / 'trainval/images').iterdir())]
    mean = np.mean([i.mean() for i in images])
    std = np.sqrt(np.mean([(i**2).mean() for i in images]) - mean**2)
    assert cfg.model.data_preprocessor.mean == pytest.approx([mean], abs=1e-3)
    assert cfg.model.data_preprocessor.std == pytest.approx([std], abs=1e-3)
    assert load_config(config, dataset=mine).to_dict() == cfg.to_dict()
    assert capsys.readouterr().err == ''
    assert {p.name for p in mine.rglob('*')} <= {'trainval', 'test', 'images', 'masks'} | {
        f'{i}.png' for i in range(12)
    }
    Image.fromarray(np.zeros((72, 80), np.uint8)).save(mine / 'trainval/images/0.png')
    assert load_config(config, dataset=mine).model.data_preprocessor.mean[0] < mean - 5


@pytest.mark.parametrize(
    ('options', 'dataset', 'said'),
    [
        (
            {'selectoin': 'test'},
            None,
            "option selectoin: no key 'selectoin' is known. Did you mean 'sele",
        ),
        ({'modle.backbone.base_channels': 4}, None, "Did you mean 'model'"),
        ({'selection': 'tset'}, None, "selection: found 'tset', expected one of 'val', 'test', 'last'"),
        ({}, 'nutd', "Did you mean 'nudt'"),
        ({'dataset': None}, None, 'no `dataset` to take them from'),
        (
            {'model.backbone.base_chanels': 4},
            None,
            'model.backbone.base_chanels: AdaDCMEncoder takes no such',
        ),
        ({'model.backbone.base_chanels': 4}, None, "Did you mean 'base_channels'"),
        ({'model.backbone.type': 'AdaDCMEncodr'}, None, "no registered model. Did you mean 'AdaDCMEncoder'"),
        ({'train_cfg.max_epoch': 3}, None, 'train_cfg.max_epoch: ResumableTrainLoop takes no such argument.'),
        ({'train_dataloader.batch_sise': 3}, None, "Did you mean 'batch_size'"),
        (
            {'train_dataloader.dataset.cahce': 1},
            None,
            "SIRSTDataset takes no such argument. Did you mean 'cache'",
        ),
        ({'train_dataloader.sampler.type': 'ResumableSample'}, None, 'no registered data sampler'),
        ({'replace_steps.RandomTargetCrop.sise': 3}, None, 'pipeline.2.sise: RandomTargetCrop takes no such'),
        ({'optim_wrapper.optimizer.tpye': 'SGD'}, None, 'optimizer.tpye: AdamW takes no such argument'),
        ({'optim_wrapper.optimzer.lr': 1}, None, "Did you mean 'optimizer'"),
        ({'default_hooks.checkpoit.interval': 2}, None, 'default_hooks.checkpoit: found no type'),
        ({'default_hooks.checkpoint.intervall': 2}, None, "Did you mean 'interval'"),
        ({'randomness.sead': 2}, None, "Did you mean 'seed'"),
        ({'compile.moed': 'default'}, None, "Did you mean 'mode'"),
        ({'val_evaluator.protocol': 'native'}, None, "Did you mean 'protocols'"),
        ({'model.decode_head.loss_decode.0.smoth': 1}, None, "Did you mean 'smooth'"),
        ({'model.decode_head.dropout_ration': 1}, None, "Did you mean 'dropout_ratio'"),
        (
            {'model.backbone.init_cfg': 3},
            None,
            'init_cfg: found 3, expected a dict with a type',
        ),
        (
            {'model.init_cfg.type': 'Pretraind'},
            None,
            'no registered weight initializer. Did you mean',
        ),
        ({'model.init_cfg.type': 'Pretrained'}, None, 'model.init_cfg: PretrainedInit needs checkpoint'),
        ({'custom_hooks': 3}, None, 'custom_hooks: found 3, expected a list'),
        ({'param_scheduler': 3}, None, 'param_scheduler: found 3, expected a dict with a type'),
        ({'randomness': None}, None, 'randomness: found None, expected a dict'),
        ({'env_cfg': None}, None, 'env_cfg: found None, expected a dict'),
        ({'train_dataloader.dataset.pipeline': None}, None, 'dataset.pipeline: found None, expected a list'),
    ],
)
def test_what_is_wrong_is_said_in_one_line(config, options, dataset, said):
    assert said in refusal(config, options, dataset)


@pytest.mark.parametrize('value', [['x'], [[1]], [None], {'type': ['x']}, {}, 'x', -1], ids=repr)
@pytest.mark.parametrize(
    'option',
    [
        *('dataset', 'selection', 'split_set', 'per_dataset', 'replace_steps', 'test_cfg'),
        *('model.backbone', 'model.data_preprocessor', 'model.test_cfg', 'model.decode_head.loss_decode.0'),
        *('test_dataloader.dataset.data_root', 'test_dataloader.dataset.split_set'),
        *('test_dataloader.dataset.pipeline', 'test_dataloader.dataset.pipeline.0.type'),
    ],
)
def test_a_value_of_any_other_type_is_no_traceback(config, option, value):
    with suppress(UserError):
        load_config(config, {option: value})


@pytest.mark.parametrize(
    ('option', 'value', 'said'),
    [
        ('selection', ['val'], "selection: found ['val'], expected one of 'val', 'test', 'last'"),
        ('split_set', 3, 'split_set: found 3, expected a text.'),
        ('per_dataset', 3, 'per_dataset: found 3, expected a dict.'),
        ('per_dataset.nuaa', 3, 'per_dataset.nuaa: found 3, expected a dict.'),
        ('replace_steps', ['x'], "replace_steps: found ['x'], expected a dict."),
        ('randomness', 3, 'randomness: found 3, expected a dict.'),
        ('model.test_cfg', -1, 'model.test_cfg: found -1, expected a dict.'),
        ('test_dataloader.dataset.data_root', [], 'dataset: data_root: found [], expected a folder'),
        ('test_dataloader.dataset.pipeline', ['x'], "dataset.pipeline.0: found 'x', expected a dict with"),
        ('test_dataloader.dataset.pipeline.0.type', ['x'], "pipeline.0.type: found ['x'], expected a name."),
        ('model.decode_head.loss_decode.0', 'x', 'a part of a list takes single values, LIST.0.KEY=VALUE'),
        ('default_hooks.overlay.images', -4, 'overlay.images: found -4, expected a whole number from 0 on'),
    ],
)
def test_a_value_of_another_type_is_said_in_one_line(config, option, value, said):
    assert said in refusal(config, {option: value})


def test_a_network_without_stages_is_said_in_one_line(tiny_config):
    cfg = load_config(tiny_config, {'model.backbone.num_stages': 0})
    with pytest.raises(UserError, match=r'cannot be built: .*index out of range.*\.py, line \d+'):
        build_runner(cfg)


def test_none_leaves_any_default_hook_out(config):
    cfg = load_config(config, {'default_hooks.overlay': None, 'default_hooks.timer': None})
    assert 'overlay' not in cfg.default_hooks
    assert cfg.default_hooks.timer is None  # mmengine puts its own in where nothing is said
    assert cfg.default_hooks.progress.type == 'ProgressHook'


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        ({'val_dataloader': None}, 'has no val_dataloader; a validation needs val_dataloader, val_cfg,'),
        ({'val_cfg': None, 'val_evaluator': None}, 'has no val_cfg and no val_evaluator; a validation needs'),
        ({'randomness.seed': 'x'}, "randomness.seed: found 'x', expected a whole number below 2³²"),
        ({'randomness.seed': True}, 'randomness.seed: found True, expected'),
        ({'randomness.seed': 2**32}, 'randomness.seed: found 4294967296, expected'),
    ],
)
def test_what_a_training_cannot_begin_with(tiny_config, options, said):
    with pytest.raises(UserError) as e:
        training_config(str(tiny_config), options=options)
    assert said in str(e.value)


def test_an_unknown_argument_gets_the_list_and_an_inherited_one_the_way_out(repository, on_top, tmp_path):
    config = repository / 'configs/madnet_nudt.py'
    kind = 'model.decode_head.loss_decode.type'
    said = refusal(config, {kind: 'SLSLoss'})
    assert 'loss_decode.per_image: SLSLoss takes no such argument.' in said or 'loss_decode.smooth' in said
    assert 'It takes loss_name, loss_weight, published_empty, warm_epoch, with_shape.' in said
    assert 'It comes from a base config: put _delete_=True beside the type' in said
    way_out = {'model.decode_head.loss_decode._delete_': True, kind: 'SLSLoss'}
    assert load_config(config, way_out).model.decode_head.loss_decode.to_dict() == {'type': 'SLSLoss'}
    said = refusal(config, {'model.neck.bank_size': 64})
    assert 'MemA2MNeck takes no such argument.' in said
    assert 'It takes in_channels, init_cfg, mema2m, out_channels.' in said
    assert 'base config' not in said


def test_a_typo_in_a_file_is_found_and_helper_variables_are_not_taken_for_one(on_top):
    assert "top.py: no key 'train_dataloder' is known. Did you mean 'train_dataloader'" in refusal(
        on_top('train_dataloder = dict(batch_size=2)')
    )
    load_config(on_top('_whatever = 3\nmy_pipeline = []\ncrop_size = (1, 2)\nfind_unused_parameters = True'))


def test_sets_that_name_themselves_refuse_another(repository, tiny_config):
    said = refusal(tiny_config, dataset='nudt')
    assert 'names its own data sets (train_dataloader: SyntheticSIRSTDataset)' in said
    assert load_config(tiny_config).work_dir == 'work_dirs/tiny'


@pytest.mark.parametrize('name', [n for n in config_names() if n.endswith('_published') and 'pstnn' not in n])
def test_the_faq_says_how_a_published_network_takes_one_channel(repository, make_set, name):
    text = (repository / 'docs/faq.md').read_text()
    options = text.partition('    --cfg-options ')[2].partition('\n\n')[0].replace('\\', '').split()
    mine = make_set('mine', [*'abcdefghij'], lists={'train.txt': [*'abcdefg'], 'test.txt': [*'hij']})
    cfg = load_config(name, parse_options(options), str(mine))
    preprocessor = MODELS.build({'type': 'IRSTDPreProcessor', **cfg.model.data_preprocessor})
    preprocessor({'inputs': [torch.zeros(1, 64, 64, dtype=torch.uint8)]})
    left = [option for option in options if '.mean=' not in option and '.std=' not in option]
    if len(load_config(name, dataset=str(mine)).model.data_preprocessor.mean) == 3:
        with pytest.raises(UserError, match=r'data_preprocessor\.mean: found 3 numbers, but .* 1 channel'):
            load_config(name, parse_options(left), str(mine))


def test_missing_arguments_and_those_that_pass_through_kwargs():
    cfg = {'model': {'type': 'EncoderDecoder', 'backbone': {'type': 'ResNetV1c', 'depht': 50}}}
    with pytest.raises(UserError, match=r'config x: model: EncoderDecoder needs decode_head'):
        check_config(cfg, 'x')
    head = {'type': 'FCNHead', 'in_channels': 8, 'channels': 4, 'num_classes': 2, 'num_convs': 1}
    cfg['model']['decode_head'] = head
    with pytest.raises(
        UserError, match=r"model\.backbone\.depht: ResNetV1c takes no .* Did you mean 'depth'"
    ):
        check_config(cfg, 'x')
    cfg['model']['backbone'] = {
        'type': 'ResNetV1c',
        'depth': 18,
        'norm_cfg': {'type': 'BN', 'requires_grad': 1},
    }
    check_config(cfg, 'x')
    cfg['model']['backbone']['norm_cfg']['type'] = 'BNN'
    with pytest.raises(UserError, match=r"norm_cfg\.type: 'BNN' is no registered model"):
        check_config(cfg, 'x')


@pytest.mark.parametrize('root', [None, 'nowhere'])
def test_lists_that_do_not_exist_are_refused_with_those_that_do(repository, data_root, monkeypatch, root):
    if root:
        monkeypatch.setenv('MADNET_DATA_ROOT', root)
    with pytest.raises(UserError, match=r"NUDT-SIRST.*split_set 'basicirsdt'.*basicirstd, irsam.*basicirstd"):
        load_config(repository / 'configs' / 'madnet_nudt.py', {'split_set': 'basicirsdt'})


def test_a_range_of_the_loading_step_measures_anew_as_one_of_the_data_set(repository, data_root):
    config = repository / 'configs' / 'madnet' / 'madnet_nano.py'
    found = [
        load_config(config, options).model.data_preprocessor.mean
        for options in ({'value_range': [0, 128]}, {'replace_steps.LoadSIRSTImage.value_range': [0, 128]}, {})
    ]
    assert found[0] == found[1] != found[2]


#: A plain Runner on a printed config, madnet known from its custom_imports only.
PLAIN = """
import json, sys
from mmengine.config import Config
from mmengine.runner import Runner
found = {}
for path in sys.argv[1:]:
    cfg = Config.fromfile(path)
    runner = Runner.from_cfg(cfg)
    loaders = [runner.build_dataloader(cfg[f'{part}_dataloader']) for part in ('train', 'val')]
    found[path] = [loader.dataset.image_ids for loader in loaders]
print(json.dumps(found))
"""


def test_a_plain_runner_on_the_printed_front_door_trains_on_the_training_part(
    repository, data_root, tmp_path
):
    doors = {}
    for entry in known_datasets().values():
        for network in ('madnet', 'mim'):
            if (repository / 'configs' / f'{network}_{entry.short}.py').exists():
                doors[f'{network}_{entry.short}'] = entry.name
    doors['madnet_synthetic'] = None
    assert {f'{door}.py' for door in doors} == {p.name for p in (repository / 'configs').glob('*.py')}
    paths = {}
    for door in doors:
        cfg = load_config(
            repository / 'configs' / f'{door}.py', {'work_dir': str(tmp_path / door), 'launcher': 'none'}
        )
        paths[door] = tmp_path / f'{door}.py'
        paths[door].write_text(cfg.pretty_text)
    environment = {**os.environ, 'PYTHONPATH': str(repository)}
    done = subprocess.run(
        [sys.executable, '-c', PLAIN, *map(str, paths.values())],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for door, name in doors.items():
        train, val = found[str(paths[door])]
        if name is None:
            assert {i.partition('_')[0] for i in train} == {'train'}
            assert {i.partition('_')[0] for i in val} == {'val'}
            continue
        if name != 'SIRST-AUG':  # of which there may be a sample only
            assert ids_sha256(train) == ids_sha256(split_ids(name, 'fit'))
            assert ids_sha256(val) == ids_sha256(split_ids(name, 'val'))
        assert set(train) <= set(split_ids(name, 'fit'))
        assert set(val) <= set(split_ids(name, 'val'))
        if name != 'SIRST-AUG':  # whose numbers count anew in each part
            test = SIRSTDataset(name=name, split='test').image_ids
            assert not set(test) & {*train, *val}


def test_the_file_itself_gives_a_plain_runner_no_data(repository):
    """mmseg's own tools/train.py, which knows nothing of ``dataset`` and ``selection``, can't leak."""
    from mmseg.registry import DATASETS

    cfg = Config.fromfile(repository / 'configs' / 'madnet_nudt.py')
    with pytest.raises(UserError, match='no split is named'):
        DATASETS.build(cfg.train_dataloader.dataset)


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        ({'optim_wrapper.paramwise_cfg.bias_decay_mul': 0}, "Did you mean 'bias_decay_mult'"),
        ({'optim_wrapper.paramwise_cfg.custom_keys.backbone': 0.1}, r'expected dict\(lr_mult='),
        ({'optim_wrapper.paramwise_cfg.custom_keys.backbone': {'lr_mul': 2}}, "Did you mean 'lr_mult'"),
        ({'optim_wrapper.constructor': 'Foo'}, "'Foo' is no registered optimizer wrapper constructor"),
        ({'optim_wrapper.clip_grad.max_nrm': 1}, "Did you mean 'max_norm'"),
        ({'log_processor.num_digits': 'x'}, r"log_processor\.num_digits: found 'x', expected a number"),
        (
            {
                'model.test_cfg.mode': 'slide',
                'model.test_cfg.crop_size': 64,
                'model.test_cfg.stride': (32, 32),
            },
            r'model\.test_cfg\.crop_size: found 64, expected two whole numbers',
        ),
        ({'optim_wrapper.clip_grad.max_norm': 'abc'}, "max_norm: found 'abc', expected a number"),
        ({'optim_wrapper.clip_grad.type': 'norn'}, "expected 'norm' or 'value'"),
        ({'optim_wrapper.clip_grad': 'dict(max_norm=1)'}, r"clip_grad: found 'dict\(max_norm=1\)', expected"),
        ({'optim_wrapper.optimizer.lr': ''}, "optim_wrapper.optimizer.lr: found '', expected a number"),
        (
            {'optim_wrapper.optimizer.weight_decay': 'x'},
            "optimizer.weight_decay: found 'x', expected a number",
        ),
        ({'optim_wrapper._delete_': True}, r'optim_wrapper: found \{\}, expected a dict with an optimizer'),
        ({'model.test_cfg.viewz': 4}, "Did you mean 'views'"),
        ({'model.test_cfg.mode': 'slide'}, "mode='slide' needs crop_size and stride"),
        ({'env_cfg.cudnn_benchmak': True}, "Did you mean 'cudnn_benchmark'"),
        ({'log_processor.window_sise': 5}, "Did you mean 'window_size'"),
        ({'log_processor.window_size': 'abc'}, 'expected a whole number from 1 on'),
        ({'log_level': 'INFOO'}, 'expected one of DEBUG, INFO'),
        ({'custom_hooks.0.decy': 0.9}, "RampedEMA takes no such argument. Did you mean 'decay'"),
        ({'custom_hooks.0.ema_type': 'Foo'}, "'Foo' is no registered model"),
        ({'custom_hooks.0.interval': 0}, 'custom_hooks.0.interval: found 0'),
        ({'custom_hooks.0.priority': 'HIGHISH'}, "priority: found 'HIGHISH'"),
        ({'default_hooks.overlay.interval': 0}, 'expected a whole number from 1 on'),
        ({'default_hooks.collapse.after': 'abc'}, 'expected a whole number from 0 on'),
        ({'compile': 'inductor'}, "compile: found 'inductor'"),
        ({'train_cfg': 5}, 'train_cfg: found 5, expected a dict'),
        ({'efficient_conv_bn_eval': True}, "expected names of the model's parts"),
        ({'custom_imports.imports': ['mine']}, 'only the config file itself says custom_imports'),
        ({'module_folders': ['mine']}, 'only the config file itself says module_folders'),
        ({'runner_type': 'Runner'}, 'only the config file itself says runner_type'),
    ],
)
def test_what_would_be_passed_over_or_fail_later_is_refused(tiny_config, option, said):
    with pytest.raises(UserError, match=said):
        load_config(tiny_config, option)


@pytest.mark.parametrize('key', _LEAST)
def test_none_is_no_number_but_where_it_means_something(tiny_config, key):
    cfg = load_config(tiny_config)
    cfg.merge_from_dict({key: None})
    if key == 'loader_timeout' or key.endswith('.prefetch_factor'):
        check_config(cfg, 'x')
    else:
        with pytest.raises(UserError, match=rf'config x: {key}: found None, expected a whole number from'):
            check_config(cfg, 'x')


SWITCHES = (
    *('model.decode_head.deep_supervision', 'model.decode_head.loss_decode.0.per_image'),
    *('model.decode_head.norm_cfg.requires_grad', 'model.test_cfg.together', 'train_dataloader.drop_last'),
    *('train_dataloader.sampler.shuffle', 'train_dataloader.dataset.exclude_near_test'),
    *('train_dataloader.dataset.allow_partial', 'optim_wrapper.optimizer.amsgrad'),
    *('optim_wrapper.clip_grad.error_if_nonfinite', 'optim_wrapper.paramwise_cfg.bypass_duplicate'),
    *('channels_last', 'capture_step', 'device_cache', 'compile', 'compile.disable', 'test_cfg.fp16'),
    *('env_cfg.cudnn_benchmark', 'custom_hooks.0.update_buffers', 'randomness.deterministic'),
)


def test_a_word_is_not_taken_for_true(config):
    plain = load_config(config, {'model.decode_head.norm_cfg': {'type': 'BN'}})

    def with_option(option):
        changed = plain.copy()
        changed.merge_from_dict(parse_options([option]))
        return changed

    for key in SWITCHES:
        for word in ('no', 'Off', 'yes', 'none'):
            with pytest.raises(UserError) as e:
                check_config(with_option(f'{key}={word}'), 'x')
            assert f"config x: {key}: found '{word}', expected True or False" in str(e.value)
        for word in ('False', 'true', '1'):
            check_config(with_option(f'{key}={word}'), 'x')
    key = 'model.decode_head.deep_supervision'
    assert f"{key}: found 'False', expected True or False" in refusal(config, {key: 'False'})


@MODELS.register_module()
class OwnSegmentor(IRSTDSegmentor):
    pass


@pytest.mark.parametrize(
    'option',
    [
        {'optim_wrapper.paramwise_cfg.custom_keys.backbone': {'betas': (0.8, 0.9), 'weight_decay': 0.0}},
        {'optim_wrapper.clip_grad.norm_type': 'inf'},
        {'model.type': 'OwnSegmentor', 'model.test_cfg.of_my_own': 4},
        {'log_level': 'WARN'},
        {'log_level': 'NOTSET'},
        {'activation_checkpointing': None, 'efficient_conv_bn_eval': None},
    ],
)
def test_what_works_is_not_refused(tiny_config, option):
    load_config(tiny_config, option)


@pytest.mark.parametrize(
    'option', ['train_pipeline.0.size', 'test_pipeline', 'vis_backends', '_base_', '_rate', '_delete_']
)
def test_options_on_what_is_copied_are_refused(repository, option):
    """``train_pipeline`` is copied into the data sets when the file is read: nothing reads it later."""
    with pytest.raises(UserError, match=rf'option {option}: .*only the config file itself'):
        load_config(repository / 'configs/madnet_synthetic.py', {option: 96})


@pytest.mark.parametrize(
    ('option', 'value', 'said'),
    [
        ('param_scheduler.warmup_steps', 3, 'a list of 1: say which, from 0, such as param_scheduler.0.warm'),
        ('custom_hooks.7.momentum', 0.5, 'custom_hooks is a list of 1, counted from 0: found 7.'),
        (
            'train_cfg.max_epochs.x',
            4,
            'max_epochs is 2, which has no parts: set it as a whole, train_cfg.max',
        ),
        ('optim_wrapper.clip_grad.max_norm', 1, 'is None: add optim_wrapper.clip_grad._delete_=True'),
        ('model.data_preprocessor.mean.0', 1.5, 'an item alone cannot be set: set all, model.data_preproc'),
        ('model.decode_head.loss_decode.0', 'x', 'a part of a list takes single values'),
    ],
)
def test_of_several_options_the_wrong_one_is_named(tiny_config, option, value, said):
    with pytest.raises(UserError) as e:
        load_config(tiny_config, {'train_cfg.max_epochs': 2, 'optim_wrapper.clip_grad': None, option: value})
    assert str(e.value).startswith(f'option {option}: ')
    assert said in str(e.value)


def test_the_pair_that_is_not_understood_is_named():
    with pytest.raises(UserError, match=r'^option b=\(1,2: not understood'):
        parse_options(['a=1', 'b=(1,2'])


def test_what_an_option_deletes_goes_before_what_others_put_in_its_place(tiny_config):
    parts = {'type': 'SGD', 'lr': 0.1, '_delete_': True}
    cfg = load_config(tiny_config, {f'optim_wrapper.optimizer.{k}': v for k, v in parts.items()})
    assert cfg.optim_wrapper.optimizer == {'type': 'SGD', 'lr': 0.1}


@pytest.mark.parametrize('option', ['train_dataloader.num_workers', 'train_cfg.max_epochs'])
def test_single_values_of_a_training_that_is_not_there_are_refused(make_set, option):
    with pytest.raises(UserError, match=f'option {option}: the config has no {option.split(".")[0]}'):
        load_config('madnet_nano', {option: 2}, dataset=str(make_set('own', ['a', 'b'])))


def test_a_deterministic_test_of_shipped_weights_needs_no_seed(make_set):
    options = {'randomness.deterministic': True}
    cfg = load_config('madnet_nano', options, dataset=str(make_set('own', ['a', 'b'])))
    assert cfg.randomness == {'deterministic': True, 'seed': None}


@pytest.mark.parametrize('base', ["['./madnet/madnet_nano.py']", "'madnet_nano'"])
def test_a_config_inherits_from_the_package_wherever_it_lies(tmp_path, monkeypatch, base):
    """The example of the README, and ``per_dataset`` of the base below what the file says."""
    monkeypatch.chdir(tmp_path)
    Path('mine.py').write_text(f'_base_ = {base}\nmodel = dict(backbone=dict(base_channels=8))')
    cfg = load_config('mine.py', dataset='nuaa')
    assert cfg.model.backbone == {
        **load_config('madnet_nano', dataset='nuaa').model.backbone,
        'base_channels': 8,
    }
    Path('madnet').mkdir()
    Path('madnet/madnet_nano.py').write_text("raise RuntimeError('mine')")
    if base.startswith('['):  # what lies beside goes first
        with pytest.raises(UserError, match='mine'):
            load_config('mine.py', dataset='nuaa')
    Path('other.py').write_text("_base_ = 'no_such_config'")
    with pytest.raises(UserError, match='no_such_config'):
        load_config('other.py')


def test_a_config_named_like_one_of_the_package_stands_on_that(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('configs').mkdir()
    for name in ('madnet_nano', 'other'):
        Path(f'configs/{name}.py').write_text("_base_ = 'madnet_nano'\ntrain_cfg = dict(max_epochs=7)\n")
    for config in ('configs/madnet_nano.py', 'configs/other.py'):
        cfg = load_config(config, dataset='nuaa')
        assert (cfg.model.backbone.type, cfg.train_cfg.max_epochs) == ('AdaDCMEncoder', 7)


def test_a_config_of_ones_own_is_a_base_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('configs/ours').mkdir(parents=True)
    Path('configs/ours/house.py').write_text("_base_ = 'madnet_nano'\ntrain_cfg = dict(max_epochs=7)\n")
    Path('configs/mine.py').write_text("_base_ = 'house'\n")
    assert load_config('configs/mine.py', dataset='nuaa').train_cfg.max_epochs == 7


def test_configs_that_stand_on_each_other_are_named(tmp_path):
    for name, base in {'a': 'b', 'b': 'c', 'c': 'b', 'self': 'self'}.items():
        (tmp_path / f'{name}.py').write_text(f"_base_ = './{base}.py'\n")
    b, c, own = (tmp_path / f'{name}.py' for name in ('b', 'c', 'self'))
    assert f'_base_: found a circle, {b} → {c} → {b}; ' in refusal(tmp_path / 'a.py')
    assert f'_base_: found a circle, {own} → {own}; ' in refusal(own)


def test_two_bases_may_stand_on_one(tmp_path):
    (tmp_path / 'below.py').touch()
    for name, bases in {'left': ['./below.py'], 'right': ['./below.py']}.items():
        (tmp_path / f'{name}.py').write_text(f'_base_ = {bases}\n')
    (tmp_path / 'top.py').write_text("_base_ = ['madnet_nano', './left.py', './right.py']\n")
    assert load_config(tmp_path / 'top.py', dataset='nuaa').model.type == 'IRSTDSegmentor'


def test_configs_read_at_once_leave_mmengines_reading_as_it_was(tmp_path, monkeypatch):
    plain, began, end = (Config._get_cfg_path, Config._merge_a_into_b), threading.Event(), threading.Event()
    monkeypatch.setitem(sys.modules, 'between_threads', SimpleNamespace(began=began, end=end))
    (tmp_path / 'slow.py').write_text(
        'from between_threads import began, end\nbegan.set()\nend.wait(60)\nmodel = dict()\ndel began, end\n'
    )
    other = 'from time import sleep\nsleep(1)\nmodel = dict()\ndel sleep\n'  # which ends after the slow one
    (tmp_path / 'other.py').write_text(other)
    threads = [threading.Thread(target=_read, args=[tmp_path / name]) for name in ('slow.py', 'other.py')]
    threads[0].start()
    assert began.wait(60)
    threads[1].start()
    threads[1].join(0.5)  # time to begin, if it can
    end.set()
    for thread in threads:
        thread.join()
    assert (Config._get_cfg_path, Config._merge_a_into_b) == plain


def test_the_text_of_a_config_is_formatted_when_it_has_changed(tiny_config, monkeypatch):
    formatted = []
    plain = yapf_api.FormatCode
    monkeypatch.setattr(yapf_api, 'FormatCode', lambda *a, **k: formatted.append(1) or plain(*a, **k))
    cfg = load_config(tiny_config)
    copied = copy.deepcopy(cfg)  # as a runner does
    texts = [copied.pretty_text, copied.pretty_text, copied.dump()]
    assert len(formatted) == 1
    assert set(texts) == {Config(cfg.to_dict()).pretty_text}
    copied.model.backbone.base_channels = 7
    assert 'base_channels=7' in copied.pretty_text
    assert 'base_channels=7' not in cfg.pretty_text


def test_a_word_that_is_taken_beside_true_and_false_is_left(tiny_config, monkeypatch):
    class Gated(nn.Module):
        def __init__(self, gate: bool | str = False, up: bool | Literal['auto'] = 'auto', extra=False):
            super().__init__()

    monkeypatch.setitem(MODELS.module_dict, 'Gated', Gated)
    cfg = load_config(tiny_config)
    for neck in ({'gate': 'soft'}, {'gate': 'none'}, {'up': 'auto'}, {'extra': 'on_input'}):
        cfg.model['neck'] = {'type': 'Gated', **neck}
        check_config(cfg, 'x')
    cfg.model['neck'] = {'type': 'Gated', 'extra': 'no'}
    with pytest.raises(UserError, match=r"model\.neck\.extra: found 'no', expected True or False"):
        check_config(cfg, 'x')


def test_files_of_modules_are_found_whatever_they_try_to_import(tmp_path, monkeypatch):
    package = tmp_path / 'guarded_parts'
    package.mkdir()
    (package / '__init__.py').touch()
    (package / 'net.py').write_text(
        'try:\n    from ..shared import helper\nexcept ImportError:\n    helper = None\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module('guarded_parts.net')
    settings = {'custom_imports': {'imports': ['guarded_parts.net']}}
    assert {f.name for f in files_of_modules(settings)} == {'__init__.py', 'net.py'}
    (package / 'net.py').write_text('def half(')  # it is being edited
    assert {f.name for f in files_of_modules(settings)} == {'__init__.py', 'net.py'}


def test_mmsegs_optimiser_constructors_are_known(tiny_config):
    name, settings = 'LearningRateDecayOptimizerConstructor', {'num_layers': 6, 'decay_rate': 0.9}
    options = {'optim_wrapper.constructor': name, 'optim_wrapper.paramwise_cfg': settings}
    assert load_config(tiny_config, options).optim_wrapper.constructor == name


def test_what_lies_in_a_list_or_is_missing_is_deleted_as_well(tiny_config):
    kept = {'type': 'SGD', 'lr': 0.1}
    cfg = load_config(
        tiny_config,
        {
            'optim_wrapper.optimizer._delete_': True,
            **{f'optim_wrapper.optimizer.{key}': value for key, value in kept.items()},
            'optim_wrapper._delete_': True,
            'param_scheduler.0._delete_': True,
            'param_scheduler.0.type': 'PolyLR',
        },
    )
    assert (cfg.optim_wrapper, cfg.param_scheduler) == ({'optimizer': kept}, [{'type': 'PolyLR'}])
    with pytest.raises(UserError, match="no key 'optm_wrapper'"):
        load_config(tiny_config, {'optm_wrapper._delete_': True})


def test_a_text_that_is_a_default_is_taken_where_a_number_is_annotated():
    def own(noise: float = 'auto', gain: float = 1.0):
        pass

    assert _arguments(own).numbers == {'gain'}


def test_what_cannot_be_written_into_a_checkpoint_is_named():
    cfg = StaticConfig({'steps': [{'f': len, 'g': lambda x: x}], 'words': '<'})
    with pytest.raises(UserError, match=r'steps\.0\.f: found <built-in function len>, expected what can be'):
        _ = cfg.pretty_text
