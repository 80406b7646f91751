"""Curves, surfaces and grids."""

import re

import matplotlib
import numpy as np
import pytest

from madnet.errors import UserError
from madnet.records.scalars import read_scalars
from madnet.visualization.curve_plots import (
    draw_pd_fa,
    draw_pr,
    draw_roc,
    draw_strata,
    draw_training,
)
from madnet.visualization.figure import WIDTHS, new_figure, save_figure, svg_text
from madnet.visualization.panels import GridRow, MethodResult, draw_grid
from madnet.visualization.surface import draw_surfaces, peak_grid

CURVE = {
    'threshold': [1, 0.5, 0],
    'fpr': [0, 1e-3, 1],
    'tpr': [0, 0.8, 1],
    'recall': [0.1, 0.8, 1],
    'precision': [1, 0.7, 0.01],
    'Pd': [0, 0.9, 1],
    'Fa': [0, 2e-5, 1e-2],
}


def lines(figure):
    return {line.get_label(): line for line in figure.axes[0].get_lines() if line.get_label()[0] != '_'}


def test_roc_is_logarithmic_and_names_its_protocol():
    figure = draw_roc({'a': CURVE, 'b': CURVE}, 'abc')
    axes = figure.axes[0]
    assert axes.get_xscale() == 'log'
    assert 'protocol abc' in axes.get_title()
    assert list(lines(figure)) == ['a', 'b']
    np.testing.assert_allclose(lines(figure)['a'].get_xdata(), [1e-3, 1])


def test_pr_draws_the_numbers_it_was_given():
    line = lines(draw_pr({'a': CURVE}, 'native'))['a']
    np.testing.assert_allclose(line.get_xdata(), CURVE['recall'])
    np.testing.assert_allclose(line.get_ydata(), CURVE['precision'])


def test_pd_fa_keeps_points_without_false_alarms_at_the_edge_and_marks_a_half():
    figure = draw_pd_fa({'a': CURVE}, 'native')
    np.testing.assert_allclose(lines(figure)['a'].get_xdata(), [10, 20, 1e4])
    (dot,) = [line for line in figure.axes[0].get_lines() if line.get_marker() == 'o']
    np.testing.assert_allclose([dot.get_xdata()[0], dot.get_ydata()[0]], [20, 0.9])
    draw_pd_fa({'a': {'Pd': [None], 'Fa': [0]}}, 'native')


def test_strata_say_how_many_targets():
    rows = [{'stratum': '1–9 px', 'targets': 4, 'Pd': 0.5, 'IoU': None}, {'stratum': '> 80 px', 'targets': 0}]
    figure = draw_strata({'a': rows, 'b': rows}, 'native')
    labels = [t.get_text() for t in figure.axes[0].get_xticklabels()]
    assert labels == ['1–9 px\nn = 4', '> 80 px\nn = 0']
    assert [round(p.get_height(), 2) for p in figure.axes[0].patches[:1]] == [0.5]


def test_training_curves_in_epochs(run_folder):
    (path,) = run_folder.rglob('scalars.json')
    records = read_scalars(path)
    assert len(records) == 6  # the half line of a killed run is left out
    figure = draw_training({'a': records})
    loss, rate, score = figure.axes
    np.testing.assert_allclose(loss.get_lines()[0].get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(loss.get_lines()[0].get_ydata(), [2.5, 2, 1.5])
    np.testing.assert_allclose(rate.get_lines()[0].get_ydata(), 0.001)
    assert [line.get_label() for line in score.get_lines()] == ['nIoU', 'IoU', 'Pd']
    assert len(draw_training({'a': records, 'b': records}).axes[2].get_lines()) == 2


def test_scalars_that_are_none(tmp_path):
    path = tmp_path / 'scalars.json'
    path.write_text('{"loss": 1}\nnonsense\n{"loss": 2}\n')
    with pytest.raises(UserError, match='line 2'):
        read_scalars(path)
    with pytest.raises(UserError, match='not readable'):
        read_scalars(tmp_path / 'missing.json')


def test_surface_keeps_the_peak_of_three_pixels():
    plane = np.zeros((500, 333))
    plane[250, 100:103] = 0.9
    grid = peak_grid(plane, 96)
    assert max(grid.shape) <= 96
    assert grid.max() == 0.9
    figure = draw_surfaces({'a': plane, 'b': plane, 'c': plane}, columns=2)
    assert [a.get_title() for a in figure.axes] == ['a', 'b', 'c']
    assert figure.axes[0].get_zlim() == (0, 1)


def test_grid_has_a_cell_for_each_and_zooms_on_targets(example):
    result = MethodResult(example.score, example.pred, example.match)
    row = GridRow('scene', example.image, example.truth, {'A': result, 'B': result})
    figure = draw_grid([row, row], insets=2)
    assert figure.get_figwidth() == WIDTHS['double']
    # 2 rows × (image, truth, A, B) × (1 + 2 insets)
    assert len(figure.axes) == 2 * 4 * 3
    assert [a.get_title() for a in figure.axes if a.get_title()] == ['image', 'truth', 'A', 'B']
    marks = [len(a.patches) for a in figure.axes[:12:3]]
    assert marks == [0, 0, 3, 3]
    with pytest.raises(ValueError, match='same methods'):
        draw_grid([row, GridRow('x', example.image, example.truth, {'A': result})])
    with pytest.raises(ValueError, match='at least one'):
        draw_grid([])


def test_files_at_paper_size_and_no_traces_in_matplotlib(tmp_path):
    before = dict(matplotlib.rcParams)
    pdf, png = save_figure(draw_roc({'a': CURVE}, 'native'), tmp_path / 'new' / 'a.b')
    assert (pdf.name, png.name) == ('a.b.pdf', 'a.b.png')
    assert pdf.read_bytes()[:4] == b'%PDF'
    assert b'/Type3' not in pdf.read_bytes()
    width, height = np.frombuffer(png.read_bytes()[16:24], '>u4')
    assert (width, height) == (1050, 787)
    assert dict(matplotlib.rcParams) == before
    again = save_figure(draw_roc({'a': CURVE}, 'native'), tmp_path / 'again')
    assert again[0].read_bytes() == pdf.read_bytes()


def test_a_figure_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match=r'file/cost\.pdf: cannot be written'):
        save_figure(draw_training({'a': [{'loss': 1.0, 'step': 1, 'epoch': 1}]}), tmp_path / 'file' / 'cost')


def test_letters_keep_their_size_in_pages():
    """Coordinates are shortened, scales are not: glyphs would shrink within their spacing."""
    figure = new_figure('single', 2)
    figure.add_subplot().set_xlabel('area (px)')
    text = svg_text(figure)
    shapes = re.findall(r'<path id="DejaVuSans-.*?transform="(.*?)"', text, re.DOTALL)
    assert set(shapes) == {'scale(0.015625)'}
    assert not re.search(r'translate\([^)]*\.\d{3}', text)
