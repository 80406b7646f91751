"""What docs/add_a_network.md says works, word for word."""

import importlib
import re
import shutil
import sys

import pytest
import yaml
from mmseg.registry import MODELS

from madnet.engine.config import load_config
from madnet.experiments.systems import load_systems


@pytest.fixture
def page(repository):
    return (repository / 'docs' / 'add_a_network.md').read_text(encoding='utf-8')


@pytest.fixture
def blocks(page):
    """Path → code, for every Python block; the path stands before it."""
    found = {}
    for before, code in re.findall(r'((?:(?!```).)*)```python\n(.*?)```', page, re.S):
        found[re.findall(r'`((?:madnet|configs|tests)/\S+\.py)`', before)[-1]] = code
    return found


def test_its_network_builds_and_passes_its_own_test(blocks, repository, tmp_path, monkeypatch):
    # the modules where the page puts them, without writing into the package
    for room in ('backbones', 'heads'):
        [path] = [p for p in blocks if f'/{room}/' in p]
        (tmp_path / room).mkdir()
        (tmp_path / room / path.rpartition('/')[2]).write_text(blocks[path])
        package = importlib.import_module(f'madnet.models.{room}')
        monkeypatch.setattr(package, '__path__', [*package.__path__, str(tmp_path / room)])
        name = path.removesuffix('.py').replace('/', '.')
        importlib.import_module(name)
        monkeypatch.delitem(sys.modules, name)

    # the configs among the others, in a copy
    shutil.copytree(repository / 'configs', tmp_path / 'configs')
    for path in (p for p in blocks if p.startswith('configs/')):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(blocks[path])
    [experiment] = (p for p in blocks if p.startswith('configs/') and '_base_' not in p)
    model = MODELS.build(load_config(tmp_path / experiment).model)
    assert model.decode_head.in_channels == [16, 32, 64, 128]

    monkeypatch.syspath_prepend(str(repository / 'tests' / 'models'))
    test = {}
    exec(next(code for path, code in blocks.items() if path.startswith('tests/')), test)
    test['test_cost']()
    test['test_learns'](3)
    test['test_any_size']()
    test['test_config'](tmp_path)
    for module in ('backbones.PlainUNetEncoder', 'heads.PlainUNetHead'):
        MODELS.module_dict.pop(module.partition('.')[2])


def test_its_row_has_known_facts(page):
    [row] = yaml.safe_load(re.search(r'```yaml\n(.*?)```', page, re.S)[1]).values()
    known = set().union(*load_systems()['networks'].values())
    assert set(row) <= known


def test_what_it_names_exists(page, repository, blocks):
    for target in re.findall(r'\]\(([^)#:]+)\)', page):
        assert (repository / 'docs' / target).exists(), target
    for path in re.findall(r'`((?:madnet|configs|tests|docs|tools)/[\w/.]+)`', page):
        assert path in blocks or (repository / path).exists(), path
