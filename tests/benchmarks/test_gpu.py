"""The measurements of a graphics card, where there is none: parts, report, a run of what a CPU can do."""

import json
import os
import subprocess
import sys

import pytest
import torch

from madnet.benchmarks import gpu
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
    'same losses': {'state': 'done', 'largest relative difference': 1e-7, 'resumed to the bit': True},
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
    page = page_of(FIGURES)
    row = next(line for line in page.splitlines() if line.startswith('| width 16: crops'))
    assert [cell.strip() for cell in row.strip('|').split('|')][1:] == ['1500', '2000', 'yes']
    assert 'not measured' in page
    assert '| no |' in page
    assert 'failed: out of memory' in page


def test_a_scan_that_is_wrong_fails_its_goal():
    goal = 'scan: digits that every way shares with the plain loop'
    for wrong, shown in ((0.7, '0.7'), ('out of memory', 'out of memory'), (float('nan'), '')):
        part = {
            'state': 'done',
            'whole': True,
            'differences': {'inner 0, torch': 1e-6, 'outer 1, triton': wrong},
        }
        assert judged({'scan, correctness': part})[goal][1] == 'no'
        assert (
            f'largest difference (outer 1, triton) {shown}' in page_of({'scan, correctness': part})
            or not shown
        )
    part = {'state': 'done', 'whole': False, 'differences': {'inner 0, torch': 1e-6}}
    assert judged({'scan, correctness': part})[goal] == (None, 'not measured whole')


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
    assert {p.name for p in without if p.why_not is None} >= {'scan, correctness', 'step, width 4, emulated'}
    assert all(p.why_not == 'needs a GPU' for p in without if 'MiM' in p.name)
    with_card = {p.name: p.why_not for p in gpu.parts(on_gpu=True)}
    for width in (4, 8, 16, 32):
        assert with_card[f'step, width {width}, captured'] is None
    for name in ('MiM', 'MiM nano', 'MiM small'):
        assert with_card[f'step, {name}, captured'] is None


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
    failed = gpu._in_process(Part('nothing, of that kind', 'no_such_kind', 1), 1, tmp_path)
    assert failed['state'].startswith("failed: KeyError: 'no_such_kind'")
    sleeper = 'import sys, time; open(sys.argv[-2], "w").write(\'{"ms": 3.0}\'); time.sleep(60)'
    started = subprocess.Popen
    monkeypatch.setattr(
        gpu.subprocess,
        'Popen',
        lambda command, **how: started([command[0], '-c', sleeper, *command[3:]], **how),
    )
    hung = gpu._in_process(Part('a, sleeper', 'step', 1), -38, tmp_path)  # -38 · 1.5 + 60: three seconds
    assert hung == {'state': 'ended after its time', 'ms': 3.0}


@pytest.mark.parametrize('minutes', [0, float('nan')])
def test_an_impossible_time_is_refused(minutes, tmp_path):
    with pytest.raises(UserError, match='--minutes'):
        gpu.benchmark(minutes, str(tmp_path))


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason='small here, for CPUs')
def test_a_whole_run_without_a_card(repository, tmp_path):
    command = [sys.executable, 'tools/benchmark.py', 'gpu', '--minutes', '1', '--out', str(tmp_path)]
    subprocess.run(command, cwd=repository, check=True)
    report = json.loads((tmp_path / 'report.json').read_text())
    states = {name: content['state'] for name, content in report['parts'].items()}
    assert states['step, width 4, emulated'] == 'done'
    assert report['parts']['step, width 4, emulated']['captured']
    assert report['parts']['same losses']['of the first ten'] < 1e-4
    worst = max(
        v for v in report['parts']['scan, correctness']['differences'].values() if not isinstance(v, str)
    )
    assert worst < 1e-5
    assert 'needs a GPU' in states['whole training']
    assert states['predict'] == 'done'
    assert report['parts']['predict']['images/s, maps alone'] > 0
    assert (tmp_path / 'steps.png').stat().st_size > 5000
