"""What a comparison makes of a work folder where something changed after it had been there."""

import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from madnet.datasets.sirst_dataset import SIRSTDataset, dataset_of
from madnet.datasets.wrappers import sets_of
from madnet.engine import train as training
from madnet.engine.checkpoint import HELD
from madnet.errors import UserError
from madnet.experiments import _show, compare, process, running
from madnet.experiments.changed_data import _look
from madnet.experiments.plan import read_plan
from madnet.experiments.shard import Shard
from madnet.experiments.state import begins_with, state_of
from madnet.files import sha256_of
from madnet.records import (
    Comparison,
    ComparisonPlan,
    ComparisonRow,
    Cost,
    DatasetInfo,
    MetricsFile,
    RunFile,
    Spread,
)


class _Ended:
    """A process that has ended well."""

    stdin, returncode = None, 0

    def poll(self):
        return 0


def test_a_run_that_began_from_weights_that_changed_is_not_done(plan_file, tmp_path, monkeypatch):
    weights = tmp_path / 'weights.pth'
    weights.write_bytes(b'first')
    first = sha256_of(weights)
    run = read_plan(plan_file, seeds=[1], options={'load_from': str(weights)}).runs()[0]
    file = Path(run.folder, RunFile.FILE)

    def stopped(*args, **kwargs):
        assert RunFile.read(file).begins_sha256 == {'load_from': first}
        Path(run.folder, 'last.pth').touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(training, 'train', stopped)
    with pytest.raises(KeyboardInterrupt):
        running.do_run(run)
    weights.write_bytes(b'retrained')
    os.utime(weights, ns=(1, 1))
    with pytest.raises(KeyboardInterrupt):
        running.do_run(run)  # goes on with what it began with
    with pytest.raises(UserError, match=rf'load_from {weights}: {first} → {sha256_of(weights)}\.'):
        state_of(run)

    Path(run.folder, 'last.pth').unlink()
    RunFile(run.wanted(), True, state='done', load_from_sha256=first).write(file)
    monkeypatch.setattr('madnet.experiments.state._as_planned', lambda *_: True)
    MetricsFile({'native': {}}).write(Path(run.folder, MetricsFile.FILE))
    with pytest.raises(UserError, match='what differs'):
        state_of(run)
    RunFile(run.wanted(), True, state='done').write(file)
    assert state_of(run) == 'done', 'of an older record no more is known'
    RunFile(run.wanted(), True, state='done', begins_sha256={'load_from': first}).write(file)
    weights.unlink()
    assert state_of(run) == 'done', 'of weights that are gone no more is known'


@pytest.mark.parametrize('in_process', [True, False])
@pytest.mark.parametrize('key', ['load_from', 'model.backbone.init_cfg', 'custom_hooks'])
def test_a_run_is_looked_at_when_its_turn_comes(plan_file, tmp_path, monkeypatch, capsys, key, in_process):
    weights = f'{tmp_path}/comparison/narrow/own/seed1/last.pth'
    value = {
        'load_from': weights,
        'model.backbone.init_cfg': {'type': 'Pretrained', 'checkpoint': weights},
        'custom_hooks': [{'type': 'TeacherHook', 'teacher': weights}],
    }[key]
    plan = read_plan(plan_file, seeds=[1])
    wide = {**plan.networks[1], 'options': {key: value}}
    base, second = replace(plan, networks=(plan.networks[0], wide)).runs()
    monkeypatch.setattr('madnet.experiments.state.outstanding_tests', lambda run: run is base and {None: ''})
    [named] = begins_with(second)
    record = RunFile(second.wanted(), True, state='done', begins_sha256={named: 'f' * 64})
    record.write(Path(second.folder, RunFile.FILE))
    assert state_of(second) == 'done', 'of weights that are gone no more is known'

    def trained_anew(run):
        assert run is base
        Path(weights).write_bytes(b'anew')

    monkeypatch.setattr(running, 'do_run', trained_anew)
    monkeypatch.setattr(process, '_start', lambda run, *_: trained_anew(run) or _Ended())
    running.run_all([base, second], Shard(), in_process)
    out, err = capsys.readouterr()
    assert 'done before' not in out
    assert f'[2/2] wide own seed 1: failed: {second.folder}: holds another run' in err
    assert f'SHA-256 of {named} {weights}: {"f" * 64} → {sha256_of(weights)}. Remove the folder' in err


