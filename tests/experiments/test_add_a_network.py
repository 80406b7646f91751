"""What docs/add_a_network.md says works, word for word."""

import importlib
import re
import shutil
import sys

import pytest
import yaml
from mmseg.registry import MODELS

from madnet.engine.config import load_config
from madnet.experiments.cost import measure_cost
from madnet.experiments.plan import read_plan


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


def test_its_network_builds_and_passes_its_own_test(page, blocks, repository, tmp_path, monkeypatch):
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
    [experiment] = (p for p in blocks if p.startswith('configs/plain_unet/'))
    model = MODELS.build(load_config(tmp_path / experiment, dataset='nudt').model)
    assert model.decode_head.in_channels == [16, 32, 64, 128]

    # the metafile beside them: its facts are known ones, its figures those of the network
    metafile = yaml.safe_load(re.search(r'```yaml\n(.*?)```', page, re.S)[1])
    known = {key: set() for key in ('Collections', 'Models')}
    for path in (repository / 'configs').glob('*/metafile.yaml'):
        for key, entries in yaml.safe_load(path.read_text(encoding='utf-8')).items():
            known[key] |= set().union(*entries)
    [collection], [row] = metafile['Collections'], metafile['Models']
    assert set(collection) <= known['Collections']
    assert set(row) <= known['Models']
    assert row['Config'] == experiment
    cost = measure_cost(load_config(tmp_path / experiment, dataset='nudt'))
    assert row['Metadata'] == {
        'Parameters': cost.parameters,
        'MACs': cost.MACs,
        'Channels': cost.channels,
        'Size': cost.size,
    }
    (tmp_path / experiment).with_name('metafile.yaml').write_text(yaml.safe_dump(metafile))
    [run] = read_plan(networks=['plain_unet'], configs=str(tmp_path / 'configs'), seeds=[1]).runs()
    assert run.label == 'U-Net'

    monkeypatch.syspath_prepend(str(repository / 'tests' / 'models'))
    test = {}
    exec(next(code for path, code in blocks.items() if path.startswith('tests/')), test)
    test['test_cost']()
    test['test_learns'](3)
    test['test_any_size']()
    test['test_config'](tmp_path)
    for module in ('backbones.PlainUNetEncoder', 'heads.PlainUNetHead'):
        MODELS.module_dict.pop(module.partition('.')[2])


def test_what_it_names_exists(page, repository, blocks):
    for target in re.findall(r'\]\(([^)#:]+)\)', page):
        assert (repository / 'docs' / target).exists(), target
    for path in re.findall(r'`((?:madnet|configs|tests|docs|tools|experiments)/[\w/.]+)`', page):
        assert path in blocks or path.endswith('plain_unet/metafile.yaml') or (repository / path).exists(), (
            path
        )
