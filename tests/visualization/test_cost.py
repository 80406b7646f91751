"""Accuracy against cost: labels apart, and in the report."""

import itertools
import json
import re
import runpy

import pytest
from matplotlib.text import Annotation

from madnet.visualization.cost_plot import draw_cost
from madnet.visualization.figure import save_figure
from madnet.visualization.report import build_report
from madnet.visualization.run_results import load_results


def labels_of(figure):
    axes = figure.axes[0]
    return [t for t in axes.texts if isinstance(t, Annotation) and t.get_text()]


@pytest.mark.parametrize('width', ['single', 'double'])
def test_labels_cover_neither_each_other_nor_marks(width, tmp_path):
    # five marks within a third of a decade and three points, two of them at one place
    points = {
        f'method {i}': (macs * 1e9, iou, 0.004)
        for i, (macs, iou) in enumerate(
            [(5, 0.74), (5.2, 0.74), (6, 0.735), (7, 0.75), (8, 0.745), (0.3, 0.66), (50, 0.76), (50, 0.76)]
        )
    }
    figure = draw_cost(points, 'native', 'IoU', {'light (published)': 0.06e9}, width)
    save_figure(figure, tmp_path / 'cost')
    renderer, axes = figure.canvas.get_renderer(), figure.axes[0]
    labels = labels_of(figure)
    assert {t.get_text() for t in labels} == {*points, 'light (published)'}
    boxes = {t.get_text(): t.get_window_extent(renderer) for t in labels}
    for a, b in itertools.combinations(boxes, 2):
        assert not boxes[a].overlaps(boxes[b]), (a, b)
    for label, box in boxes.items():
        for name, (macs, iou, _) in points.items():
            assert not box.contains(*axes.transData.transform((macs / 1e9, 100 * iou))), (label, name)
    inside = axes.get_window_extent(renderer)
    for label, box in boxes.items():
        assert inside.x0 <= box.x0 <= box.x1 <= inside.x1, label


def test_lines_to_labels_cross_no_other_label(repository):
    family = runpy.run_path(str(repository / 'docs' / 'build' / 'family.py'))
    shown, quoted = family['points'](), family['quoted_points']('README of MAD-Net')
    figure = draw_cost(shown, 'native', 'IoU', family['cost_lines'](shown), quoted=quoted)
    figure.draw_without_rendering()
    boxes = {t.xy: t.get_window_extent() for t in labels_of(figure)}
    leaders = [t for t in figure.axes[0].texts if t.arrow_patch is not None]
    assert leaders
    for leader in leaders:
        path = leader.arrow_patch.get_transform().transform_path(leader.arrow_patch.get_path())
        for at, box in boxes.items():
            assert at == leader.xy or not path.intersects_bbox(box, filled=False)


def test_axis_and_values():
    figure = draw_cost({'a': (1e9, 0.5, None), 'b': (1e10, 0.7, 0.01)}, 'abc', 'nIoU')
    axes = figure.axes[0]
    assert axes.get_xscale() == 'log'
    assert axes.get_ylabel() == 'nIoU (%)'
    assert 'abc' in axes.get_title()
    assert axes.get_xlim()[0] < 1
    assert axes.get_ylim()[1] > 71
    low, high = draw_cost({'none': (1e9, 0.0, None)}, 'abc').axes[0].get_ylim()
    assert -1 < low < 0
    assert high > 1


def test_ticks_of_a_narrow_range_are_plain_numbers():
    figure = draw_cost({'a': (0.34e9, 0.5, None), 'b': (0.6e9, 0.7, None)}, 'abc')
    figure.draw_without_rendering()
    texts = [t.get_text() for t in figure.axes[0].get_xticklabels(which='both') if t.get_text()]
    assert {'0.2', '0.5', '1'} <= set(texts)
    assert all(re.fullmatch('[0-9.]+', text) for text in texts)


