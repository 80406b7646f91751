"""The measurements of a graphics card, where there is none: parts, report, a run of what a CPU can do."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from madnet.benchmarks import gpu, gpu_parts
from madnet.benchmarks.gpu import Part
from madnet.benchmarks.gpu_report import as_markdown, judge
from madnet.errors import UserError

FIGURES = {
    'step, width 16, published': {'state': 'done', 'ms': 50.0},
    'step, width 16, captured': {'state': 'done', 'ms': 8.0, 'images/s': 2000.0, 'captured': True},
    'step, width 16, captured, compiled': {'state': 'ended after its time'},
    'step, width 4, captured': {'state': 'done', 'ms': 4.0, 'images/s': 4000.0},
    'whole training': {'state': 'failed: out of memory'},
    'test, nuaa': {'state': 'done', 'seconds, fp32': 10.0},
    'same losses': {
        'state': 'done',
        'steps': 50,
        'largest relative difference': 1e-7,
        'resumed to the bit': True,
    },
    'step, published recipe on NUDT-SIRST, captured': {'state': 'done', 'ms': 5.0},
    'scan, correctness': {'state': 'done', 'whole': True, 'differences': {'inner 0, triton': 1e-6}},
    'scan, speed': {
        'state': 'done',
        'whole': True,
        'scans': [
            {
                'scan': f'{kind} 0',
                'size': 1024,
                'times': 2,
                'bound': {'bytes': 1e-6, 'exponentials': 2e-6},
                'measured': {
                    'triton': {key: {'kernel': 4e-06} for key in ('forward', 'with_backward')},
                    'mamba_ssm': {key: {'kernel': theirs} for key in ('forward', 'with_backward')},
                },
            }
            for kind, theirs in (('inner', 12e-6), ('outer', 6e-6))
        ],
    },
}


def judged(figures):
    """Value and verdict by goal."""
    return {g['goal']: (g['found'], g['met']) for g in judge(figures)}


def page_of(figures):
    return as_markdown({'machine': {'torch': '2'}, 'minutes': 3.0, 'parts': figures, 'goals': judge(figures)})


def test_goals_are_judged_by_what_was_measured():
    found = {goal: value for goal, (value, _) in judged(FIGURES).items()}
    assert found['width 16: times as fast as the published form'] == 6.25
    assert found['width 4: crops a second'] == 4000
    assert found['scan: times as fast as mamba_ssm, worst shape'] == 1.5
    assert found['scan, inner: times as fast as mamba_ssm, worst shape'] == pytest.approx(3)
    assert found['scan at 1024²: share of the binding limit'] == 0.5
    assert found['scan: digits that every way shares with the plain loop'] == pytest.approx(6)
    assert all(goal['found'] is None for goal in judge({'scan, speed': {'state': 'failed: no', 'scans': []}}))
    assert found['MiM: times as fast as the published form'] is None
    assert found['share of the bare step in a step of the whole tool'] is None
    assert found['digits that eager and captured losses share, fifty steps'] == pytest.approx(7)
    recipe = next(value for goal, value in found.items() if '124,000' in goal)
    assert recipe == pytest.approx(20 / (124_000 * 5e-3 / 60))
    fewer = judged({'same losses': FIGURES['same losses'] | {'steps': 12}})
    told = fewer['digits that eager and captured losses share, fifty steps']
    assert told == (None, 'measured over 12 steps')
    page = page_of(FIGURES)
    row = next(line for line in page.splitlines() if line.startswith('| width 16: crops'))
    assert [cell.strip() for cell in row.strip('|').split('|')][1:] == ['1500', '2000', 'yes']
    assert 'not measured' in page
    assert '| no |' in page
    assert 'failed: out of memory' in page


def test_a_scan_that_is_wrong_fails_its_goal():
    goal = 'scan: digits that every way shares with the plain loop'
    for wrong, shown in ((0.7, '0.7'), ('out of memory', 'out of memory'), ('not finite', 'not finite')):
        part = {
            'state': 'done',
            'whole': True,
            'differences': {'inner 0, torch': 1e-6, 'outer 1, triton': wrong},
        }
        assert judged({'scan, correctness': part})[goal][1] == 'no'
        assert f'largest difference (outer 1, triton) {shown}' in page_of({'scan, correctness': part})
    part = {'state': 'done', 'whole': False, 'differences': {'inner 0, torch': 1e-6}}
    assert judged({'scan, correctness': part})[goal] == (None, 'not measured whole')


def test_gradients_that_are_nan_are_no_agreement(monkeypatch):
    """Values are right, and come first: Python's max would pass over what follows."""
    plain = gpu_parts.forward_of

    def of(backend, inputs):
        spoilt = (inputs[0].sum() * 0).sqrt if backend != 'reference' else (lambda: 0)
        return lambda: plain(backend, inputs)() + spoilt()

    monkeypatch.setattr(gpu_parts, 'forward_of', of)
    found = {}
    gpu_parts.scan_values(0.0, found.update)
    assert set(found['differences'].values()) == {'not finite'}
    assert judged({'scan, correctness': json.loads(json.dumps(found)) | {'state': 'done'}})[
        'scan: digits that every way shares with the plain loop'
    ] == (0, 'no')


