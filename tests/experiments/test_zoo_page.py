"""docs/zoo.md is what its data say."""

import json
import runpy
from operator import itemgetter
from pathlib import Path

import pytest

from madnet.errors import UserError
from madnet.experiments.systems import load_systems

SCRIPT = Path(__file__).resolve().parents[2] / 'docs' / 'build' / 'zoo.py'
COSTS, make_page = itemgetter('COSTS', 'make_page')(runpy.run_path(str(SCRIPT)))


def test_the_page_is_up_to_date(repository):
    page = (repository / 'docs' / 'zoo.md').read_text(encoding='utf-8')
    assert page == make_page(repository), 'run python docs/build/zoo.py'


def test_parameters_and_cost_are_the_published_ones(repository):
    costs = json.loads((repository / COSTS).read_text())['networks']
    for name, system in load_systems()['networks'].items():
        published = system.get('published')
        if published:
            assert costs[name]['parameters'] == published['parameters'] - published.get('dead', 0), name
            assert costs[name]['channels'] == published['channels'], name
            if 'MACs' in published:
                assert costs[name]['MACs'] == pytest.approx(published['MACs'], rel=0.01), name


def test_what_it_links_to_exists(repository):
    for name, system in load_systems()['networks'].items():
        assert (repository / system.get('parity', '.')).exists(), name
        assert (repository / f'configs/_base_/models/{name}.py').is_file(), name
        assert any((repository / 'configs').rglob(f'{name}_nuaa.py')), name


def test_quoted_numbers_that_contradict_themselves_are_marked(repository):
    page = make_page(repository)
    # the five of the MAD-Net table, and no other
    assert page.count('→') == 5
    assert '| ACM | 66.62 | 66.26 | 72.99 → 79.97 |' in page
    assert 'DNANet alone: 65.03, 71.96, 74.88, 9.8 points apart.' in page


def test_results_are_found(tmp_path):
    results = tmp_path / 'experiments'
    results.mkdir(parents=True)
    assert 'Nothing yet.' in make_page(tmp_path)
    numbers = {'IoU': 0.417, 'nIoU': 0.572, 'F1': 0.589, 'Pd': 0.927, 'Fa': 193e-6}
    told = {'split': 'test', 'images': 86}
    method = {'title': 'Top-hat 5×5', 'rules': {'mean+12std': numbers}}
    (results / 'c.json').write_text(json.dumps({'NUAA-SIRST': {**told, 'methods': {'tophat': method}}}))
    row = {
        'network': 'madnet_nano', 'label': 'MAD-Net nano', 'dataset': {'name': 'NUDT-SIRST', **told},
        'seeds': [1, 2], 'epochs': 60, 'chosen': 'last epoch', 'cost': {},
        'results': {'native': {'IoU': [0.5, 0.01, 2]}},
    }  # fmt: skip
    summary = {
        'kind': 'zoo',
        'made': '2026-01-01',
        'plan': {'recipe': 'modern', 'seeds': [1, 2]},
        'rows': [row],
    }
    (results / 'z.json').write_text(json.dumps(summary))
    page = make_page(tmp_path)
    assert '| Top-hat 5×5 | 41.70 | 57.20 | 58.90 | 92.70 | 193.00 |' in page
    assert '`tophat` | Top-hat 5×5 | Tom et al. 1993 | NUAA-SIRST |' in page
    assert '| MAD-Net nano | 50.00 ± 1.00 |' in page
    [madnet] = [line for line in page.splitlines() if line.startswith('| `madnet` |')]
    assert madnet.endswith('| NUDT-SIRST (as MAD-Net nano) |')
    row['dataset']['split'] = 'val'
    (results / 'z.json').write_text(json.dumps(summary))
    assert '| MAD-Net nano | 50.00' not in make_page(tmp_path)
    (results / 'z.json').write_text('{')
    with pytest.raises(UserError, match=r'z\.json'):
        make_page(tmp_path)