def test_tables_and_plots_of_what_is_no_longer_compared_go(tmp_path, capsys):
    def show(sets, protocols, cost):
        results = {protocol: {'IoU': Spread(0.5, None, 1)} for protocol in protocols}
        rows = [
            ComparisonRow('a', 'A', DatasetInfo(name, 'test', images=3), 'a.py', results, cost)
            for name in sets
        ]
        _show(SimpleNamespace(work_dir=tmp_path), Comparison(ComparisonPlan(list(sets), [1], 'common'), rows))
        printed = capsys.readouterr().out.splitlines()
        paths = [Path(line.split()[1]) for line in printed if str(tmp_path) in line]
        assert all(path.exists() for path in paths)
        return {path.name for path in paths}

    def stems(part):
        return {path.stem for path in (tmp_path / part).iterdir()}

    assert show('xy', ['native', 'acm'], Cost(MACs=1e9)) == {'tables', 'figures', 'comparison.json'}
    assert stems('tables') == {f'{name}_test_{protocol}' for name in 'xy' for protocol in ('native', 'acm')}
    assert stems('figures') == {f'cost_{stem}' for stem in stems('tables')}
    (tmp_path / 'tables/mine.csv').touch()
    (tmp_path / 'figures/cost_mine.png').touch()
    assert show('x', ['native'], Cost()) == {'tables', 'comparison.json'}
    assert stems('tables') == {'x_test_native', 'mine'}
    assert stems('figures') == {'cost_mine'}
    assert show('', [], Cost()) == {'comparison.json'}
    assert stems('tables') == {'mine'}


@pytest.fixture
def data(make_set):
    """A data set of five images for training and two for tests."""
    ids = [f'i{n}' for n in range(7)]
    return make_set('a', ids, lists={'train.txt': ids[:5], 'test.txt': ids[5:]})


@pytest.fixture
def look(data, tmp_path, capsys):
    """What a comparison on that set says of changes."""

    def look(**how):
        capsys.readouterr()
        compare(datasets=[str(data)], work_dir=str(tmp_path / 'c'), cost=False, **how)
        lines = capsys.readouterr().err.splitlines()
        return '\n'.join(line for line in lines if 'what is done is kept' in line)

    return look


def touch(file, seconds):
    at = time.time() + seconds
    os.utime(file, (at, at))
    return file


def rewrite(file):
    """Change a file behind its picture, and keep its time, as a copy of another may."""
    at = file.stat().st_mtime_ns
    file.write_bytes(file.read_bytes() + b'?')
    os.utime(file, ns=(at, at))


def test_what_a_test_had_is_known_by_what_it_held(data, look):
    detectors = {'networks': ['tophat', 'maxmean'], 'in_process': True}
    assert look(**detectors) + look(**detectors) == ''
    for file in data.rglob('*.*'):
        touch(file, 40)
    assert look(**detectors) == '', 'the same, only newer'
    rewrite(data / 'masks/i0.png')
    assert look(**detectors) == '', 'of the training part'
    for kind, file in (('masks', 'i5.png'), ('images', 'i6.png')):
        whole = (data / kind / file).read_bytes()
        rewrite(data / kind / file)
        for how in ({'dry_run': True}, {}, {'table': True}):
            [said] = look(**detectors, **how).splitlines()
            asked = f'{data}, test: other {kind}, by their bytes, than 2 runs had been tested with (tophat'
            assert said.startswith(asked + ' a, maxmean a); what')
            assert 'remove the metrics.json' in said
        (data / kind / file).write_bytes(whole)
    for file in (data.parent / 'c').rglob('metrics.json'):
        report = MetricsFile.read(file)  # of an older version
        report.dataset = replace(report.dataset, images_sha256=None, masks_sha256=None)
        report.write(file)
        touch(file, -60)
    said = look(**detectors, dry_run=True)
    assert f'{data}/images/i5.png: newer than what 2 runs had been tested with (tophat a, maxmean a)' in said


