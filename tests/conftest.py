"""What every test may lean on: golden numbers and real data where they exist, and a tiny experiment."""

import os
from pathlib import Path

import pytest


def _folder(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value or not Path(value).is_dir():
        pytest.skip(f'{variable} names no folder: {what} not at hand')
    return Path(value)


@pytest.fixture(scope='session')
def golden_dir() -> Path:
    """The folder of golden numbers; skips where there is none."""
    return _folder('MADNET_GOLDEN', 'golden numbers')


@pytest.fixture(scope='session')
def data_root() -> Path:
    """The folder that holds the real data sets; skips where there is none."""
    return _folder('MADNET_DATA_ROOT', 'real data sets')


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
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope='session')
def tiny_text(repository) -> str:
    """A config that trains a MAD-Net of width 2 on sixteen synthetic scenes for three epochs."""
    return TINY.format(configs=repository / 'configs')


@pytest.fixture
def tiny_config(tmp_path, tiny_text) -> Path:
    """Path of that config in a file."""
    path = tmp_path / 'tiny.py'
    path.write_text(tiny_text)
    return path
