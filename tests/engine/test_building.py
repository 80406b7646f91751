"""A network that cannot be built is one line with the config's name, whichever tool builds it."""

from pathlib import Path

import pytest
from mmengine.config import Config

import madnet
from madnet.benchmarks import models
from madnet.engine.building import build_model
from madnet.engine.config import load_config
from madnet.engine.runner import build_runner
from madnet.errors import UserError
from madnet.experiments.cost import measure_cost
from madnet.inference.detector import load_detector

BUILDERS = {
    'train': lambda config, options: build_runner(load_config(config, options)),
    'predict': lambda config, options: load_detector(config, options=options),
    'benchmark': lambda config, options: models.build(config, [f'{k}={v}' for k, v in options.items()]),
    'cost': lambda config, options: measure_cost(load_config(config, options)),
}


@pytest.mark.parametrize('build', BUILDERS.values(), ids=BUILDERS)
@pytest.mark.parametrize('channels', [0, (4, 4)])
def test_a_network_that_cannot_be_built_is_one_line(tiny_config, build, channels):
    said = rf'^config {tiny_config}: cannot be built: .+ \(\S+\.py, line \d+, in \S+\)\.$'
    with pytest.raises(UserError, match=said) as e:
        build(tiny_config, {'model.backbone.base_channels': channels})
    assert '\n' not in str(e.value)


def test_so_is_a_step_that_cannot_be_built(tiny_config):
    cfg = load_config(tiny_config)
    cfg.test_dataloader.dataset.pipeline.insert(0, {'type': 'RandomFlip', 'prob': 3.0})
    with pytest.raises(UserError, match=rf'^config {tiny_config}: cannot be built: '):
        load_detector(cfg)


def test_a_config_without_a_model_is_named():
    with pytest.raises(UserError, match=r'^config: has no model\.$'):
        build_model(Config({'model': None}))


def test_whole_networks_are_built_in_one_place():
    root = Path(madnet.__file__).parent
    # parts of a network, and what a file holds, whose damage is said with its version
    others = {'engine/building.py', 'pretrained/network_file.py'}
    found = {p.relative_to(root).as_posix() for p in root.rglob('*.py') if 'MODELS.build(' in p.read_text()}
    assert {name for name in found if not name.startswith('models/')} == others