def test_what_a_training_had_is_known_by_what_it_held(data, look, tmp_path):
    [run] = read_plan(networks=['acm'], datasets=[str(data)], work_dir=str(tmp_path / 'c')).runs()
    RunFile(run.wanted(), trained=True).write(Path(run.folder, RunFile.FILE))
    sets = {loader: sets_of(run.settings, loader) for loader, _ in HELD.values()}
    held = {
        k: [dataset_of(d).contents().text(kinds) for d in sets[loader]] for k, (loader, kinds) in HELD.items()
    }
    weights = Path(run.folder, 'last.pth')
    torch.save({'state_dict': {}, 'meta': held}, weights)
    for file in data.rglob('*.*'):
        touch(file, 40)
    acm = {'networks': ['acm'], 'dry_run': True}
    assert look(**acm) == '', 'the same, only newer'
    for kind in ('images', 'masks'):
        whole = (data / kind / 'i0.png').read_bytes()
        rewrite(data / kind / 'i0.png')
        said = look(**acm)
        assert f'{data}, fit: other {kind}, by their bytes, than 1 run had been trained with (acm a' in said
        assert 'remove the folder' in said
        (data / kind / 'i0.png').write_bytes(whole)
        touch(data / kind / 'i0.png', 40)
    torch.save({'state_dict': {}, 'meta': {k: held[k] for k in list(held)[:1]}}, weights)
    said = look(**acm)
    assert ', fit' not in said
    assert f'{data}/masks/i0.png: newer than what 1 run had been trained with (acm a seed 42)' in said


@pytest.mark.parametrize('indices', [3, -3, [0, -1]])
def test_images_chosen_by_indices_are_those_of_the_data_set(data, indices):
    part = {'data_root': str(data), 'split': 'trainval', 'indices': indices}
    _, found = _look(json.dumps({'type': 'SIRSTDataset', **part}))
    assert found == SIRSTDataset(**part).contents()
    assert 0 < len(found.ids) < 5


def test_a_module_that_changed_after_it_was_used_is_named(data, look, tmp_path, monkeypatch):
    args = {'datasets': [str(data)], 'work_dir': str(tmp_path / 'c')}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', [*sys.path])
    files = {
        'own_net/__init__.py': '',
        'own_net/net.py': 'from . import parts\nfrom own_helper import x\nimport torch',
        'own_net/parts.py': '',
        'own_net/other.py': '',
        'own_helper.py': 'x = 1',
    }
    for name, text in files.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text)
        touch(Path(name), -20)
    imports = "_base_ = ['{}']\ncustom_imports = dict(imports=['own_net.net'])\n"
    Path('own_detector.py').write_text(imports.format('classical'))
    Path('own_acm.py').write_text(imports.format('acm'))
    detector = {'name': 'detector', 'config': 'own_detector.py'}
    own = {'name': 'own_acm', 'config': 'own_acm.py'}
    [run] = read_plan(networks=[own], datasets=args['datasets'], work_dir=args['work_dir']).runs()
    RunFile(run.wanted(), trained=True).write(Path(run.folder, RunFile.FILE))
    Path(run.folder, 'last.pth').touch()
    assert look(networks=[detector], in_process=True) == ''
    touch(Path('own_net/other.py'), 60)
    assert 'own_' not in look(networks=[detector, own], dry_run=True).replace('own_acm a', '')
    for name in ('own_net/net.py', 'own_net/parts.py', 'own_helper.py'):
        changed = touch(Path(name), 60)
        said = look(networks=[detector, own], dry_run=True)
        for what, whose in (('tested', 'detector a'), ('trained', 'own_acm a seed 42')):
            assert f'{changed}: newer than what 1 run had been {what} with ({whose}), of which noth' in said
        touch(changed, -20)


def test_a_name_that_nobody_knows_is_the_matter_of_its_run(plan_file):
    plan = read_plan(plan_file, seeds=[1])
    lost = {'model.backbone.init_cfg': {'type': 'Pretrained', 'checkpoint': 'madnet://nope'}}
    wrong = {**plan.networks[1], 'options': lost}
    first, second = replace(plan, networks=(wrong, plan.networks[0])).runs()
    assert begins_with(first) == {}
    assert process._first_ready([first, second], {}) is first
