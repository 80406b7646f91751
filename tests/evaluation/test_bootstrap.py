import math

import numpy as np
import pytest

from madnet.errors import UserError
from madnet.evaluation.bootstrap import COLUMNS, bootstrap_intervals, mean_std, paired_bootstrap


def images(n, seed=0, quality=0.7):
    rng = np.random.default_rng(seed)
    union = rng.integers(10, 60, n).astype(float)
    intersection = np.floor(union * np.clip(rng.normal(quality, 0.15, n), 0, 1))
    targets = rng.integers(1, 4, n).astype(float)
    return {
        'intersection': intersection,
        'union': union,
        'IoU': intersection / union,
        'targets': targets,
        'matched': np.minimum(targets, rng.integers(0, 4, n)),
        'false_pixels': rng.integers(0, 30, n).astype(float),
        'pixels': np.full(n, 4096.0),
    }


def test_interval_holds_the_value_and_agrees_with_a_plain_loop():
    table = images(60)
    rng = np.random.default_rng(5)
    ious = []
    for _ in range(4000):
        drawn = rng.integers(0, 60, 60)
        ious.append(table['intersection'][drawn].sum() / table['union'][drawn].sum())
    low, high = bootstrap_intervals(table, resamples=4000)['IoU']
    assert (low, high) == pytest.approx(np.percentile(ious, [2.5, 97.5]), abs=0.004)
    assert low < table['intersection'].sum() / table['union'].sum() < high


def test_interval_shrinks_with_the_number_of_images_and_repeats_with_its_seed():
    width = [np.diff(bootstrap_intervals(images(n))['nIoU'])[0] for n in (30, 3000)]
    assert width[1] < width[0] / 5
    assert bootstrap_intervals(images(30)) == bootstrap_intervals(images(30))


def test_no_targets_leave_pd_undefined():
    table = images(10)
    table['targets'][:] = table['matched'][:] = 0
    assert all(math.isnan(v) for v in bootstrap_intervals(table, resamples=50)['Pd'])


def test_a_resample_without_foreground_has_the_iou_of_the_protocol():
    table = images(4)
    for column in ('union', 'intersection', 'targets', 'matched'):
        table[column][1:] = 0
    table['intersection'][0] = table['union'][0] / 2
    assert bootstrap_intervals(table)['IoU'] == (0.5, 0.5)
    assert bootstrap_intervals(table, empty=1)['IoU'] == (0.5, 1)
    table['union'][0] = 0
    found = paired_bootstrap(table, table, empty=1)['IoU']
    assert (found['a'], found['b'], found['interval'], found['p']) == (1, 1, (0, 0), 1)


def test_paired_comparison():
    table = images(80)
    same = paired_bootstrap(table, table)
    assert same['IoU']['difference'] == 0
    assert same['IoU']['p'] == 1
    better = {name: column.copy() for name, column in table.items()}
    better['intersection'] = np.minimum(better['intersection'] + 3, better['union'])
    better['IoU'] = better['intersection'] / better['union']
    result = paired_bootstrap(table, better)
    assert result['IoU']['p'] < 0.01
    assert result['IoU']['interval'][0] > 0
    assert result['nIoU']['difference'] == pytest.approx(better['IoU'].mean() - table['IoU'].mean())
    assert result['Fa']['p'] == 1
    with pytest.raises(UserError, match='80 on one side, 5'):
        paired_bootstrap(table, images(5))


def test_p_is_two_sided():
    a, b = images(40), images(40, seed=1, quality=0.73)
    rng = np.random.default_rng(9)
    differences = []
    for _ in range(4000):
        drawn = rng.integers(0, 40, 40)
        differences.append(b['IoU'][drawn].mean() - a['IoU'][drawn].mean())
    tail = min(np.mean(np.array(differences) <= 0), np.mean(np.array(differences) >= 0))
    assert 0.02 < tail < 0.4, 'the case must be undecided for the test to say anything'
    assert paired_bootstrap(a, b, resamples=4000)['nIoU']['p'] == pytest.approx(2 * tail, abs=0.04)


def test_all_columns_are_used_by_name():
    assert set(images(3)) == set(COLUMNS)


def test_mean_and_deviation_over_seeds():
    spread = mean_std([{'IoU': 0.7, 'nIoU': 0.6}, {'IoU': 0.74, 'nIoU': 0.6}, {'IoU': 0.72, 'nIoU': 0.6}])
    assert spread['IoU'] == pytest.approx((0.72, np.std([0.7, 0.74, 0.72], ddof=1), 3))
    assert spread['nIoU'][1] == pytest.approx(0)
    assert math.isnan(mean_std([{'IoU': 0.7}])['IoU'][1])
    assert mean_std([]) == {}
