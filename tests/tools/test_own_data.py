"""A new user's way: a folder of one's own, no config written."""

import json
import re

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from madnet.datasets import SIRSTDataset
from madnet.engine.config import load_config
from madnet.errors import UserError

CONFIG = """
_base_ = ['{configs}/madnet_synthetic.py']
_load = [dict(type='LoadSIRSTImage', channels=1), dict(type='LoadSIRSTMask')]
_set = dict(_delete_=True, type='SIRSTDataset')
model = dict(backbone=dict(base_channels=2), data_preprocessor=dict(_delete_=True, type='IRSTDPreProcessor'))
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        _set, pipeline=[*_load, dict(type='RandomTargetCrop', size=48), dict(type='PackSIRSTInputs')]
    ),
)
val_dataloader = dict(dataset=dict(_set, pipeline=[*_load, dict(type='PackSIRSTInputs')]))
test_dataloader = dict(dataset=dict(_set, pipeline=[*_load, dict(type='PackSIRSTInputs')]))
train_cfg = dict(max_epochs=1)
param_scheduler = []
"""


@pytest.fixture
def place(tmp_path, repository, monkeypatch):
    """A folder with common.py, and mine/ of twelve images, nine of them to train on."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'common.py').write_text(CONFIG.format(configs=repository / 'configs'))
    rng = np.random.default_rng(3)
    for i in range(12):
        folder = tmp_path / 'mine' / ('trainval' if i < 9 else 'test')
        mask = np.zeros((64, 70), np.uint8)
        mask[30:34, 10 + i : 14 + i] = 255
        image = np.where(mask > 0, 220, rng.integers(80, 120, mask.shape)).astype(np.uint8)
        for kind, pixels in (('images', image), ('masks', mask)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / kind / f'scene_{i}.png')
    return tmp_path


def test_twelve_images_train_test_and_predict(place, run):
    code, out, err = run('train', 'common.py', '--dataset', 'mine')
    assert code == 0, err
    assert '7 training images, 1 epochs' in out
    assert 'mine: mean [' in err
    folder = place / 'work_dirs' / 'common_mine'
    code, out, err = run('test', 'common.py', folder / 'last.pth', '--dataset', 'mine')
    assert code == 0, err
    assert out.startswith('mine, test: 3 images')
    assert 'warning: 3 images to test on cannot measure much' in out
    record = json.loads((folder / 'metrics.json').read_text())
    assert record['dataset']['images'] == 3
    arguments = ['--config', 'common.py', '--checkpoint', folder / 'last.pth', '--dataset', 'mine']
    code, out, err = run('predict', *arguments, place / 'mine/test/images', '--format', 'csv')
    assert code == 0, err
    # the config that training leaves behind names its folder, and needs no option
    code, out, err = run('test', folder / 'common.py', folder / 'last.pth', '--out', 'again')
    assert code == 0, err
    again = json.loads((place / 'again' / 'metrics.json').read_text())
    assert again['results'] == record['results']
    # images of the training are known in a copy too, set up anew under other names
    for kind in ('images', 'masks'):
        (place / 'copy' / kind).mkdir(parents=True)
        for path in (place / 'mine/trainval' / kind).iterdir():
            (place / 'copy' / kind / f'new_{path.name}').write_bytes(path.read_bytes())
    arguments = ['--dataset', 'copy', '--split', 'all', '--out', 'copied']
    code, out, err = run('test', 'common.py', folder / 'last.pth', *arguments)
    assert code == 0, err
    assert json.loads((place / 'copied' / 'metrics.json').read_text())['dataset']['trained_on'] == 7


def test_print_config_prints_a_config_and_nothing_else(place, run):
    options = ['--seed', '7', '--work-dir', 'here', '--cfg-options', 'train_cfg.max_epochs=3']
    code, out, err = run('train', 'common.py', '--dataset', 'mine', '--print-config', *options)
    assert code == 0
    values: dict = {}
    exec(compile(out, 'printed', 'exec'), values)
    assert values['randomness'] == {'seed': 7}
    assert (values['work_dir'], values['train_cfg']['max_epochs']) == ('here', 3)
    assert not (place / 'here').exists()
    printed = place / 'printed.py'
    printed.write_text(out)
    code, again, _ = run('train', printed, '--print-config')
    assert (code, again) == (0, out)
    mean = Config.fromfile(printed).model.data_preprocessor.mean
    assert str(mean) in err


@pytest.mark.parametrize(
    ('arguments', 'said'),
    [
        (['--dataset', 'mien'], "found 'mien', expected a data set of the catalogue"),
        (['--dataset', 'mine', '--cfg-options', 'selectoin=test'], "Did you mean 'selection'"),
        (['--dataset', 'mine', '--cfg-options', 'modle.backbone.base_channels=4'], "Did you mean 'model'"),
        (
            ['--dataset', 'mine', '--cfg-options', 'model.backbone.base_chanels=4'],
            "model.backbone.base_chanels: AdaDCMEncoder takes no such argument. Did you mean 'base_channels'",
        ),
        (
            ['--dataset', 'mine', '--cfg-options', 'model.neck.mema2m.bank_size=4'],
            'model.neck.mema2m.bank_size: MemA2M takes no such argument. It takes ',
        ),
        (['--cfg-options', 'data_root=mien'], "found 'mien', expected a data set of the catalogue"),
    ],
)
@pytest.mark.parametrize('tool', ['train', 'test'])
def test_typos_end_with_one_line_and_code_2(place, run, tool, arguments, said):
    checkpoint = []
    if tool == 'test':
        import torch

        torch.save({'state_dict': {}}, place / 'weights.pth')
        checkpoint = ['weights.pth']
    code, out, err = run(tool, 'common.py', *checkpoint, *arguments)
    assert (code, out) == (2, '')
    assert err.startswith('error: ')
    assert err.count('\n') == 1
    assert said in err


@pytest.mark.parametrize('option', ['data_root', 'dataset'])
def test_a_folder_in_a_config_is_the_data_set_also_of_a_base(place, run, option):
    (place / 'base.py').write_text("_base_ = ['./common.py']\ndataset = 'NUAA-SIRST'\n")
    (place / 'own.py').write_text(f"_base_ = ['./base.py']\n{option} = 'mine'\n")
    for arguments in (['own.py'], ['base.py', '--cfg-options', f'{option}=mine']):
        code, out, err = run('train', *arguments, '--print-config')
        assert code == 0, err
        values: dict = {}
        exec(compile(out, 'printed', 'exec'), values)
        loaders = [values[f'{part}_dataloader']['dataset'] for part in ('train', 'val', 'test')]
        assert [(d['data_root'], d.get('name')) for d in loaders] == [(str(place / 'mine'), None)] * 3


def test_a_trained_config_finds_its_data_set_from_any_folder_and_after_a_move(place, tmp_path, monkeypatch):
    trained = tmp_path / 'trained.py'
    trained.write_text(load_config(place / 'common.py', dataset='mine').pretty_text)
    elsewhere = tmp_path / 'elsewhere'
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    def opened(**options):
        dataset = load_config(trained, options=options).test_dataloader.dataset
        return len(SIRSTDataset(dataset.data_root, dataset.split, lazy_init=True).load_data_list())

    count = opened()
    (place / 'mine').rename(elsewhere / 'mine')
    with pytest.raises(UserError, match='not found: no folder') as error:
        opened()
    [option] = re.findall(r'--cfg-options (test\S+)=FOLDER', str(error.value))
    assert opened(**{option: 'mine'}) == count
    with pytest.raises(UserError, match=f'has moved, say so: --cfg-options {option}=FOLDER'):
        load_config(trained, dataset='mine')


def test_training_images_without_a_target_are_refused(place, run):
    for path in (place / 'mine' / 'trainval' / 'masks').iterdir():
        Image.fromarray(np.zeros((64, 70), np.uint8)).save(path)
    code, _, err = run('train', 'common.py', '--dataset', 'mine')
    assert code == 2
    assert 'error: mine, fit: no target in any mask' in err


def test_validation_images_without_a_target_choose_no_epoch(place, run):
    for name in SIRSTDataset('mine', 'val').image_ids:
        [path] = (place / 'mine' / 'trainval' / 'masks').glob(f'{name}.*')
        Image.fromarray(np.zeros((64, 70), np.uint8)).save(path)
    code, _, err = run('train', 'common.py', '--dataset', 'mine')
    assert code == 2
    said = 'error: mine, val: no target in any mask of the validation images, so that no epoch can be chosen'
    assert said in err
    assert 'by nIoU. Keep the last one (--cfg-options selection=last)' in err
    for option in ('selection=last', 'default_hooks.checkpoint.save_best=None'):
        code, _, err = run('train', 'common.py', '--dataset', 'mine', '--cfg-options', option)
        assert code == 0, err


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        ('optim_wrapper.optimizer.lr=-1', 'optim_wrapper: Invalid learning rate: -1'),
        ('optim_wrapper.optimizer.betas=(2,3)', 'optim_wrapper: Invalid beta parameter'),
        ("param_scheduler=[{'type':'MultiStepLR'}]", 'param_scheduler.0: found "{'),
    ],
)
def test_values_that_the_optimiser_refuses_are_one_line(place, run, option, said):
    code, _, err = run('train', 'common.py', '--dataset', 'mine', '--cfg-options', option)
    assert code == 2
    assert said in err.splitlines()[-1]


def test_in_a_config_of_mmseg_data_root_is_a_variable(place):
    pipeline = "[dict(type='LoadImageFromFile')]"
    sets = f"dict(type='BaseSegDataset', data_root=data_root, pipeline={pipeline})"
    (place / 'other.py').write_text(
        f"data_root = 'data/cityscapes/'\ntest_dataloader = dict(batch_size=1, dataset={sets})\n"
    )
    cfg = load_config(place / 'other.py')
    assert cfg.test_dataloader.dataset.data_root == 'data/cityscapes/'