def test_a_step_that_was_not_captured_meets_no_goal_of_captured_ones():
    figures = FIGURES | {
        name: {'state': 'done', 'ms': 4.0, 'images/s': 9000.0, 'captured': False}
        for name in ('step, width 16, captured', 'step, width 4, captured')
    }
    figures['step, width 16, captured, compiled'] = {'state': 'done', 'ms': 1.0, 'captured': False}
    steps = {goal: met for goal, (_, met) in judged(figures).items() if goal.startswith('width')}
    assert set(steps.values()) == {'no, not captured'}
    assert len(steps) == 3


def test_a_scan_list_that_was_cut_off_is_not_judged():
    """But for sizes that are all there."""
    part = FIGURES['scan, speed'] | {'whole': False}
    goals = [f'scan{kind}: times as fast as mamba_ssm, worst shape' for kind in ('', ', inner')]
    of_1024 = 'scan at 1024²: share of the binding limit'
    verdicts = judged({'scan, speed': part})
    assert {verdicts[goal] for goal in (*goals, of_1024)} == {(None, 'not measured whole')}
    larger = part['scans'][0] | {'size': 2048}
    assert judged({'scan, speed': part | {'scans': [*part['scans'], larger]}})[of_1024] == (0.5, 'yes')


def test_parts_that_need_a_card_say_so():
    without = gpu.parts(on_gpu=False)
    forms = {form for p in without if p.why_not is None for form in p.arguments.get('forms', [p.name])}
    assert forms >= {'scan, correctness', 'published', 'emulated'}
    assert all(p.why_not == 'needs a GPU' for p in without if 'MiM' in p.name)


def test_what_has_a_goal_comes_first_and_what_compiles_last():
    with_card = gpu.parts(on_gpu=True)
    assert all(part.why_not is None for part in with_card)
    names = [part.name for part in with_card]
    assert len(set(names)) == len(names)
    for name in ('width 4', 'width 8', 'width 16', 'width 32', 'MiM', 'MiM nano', 'MiM small'):
        assert f'step, {name}: published and captured' in names
    last_goal = names.index('whole training')
    assert last_goal < names.index('step, width 8: published and captured')
    assert all(last_goal > names.index(f'test, {name}') for name in ('nuaa', 'nudt'))
    assert all('compiled' in name for name in names[-7:])
    assert not any('compiled' in name for name in names[:-7])


