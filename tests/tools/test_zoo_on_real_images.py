"""Every network of the zoo on one batch of real images: it learns, and the tools train and test it."""

import json
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmseg.registry import DATASETS, MODELS

from madnet.engine.cli import parse_options
from madnet.engine.config import load_config

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
SMALL = [
    *(f'{part}_dataloader.num_workers=0' for part in ('train', 'val', 'test')),
    *(f'{part}_dataloader.persistent_workers=False' for part in ('train', 'val', 'test')),
    *(f'{part}_dataloader.dataset.indices=2' for part in ('train', 'val', 'test')),
    'train_dataloader.batch_size=2',
    'replace_steps.RandomTargetCrop.size=64',
    'train_cfg.max_epochs=1',
]


@pytest.mark.parametrize('network', NETWORKS)
def test_two_steps_on_real_images_lower_the_loss(repository, data_root, monkeypatch, network):
    if not (data_root / 'NUAA-SIRST').is_dir():
        pytest.skip('NUAA-SIRST is not at hand')
    monkeypatch.setenv('MADNET_DATA_ROOT', str(data_root))
    config = load_config(
        next(repository.glob(f'configs/*/{network}.py')),
        parse_options([*SMALL, *NETWORKS[network], 'replace_steps.RandomTargetCrop.target_prob=1.0']),
    )
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(0)
    images = DATASETS.build(config.train_dataloader.dataset)
    batch = pseudo_collate([images[i] for i in range(2)])
    assert all(sample.gt_sem_seg.data.any() for sample in batch['data_samples'])
    model = MODELS.build(config.model)
    model.init_weights()
    optimizer = torch.optim.Adam(model.train().parameters(), lr=1e-3)
    losses = []
    for _ in range(3):
        torch.manual_seed(0)  # the same dropout every time
        loss, _ = model.parse_losses(model(**model.data_preprocessor(batch, training=True), mode='loss'))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[2] < losses[0]


@pytest.mark.slow
@pytest.mark.parametrize('network', NETWORKS)
def test_a_batch_of_real_images(run, repository, data_root, tmp_path, monkeypatch, network):
    monkeypatch.setenv('MADNET_DATA_ROOT', str(data_root))
    config = next(repository.glob(f'configs/*/{network}.py'))
    options = ['--cfg-options', *SMALL, *NETWORKS[network]]
    code, _, err = run('train', config, '--work-dir', tmp_path / 'run', *options)
    assert code == 0, err
    code, _, err = run('test', config, tmp_path / 'run' / 'last.pth', '--out', tmp_path / 'out', *options)
    assert code == 0, err
    report = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert report['dataset']['images'] == 2
