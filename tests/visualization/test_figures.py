"""Curves, surfaces and grids."""

import itertools
import re
import warnings
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib.cbook import is_math_text
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.text import Text

from madnet.errors import UserError
from madnet.evaluation.components import find_components
from madnet.evaluation.matching import match_components
from madnet.records import ProbePoint, ProbeSweep
from madnet.records.scalars import read_scalars
from madnet.visualization import fonts, marks
from madnet.visualization.cost_plot import draw_cost
from madnet.visualization.curve_plots import (
    draw_pd_fa,
    draw_pr,
    draw_ranked,
    draw_roc,
    draw_strata,
    draw_training,
)
from madnet.visualization.distributions import Line
from madnet.visualization.figure import (
    WIDTHS,
    bar_style,
    new_figure,
    save_figure,
    series_style,
    svg_text,
)
from madnet.visualization.marks import draw_text
from madnet.visualization.panels import GridRow, MethodResult, draw_grid
from madnet.visualization.surface import draw_surfaces, peak_grid
from madnet.visualization.sweep_plots import draw_sweep

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


def test_roc_says_what_was_scored_and_the_area():
    figure = draw_roc({'a': CURVE, 'b': CURVE}, 'abc', dataset='NUAA test', areas={'a': 0.9742})
    axes = figure.axes[0]
    assert axes.get_title() == 'ROC of pixels\nNUAA test; protocol abc'
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        'a (AUC 97.42 %)',
        'b',
        'highest score of a background pixel',
    ]
    # a dot where a curve begins
    dots = [line.get_xdata().tolist() for line in axes.get_lines() if line.get_marker() == 'o']
    assert dots == [[1e-3], [1e-3]]


def test_pr_draws_the_numbers_it_was_given():
    line = lines(draw_pr({'a': CURVE}, 'native'))['a']
    np.testing.assert_allclose(line.get_xdata(), CURVE['recall'])
    np.testing.assert_allclose(line.get_ydata(), CURVE['precision'])


def test_a_curve_of_one_point_is_seen():
    curves = {'a': CURVE, 'b': {'recall': [0.5, 0.9], 'precision': [0.7, None]}}
    assert [line.get_marker() for line in lines(draw_pr(curves, 'native')).values()] == ['', 'o']
    records = [{'loss': 1.0, 'lr': 0.1, 'step': 1, 'epoch': 1}, {'nIoU': 0.5, 'step': 1}]
    for axes in draw_training({'a': records}).axes:
        assert [line.get_marker() for line in axes.get_lines()] == ['o']


def test_the_legend_of_pr_covers_no_curve():
    figure = draw_pr({'a': CURVE, 'b': {'recall': [0, 0.9, 1], 'precision': [1, 1, 0.9]}}, 'native')
    assert figure.axes[0].get_legend() is None
    figure.canvas.draw()
    assert figure.legends[0].get_window_extent().y1 < figure.axes[0].get_window_extent().y0


def test_pd_fa_keeps_points_without_false_alarms_at_the_edge_and_marks_a_half():
    figure = draw_pd_fa({'a': CURVE}, 'native')
    np.testing.assert_allclose(lines(figure)['a'].get_xdata(), [0.1, 20, 1e4])
    (dot,) = [line for line in figure.axes[0].get_lines() if line.get_marker() == 'o']
    np.testing.assert_allclose([dot.get_xdata()[0], dot.get_ydata()[0]], [20, 90])
    draw_pd_fa({'a': {'Pd': [None], 'Fa': [0]}}, 'native')


def test_no_false_alarm_stands_at_a_tick_of_its_own_whatever_the_others_have():
    none, all_ = ({'threshold': [0.5], 'Pd': [0.9], 'Fa': [fa]} for fa in (0, 1))
    axes = draw_ranked({'none': none, 'all': all_}, 'native', pixels=230_681).axes[0]
    # one pixel of the set is 4.3 per million
    assert lines(axes.figure)['none'].get_xdata().tolist() == pytest.approx([1])
    assert axes.get_xlim() == pytest.approx((1, 1e6))
    labels = dict(zip(axes.get_xticks(), [t.get_text() for t in axes.get_xticklabels()], strict=True))
    assert labels[axes.get_xlim()[0]] == '0'
    assert '$10^{6}$' in labels.values()
    assert len(axes.get_xticks(minor=True)) == 0
    # an edge between 0 and the smallest number, where the set is not known or the number is a mean of rates
    for fa, pixels in ((3e-9, None), (3e-9, 1000)):
        axes = draw_pd_fa({'a': {'Pd': [0, 1], 'Fa': [0, fa]}}, 'native', pixels=pixels).axes[0]
        edge, at = lines(axes.figure)['a'].get_xdata()
        assert edge == axes.get_xlim()[0] < at == pytest.approx(3e-3)


