"""What the README shows must work."""

import re

from mmseg.registry import MODELS

import madnet  # noqa: F401
from madnet.engine.config import load_config


def test_the_new_experiment_builds(repository, tmp_path):
    readme = (repository / 'README.md').read_text(encoding='utf-8')
    [block] = re.findall(r'```python\n(.*?)```', readme, re.S)
    config = tmp_path / 'my_experiment.py'
    config.write_text(block)
    model = MODELS.build(load_config(config).model)
    assert type(model.backbone).__name__ == 'ResNet'
    assert type(model.decode_head.loss_decode).__name__ == 'SLSLoss'


def test_every_config_it_names_exists(repository):
    readme = (repository / 'README.md').read_text(encoding='utf-8')
    named = set(re.findall(r'`(?:configs/)?((?:\w+/)?\w+)\.py`', readme))
    named |= set(re.findall(r'configs/([\w/]+)\.py', readme))
    named = {n for n in named if n != 'my_experiment' and not n.startswith(('tools/', 'configs/'))}
    assert 'madnet_nudt' in named
    for name in named:
        assert (repository / 'configs' / f'{name}.py').is_file(), name


def test_every_link_leads_somewhere(repository):
    readme = (repository / 'README.md').read_text(encoding='utf-8')
    for target in re.findall(r'\]\(([^)#:]+)\)', readme):
        assert (repository / target).exists(), target
