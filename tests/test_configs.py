"""Every config file: what it resolves to on every data set of the catalogue, and that its network builds."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS, TRANSFORMS

import madnet  # noqa: F401
from madnet.datasets.catalogue import known_datasets
from madnet.engine.config import load_config
from madnet.engine.config.reading import OURS
from madnet.errors import UserError

FOLDER = Path(__file__).resolve().parents[1] / 'configs'
#: Entries without packaged lists: a config finds their parts in their own folders.
WITH_LISTS = [entry for entry in known_datasets().values() if entry.split_sets]
CONFIGS = {str(p.relative_to(FOLDER)): p for p in sorted(FOLDER.rglob('*.py')) if '_base_' not in p.parts}
#: Configs whose sets name themselves.
SYNTHETIC = 'madnet_synthetic.py'


def sets(config, loader):
    if config[loader] is None:
        return []
    dataset = config[loader].dataset
    return dataset.get('datasets', [dataset])


def test_how_many_there_are():
    assert len(list(FOLDER.rglob('*.py'))) <= 80
    names = [path.stem for path in CONFIGS.values()]
    assert len(names) == len(set(names)), 'work folders are named by the file'


@pytest.mark.parametrize('name', CONFIGS)
def test_every_data_set(name):
    """Each resolves to its own images: the training part to train on, never the test part to choose with."""
    if name == SYNTHETIC:
        with pytest.raises(UserError):
            load_config(CONFIGS[name], dataset='NUAA-SIRST')
        return
    for entry in WITH_LISTS:
        config = load_config(CONFIGS[name], dataset=entry.name)
        assert not [k for k in config if k in OURS or k.startswith('_') or k.endswith('_pipeline')]
        train, val, test = (sets(config, f'{p}_dataloader') for p in ('train', 'val', 'test'))
        assert {part.name for part in (*train, *val, *test)} == {entry.name}
        split_sets = {part.get('split_set', entry.default_split_set) for part in (*train, *val, *test)}
        assert split_sets <= set(entry.split_sets)
        assert len(split_sets) == 1
        chosen_on_test = name.endswith(
            ('mshnet_published.py', 'repisd_published.py', 'sctransnet_published.py')
        )
        expected = ('trainval', 'test') if chosen_on_test else ('fit', 'val') if val else ('trainval', None)
        assert {part.split for part in train} == {expected[0]}
        assert {part.split for part in val} <= {expected[1]}
        assert {part.split for part in test} == {'test'}
        preprocessor = config.model.get('data_preprocessor')
        if preprocessor:
            channels = train[0].pipeline[0].channels
            assert len(preprocessor.mean) == len(preprocessor.std) == channels
            assert config.model.backbone.in_channels == channels


@pytest.mark.parametrize('name', CONFIGS)
def test_it_builds_as_its_file_says(name, tmp_path):
    config = load_config(CONFIGS[name])
    assert float(f'{2e-5:.{config.log_processor.num_digits}f}') == 2e-5, 'an Fa in the log'
    with torch.device('meta'):
        MODELS.build(config.model)
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for part in sets(config, loader):
            for step in part.pipeline:
                TRANSFORMS.build(step)
    # static: written down and read again it is the same
    config.dump(tmp_path / 'resolved.py')
    assert load_config(tmp_path / 'resolved.py').to_dict() == config.to_dict()
    assert Config.fromfile(tmp_path / 'resolved.py').to_dict() == config.to_dict()


def test_the_common_recipe_is_one():
    """One optimiser, schedule, loss and number of epochs for every network, whatever its published recipe."""
    common = [
        'acm',
        'acm_fpn',
        'alcnet',
        'alcnet_basic',
        'dnanet',
        'isnet',
        'rdian',
        'repisd',
        'uiunet',
        'abc',
    ]
    common += ['mshnet', 'sctransnet', 'madnet_nano', 'madnet_base', 'mim_tiny', 'mim_nano', 'memory_twice']
    common += ['adadcm_mamba', 'mim_madnet', 'mim_mema2m', 'mim_tiny_fine']
    paths = {path.stem: path for path in CONFIGS.values()}
    read = {name: load_config(paths[name], dataset='NUDT-SIRST') for name in common}
    first = read['acm']
    for name, config in read.items():
        for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'custom_hooks', 'train_dataloader'):
            assert config[key] == first[key], (name, key)
        assert config.model.decode_head.loss_decode == first.model.decode_head.loss_decode, name
    iou, cross_entropy = first.model.decode_head.loss_decode
    assert (iou.type, iou.per_image, cross_entropy.type) == ('SoftIoULoss', False, 'MaskBCELoss')


def test_the_data_set_is_the_only_difference_of_the_front_door():
    for network in ('madnet', 'mim'):
        for entry in WITH_LISTS:
            [short] = [path for name, path in CONFIGS.items() if name == f'{network}_{entry.short}.py']
            config = load_config(short)
            named = load_config(CONFIGS[f'{network}/{network}_published.py'], dataset=entry.name)
            assert config.work_dir == f'work_dirs/{network}_{entry.short}'
            assert config.to_dict() | {'work_dir': None} == named.to_dict() | {'work_dir': None}
