"""Records: strict about what lacks, lenient about what is new, and every file that is kept still loads."""

import copy
import errno
import itertools
import json
import os
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from madnet.errors import UserError
from madnet.evaluation import Evaluator
from madnet.files import plain, read_json, write_json
from madnet.records import (
    Averaging,
    ClaimsFile,
    Comparison,
    Cost,
    Costs,
    Details,
    MetricsFile,
    ProbeFile,
    RunFile,
    Spread,
    read_per_image,
    write_results,
)

EXPERIMENTS = Path(__file__).parents[2] / 'experiments'
# Those of experiments/classical are read by docs/build/classical.py alone, statistics of data sets by nobody.
NO_RECORDS = ('classical', 'dataset_statistics', 'scales')
KEPT = sorted(path for path in EXPERIMENTS.rglob('*.json') if path.parent.name not in NO_RECORDS)


def equal_to_the_file(ours, theirs):
    """Whether a record, written again, holds all of a kept file and differs only by what has a default."""
    if isinstance(theirs, dict):
        return all(equal_to_the_file(ours.get(k), v) for k, v in theirs.items())
    if isinstance(theirs, list) and theirs:
        return len(ours) == len(theirs) and all(map(equal_to_the_file, ours, theirs))
    return ours == theirs or (not ours and not theirs)


@pytest.mark.parametrize('path', KEPT, ids=lambda p: f'{p.parent.name}-{p.stem}')
def test_every_kept_file_loads_and_loses_nothing(path):
    content = read_json(path)
    assert content.pop('schema', 1) == 1
    if content.get('kind') == 'comparison':
        record = Comparison.read(path)
        assert record.rows
        assert equal_to_the_file(record.to_json(), content)
        assert Comparison.from_json(record.to_json()) == record
    elif path.parent.name == 'claims':
        assert equal_to_the_file(ClaimsFile.read(path).to_json(), content)
    elif content.get('kind') == 'costs':
        assert equal_to_the_file(Costs.read(path).to_json(), content)
    elif content.get('kind') == 'probe':
        assert equal_to_the_file(ProbeFile.read(path).to_json(), content)
    else:
        pytest.fail(f'{path} is of no known kind')


def test_there_are_kept_files_of_each_kind():
    assert {read_json(path).get('kind') for path in KEPT} >= {'comparison', 'costs', 'probe'}


@pytest.fixture(scope='module')
def report():
    evaluator = Evaluator(('native', 'abc'))
    rng = np.random.default_rng(0)
    for i in range(3):
        mask = np.zeros((32, 32), np.uint8)
        mask[5 * i + 2 : 5 * i + 5, 10:13] = 255
        evaluator.update(np.clip(mask / 300 + rng.random(mask.shape) / 2, 0, 1), mask, f'image {i}')
    content = {'results': evaluator.compute(), 'details': evaluator.details(resamples=20)}
    return MetricsFile.from_json(plain(content)), evaluator


def test_metrics_json_comes_back(report, tmp_path):
    record, evaluator = report
    metrics, table = write_results(tmp_path / 'out', record, evaluator.per_image())
    assert MetricsFile.read(metrics) == record
    assert read_json(metrics)['schema'] == 1
    assert record.results['native']['IoU'] == evaluator.compute()['native']['IoU']
    assert record.details_of('abc').eleven.keys() == {'threshold', 'recall', 'precision', 'tpr', 'fpr'}
    assert record.details_of('abc').pd_fa is None
    assert record.details_of('nothing') == Details()
    rows = read_per_image(table)
    assert [r['name'] for r in rows if r['protocol'] == 'native'] == ['image 0', 'image 1', 'image 2']
    assert {k: type(v) for k, v in rows[0].items() if k not in ('protocol', 'name')}.items() >= {
        ('IoU', float),
        ('targets', float),
    }
    assert read_per_image(tmp_path / 'none.csv') == []