@pytest.mark.parametrize(('start', 'setup', 'compiling'), [(10, 8, 60), (10, 5, 30), (3, 5, 15), (0, 0, 0)])
def test_ends_in_time_with_all_that_has_a_goal(start, setup, compiling, monkeypatch, tmp_path):
    """Where a process starts for some seconds, and then does not look at the clock for some more."""
    now, shown = [0.0], []

    def run(part, seconds, timeout, folder):
        forms = part.arguments.get('forms', [''])
        blind = start + len(forms) * (setup + compiling * ('captured, compiled' in forms))
        needed = max(seconds, blind)
        now[0] += min(needed, timeout)
        return {part.name: {'state': 'done' if needed <= timeout else 'ended after its time'}}

    everything = gpu.parts(on_gpu=True)
    monkeypatch.setattr(gpu, 'parts', lambda on_gpu: everything)
    monkeypatch.setattr(gpu, '_in_process', run)
    monkeypatch.setattr(gpu, 'write_report', lambda report, folder: shown.append(report))
    monkeypatch.setattr(gpu.time, 'monotonic', lambda: now[0])
    states = {name: content['state'] for name, content in gpu.benchmark(10, str(tmp_path))['parts'].items()}
    assert now[0] <= 620
    names = list(states)
    assert names == [part.name for part in everything]
    assert {states[name] for name in names[: names.index('whole training') + 1]} == {'done'}
    lost = [name for name in names if states[name] != 'done']
    assert lost == names[len(names) - len(lost) :]
    if start == 10 and compiling == 60:
        assert states[names[-1]] == 'left out: the time is over'


def test_a_form_that_fails_does_not_end_the_next(monkeypatch):
    def measure(config, width, form, batch, until, record, keep):
        record['ms'] = 3.0
        if form == 'published':
            raise RuntimeError('CUDA out of memory')

    monkeypatch.setattr(gpu_parts, '_step', measure)
    found = {}
    gpu_parts.step('some', 4, ('published', 'captured'), 0.0, found.update)
    assert found['published'] == {'ms': 3.0, 'state': found['published']['state']}
    assert found['published']['state'].startswith('failed: CUDA out of memory')
    assert found['captured'] == {'ms': 3.0, 'state': 'done'}


def test_losses_are_compared_where_cudnn_adds_up_in_one_order(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, 'deterministic', False)
    monkeypatch.setattr(gpu_parts.torch.cuda, 'is_available', lambda: True)
    losses = [np.ones(54), np.ones(54)]
    losses[1][[49, 50]] = 1.1, 2  # the last of the fifty, and one after it

    def run(config, work_dir, options, dataset, resume=False):
        assert torch.backends.cudnn.deterministic
        assert options['env_cfg.cudnn_benchmark'] is False
        history = SimpleNamespace(get_scalar=lambda name: SimpleNamespace(data=[losses.pop(0)]))
        step = SimpleNamespace(replays=options['capture_step'])
        model = torch.nn.Linear(1, 1)
        torch.nn.init.constant_(model.weight, 2 if resume else 1)
        torch.nn.init.zeros_(model.bias)
        return SimpleNamespace(message_hub=history, train_loop=SimpleNamespace(step=step), model=model)

    monkeypatch.setattr(gpu_parts, 'train', run)
    found = {}
    gpu_parts.same_losses(time.monotonic() + 60, found.update)
    expected = {'steps': 50, 'captured': True, 'largest relative difference': pytest.approx(0.1)}
    assert found == {**expected, 'resumed to the bit': False}


def test_without_data_sets_scenes_of_as_many_sizes_are_tested(monkeypatch):
    sizes = set()

    def run_test(config, dataset, out, options):
        sizes.update(sizes_of(Path(dataset, 'test', 'images')))
        return SimpleNamespace(dataset=SimpleNamespace(images=86), results={'native': {'nIoU': 0.5}})

    monkeypatch.setattr(gpu_parts, 'no_data', lambda name: 'not here')
    monkeypatch.setattr(gpu_parts, 'run_test', run_test)
    found = {}
    gpu_parts.test('nuaa', 0.0, found.update)
    assert len(sizes) == 86
    assert 'data synthetic' in page_of({'test, nuaa': {'state': 'done', **found}})


