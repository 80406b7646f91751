"""A tiny experiment, small enough to train in seconds."""

import pytest

TINY = """
_base_ = ['{configs}/madnet_synthetic.py']
model = dict(backbone=dict(base_channels=2))
train_dataloader = dict(batch_size=4, dataset=dict(length=16, size=64))
val_dataloader = dict(dataset=dict(length=4, size=64))
test_dataloader = dict(dataset=dict(length=6, size=64))
train_cfg = dict(max_epochs=3)
param_scheduler = [dict(type='WarmupCosineLR', warmup_steps=3, by_epoch=True, convert_to_iter_based=True)]
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(vis_backends=vis_backends)
"""


@pytest.fixture(scope='session')
def repository():
    """The root of the checkout."""
    from pathlib import Path

    return Path(__file__).resolve().parents[2]


@pytest.fixture
def tiny_config(tmp_path, repository):
    """Path of a config that trains a MAD-Net of width 2 on sixteen synthetic scenes for three epochs."""
    path = tmp_path / 'tiny.py'
    path.write_text(TINY.format(configs=repository / 'configs'))
    return path
