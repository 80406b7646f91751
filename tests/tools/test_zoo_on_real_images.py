"""Every network of the zoo through tools/train.py and tools/test.py on one batch of real images."""

import json

import pytest

#: network → options that make a step of a large one cheap
NETWORKS = {
    'abc': ['model.backbone.side=64', 'model.test_cfg.crop_size=(64,64)', 'model.test_cfg.stride=(64,64)'],
    'acm': [],
    'acm_fpn': [],
    'alcnet': [],
    'alcnet_basic': [],
    'dnanet': [],
    'isnet': ['model.decode_head.edge_channels=8'],
    'mshnet': [],
    'rdian': [],
    'repisd': [],
    'sctransnet': ['model.backbone.base_channels=8'],
    'uiunet': ['model.backbone.base_channels=16'],
}
CROP = 2  # RandomTargetCrop's place in the training pipeline
SMALL = [
    *(f'{part}_dataloader.num_workers=0' for part in ('train', 'val', 'test')),
    *(f'{part}_dataloader.persistent_workers=False' for part in ('train', 'val', 'test')),
    *(f'{part}_dataloader.dataset.indices=2' for part in ('train', 'val', 'test')),
    'train_dataloader.batch_size=2',
    f'train_dataloader.dataset.pipeline.{CROP}.size=64',
    'train_cfg.max_epochs=1',
]


@pytest.mark.slow
@pytest.mark.parametrize('network', NETWORKS)
def test_a_batch_of_real_images(run, repository, data_root, tmp_path, monkeypatch, network):
    monkeypatch.setenv('MADNET_DATA_ROOT', str(data_root))
    config = repository / 'configs' / 'zoo' / 'modern' / f'{network}_nuaa.py'
    options = ['--cfg-options', *SMALL, *NETWORKS[network]]
    code, _, err = run('train', config, '--work-dir', tmp_path / 'run', *options)
    assert code == 0, err
    code, _, err = run('test', config, tmp_path / 'run' / 'last.pth', '--out', tmp_path / 'out', *options)
    assert code == 0, err
    report = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert report['dataset']['images'] == 2
    assert report['results']['native']['Fa'] >= 0
