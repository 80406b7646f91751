"""Detectors of random weights that find something everywhere, and images for them."""

import cv2
import numpy as np
import pytest
import torch
from clutter import scene
from mmseg.registry import MODELS

from madnet.engine.config import load_config

NATIVE = """
_base_ = ['{configs}/madnet_synthetic.py']
model = dict(backbone=dict(base_channels=2))
val_dataloader = dict(dataset=dict(length=4, size=64))
test_dataloader = dict(dataset=dict(length=3, size=(64, 80)))
"""
FILES = """
_base_ = ['{configs}/madnet_synthetic.py']
model = dict(backbone=dict(base_channels=2))
test_pipeline = [
    dict(type='LoadSIRSTImage', channels=1), dict(type='LoadSIRSTMask'), dict(type='PackSIRSTInputs')
]
test_dataloader = dict(dataset=dict(
    _delete_=True, type='SIRSTDataset', data_root='{root}', split='test', pipeline=test_pipeline))
"""
PUBLISHED = """
_base_ = ['{configs}/madnet_nuaa.py']
model = dict(backbone=dict(base_channels=2))
test_dataloader = dict(num_workers=0, dataset=dict(name=None, data_root='{root}', base_size=64))
"""


@pytest.fixture(autouse=True, scope='session')
def own_cache(tmp_path_factory):
    """What predictors keep of a network lies where the tests may write."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(scope='session')
def image_set(tmp_path_factory):
    """Root of a data set of three grey images of different sizes, in the MAD-Net layout."""
    root = tmp_path_factory.mktemp('data') / 'my-set'
    for part in ('trainval', 'test'):
        for kind in ('images', 'masks'):
            (root / part / kind).mkdir(parents=True)
        for i, size in enumerate([(70, 90), (64, 64), (101, 83)]):
            image = scene(*size, seed=i)
            name = f'{part}{i}.png'
            cv2.imwrite(str(root / part / 'images' / name), image)
            cv2.imwrite(str(root / part / 'masks' / name), (image == 240).astype(np.uint8) * 255)
    return root


@pytest.fixture(scope='session')
def detectors(tmp_path_factory, repository, image_set):
    """``{'native' | 'files' | 'published': (config, checkpoint)}`` of random weights."""
    folder = tmp_path_factory.mktemp('detectors')
    made = {}
    for name, text in (('native', NATIVE), ('files', FILES), ('published', PUBLISHED)):
        config = folder / f'{name}.py'
        config.write_text(text.format(configs=repository / 'configs', root=image_set))
        torch.manual_seed(1)
        model = MODELS.build(load_config(config).model)
        _stir(model)
        checkpoint = folder / f'{name}.pth'
        torch.save({'state_dict': model.state_dict()}, checkpoint)
        made[name] = config, checkpoint
    return made


def _stir(model):
    """Leaves nothing at the neutral value that it starts from."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith('running_var'):
                tensor.uniform_(0.5, 1.5)
            elif tensor.is_floating_point():
                tensor.add_(0.1 * torch.randn_like(tensor))
