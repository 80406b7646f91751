"""The configs of ISNet and RDIAN: what they build, and what the data give them."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS
from small_models import sample

from madnet.engine.config import load_config

SETS = {'nuaa': 'NUAA-SIRST', 'nudt': 'NUDT-SIRST', 'irstd1k': 'IRSTD-1K', 'sirstaug': 'SIRST-AUG'}
NETWORKS = {'isnet': 'ISNetEncoder', 'rdian': 'RDIANEncoder'}


@pytest.mark.parametrize('short', SETS)
@pytest.mark.parametrize('network', NETWORKS)
@pytest.mark.parametrize('recipe', ['toolbox', 'modern'])
def test_configs(repository, network, short, recipe):
    folder = repository / 'configs' / 'zoo' / ('modern' if recipe == 'modern' else '')
    config = load_config(folder / f'{network}_{short}.py')
    assert config.model.backbone.type == NETWORKS[network]
    assert config.model.data_preprocessor.type == 'IRSTDPreProcessor'
    assert len(config.model.data_preprocessor.mean) == config.model.backbone.in_channels == 1
    loaders = [config.train_dataloader, config.test_dataloader]
    assert [loader.dataset.name for loader in loaders] == [SETS[short]] * 2
    crop = config.train_dataloader.dataset.pipeline[2]
    if recipe == 'modern':
        assert crop.type == 'RandomTargetCrop'
        assert config.selection == 'val'
        return
    assert crop.type == 'ToolboxCrop'
    assert [crop.pad_value] == list(config.model.data_preprocessor.mean)
    assert config.train_dataloader.dataset.split == 'trainval'
    assert config.val_dataloader is None
    assert config.train_dataloader.batch_size == 16
    assert config.optim_wrapper.optimizer == {'type': 'Adam', 'lr': 5e-4}


@pytest.mark.parametrize('network', NETWORKS)
def test_one_step_of_training(repository, network):
    config = load_config(repository / 'configs' / 'zoo' / f'{network}_nuaa.py')
    config.model.backbone.update(base_channels=4)
    torch.manual_seed(0)
    model = MODELS.build(config.model).train()
    optimizer = build_optim_wrapper(model, config.optim_wrapper)
    data = {
        'inputs': [torch.randint(0, 255, (1, 64, 64), dtype=torch.uint8) for _ in range(2)],
        'data_samples': [sample(64, 64, seed=i) for i in range(2)],
    }
    assert model.train_step(data, optimizer)['loss'].isfinite()


def test_test_images_are_padded_to_multiples_of_32_after_normalisation(repository):
    config = load_config(repository / 'configs' / 'zoo' / 'rdian_nuaa.py')
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


def test_the_learning_rate_falls_to_a_tenth_twice(repository):
    config = load_config(repository / 'configs' / 'zoo' / 'rdian_nuaa.py')
    (schedule,) = config.param_scheduler
    assert (schedule.type, list(schedule.milestones), schedule.gamma) == ('MultiStepLR', [200, 300], 0.1)
    assert config.train_cfg.max_epochs == 400
