"""madnet train and madnet test from end to end, and what they say to wrong input."""

import csv
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

REAL = """
_base_ = ['{configs}/madnet/madnet_nano.py']
model = dict(backbone=dict(base_channels=2))
train_dataloader = dict(dataset=dict(name=None, data_root='{root}', split='trainval'))
val_dataloader = dict(dataset=dict(name=None, data_root='{root}', split='test'))
test_dataloader = dict(dataset=dict(name=None, data_root='{root}', split='test'))
train_cfg = dict(max_epochs=1)
"""


@pytest.fixture(scope='module')
def trained(tmp_path_factory, repository):
    """(config, checkpoint) of one short training, shared by the tests that only read it."""
    folder = tmp_path_factory.mktemp('trained')
    config = folder / 'tiny.py'
    config.write_text(
        f"_base_ = ['{repository}/configs/madnet_synthetic.py']\n"
        'model = dict(backbone=dict(base_channels=2))\n'
        'train_dataloader = dict(batch_size=4, dataset=dict(length=16, size=64))\n'
        'val_dataloader = dict(dataset=dict(length=4, size=64))\n'
        'test_dataloader = dict(dataset=dict(length=10, size=64))\n'
        'train_cfg = dict(max_epochs=2)\n'
    )
    from madnet.engine.train import train

    train(str(config), work_dir=str(folder / 'run'))
    return config, folder / 'run' / 'best.pth'


def _write_set(root, names, size=(70, 90)):
    for part in ('trainval', 'test'):
        for kind in ('images', 'masks'):
            (root / part / kind).mkdir(parents=True)
        for i, name in enumerate(names):
            image = np.full(size, 90 + i, np.uint8)
            mask = np.zeros(size, np.uint8)
            image[30:33, 40:43] = 220
            mask[30:33, 40:43] = 255
            cv2.imwrite(str(root / part / 'images' / f'{name}.png'), image)
            cv2.imwrite(str(root / part / 'masks' / f'{name}.png'), mask)


@pytest.fixture
def own_set(tmp_path, repository):
    """(config, root) of a small data set in the MAD-Net layout, with its config."""
    root = tmp_path / 'my-set'
    _write_set(root, [f'a{i}' for i in range(8)])
    config = tmp_path / 'own.py'
    config.write_text(REAL.format(configs=repository / 'configs', root=root))
    return config, root


def test_the_table_the_files_and_the_pictures(run, trained, tmp_path):
    config, checkpoint = trained
    out, show = tmp_path / 'out', tmp_path / 'show'
    code, printed, err = run(
        'test', config, checkpoint, '--protocol', 'native,abc', '--out', out, '--show-dir', show
    )
    assert code == 0, err
    for word in ('native', 'abc', 'IoU', 'nIoU', 'F1', 'Pd', 'Fa', str(out / 'metrics.json')):
        assert word in printed
    report = json.loads((out / 'metrics.json').read_text())
    assert report['schema'] == 1
    assert report['dataset']['images'] == 10
    assert set(report['results']) == {'native', 'abc'}
    assert {'IoU', 'nIoU', 'F1', 'precision', 'recall', 'Pd', 'Fa', 'targets', 'AUC'} <= set(
        report['results']['native']
    )
    assert len(report['checkpoint']['sha256']) == 64
    with (out / 'per_image.csv').open() as f:
        assert len({row['name'] for row in csv.DictReader(f)}) == 10
    assert len(list(show.glob('*.png'))) == 10


def test_batch_and_workers_change_nothing(run, trained, tmp_path):
    config, checkpoint = trained
    reports = []
    for batch, workers in ((1, 0), (8, 0), (8, 2)):
        out = tmp_path / f'{batch}_{workers}'
        code, _, err = run(
            'test', config, checkpoint, '--protocol', 'all', '--out', out, '--cfg-options',
            f'test_dataloader.batch_size={batch}', f'test_dataloader.num_workers={workers}',
        )  # fmt: skip
        assert code == 0, err
        reports.append(json.loads((out / 'metrics.json').read_text())['results'])
    assert reports[0] == reports[1] == reports[2]


def test_own_data_in_a_plain_layout(run, own_set, tmp_path):
    config, root = own_set
    work = tmp_path / 'work'
    code, printed, err = run('train', config, '--work-dir', work, '--seed', '3')
    assert code == 0, err
    assert 'best.pth' in printed
    code, printed, err = run('test', config, work / 'last.pth', '--save-scores')
    assert code == 0, err
    report = json.loads((work / 'metrics.json').read_text())
    assert {'roc', 'pr', 'pd_fa', 'strata', 'intervals'} <= set(report['details']['native'])

    code, printed, err = run(
        'evaluate', work / 'scores', root / 'test' / 'masks', '--out', tmp_path / 'again'
    )
    assert code == 0, err
    again = json.loads((tmp_path / 'again' / 'metrics.json').read_text())
    for metric in ('IoU', 'nIoU', 'F1', 'Pd', 'Fa'):
        assert again['results']['native'][metric] == report['results']['native'][metric]


def _refused(result, *words):
    code, _, err = result
    lines = [line for line in err.splitlines() if line.startswith('error: ')]
    assert code == 2, err
    assert len(lines) == 1, err
    assert 'Traceback' not in err
    for word in words:
        assert word in lines[0]


def test_no_such_config(run, trained):
    _refused(run('train', 'configs/madnet_nudtt.py'), 'configs/madnet_nudtt.py', 'madnet_nudt.py')
    _refused(run('test', 'configs/madnet_nudtt.py', trained[1]), 'madnet_nudt.py')


