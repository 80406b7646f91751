"""The configs of MSHNet, RepISD-Net and SCTransNet: what they build, and one step of training."""

import pytest
import torch
from mmseg.registry import MODELS

from madnet.datasets.catalogue import get_entry
from madnet.engine.config import load_config

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
    config = load_config(repository / f'configs/{network}/{network}_published.py', dataset=short)
    recipe = RECIPES[network]
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
    config = load_config(repository / f'configs/{network}/{network}.py', dataset=short)
    assert config.model.backbone.in_channels == 1
    assert set(config.model.data_preprocessor) == {'type', 'mean', 'std'}
    entry = get_entry(short)
    assert config.model.data_preprocessor.mean == entry.statistics['grey']['mean']
    assert config.model.data_preprocessor.std == entry.statistics['grey']['std']
    iou, cross_entropy = config.model.decode_head.loss_decode
    assert (iou.type, iou.per_image) == ('SoftIoULoss', False)
    assert cross_entropy.type == 'MaskBCELoss'
    assert 0.5 <= cross_entropy.begin < 1
    assert config.train_dataloader.dataset.name == entry.name == checks.DATA_SETS[short]
    assert [config[f'{p}_dataloader'].dataset.split for p in ('train', 'val')] == ['fit', 'val']


@pytest.mark.parametrize('network', RECIPES)
@pytest.mark.parametrize('recipe', ['', '_published'])
def test_one_step_of_training(repository, network, recipe):
    checks.check_config(repository, f'{network}/{network}{recipe}', {'base_channels': 4})


def test_initial_weights_are_the_published_ones(repository):
    torch.manual_seed(0)
    config = load_config(repository / 'configs/repisd/repisd_published.py')
    model = MODELS.build(config.model)
    model.init_weights()
    for conv in (model.backbone.stages[0][0].central, model.decode_head.reduce.conv):
        fan = sum(conv.weight.shape[:2]) * 9
        assert conv.weight.std().item() == pytest.approx((2 / fan) ** 0.5, rel=0.05)

    config = load_config(repository / 'configs/sctransnet/sctransnet_published.py')
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
