"""The configs of MSHNet, RepISD-Net and SCTransNet: what they build, and one step of training."""

import pytest
import torch
from mmseg.registry import MODELS

from madnet.engine.config import load_config, selection_of

from . import checks

RECIPES = {
    'mshnet': {'batch': 4, 'epochs': 400, 'optimizer': {'type': 'Adagrad', 'lr': 0.05}, 'channels': 3},
    'repisd': {
        'batch': 16,
        'epochs': 600,
        'optimizer': {'type': 'Adagrad', 'lr': 0.05, 'weight_decay': 1e-4},
        'channels': 3,
    },
    'sctransnet': {'batch': 16, 'epochs': 1000, 'optimizer': {'type': 'Adam', 'lr': 1e-3}, 'channels': 1},
}


@pytest.mark.parametrize('short', checks.DATA_SETS)
@pytest.mark.parametrize('network', RECIPES)
def test_published_recipes(repository, network, short):
    config, recipe = load_config(repository / 'configs' / 'zoo' / f'{network}_{short}.py'), RECIPES[network]
    assert config.model.data_preprocessor.type == 'IRSTDPreProcessor'
    loaders = [config.train_dataloader, config.val_dataloader, config.test_dataloader]
    assert [loader.dataset.name for loader in loaders] == [checks.DATA_SETS[short]] * 3
    # As published: trained on all training images, the epoch chosen on the test images.
    assert [loader.dataset.split for loader in loaders] == ['trainval', 'test', 'test']
    assert [loader.dataset.pipeline[0].channels for loader in loaders] == [recipe['channels']] * 3
    assert config.model.backbone.in_channels == recipe['channels']
    if recipe['channels'] == 3:
        assert [loader.dataset.base_size for loader in loaders] == [256] * 3
    assert config.train_dataloader.batch_size == recipe['batch']
    assert config.train_cfg.max_epochs == recipe['epochs']
    assert config.optim_wrapper.optimizer == recipe['optimizer']
    assert config.default_hooks.checkpoint.save_best == 'IoU'


@pytest.mark.parametrize('short', checks.DATA_SETS)
@pytest.mark.parametrize('network', RECIPES)
def test_common_recipes(repository, network, short):
    config = load_config(repository / 'configs' / 'zoo' / 'modern' / f'{network}_{short}.py')
    assert config.model.backbone.in_channels == 1
    assert set(config.model.data_preprocessor) == {'type', 'mean', 'std'}
    assert config.model.data_preprocessor.mean == config.grey_stats.mean
    assert config.model.decode_head.loss_decode == {'type': 'SoftIoULoss', 'per_image': True}
    assert config.train_dataloader.dataset.name == checks.DATA_SETS[short]
    assert selection_of(config) == 'val'


@pytest.mark.parametrize('network', RECIPES)
@pytest.mark.parametrize('folder', ['', 'modern/'])
def test_one_step_of_training(repository, network, folder):
    checks.check_config(repository, f'{folder}{network}_nuaa', {'base_channels': 4})


def test_initial_weights_are_the_published_ones(repository):
    torch.manual_seed(0)
    config = load_config(repository / 'configs' / 'zoo' / 'repisd_nuaa.py')
    model = MODELS.build(config.model)
    model.init_weights()
    for conv in (model.backbone.stages[0][0].central, model.decode_head.reduce.conv):
        fan = sum(conv.weight.shape[:2]) * 9
        assert conv.weight.std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.05)

    config = load_config(repository / 'configs' / 'zoo' / 'sctransnet_nuaa.py')
    config.model.neck.depth = 1
    model = MODELS.build(config.model)
    model.init_weights()
    weights = [model.neck.patches[3].weight, model.decode_head.gates[3].skip.weight]
    for weight in (*weights, model.backbone.stages[3].body[0].weight):
        fan = weight[0].numel()
        assert weight.std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.05)
    factors = model.backbone.stages[3].body[1].weight
    assert factors.mean().item() == pytest.approx(1, abs=0.01)
    assert factors.std().item() == pytest.approx(0.02, rel=0.2)