def test_quoted_marks_are_hollow_and_their_labels_grey():
    figure = draw_cost({'ours': (1e9, 0.5, None)}, 'abc', quoted={'theirs': (3e10, 0.8)})
    axes = figure.axes[0]
    (hollow,) = (line for line in axes.lines if line.get_fillstyle() == 'none')
    assert (hollow.get_xdata()[0], hollow.get_ydata()[0]) == pytest.approx((30, 80))
    colours = {t.get_text(): t.get_color() for t in labels_of(figure)}
    assert colours['ours'] == 'black' != colours['theirs']
    assert axes.get_xlim()[1] > 30


def test_a_report_shows_cost_beside_accuracy(tmp_path):
    """``cost.json`` may lie beside ``metrics.json`` or above the seeds."""
    told = {'name': 'x', 'split': 'test', 'images': 3}
    for name, macs, seeds in (('small', 3e8, (0.5, 0.6)), ('large', 2e9, (0.7,))):
        for k, iou in enumerate(seeds):
            folder = tmp_path / name / f'seed{k}'
            folder.mkdir(parents=True)
            report = {'schema': 1, 'dataset': told, 'results': {'native': {'IoU': iou, 'nIoU': iou}}}
            (folder / 'metrics.json').write_text(json.dumps(report))
        where = tmp_path / name if len(seeds) > 1 else folder
        (where / 'cost.json').write_text(json.dumps({'parameters': 250000, 'MACs': macs, 'size': 256}))
    shared = {'dataset': told, 'config': 'x.py', 'results': {}}
    rows = [
        {'network': 's', 'label': 'Small', 'folders': ['small/seed0', 'small/seed1'], **shared},
        {'network': 'l', 'label': 'Large', 'folders': ['large/seed0'], **shared},
    ]
    content = {'kind': 'comparison', 'plan': {'datasets': ['x'], 'seeds': [0, 1]}, 'rows': rows}
    (tmp_path / 'comparison.json').write_text(json.dumps(content))
    page = build_report(load_results([str(tmp_path)]), tmp_path / 'report')
    text = page.read_text()
    assert 'id="cost"' in text
    [table] = (tmp_path / 'report' / 'tables').glob('*.csv')
    assert table.read_text().splitlines() == [
        'method,protocol,IoU %,nIoU %,parameters M,MACs G',
        'Small (2 runs),native,55.00 ± 7.07,55.00 ± 7.07,0.250,0.300',
        'Large,native,70.00,70.00,0.250,2.000',
    ]
    assert len(list((tmp_path / 'report' / 'figures').glob('cost_*.pdf'))) == 1


def test_a_report_leaves_out_what_was_measured_otherwise(tmp_path):
    told = {'name': 'x', 'split': 'test', 'images': 3}
    numbers = {'dataset': told, 'results': {'native': {'IoU': 0.5}}}
    for name, size, device in (('a', 256, 'GPU'), ('b', 256, 'GPU'), ('c', 256, 'CPU'), ('d', 64, 'GPU')):
        (tmp_path / name).mkdir()
        cost = {'parameters': 1000000, 'MACs': 1e9, 'latency': 0.1, 'size': size, 'device': device}
        for file, content in (('metrics.json', numbers), ('cost.json', cost)):
            (tmp_path / name / file).write_text(json.dumps(content))
    build_report(load_results([str(tmp_path / name) for name in 'abcd']), tmp_path / 'report')
    [table] = (tmp_path / 'report' / 'tables').glob('*.csv')
    assert [line.split(',')[-3:] for line in table.read_text().splitlines()] == [
        ['parameters M', 'MACs G', 'latency ms'],
        ['1.000', '1.000', '100.0'],
        ['1.000', '1.000', '100.0'],
        ['1.000', '1.000', ''],
        ['1.000', '', ''],
    ]
    how = r'MACs of one 256$\times$256 image, latency of it on GPU (left out where measured at another size'
    assert how in table.with_suffix('.tex').read_text()