def test_unknown_component(run, trained, tmp_path):
    option = 'model.decode_head.type=MADNetHaed'
    _refused(
        run('train', trained[0], '--work-dir', tmp_path, '--cfg-options', option),
        'MADNetHaed', 'MADNetHead',
    )  # fmt: skip


def test_unknown_protocol(run, trained):
    _refused(run('test', *trained, '--protocol', 'nativ'), 'nativ', "'native'")


def test_unknown_split(run, own_set, trained, tmp_path):
    _refused(run('test', own_set[0], trained[1], '--split', 'tset'), 'tset', 'test')


def test_the_part_of_the_config_is_tested_unless_split_names_another(trained, tmp_path):
    from madnet.engine.test import run_test

    def tested(split=None, options=None):
        report = run_test(*map(str, trained), out=str(tmp_path), split=split, options=options)
        return report.dataset.split

    other = ['test_dataloader.dataset.split=val']
    assert tested() == 'test'
    assert tested(options=other) == 'val'
    assert tested(split='train', options=other) == 'train'


def test_missing_data_set(run, repository, tmp_path, monkeypatch):
    monkeypatch.setenv('MADNET_DATA_ROOT', str(tmp_path))
    _refused(
        run('train', repository / 'configs/madnet_nudt.py', '--work-dir', tmp_path / 'w'),
        'NUDT-SIRST', str(tmp_path), 'madnet_synthetic',
    )  # fmt: skip


def test_image_without_mask(run, own_set, tmp_path):
    config, root = own_set
    (root / 'trainval' / 'masks' / 'a3.png').unlink()
    _refused(run('train', config, '--work-dir', tmp_path / 'w'), 'a3', 'mask')


def test_mask_of_another_aspect(run, own_set, tmp_path):
    config, root = own_set
    cv2.imwrite(str(root / 'trainval' / 'masks' / 'a3.png'), np.zeros((50, 90), np.uint8))
    _refused(run('train', config, '--work-dir', tmp_path / 'w'), 'a3.png', '90', '50', '70')


@pytest.mark.parametrize('workers', [0, 2])
def test_a_file_that_is_no_image(run, own_set, tmp_path, workers):
    config, root = own_set
    (root / 'trainval' / 'images' / 'a3.png').write_text('hello')
    option = f'train_dataloader.num_workers={workers}'
    arguments = ['--work-dir', tmp_path / 'w', '--cfg-options', option]
    if not workers:
        arguments.append('train_dataloader.persistent_workers=False')
    _refused(run('train', config, *arguments), 'a3.png', 'image')


def test_checkpoint_of_another_architecture(run, trained):
    config, checkpoint = trained
    option = 'model.backbone.base_channels=4'
    _refused(run('test', config, checkpoint, '--cfg-options', option), 'another architecture', 'shape')


def test_truncated_checkpoint(run, trained, tmp_path):
    config, checkpoint = trained
    short = tmp_path / 'short.pth'
    short.write_bytes(checkpoint.read_bytes()[:5000])
    _refused(run('test', config, short), 'short.pth', 'truncated')
    _refused(run('test', config, tmp_path / 'none.pth'), 'none.pth', 'no such file')


def test_the_conversion_lists_every_network(run):
    from madnet.models.checkpoints import CONVERTERS

    code, printed, _ = run('convert', '--list')
    assert code == 0
    assert [line.split()[0] for line in printed.splitlines()[1:]] == list(CONVERTERS)
    assert all(name in printed for name in ('MAD-Net', 'MiM-ISTD', 'RepISD-Net'))


def test_conversion_there_and_back(run, trained, tmp_path):
    config, checkpoint = trained
    theirs, ours = tmp_path / 'theirs.pth', tmp_path / 'ours.pth'
    assert run('convert', 'madnet', checkpoint, theirs, '--reverse')[0] == 0
    assert 'decode_head.Conv1.conv.0.weight' in torch.load(theirs)['state_dict']
    assert run('convert', 'madnet', theirs, ours)[0] == 0
    for a, b in (('best', checkpoint), ('ours', ours)):
        assert run('test', config, b, '--out', tmp_path / a)[0] == 0
    results = [json.loads((tmp_path / a / 'metrics.json').read_text())['results'] for a in ('best', 'ours')]
    assert results[0] == results[1]
    _refused(run('convert', 'madnet', theirs, ours), 'exists')
    _refused(run('convert', 'madnett', theirs, tmp_path / 'x.pth'), "'madnet'")
    torch.save({'a': torch.zeros(1)}, tmp_path / 'odd.pth')
    _refused(run('convert', 'madnet', tmp_path / 'odd.pth', tmp_path / 'x.pth'), 'MAD-Net')


@pytest.mark.parametrize(
    'tool', ['train', 'test', 'convert_checkpoint', 'evaluate', 'benchmark', 'report', 'dataset']
)
def test_help_teaches_without_importing_what_takes_seconds(repository, tool):
    program = (
        'import runpy, sys\n'
        f'sys.argv = [{tool!r}, "--help"]\n'
        'try:\n'
        f'    runpy.run_path({str(repository / "tools" / f"{tool}.py")!r}, run_name="__main__")\n'
        'except SystemExit as e:\n'
        '    print(e.code, sorted({"torch", "mmseg", "mmengine"} & set(sys.modules)))\n'
    )
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True)
    assert 'example' in done.stdout
    assert done.stdout.splitlines()[-1] == '0 []', done.stderr
