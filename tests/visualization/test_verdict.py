"""Who is said to be best, and how sure that is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from madnet.records import DatasetInfo, Details, MetricsFile, write_results
from madnet.records.metrics_file import SetResults
from madnet.visualization.run_results import RunResult, load_results
from madnet.visualization.verdict import _points, verdict


def run(label, hits, of=100, rows=True, **metrics):
    """A run whose images have ``hits`` right pixels of 100, and no wrong one."""
    hits = np.asarray(hits)
    table = [
        {
            'protocol': 'native', 'name': str(k), 'IoU': hit / of, 'TP': hit, 'FP': 0, 'FN': of - hit,
            'targets': 1, 'matched': 1, 'false_pixels': 0, 'pixels': 1000,
        }
        for k, hit in enumerate(hits)
    ]  # fmt: skip
    found = {'IoU': float(hits.mean() / of), 'nIoU': float(hits.mean() / of), 'Pd': 1.0, 'Fa': 0.0}
    report = MetricsFile({'native': found | metrics})
    return RunResult(label, Path('x'), report, per_image=table if rows else ())


CLEAR = run('A', [80] * 20), run('B', [60, 62] * 10)


def test_a_lead_that_is_more_than_chance():
    text = verdict('native', {'B': [CLEAR[1]], 'A': [CLEAR[0]]})
    assert text.startswith('A has the highest IoU of 2 methods: 80.00 %, 19.00 points more than B. ')
    assert 'more than chance among such images: 18.' in text
    assert 'points (95 % interval, paired bootstrap over images).' in text
    # Pd and Fa are equal: no lead
    assert 'Ahead by other metrics: A by nIoU (80.00 %; more than chance, 18.' in text
    assert ' Pd ' not in text
    assert ' Fa ' not in text


def test_a_lead_by_pd_is_tested_too():
    a, b = run('A', [80] * 20), run('B', [60] * 20, Pd=0.95)
    b.per_image[0]['matched'] = 0
    text = verdict('native', {'A': [a], 'B': [b]})
    assert text.endswith(', Pd (100.00 %; may be chance, 0.00 to 15.00 points).')
    # no test of the lead, no word of it
    text = verdict('native', {'A': [a], 'B': [run('B', [60] * 20, rows=False, nIoU=0.5, Pd=0.95)]})
    assert 'Ahead' not in text


def test_few_images_tell_nothing():
    few = {'A': [run('A', [80] * 19, Fa=1e-5)], 'B': [run('B', [60] * 19)]}
    text = verdict('native', few)
    assert text.endswith(
        '20.00 points more than B. So few images, 19, cannot tell whether that holds for others.'
    )
    assert 'chance' not in text


def test_who_is_ahead_at_few_false_alarms_is_said():
    def ranked(one, **curve):
        report = replace(one.report, details={'native': Details(ranked=curve)})
        return replace(one, report=report)

    a = ranked(CLEAR[0], threshold=[3, 2, 1], Fa=[0, 5e-6, 2e-5], Pd=[0.1, 0.5, 0.9])
    b = ranked(CLEAR[1], threshold=[3, 2, 1], Fa=[0, 4e-6, 1e-4], Pd=[0.1, 0.7, 0.8])
    text = verdict('native', {'A': [a], 'B': [b]})
    assert text.endswith(
        'With fewer false alarms, over the rank of detections: '
        'B finds 70.00 % of targets at Fa up to 4.00 pixels per million, A 10.00 %.'
    )
    others = {
        f'B{k}': ranked(CLEAR[1], threshold=[2, 1], Fa=[0, 1e-4], Pd=[k / 10, 0.8]) for k in range(3, 8)
    }
    text = verdict('native', {'A': [a], **{k: [v] for k, v in others.items()}})
    assert 'detections: B7 finds 70.00 % of targets without a false alarm, A 10.00 %; B6 finds ' in text
    assert text.count(' finds ') == 3
    assert 'over the rank' not in verdict('native', {'A': [a], 'B': [CLEAR[1]]})


def test_a_lead_that_may_be_chance():
    rng = np.random.default_rng(0)
    a = run('A', rng.integers(20, 90, 20))
    b = run(
        'B',
        a.per_image and [max(row['TP'] + d, 0) for row, d in zip(a.per_image, [30, -32] * 10, strict=True)],
    )
    text = verdict('native', {'A': [a], 'B': [b]})
    assert 'That may be chance: the interval holds 0, -' in text


def test_nothing_is_no_less_than_nothing():
    assert _points('Fa', (-0.0, 2e-6)) == '0.00 to 2.00 pixels per million'
    assert _points('IoU', (-1e-6, 0.03)) == '0.00 to 3.00 points'


def test_counts_that_are_missing_or_of_other_sums_give_no_interval():
    missing = run('B', [60] * 20, rows=False)
    for other in (missing, run('B', [60] * 20, IoU=0.7), run('B', [60] * 19)):
        text = verdict('native', {'A': [CLEAR[0]], 'B': [other]})
        why = ': it takes per_image.csv of both runs.' if other is missing else '.'
        assert f'Whether that is more than chance cannot be said{why}' in text


def test_a_lead_over_several_sets_is_tested_on_the_images_of_all(tmp_path):
    found = []
    for one in CLEAR:
        # images of one name in two sets
        rows = [
            {'dataset': f'set {k % 2}', **row, 'name': str(k // 2)} for k, row in enumerate(one.per_image)
        ]
        content = replace(one.report, dataset=DatasetInfo('set 0 + set 1', images=20))
        parts = {f'set {k}': SetResults({}, DatasetInfo(f'set {k}', images=10)) for k in (0, 1)}
        write_results(tmp_path / one.label, replace(content, sets=parts), rows)
        found.append(load_results([str(tmp_path / one.label)])[-1])
    a, b = found
    assert 'That is more than chance among such images: 18.' in verdict('native', {'A': [a], 'B': [b]})


@pytest.mark.parametrize(('second', 'words'), [(70, 'larger'), (78, 'no larger')])
def test_seeds_are_judged_by_their_spread(second, words):
    seeds = {
        'A': [run('A', [v] * 20) for v in (78, 82)],
        'B': [run('B', [v] * 20) for v in (second, second + 1)],
    }
    text = verdict('native', seeds)
    assert 'A has the highest IoU of 2 methods: 80.00 ± 2.83 %' in text
    assert f'spread by 2.92 points (root of the summed variances): the lead is {words}.' in text


def test_other_leaders_ties_and_one_alone():
    b = run('B', [60] * 20, Fa=0.0, Pd=1.0)
    a = run('A', [80] * 20, Fa=2e-5, Pd=0.5)
    text = verdict('native', {'A': [a], 'B': [b]})
    assert text.endswith(
        'Ahead by other metrics: A by nIoU (80.00 %; more than chance, 20.00 to 20.00 points); '
        'B by Pd (100.00 %), Fa (0.00 pixels per million).'
    )
    assert 'share the highest IoU, 80.00 %' in verdict('native', {'A': [CLEAR[0]], 'C': [CLEAR[0]]})
    assert verdict('native', {'A': [CLEAR[0]]}) == (
        'A: IoU 80.00 %. nIoU 80.00 %, Pd 100.00 %, Fa 0.00 pixels per million.'
    )
    assert verdict('native', {'A': [run('A', [1], IoU=None)]}) == ''
    # an IoU says nothing where there is no target
    free = {label: [run(label, [iou] * 20, targets=0)] for label, iou in (('A', 0), ('B', 50))}
    assert verdict('native', free) == ''
