"""The common recipe: which parameters its optimiser pulls to zero."""

import pytest
from mmengine.optim import DefaultOptimWrapperConstructor, build_optim_wrapper
from mmseg.registry import MODELS
from torch import nn

import madnet  # noqa: F401
from madnet.engine.config import load_config

CONFIGS = [
    'madnet/madnet_nano',
    'mim/mim_nano',
    'hybrids/adadcm_mamba',
    'hybrids/mim_mema2m',
    'hybrids/memory_twice',
]
#: What gives directions: kernels and matrices, those of the scan among them.
DECAYED = {'weight', 'x_proj_weight', 'dt_projs_weight'}


@pytest.mark.parametrize('name', CONFIGS)
def test_only_kernels_and_matrices_decay(repository, name):
    config = load_config(repository / 'configs' / f'{name}.py')
    model = MODELS.build(config.model)
    wrapper = build_optim_wrapper(model, config.optim_wrapper)

    decay = {id(p): group['weight_decay'] for group in wrapper.param_groups for p in group['params']}
    norms = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)
    in_norms = {id(p) for m in model.modules() if isinstance(m, norms) for p in m.parameters()}
    for key, parameter in model.named_parameters():
        wanted = key.rsplit('.', 1)[-1] in DECAYED and id(parameter) not in in_norms
        assert decay[id(parameter)] == (0.01 if wanted else 0), key
        assert not wanted or parameter.dim() > 1, key


NETWORKS = ('abc', 'acm', 'alcnet', 'dnanet', 'isnet', 'mshnet', 'rdian', 'repisd', 'sctransnet', 'uiunet')


@pytest.mark.parametrize('name', [*CONFIGS, *(f'{n}/{n}' for n in NETWORKS), 'mim/mim_published'])
def test_marks_give_what_names_in_the_recipe_gave(repository, name):
    """mmengine's constructor, told the parameters by name, is the reference."""
    config = load_config(repository / 'configs' / f'{name}.py')
    model = MODELS.build(config.model)
    wrapper = dict(config.optim_wrapper)
    marked = build_optim_wrapper(model, config.optim_wrapper)
    del wrapper['constructor']
    keys = ['.A_logs', '.Ds'] + (
        ['.gamma', '.bank', '.dt_projs_bias'] if not name.endswith('_published') else []
    )
    paramwise = {**wrapper.pop('paramwise_cfg', {}), 'custom_keys': {k: {'decay_mult': 0.0} for k in keys}}
    named = DefaultOptimWrapperConstructor(wrapper, paramwise)(model)
    assert _settings(marked) == _settings(named)


def _settings(wrapper):
    return {
        id(p): {k: v for k, v in group.items() if k not in ('params', 'decay_mult')}
        for group in wrapper.param_groups
        for p in group['params']
    }
