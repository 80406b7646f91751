"""docs/zoo.md is what the metafiles say, and those say what was measured."""

import json
import runpy
import shutil
from operator import itemgetter
from pathlib import Path

import pytest
import yaml

import madnet
from madnet.engine.config import load_config
from madnet.errors import UserError
from madnet.experiments.cost import measure_cost
from madnet.files import read_json
from madnet.records import Comparison, Costs

ROOT = Path(__file__).resolve().parents[2]
COSTS, make_page, read_metafiles, write_costs = itemgetter(
    'COSTS', 'make_page', 'read_metafiles', 'write_costs'
)(runpy.run_path(str(ROOT / 'docs' / 'build' / 'zoo.py')))
METAFILES = read_metafiles(ROOT)
MODELS = {model['Name']: model for metafile in METAFILES.values() for model in metafile['Models']}


def test_the_page_is_up_to_date():
    page = (ROOT / 'docs' / 'zoo.md').read_text(encoding='utf-8')
    assert page == make_page(ROOT), 'run python docs/build/zoo.py'


def test_every_network_has_a_metafile_that_names_its_configs():
    folders = {path.name for path in (ROOT / 'configs').iterdir() if path.is_dir() and path.name != '_base_'}
    assert folders == set(METAFILES)
    for folder, metafile in METAFILES.items():
        files = {path.stem for path in (ROOT / 'configs' / folder).glob('*.py')}
        parts = {stem for stem in files if 'joint' in stem or 'finetune' in stem}  # of a longer training
        assert {model['Name'] for model in metafile['Models']} == files - parts


def test_costs_are_the_measured_and_the_published_ones():
    costs = Costs.read(ROOT / COSTS).networks
    assert set(costs) == {name for name, model in MODELS.items() if 'Metadata' in model}
    for name, ours in costs.items():
        model = MODELS[name]
        assert model['Metadata'] == {
            'Parameters': ours.parameters,
            'MACs': ours.MACs,
            'Channels': ours.channels,
            'Size': ours.size,
        }, name
        published = model.get('Published')
        if published:
            assert ours.parameters == published['Parameters'] - published.get('Without Effect', 0), name
            if 'MACs' in published:
                assert ours.MACs == pytest.approx(published['MACs'], rel=0.01), name


def test_costs_of_named_networks_alone(tmp_path):
    for folder in ('configs', 'experiments/costs'):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    before = read_json(tmp_path / COSTS)
    kept = before['networks']['acm']['MACs']
    before['networks']['acm']['MACs'] = before['networks']['madnet_nano']['MACs'] = 1
    (tmp_path / COSTS).write_text(json.dumps(before))
    write_costs(tmp_path, ['acm'])
    before['networks']['acm']['MACs'] = kept
    assert list(read_json(tmp_path / COSTS)['networks'].items()) == list(before['networks'].items())
    with pytest.raises(UserError, match=r"--costs: no network 'acn' .* 'acm'"):
        write_costs(tmp_path, ['acn'])


def test_own_numbers_are_those_of_their_evidence():
    for model in MODELS.values():
        for result in model.get('Results', ()):
            rows = [
                row
                for row in Comparison.read(ROOT / result['Evidence']).rows
                if (row.label, row.dataset.name) == (result['Row'], result['Dataset'])
            ]
            assert len(rows) == 1, result
            [row] = rows
            assert row.dataset.split == 'test'
            assert (row.views, row.seeds) == (result['Views'], result.get('Seeds', []))
            for key, value in result['Metrics'].items():
                scale = 1e6 if key == 'Fa' else 100
                mean, std, n = row.results[result['Protocol']][key]
                assert value == pytest.approx(mean * scale, abs=0.00501), result
                if n > 1:
                    assert result['Deviations'][key] == pytest.approx(std * scale, abs=0.00501), result


@pytest.mark.parametrize('name', ['madnet_nano', 'mim_tiny'])
def test_costs_are_counted_as_they_were(name):
    """Whatever operators the code does it by."""
    cost = measure_cost(load_config(ROOT / MODELS[name]['Config']))
    assert cost.MACs == Costs.read(ROOT / COSTS).networks[name].MACs


def test_what_it_links_to_exists():
    for metafile in METAFILES.values():
        for collection in metafile['Collections']:
            assert (ROOT / collection.get('Parity', {}).get('Test', '.')).exists()
        for model in metafile['Models']:
            for path in (model['Config'], model.get('Weights', '.'), *model.get('Evidence', ())):
                assert (ROOT / path).exists(), path


def test_quoted_numbers_that_contradict_themselves_are_marked():
    page = make_page(ROOT)
    # the five of the MAD-Net table, and no other
    assert page.count('→') == 5
    assert '| ACM | 66.62 | 66.26 | 72.99 → 79.97 |' in page
    assert 'DNANet alone: 65.03, 71.96, 74.88, 9.8 points apart.' in page
    sources = yaml.safe_load((ROOT / 'configs' / 'sources.yaml').read_text(encoding='utf-8'))
    quoted = {q['Source'] for m in METAFILES.values() for c in m['Collections'] for q in c.get('Quoted', ())}
    assert quoted == set(sources)


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'experiments/classical').glob('*.json')), ids=lambda p: p.stem
)
def test_the_pages_of_classical_detectors_say_what_was_measured(path):
    as_markdown = runpy.run_path(str(ROOT / 'docs' / 'build' / 'classical.py'))['as_markdown']
    [part] = read_json(path).values()
    assert path.with_suffix('.md').read_text(encoding='utf-8') == as_markdown(part)


def test_every_network_can_be_cited():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    assert citation['version'] == madnet.__version__
    cited = {reference['notes'].rpartition('configs/')[2]: reference for reference in citation['references']}
    papers = {
        folder: metafile['Collections'][0]['Paper']
        for folder, metafile in METAFILES.items()
        if folder not in ('classical', 'hybrids')
    }
    assert set(cited) == set(papers)
    for folder, paper in papers.items():
        reference = cited[folder]
        assert reference['title'] == paper['Title']
        link = reference.get('url') or (f'https://doi.org/{reference["doi"]}' if 'doi' in reference else None)
        assert link == paper.get('URL')
        first = reference['authors'][0].get('family-names')
        assert first is None or paper['By'].startswith(first)
        assert 'By' not in paper or paper['By'].endswith(str(reference['year']))