def test_detections_of_a_former_run_do_not_stay(tmp_path):
    row = {'name': 'a', 'x': 1, 'scr': float('inf'), 'rank': float('nan')}
    write_results(tmp_path, MetricsFile(results={}), [], [row])
    assert (tmp_path / 'detections.csv').read_text() == 'name,x,scr,rank\na,1,inf,\n'
    write_results(tmp_path, MetricsFile(results={}), [])
    assert not (tmp_path / 'detections.csv').exists()


def write_test(folder, value, detections=True):
    """Results of a test, all of which say ``value``; how many detections ``detections`` says."""
    rows = [{'name': 'a', 'IoU': value}]
    report = MetricsFile(results={'native': {'IoU': value}})
    write_results(folder, report, rows, [{'name': 'a', 'x': value}] * detections)
    return contents(folder)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_full_disk_leaves_all_files_of_the_former_test(tmp_path, monkeypatch):
    former = write_test(tmp_path, 0.5)
    write = Path.write_bytes

    def fill(path, data):
        if len(data) > 10000:
            raise OSError(errno.ENOSPC, 'No space left on device')
        return write(path, data)

    monkeypatch.setattr(Path, 'write_bytes', fill)
    with pytest.raises(UserError, match=r'detections\.csv: cannot be written \(No space left'):
        write_test(tmp_path, 0.75, detections=10000)
    assert contents(tmp_path) == former


@pytest.mark.parametrize('detections', [True, False])
def test_a_kill_leaves_no_numbers_beside_files_of_another_test(tmp_path, monkeypatch, detections):
    """Whatever call it comes at that changes a name."""
    new = write_test(tmp_path / 'new', 0.75, detections)
    left = set()
    for call in range(12):
        folder = tmp_path / str(call)
        former = write_test(folder, 0.5)
        calls = itertools.count()
        with monkeypatch.context() as killed, suppress(KeyboardInterrupt):
            for owner, name in ((os, 'replace'), (Path, 'unlink')):
                killed.setattr(owner, name, killing(getattr(owner, name), calls, call))
            write_test(folder, 0.75, detections)
        found = {name: data for name, data in contents(folder).items() if not name.startswith('.writing')}
        left.add('former' if found == former else 'new' if found == new else 'none')
        assert found in (former, new) or 'metrics.json' not in found
    assert left == {'former', 'new', 'none'}


def killing(function, calls, last):
    def maybe(*args, **kwargs):
        if next(calls) >= last:
            raise KeyboardInterrupt
        return function(*args, **kwargs)

    return maybe


def test_an_empty_cell_is_nan_and_rubbish_is_one_line(tmp_path):
    write_results(tmp_path, MetricsFile(results={}), [{'name': 'a', 'IoU': float('nan'), 'targets': 2}])
    assert (tmp_path / 'per_image.csv').read_bytes() == b'name,IoU,targets\na,,2\n'
    (row,) = read_per_image(tmp_path / 'per_image.csv')
    assert np.isnan(row['IoU'])
    (tmp_path / 'per_image.csv').write_bytes(b'name,IoU\r\na,much\r\n')
    with pytest.raises(UserError, match=r'per_image\.csv: not a per_image\.csv'):
        read_per_image(tmp_path / 'per_image.csv')


COMPARISON = {
    'plan': {'datasets': ['nuaa'], 'seeds': [42]},
    'rows': [
        {
            'network': 'acm',
            'label': 'ACM',
            'dataset': {'name': 'NUAA-SIRST', 'split': 'test', 'images': 86},
            'config': 'configs/acm/acm.py',
            'results': {'native': {'IoU': [0.7, 0.01, 3], 'Pd': [0.9, None, 1]}},
        }
    ],
}


def test_unknown_keys_are_passed_over(tmp_path):
    content = copy.deepcopy(COMPARISON)
    content['schema'], content['weather'] = 1.2, 'fine'
    content['rows'][0]['dataset']['sensor'] = {'pitch': 15}
    record = Comparison.read(write_json(tmp_path / 'comparison.json', content))
    row = record.rows[0]
    assert row.values('native') == {'IoU': Spread(0.7, 0.01, 3), 'Pd': 0.9}
    assert row.dataset.words == 'NUAA-SIRST test'
    assert row.cost == Cost()


