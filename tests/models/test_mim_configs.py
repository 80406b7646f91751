"""The configs of MiM-ISTD and of the hybrids: what they build, and one step of training."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS
from small_models import sample

from madnet.engine.config import load_config
from madnet.models.layers import SS2D

CONFIGS = ['mim_nano', 'mim_tiny', 'mim_tiny_fine', 'mim_small', 'mim_base', 'mim_published']
HYBRIDS = ['hybrids/mim_mema2m', 'hybrids/mim_madnet', 'hybrids/adadcm_mamba']


@pytest.mark.parametrize('name', ['mim/mim_published', *HYBRIDS])
def test_one_step_of_training(repository, name):
    config = load_config(repository / 'configs' / f'{name}.py')
    mim = config.model.backbone.type == 'MiMEncoder'
    assert mim == ('adadcm' not in name)
    channels = config.model.backbone.in_channels
    # Narrow, so that the step is quick.
    config.model.backbone.update({'base_channels': 8, 'word_channels': 2} if mim else {'base_channels': 2})
    torch.manual_seed(0)
    model = MODELS.build(config.model).train()
    optimizer = build_optim_wrapper(model, config.optim_wrapper)

    undecayed = {
        id(p) for group in optimizer.param_groups for p in group['params'] if not group['weight_decay']
    }
    marked = [p for p in model.parameters() if getattr(p, '_no_weight_decay', False)]
    assert undecayed >= {id(p) for p in marked}
    assert len(undecayed) == len(marked) or name in HYBRIDS  # whose recipe leaves biases and norms alone, too
    scans = sum(isinstance(module, SS2D) for module in model.modules())
    assert scans > 0
    assert len(marked) == 2 * scans or name in HYBRIDS  # whose memory banks are marked, too
    assert len(optimizer.param_groups) == 3  # decayed, not decayed, and mmengine's own for the defaults

    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    data = {
        'inputs': [torch.randint(0, 255, (channels, 72, 64), dtype=torch.uint8) for _ in range(2)],
        'data_samples': [sample(72, 64, seed=i) for i in range(2)],
    }
    losses = model.train_step(data, optimizer)
    assert losses['loss'].isfinite()
    # A bias before a normalisation in training has no gradient, only rounding and decay.
    still = [key for key, p in model.named_parameters() if torch.equal(p, before[key])]
    assert [key for key in still if not key.endswith('bias')] == []

    model.eval()
    with torch.no_grad():
        assert model.encode_decode(torch.zeros(1, channels, 33, 50), [{}]).shape == (1, 1, 33, 50)


def test_every_config_is_looked_at(repository):
    assert {path.stem for path in (repository / 'configs/mim').glob('*.py')} == set(CONFIGS)


@pytest.mark.parametrize('name', CONFIGS)
def test_the_words_of_every_stage_depend_on_the_image(repository, name):
    torch.manual_seed(0)
    encoder = MODELS.build(load_config(repository / 'configs/mim' / f'{name}.py').model.backbone)
    words = []
    for stage in encoder.stages[1:]:
        stage.word_merge.register_forward_hook(lambda _, __, merged: words.append(merged))
    with torch.no_grad():  # in training, where normalised words of fresh weights differ most
        encoder(torch.randn(2, encoder.in_channels, 64, 64))
    assert len(words) == 3
    for first, second in words:
        assert (first - second).abs().amax() > 0.01 * first.abs().amax()


def test_what_the_hybrids_are_made_of(repository):
    types = []
    for name in HYBRIDS:
        model = load_config(repository / 'configs' / f'{name}.py').model
        types.append([model.backbone.type, model.get('neck', {}).get('type'), model.decode_head.type])
    assert types == [
        ['MiMEncoder', 'MemA2MNeck', 'MiMHead'],
        ['MiMEncoder', None, 'MADNetHead'],
        ['AdaDCMEncoder', 'MambaNeck', 'MADNetHead'],
    ]


@pytest.mark.parametrize('size', [(3, 5), (1, 1)])
def test_mamba_neck_on_any_pyramid(size):
    torch.manual_seed(0)
    neck = MODELS.build({'type': 'MambaNeck', 'in_channels': [2, 4], 'depth': 1}).eval()
    pyramid = (torch.randn(2, 2, 9, 9), torch.randn(2, 4, *size))
    maps = neck(pyramid)
    assert neck.pyramid_channels == [2, 4, 8]
    assert maps[0] is pyramid[0]
    assert maps[2].shape == (2, 8, -(-size[0] // 2), -(-size[1] // 2))