def sizes_of(folder):
    return {Image.open(path).size for path in folder.iterdir()}


def test_an_epoch_of_synthetic_scenes_has_forty_steps_on_a_card(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_parts, 'no_data', lambda name: 'not here')
    monkeypatch.setattr(gpu_parts.torch.cuda, 'is_available', lambda: True)
    folder = Path(gpu_parts._images(tmp_path, 64), 'trainval')
    assert len(list((folder / 'images').iterdir())) >= 40 * 16
    assert len(list((folder / 'masks').iterdir())) >= 40 * 16


@pytest.mark.parametrize(('codes', 'begun'), [((1, 0), 2), ((0, 1), 2), ((130, 0), 1), ((2, 0), 1)])
def test_the_table_goes_on_after_runs_that_failed(codes, begun, repository, tmp_path):
    """Which madnet compare tells by a code of 1; the published recipes come first."""
    fake = tmp_path / 'madnet'
    said = tmp_path / 'said.txt'
    fake.write_text(
        f'#!/bin/sh\necho "$@" >> {said}\n[ $(wc -l < {said}) = 1 ] && exit {codes[0]}\nexit {codes[1]}\n'
    )
    fake.chmod(0o755)
    environment = {**os.environ, 'PATH': f'{tmp_path}{os.pathsep}{os.environ["PATH"]}'}
    script = repository / 'experiments' / 'gpu_table' / 'run.sh'
    done = subprocess.run(['sh', str(script), '--jobs', '4'], env=environment)
    lines = said.read_text().splitlines()
    assert len(lines) == begun
    assert 'plan_published.yaml' in lines[0]
    assert lines[0].endswith('--jobs 4')
    assert done.returncode == max(codes)


def test_a_part_that_fails_or_hangs_loses_nothing_else(tmp_path, monkeypatch):
    failed = gpu._in_process(Part('nothing, of that kind', 'no_such_kind', 1), 1, 60, tmp_path)
    assert failed['nothing, of that kind']['state'].startswith("failed: KeyError: 'no_such_kind'")
    sleeper = 'import sys, time; open(sys.argv[-2], "w").write(\'{"a": {"ms": 3.0}}\'); time.sleep(60)'
    started = subprocess.Popen
    monkeypatch.setattr(
        gpu.subprocess,
        'Popen',
        lambda command, **how: started([command[0], '-c', sleeper, *command[3:]], **how),
    )
    hung = gpu._in_process(Part('a sleeper: a and b', 'step', 1, {'forms': ('a', 'b')}), 1, 3, tmp_path)
    ended = {'state': 'ended after its time'}
    assert hung == {'a sleeper, a': {**ended, 'ms': 3.0}, 'a sleeper, b': ended}


@pytest.mark.parametrize('minutes', [0, float('nan')])
def test_an_impossible_time_is_refused(minutes, tmp_path):
    with pytest.raises(UserError, match='--minutes'):
        gpu.benchmark(minutes, str(tmp_path))


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='small here, for CPUs')
def test_a_whole_run_without_a_card(repository, tmp_path):
    command = [sys.executable, 'tools/benchmark.py', 'gpu', '--minutes', '2', '--out', str(tmp_path)]
    subprocess.run(command, cwd=repository, check=True)
    report = json.loads((tmp_path / 'report.json').read_text())
    states = {name: content['state'] for name, content in report['parts'].items()}
    assert states['step, width 4, emulated'] == 'done'
    assert report['parts']['step, width 4, emulated']['captured']
    assert report['parts']['same losses']['largest relative difference'] < 1e-4
    assert report['parts']['same losses']['resumed to the bit']
    worst = max(
        v for v in report['parts']['scan, correctness']['differences'].values() if not isinstance(v, str)
    )
    assert worst < 1e-5
    assert 'needs a GPU' in states['whole training']
    assert states['predict'] == 'done'
    assert report['parts']['predict']['images/s, maps alone'] > 0
    assert (tmp_path / 'steps.png').stat().st_size > 5000
