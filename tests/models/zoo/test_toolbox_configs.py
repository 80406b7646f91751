"""The configs of ISNet and RDIAN: what they build, and what the data give them."""

import math

import pytest
import torch
from mmseg.registry import DATASETS, MODELS, PARAM_SCHEDULERS
from small_models import sample

from madnet.engine.config import load_config

from . import checks

NETWORKS = {'isnet': 'ISNetEncoder', 'rdian': 'RDIANEncoder'}


@pytest.mark.parametrize('short', checks.DATA_SETS)
@pytest.mark.parametrize('network', NETWORKS)
@pytest.mark.parametrize('recipe', ['_toolbox', ''])
def test_configs(repository, network, short, recipe):
    config = load_config(repository / f'configs/{network}/{network}{recipe}.py', dataset=short)
    assert config.model.backbone.type == NETWORKS[network]
    assert config.model.data_preprocessor.type == 'IRSTDPreProcessor'
    assert len(config.model.data_preprocessor.mean) == config.model.backbone.in_channels == 1
    loaders = [config.train_dataloader, config.test_dataloader]
    assert [loader.dataset.name for loader in loaders] == [checks.DATA_SETS[short]] * 2
    crop = config.train_dataloader.dataset.pipeline[2]
    if not recipe:
        assert crop.type == 'RandomTargetCrop'
        assert config.train_dataloader.dataset.split == 'fit'
        return
    assert crop.type == 'ToolboxCrop'
    assert [crop.pad_value] == list(config.model.data_preprocessor.mean)
    assert config.train_dataloader.dataset.split == 'trainval'
    assert config.val_dataloader is None
    assert config.train_dataloader.batch_size == 16
    assert config.optim_wrapper.optimizer == {'type': 'Adam', 'lr': 5e-4}


@pytest.mark.parametrize('short', checks.DATA_SETS)
@pytest.mark.parametrize('network', NETWORKS)
def test_the_authors_recipe_on_every_set(repository, network, short):
    config = load_config(repository / f'configs/{network}/{network}_published.py', dataset=short)
    loaders = [config[f'{part}_dataloader'] for part in ('train', 'val', 'test')]
    assert [loader.dataset.name for loader in loaders] == [checks.DATA_SETS[short]] * 3
    assert config.optim_wrapper.optimizer.type == 'Adagrad'


@pytest.mark.parametrize('recipe', ['_toolbox', '_published', ''])
@pytest.mark.parametrize('network', NETWORKS)
def test_one_step_of_training(repository, network, recipe):
    config = checks.check_config(repository, f'{network}/{network}{recipe}', {'base_channels': 4})
    pipelines = [config[f'{part}_dataloader'].dataset.pipeline for part in ('train', 'test')]
    assert [pipeline[0].channels for pipeline in pipelines] == [
        3 if (network, recipe) == ('isnet', '_published') else 1
    ] * 2


def test_test_images_are_padded_to_multiples_of_32_after_normalisation(repository):
    config = load_config(repository / 'configs/rdian/rdian_toolbox.py')
    config.model.backbone.update(base_channels=4)
    model = MODELS.build(config.model).eval()
    image = torch.randint(0, 255, (1, 40, 70), dtype=torch.uint8)
    seen = []
    model.backbone.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        (found,) = model.test_step({'inputs': [image], 'data_samples': [sample(40, 70)]})
    assert seen[0].shape == (1, 1, 64, 96)
    torch.testing.assert_close(seen[0][0, :, :40, :70], (image - 101.0639) / 34.6196)
    assert not seen[0][..., 40:, :].any()
    assert not seen[0][..., 70:].any()
    assert found.seg_logits.data.shape == (1, 40, 70)


def rates(config):
    """The learning rate of every epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=config.optim_wrapper.optimizer.lr)
    (schedule,) = config.param_scheduler
    scheduler = PARAM_SCHEDULERS.build({**schedule, 'optimizer': optimizer})
    found = []
    for _ in range(config.train_cfg.max_epochs):
        found.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return found


def test_the_toolbox_rate_falls_to_a_tenth_twice(repository):
    config = load_config(repository / 'configs/rdian/rdian_toolbox.py')
    expected = [5e-4] * 200 + [5e-5] * 100 + [5e-6] * 100
    assert rates(config) == pytest.approx(expected)


def test_the_authors_rate_of_rdian(repository):
    config = load_config(repository / 'configs/rdian/rdian_published.py')
    expected = [1e-6 + (0.005 - 1e-6) * (1 - epoch / 301) ** 0.9 for epoch in range(300)]
    assert rates(config) == pytest.approx(expected, rel=1e-6)


def test_the_authors_rate_of_isnet_falls_and_rises(repository):
    config = load_config(repository / 'configs/isnet/isnet_published.py')
    found = rates(config)
    assert len(found) == 3000
    expected = [0.05 * (1 + math.cos(math.pi * epoch / 30)) / 2 for epoch in range(150)]
    assert found[:150] == pytest.approx(expected, abs=1e-9)


def test_real_images_come_as_the_toolbox_gives_them(repository, data_root, monkeypatch):
    monkeypatch.setenv('MADNET_DATA_ROOT', str(data_root))
    config = load_config(repository / 'configs/isnet/isnet_toolbox.py')
    dataset = DATASETS.build(config.train_dataloader.dataset)
    assert len(dataset) == 213
    # an image of fewer than 256 rows or columns, whose padding is zero once normalised
    small = next(i for i in range(213) if min(dataset.read_sample(i)[0].shape[:2]) < 256)
    model = MODELS.build(config.model)
    batch = model.data_preprocessor({key: [value] for key, value in dataset[small].items()}, training=True)
    assert batch['inputs'].shape == (1, 1, 256, 256)
    assert (batch['inputs'] == 0).float().mean() > 0.002
    assert batch['data_samples'][0].gt_sem_seg.data.shape == (1, 256, 256)