def test_ranked_marks_the_point_of_all_detections():
    ranked = {'threshold': [np.inf, 3.0, 1.0], 'Pd': [0, 0.5, 0.9], 'Fa': [0, 2e-6, 2e-5]}
    figure = draw_ranked({'a': ranked, **{str(k): ranked for k in range(4)}}, 'native', dataset='x')
    dots = [line for line in figure.axes[0].get_lines() if line.get_marker() == 'o']
    np.testing.assert_allclose([dots[0].get_xdata()[0], dots[0].get_ydata()[0]], [20, 90])
    assert [t.get_text() for t in figure.legends[0].get_texts()][-1] == 'all detections'


@pytest.mark.parametrize('draw', [draw_roc, draw_pr, draw_pd_fa, draw_strata, draw_training])
@pytest.mark.parametrize(('count', 'name'), [(4, 'a' * 80), (8, 'published-with-wide-loss'), (12, 'net')])
def test_many_methods_leave_the_axes_their_room(draw, count, name):
    rows = [{'stratum': f'class {k}', 'targets': 4, 'Pd': 0.5, 'IoU': 0.5} for k in range(3)]
    records = [{'loss': 1.0, 'lr': 0.1, 'step': 1, 'epoch': 1}, {'nIoU': 0.5, 'step': 1}]
    data = {draw_strata: rows, draw_training: records}.get(draw, CURVE)
    where = () if draw is draw_training else ('native',)
    figure = draw({f'{name} {k}': data for k in range(count)}, *where)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        figure.draw_without_rendering()
    places = [a.get_position() for a in figure.axes]
    assert sum(p.width for p in places if p.y0 == places[0].y0) > 0.6
    assert min(p.height for p in places) * figure.get_figheight() > 0.8
    legend = [t.get_window_extent() for t in figure.legends[0].get_texts()]
    assert all(figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1 for box in legend)
    axes = [t for a in figure.axes for t in (a.title, a.xaxis.label, a.yaxis.label) if t.get_text()]
    boxes = legend + [t.get_window_extent() for t in axes]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_the_ninth_method_looks_like_no_other():
    styles = [tuple(series_style(k).values()) for k in range(32)]
    assert len(set(styles)) == len(styles)
    bars = [(s['facecolor'], s['hatch']) for s in map(bar_style, range(32))]
    assert len(set(bars)) == len(bars)
    parts = [Line.of(k, part) for k in range(16) for part in range(3)]
    assert len(set(parts)) == len(parts)
    points = {str(k): (1e9 * (k + 1), 0.5, None) for k in range(16)}
    marks = [(m[0].get_marker(), m[0].get_color()) for m in draw_cost(points, 'abc').axes[0].containers]
    assert len(set(marks)) == len(marks)


def test_strata_say_how_many_targets():
    rows = [{'stratum': '1–9 px', 'targets': 4, 'Pd': 0.5, 'IoU': None}, {'stratum': '> 80 px', 'targets': 0}]
    figure = draw_strata({'a': rows, 'b': rows}, 'native')
    found, overlap = figure.axes
    # one below the other, at the width of a column, in percent; no class without targets
    assert found.get_position().y0 > overlap.get_position().y0
    assert figure.get_figwidth() == WIDTHS['single']
    assert [t.get_text() for t in overlap.get_xticklabels()] == ['1–9 px\nn = 4']
    assert [p.get_height() for p in found.patches] == [50, 50]
    assert [t.get_text() for t in found.texts] == ['50', '50']
    assert [t.get_text() for t in overlap.texts] == ['–', '–']
    assert overlap.get_ylabel() == 'IoU of hits (%)'


def test_strata_leave_out_numbers_that_would_overprint():
    rows = [{'stratum': f'{k}', 'targets': 4, 'Pd': 1.0, 'IoU': 1.0} for k in range(4)]
    figure = draw_strata({f'method {k}': rows for k in range(5)}, 'native')
    assert not figure.axes[0].texts
    figure = draw_strata({'a': rows, 'b': rows}, 'native')
    renderer = figure.canvas.get_renderer()
    boxes = [t.get_window_extent(renderer) for t in figure.axes[0].texts]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k])


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
    assert score.get_ylabel() == 'validation (%)'
    assert len(draw_training({'a': records, 'b': records}).axes[2].get_lines()) == 2
    # no panel for what there is none of
    assert len(draw_training({'a': [r for r in records if 'loss' in r]}).axes) == 2