@pytest.mark.parametrize('key', ['plan', 'rows', 'plan.seeds', 'rows[0].label', 'rows[0].results'])
def test_a_missing_key_is_named(tmp_path, key):
    content = copy.deepcopy(COMPARISON)
    *above, last = key.replace('rows[0]', 'rows.0').split('.')
    place = content
    for part in above:
        place = place[int(part) if part.isdigit() else part]
    del place[last]
    path = write_json(tmp_path / 'comparison.json', content)
    with pytest.raises(UserError) as e:
        Comparison.read(path)
    assert str(e.value).startswith(f'{path}: found no key {key!r}.')
    assert str(e.value).endswith('Expected is a comparison.json as madnet compare writes it.')


@pytest.mark.parametrize(
    ('kind', 'content', 'words'),
    [
        (MetricsFile, [], 'found [], expected an object'),
        (MetricsFile, {'results': None}, "key 'results': found null, expected an object"),
        (
            MetricsFile,
            {'results': {'native': {'IoU': 'high'}}},
            "key 'results.native.IoU': found 'high', expected",
        ),
        (MetricsFile, {'results': {'native': {'IoU': True}}}, 'found True, expected a number'),
        (MetricsFile, {'results': {}, 'views': 1.5}, "key 'views': found 1.5, expected a whole number"),
        (MetricsFile, {'schema': 2, 'results': {}}, 'schema 2 is not known here, expected 1; update madnet'),
        (MetricsFile, {'schema': 'new', 'results': {}}, 'schema new is not known here'),
        (RunFile, {'state': 'asleep'}, "key 'state': found 'asleep', expected '' or 'running' or"),
        (
            Costs,
            {'kind': 'costs', 'networks': {'acm': []}},
            "key 'networks.acm': found [], expected an object",
        ),
        (Comparison, {**COMPARISON, 'kind': 'costs'}, "key 'kind': found 'costs'"),
        (Comparison, {**COMPARISON, 'rows': {}}, "key 'rows': found {}, expected a list"),
    ],
)
def test_another_type_is_named(tmp_path, kind, content, words):
    path = tmp_path / 'a.json'
    path.write_text(json.dumps(content))
    with pytest.raises(UserError) as e:
        kind.read(path)
    assert words in str(e.value)
    assert str(e.value).startswith(f'{path}: ')


def test_cost_of_several_views():
    cost = Cost(size=256, parameters=10, MACs=100, latency=0.5, device='a CPU')
    assert cost.of_all(Averaging()) is cost
    assert cost.of_all(Averaging(8)) == Cost(size=256, parameters=10, MACs=800)
    assert cost.of_all(Averaging(8)).columns(cost) == {'parameters': 10, 'MACs': 800}
    assert cost.of_all(Averaging(2, (1, 0.5))) == Cost(size=256, parameters=10, MACs=250)
    assert Cost().of_all(Averaging(8)) == Cost()
    assert Cost().to_json() == {}


def test_what_is_averaged_is_one_thing_however_it_is_said():
    said = {'views': 2, 'scales': [0.5, 1], 'merge': 'max'}
    expected = Averaging(2, (1, 0.5), 'max')
    assert Averaging.of(said) == Averaging.of(SimpleNamespace(**said)) == Averaging.of(expected) == expected
    assert str(expected) == '--views 2 --scales 1,0.5 --merge max'
    nothing = (None, {}, {'mode': 'whole'}, dict.fromkeys(Averaging._fields), {'scales': (1,)})
    assert {Averaging.of(one) for one in nothing} == {Averaging()}
    assert (str(Averaging()), Averaging().scales_text) == ('--views 1', '')


def test_a_run_goes_on_where_it_was(tmp_path):
    run = RunFile(wanted={'seed': 42, 'options': ('a=1',)}, minutes=1.5, state='running')
    read = RunFile.read(run.write(tmp_path / 'run.json'))
    assert read == RunFile(wanted={'seed': 42, 'options': ['a=1']}, minutes=1.5, state='running')
    assert 'error' not in read_json(tmp_path / 'run.json')