@pytest.mark.parametrize('most', [0, 2.4, 19, 20, 25, 100, 5000])
@pytest.mark.parametrize('label', [None, 'grey frame'])
def test_false_alarms_of_a_sweep_lie_below_a_tick(most, label):
    points = [ProbePoint(k, 1, 10_000_000, 1, 1, round(10 * a), 0, label) for k, a in enumerate((0, 1, most))]
    axes = draw_sweep({'a': ProbeSweep('k', '', 'gain', '', points)}).axes[0]
    ticks = axes.get_yticks()
    assert max(ticks) > most
    assert len(ticks) >= 3 or most <= 1
    assert axes.get_ylim() == (0, max(ticks))
    # up to a few the axis can be read as a ruler
    assert axes.get_yscale() == ('linear' if most <= 20 else 'symlog')


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
    axes = figure.axes[0]
    assert axes.get_zlim() == (0, 1)
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_zlabel()) == ('x (px)', 'y (px)', 'score')
    # the last of three stands in the middle below two
    spans = [a.get_subplotspec().colspan for a in figure.axes]
    assert [(s.start, s.stop) for s in spans] == [(0, 2), (2, 4), (1, 3)]
    # nor is a label cut at the edge
    square = draw_surfaces({k: np.eye(64) for k in 'abcd'})
    square.draw_without_rendering()
    label = square.axes[-1].zaxis.label.get_window_extent()
    assert label.x1 < square.bbox.x1
    # nor covered by the surface beside it; and older matplotlib's layouts never end with surfaces
    assert not any(axes.patch.get_visible() for axes in square.axes)
    assert isinstance(square.get_layout_engine(), PlaceHolderLayoutEngine)
    assert draw_surfaces({'a': plane}, heights={'a': 'grey'}).axes[0].get_zlabel() == 'grey'


def test_grid_has_a_cell_for_each_and_zooms_on_targets(example):
    result = MethodResult(example.score, example.pred, example.match)
    row = GridRow('scene', example.image, example.truth, {'A': result, 'B': result})
    figure = draw_grid([row, row], insets=2)
    assert figure.get_figwidth() == WIDTHS['double']
    # 2 rows × (image, truth, A, B) × (1 + 2 insets)
    assert len(figure.axes) == 2 * 4 * 3
    assert [a.get_title() for a in figure.axes if a.get_title()] == ['image', 'truth', 'A', 'B']
    # in the image the two places that are zoomed, with letters; in methods' cells a mark for each finding
    marks = [len(a.patches) for a in figure.axes[:12:3]]
    assert marks == [2, 0, 3, 3]
    assert [t.get_text() for t in figure.axes[0].texts] == ['a', 'b']
    # the miss first, then the false alarm
    assert [a.texts[0].get_text() for a in figure.axes[1:3]] == ['a, 32 px', 'b, 32 px']
    assert [p.get_xy() for p in figure.axes[0].patches] == [(24.5, 13.5), (4.5, 44.5)]
    with pytest.raises(ValueError, match='same methods'):
        draw_grid([row, GridRow('x', example.image, example.truth, {'A': result})])
    with pytest.raises(ValueError, match='at least one'):
        draw_grid([])


def test_grid_of_images_says_size_and_threshold_in_a_font_with_serifs(example):
    result = MethodResult(example.score, example.pred, example.match)
    row = GridRow('scene', example.image, example.truth, {'A': result})
    figure = draw_grid([row], 1, 'single', show='image', threshold=0.25, serif=True)
    image, method = figure.axes[0], figure.axes[2]
    assert [a.get_title() for a in figure.axes if a.get_title()] == ['image and truth', 'A']
    np.testing.assert_array_equal(image.get_images()[0].get_array(), method.get_images()[0].get_array())
    assert image.get_ylabel() == 'scene\n160 × 120 px'
    words = [t.get_text() for t in figure.legends[0].get_texts()]
    assert words[-1] == 'threshold 0.25'
    assert image.title.get_fontname() == 'STIXGeneral'
    with pytest.raises(ValueError, match="'scores' or 'image'"):
        draw_grid([row], show='truth')


def test_marks_at_a_border_stay_whole():
    image, mask = np.zeros((100, 100), np.uint8), np.zeros((100, 100), bool)
    mask[0:2, 97:100] = True
    truth, pred = find_components(mask), find_components(np.zeros_like(mask))
    result = MethodResult(mask * 0.0, pred, match_components(truth, pred))
    figure = draw_grid([GridRow('x', image, truth, {'A': result})], 1)
    (circle,) = figure.axes[4].patches
    x, y = circle.center
    assert (x + circle.radius, y - circle.radius) == pytest.approx((99.5, -0.5))


@pytest.mark.parametrize(('shape', 'box'), [((100, 100), (0, 0, 100, 100)), ((60, 200), (0, 20, 150, 50))])
def test_a_mark_larger_than_its_panel_is_a_frame_in_it(shape, box):
    image, mask = np.zeros(shape, np.uint8), np.zeros(shape, bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    truth, pred = find_components(np.zeros_like(mask)), find_components(mask)
    result = MethodResult(mask * 1.0, pred, match_components(truth, pred))
    figure = draw_grid([GridRow('x', image, truth, {'A': result})], 1)
    (frame,) = figure.axes[4].patches
    (x0, y0), (x1, y1) = frame.get_bbox().min, frame.get_bbox().max
    assert -0.5 < x0 < box[0] + 1
    assert -0.5 < y0 < box[1] + 1
    assert box[2] - 2 < x1 < shape[1] - 0.5
    assert box[3] - 2 < y1 < shape[0] - 0.5
    # the letter of its inset, too
    (letter,) = figure.axes[0].texts
    assert -0.5 <= letter.xy[1] < 0.9 * shape[0]


def test_a_grid_of_many_methods_keeps_its_words_apart(example):
    result = MethodResult(example.score, example.pred, example.match)
    methods = {f'published-with-wide-loss-{k}': result for k in range(10)}
    row = GridRow('a_name_as_long_as_some_sets_have_them', example.image, example.truth, methods)
    figure = draw_grid([row], show='image')
    heads = [a.title for a in figure.axes if a.get_title()]
    boxes = [t.get_window_extent() for t in heads]
    assert len(boxes) == 11
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert min(t.get_fontsize() for t in heads) == max(t.get_fontsize() for t in heads) >= 5
    label = figure.axes[0].yaxis.label.get_window_extent()
    assert (
        figure.axes[1].bbox.y0 - 0.04 * figure.dpi - 1
        < label.y0
        < label.y1
        < figure.axes[0].bbox.y1 + 0.04 * figure.dpi + 1
    )
    # no side of the inset in pixels where there is no room for it
    assert [a.texts[0].get_text() for a in figure.axes[1:3]] == ['a', 'b']


def grid_row(shape, box=None):
    """An image with one missed target."""
    mask = np.zeros(shape, bool)
    if box:
        mask[box[1] : box[3], box[0] : box[2]] = True
    truth, pred = find_components(mask), find_components(np.zeros(shape, bool))
    result = MethodResult(mask * 0.0, pred, match_components(truth, pred))
    return GridRow('x', np.zeros(shape, np.uint8), truth, {'A': result})


@pytest.mark.parametrize(('shape', 'ratio'), [((1600, 48), 2), ((40, 2000), 1 / 3), ((100, 100), 1)])
def test_an_odd_frame_lies_in_a_panel_of_common_shape(shape, ratio):
    figure = draw_grid([grid_row(shape, (shape[1] - 3, 0, shape[1], 3))], 1)
    image = figure.axes[0]
    assert image.bbox.height / image.bbox.width == pytest.approx(ratio)
    (x0, x1), (y1, y0) = image.get_xlim(), image.get_ylim()
    assert (y1 - y0) / (x1 - x0) == pytest.approx(ratio)  # its pixels are squares
    assert x0 <= -0.5 < shape[1] - 0.5 <= x1
    assert y0 <= -0.5 < shape[0] - 0.5 <= y1
    # a frame at the border keeps its sides, and its letter is in the panel
    (frame,), (letter,) = image.patches, image.texts
    box, seen = frame.get_bbox(), letter.get_window_extent()
    assert x0 < box.x0 < box.x1 < x1
    assert y0 < box.y0 < box.y1 < y1
    panel = image.bbox.padded(1)
    assert panel.contains(seen.x0, seen.y0)
    assert panel.contains(seen.x1, seen.y1)


def test_an_image_with_nothing_to_zoom_on_has_no_strip():
    with_target, without = grid_row((100, 100), (50, 50, 53, 53)), grid_row((100, 100))
    one, two = draw_grid([with_target]), draw_grid([with_target, without])
    panel = two.axes[-1].bbox.height
    assert two.bbox.height - one.bbox.height < 1.1 * panel


def test_a_size_is_written_whole_or_not():
    result = next(iter(grid_row((40, 20000)).methods.values()))
    row = replace(grid_row((40, 20000), (90, 20, 93, 23)), methods={str(k): result for k in range(12)})
    assert draw_grid([row]).axes[0].get_ylabel() == 'x'


def test_the_legend_of_a_grid_lies_within_a_column():
    figure = draw_grid([grid_row((100, 100), (50, 50, 53, 53))], 1, 'single', threshold=0.5)
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
    assert box.y1 <= min(a.bbox.y0 for a in figure.axes)
    # what has a white line in the picture has a dark edge on white paper
    place = legend.legend_handles[-2]
    assert place.get_markerfacecolor() == 'none'
    assert place.get_path_effects()


@pytest.fixture
def other_fonts(monkeypatch):
    """Families that stand in for letters that a figure's own font lacks, whatever is installed here."""

    def choose(*families):
        monkeypatch.setattr(fonts, '_FAMILIES', families)
        for kept in (fonts.east_asian, marks._fonts, marks._written, marks.text_width):
            kept.cache_clear()

    yield choose
    monkeypatch.undo()
    choose(*fonts._FAMILIES)


def test_letters_that_a_font_lacks_are_of_one_that_has_them(other_fonts):
    name = 'a\ue000é'  # the second is of no other font that comes with matplotlib
    other_fonts('none such', 'STIXNonUnicode')
    assert fonts.east_asian() == ('STIXNonUnicode',)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for figure in (
            draw_roc({name: CURVE}, 'native'),
            draw_grid([replace(grid_row((99, 99)), name=name)]),
        ):
            figure.draw_without_rendering()
            assert [t for t in figure.findobj(Text) if name in t.get_text()]
    drawn = [np.zeros((30, 80, 3), np.uint8) for _ in range(3)]
    draw_text(drawn[0], name[:2], (5, 20))
    other_fonts()
    draw_text(drawn[1], name[:2], (5, 20))
    draw_text(drawn[2], 'a?é', (5, 20))
    assert (drawn[0] != drawn[1]).any()
    assert (drawn[1][:, :20] == drawn[2][:, :20]).all()


def test_what_a_font_lacks_is_a_question_mark_and_no_warning(other_fonts):
    name = '目标 é Ω'
    other_fonts()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        for figure in (
            draw_roc({name: CURVE}, 'native', dataset=name),
            draw_cost({name: (1e9, 0.5, None)}, 'native', references={name: 1e9}, dataset=name),
            draw_surfaces({name: np.eye(9)}, name),
            draw_grid([replace(grid_row((99, 99)), name=name)], serif=True),
            draw_training({name: [{'loss': 1.0, 'step': 1}], 'b': [{'loss': 1.0, 'step': 1}]}),
        ):
            figure.draw_without_rendering()
            assert [t for t in figure.findobj(Text) if '?? é Ω' in t.get_text()]


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


def test_names_that_begin_with_an_underscore_have_their_entries():
    runs = {name: [{'step': k, 'loss': 1.0, 'epoch': 1} for k in range(3)] for name in ('_a', 'b')}
    [legend] = draw_training(runs).legends
    assert [text.get_text().strip() for text in legend.get_texts()] == ['_a', 'b']


@pytest.mark.parametrize('name', ['cost $1_{$ x', 'B_$x$', r'A $\zz$ b', '$\\$', r'\$a$' * 40])
def test_dollars_in_names_are_no_tex(example, name):
    row = {'stratum': 'class', 'targets': 4, 'Pd': 0.5, 'IoU': 0.5}
    records = [{'loss': 1.0, 'lr': 0.1, 'step': 1, 'epoch': 1}, {'nIoU': 0.5, 'step': 1}]
    result = MethodResult(example.score, example.pred, example.match)
    figures = [
        *(draw({name: CURVE}, name, name) for draw in (draw_roc, draw_pr, draw_pd_fa)),
        draw_roc({f'{name} {k}': CURVE for k in range(5)}, 'native'),
        draw_strata({name: [row], 'b': [row]}, name, dataset=name),
        draw_training({name: records, 'b': records}),
        draw_cost({name: (1e9, 0.5, None)}, name, 'IoU', {name: 1e9}, quoted={f'{name} ': (2e9, 0.4)}),
        draw_grid([GridRow(name, example.image, example.truth, {name: result})]),
        draw_surfaces({name: np.eye(8)}, title=name),
    ]
    for figure in figures:
        figure.draw_without_rendering()
        texts = [t for t in figure.findobj(Text) if r'\$' in t.get_text()]
        assert texts
        for text in texts:
            shown = text.get_text().replace('$P_d$ against $F_a$', '')
            assert not is_math_text(shown)
            assert '…' in shown or name in shown.replace('\\$', '$').replace('\n', '')
