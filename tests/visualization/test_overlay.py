"""What an overlay must show, and what it must not hide."""

import re
import sys

import numpy as np
import pytest

from madnet.evaluation.components import find_components
from madnet.evaluation.matching import match_components
from madnet.visualization import draw_overlay, marks, overlay
from madnet.visualization.findings import first_findings, list_findings
from madnet.visualization.insets import crop_window
from madnet.visualization.marks import draw_findings, draw_mark, draw_text, text_width
from madnet.visualization.overlay import CAPTION, GAP, HEADER, LINE, MIN_WIDTH, view_factor
from madnet.visualization.palette import DETECTION, FALSE_ALARM, HIT, MISSED, TARGET
from madnet.visualization.stretch import stretch


def strip(zoom, rows=1):
    """Height of the insets at a magnification, with the line above them."""
    return LINE + rows * (32 * zoom + 2 + CAPTION + GAP)


def count(picture, colour):
    return int((picture == np.uint8(colour)).all(-1).sum())


def test_shows_the_three_kinds_in_their_colours(example):
    picture = draw_overlay(example.image, example.truth, example.pred, example.match, title='scene')
    assert picture.dtype == np.uint8
    for kind in (HIT, MISSED, FALSE_ALARM):
        assert count(picture, kind.colour) > 40
    assert count(picture, TARGET.colour) == count(picture, DETECTION.colour) == 0


def test_size_is_header_enlarged_image_and_one_row_of_insets(example):
    picture = draw_overlay(example.image, example.truth, example.pred, example.match)
    factor = view_factor(example.image.shape)
    assert factor == 5
    # at six times three insets fill 600 of 800 pixels
    assert picture.shape == (HEADER + 120 * factor + strip(6), 160 * factor, 3)


def test_every_pixel_of_targets_and_false_alarms_stays_as_it_was(example):
    factor = view_factor(example.image.shape)
    picture = draw_overlay(example.image, example.truth, example.pred, example.match)
    main = picture[HEADER : HEADER + 120 * factor, : 160 * factor]
    grey = np.kron(stretch(example.image), np.ones((factor, factor), np.uint8))
    shown = (example.mask > 0) | (np.isin(example.pred.labels, example.match.false + 1))
    shown = np.kron(shown, np.ones((factor, factor), bool))
    assert shown.sum() == (3 + 9 + 6) * factor**2
    assert (main[shown] == grey[shown][:, None]).all()
    # and around them something was drawn
    assert (main != grey[..., None]).any(-1).sum() > 200


def test_marks_of_a_crowd_never_cover_a_three_pixel_target():
    mask, noise = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    mask[30, 30:33] = True
    noise[20:44:3, 20:44:3] = True
    noise[28:33, 28:36] = False
    truth, pred = find_components(mask), find_components(noise)
    findings = list_findings(truth, pred, match_components(truth, pred))
    grey = np.full((64, 64), 100, np.uint8)
    drawn = draw_findings(grey, truth, pred, findings, 2)
    target = np.kron(mask, np.ones((2, 2), bool))
    assert (drawn[target] == 100).all()
    ring = drawn[59:63, 59:67].reshape(-1, 3)
    assert (ring == np.uint8(MISSED.colour)).all(-1).any()


def test_insets_up_to_a_cap_and_the_rest_counted(example):
    args = (example.image, example.truth, example.pred, example.match)
    bare = draw_overlay(*args, max_insets=0)
    one = draw_overlay(*args, max_insets=1)
    all_three = draw_overlay(*args, max_insets=3)
    assert bare.shape[0] == HEADER + 120 * 5 + LINE
    assert one.shape[0] == bare.shape[0] + strip(6)
    assert all_three.shape[0] == one.shape[0] - LINE


def test_score_map_stands_beside_each_inset(example):
    args = (example.image, example.truth, example.pred, example.match)
    scored = draw_overlay(*args, example.score)
    # three cells of double width fit in one row of 800 pixels at four times
    assert scored.shape[0] == HEADER + 120 * 5 + strip(4)
    assert draw_overlay(*args, example.score, max_insets=2).shape[0] == HEADER + 120 * 5 + strip(6) + LINE


def test_order_misses_then_false_alarms_and_hits_by_turns(example):
    kinds = [f.kind for f in list_findings(example.truth, example.pred, example.match)]
    assert kinds == [MISSED, FALSE_ALARM, HIT]
    hit = list_findings(example.truth, example.pred, example.match)[2]
    assert hit.box == (100, 80, 104, 83)
    assert hit.area == 9


@pytest.mark.parametrize('most', [6, 2])
def test_detections_have_the_numbers_of_the_tables_and_their_notes(monkeypatch, most):
    mask = np.zeros((60, 80), bool)
    places = [(10, 20, 2), (30, 60, 3), (50, 10, 4)]  # row, column, side: the largest comes last in tables
    for y, x, side in places:
        mask[y : y + side, x : x + side] = True
    written = []
    for where in (overlay, marks):
        monkeypatch.setattr(where, 'draw_text', lambda canvas, text, at, *_, **__: written.append((text, at)))
    pred, notes = find_components(mask), ['rank 7.5', 'rank 12.0', 'rank 0.5']
    draw_overlay(mask * 90, pred=pred, score=mask * 1.0, notes=notes, max_insets=most)
    shown = range(4 - min(most, 3), 4)
    words = [text for text, _ in written]
    assert [w for w in words if w.endswith(': detection')] == [f'{n}: detection' for n in shown]
    areas = [side**2 for *_, side in places]
    assert [w for w in words if re.match(r'\d+ px, ', w)] == [
        f'{areas[n - 1]} px, {notes[n - 1]}' for n in shown
    ]
    # each mark has its number, with or without an inset
    assert sorted(text for text in words if text.isdecimal()) == ['1', '2', '3']
    factor = view_factor(mask.shape)
    for text, (x, y) in written:
        if text.isdecimal():
            top, left, _ = places[int(text) - 1]
            assert abs(x - left * factor) < 10 * factor
            assert abs(y - top * factor) < 10 * factor


@pytest.mark.parametrize(('side', 'step', 'least'), [(1, 2, 8), (1, 20, 64), (3, 10, 50)])
def test_numbers_of_a_crowd_cover_none_of_each_other(monkeypatch, side, step, least):
    mask = np.zeros((160, 160), bool)
    for corner in np.ndindex(8, 8):
        y, x = (step * k for k in corner)
        mask[y : y + side, x : x + side] = True
    plates = []
    monkeypatch.setattr(
        marks, 'draw_text', lambda canvas, text, at, *_: plates.append((*at, text_width(text)))
    )
    pred = find_components(mask)
    drawn = draw_findings(np.uint8(mask * 90), None, pred, list_findings(None, pred), 4)
    assert len(plates) >= least
    for k, (x, base, width) in enumerate(plates):
        assert 0 <= x - 2 < x + width <= drawn.shape[1]
        assert 14 <= base <= drawn.shape[0] - 2
        assert not any(abs(base - b) <= 14 and x < u + w + 2 and u < x + width + 2 for u, b, w in plates[:k])


def test_of_very_many_marks_those_with_an_inset_are_numbered(monkeypatch):
    mask = np.zeros((400, 400), bool)
    mask[::16, ::16] = True  # 625
    written = []
    monkeypatch.setattr(marks, 'draw_text', lambda canvas, text, *_, **__: written.append(text))
    pred = find_components(mask)
    drawn = draw_findings(np.uint8(mask * 90), None, pred, found := list_findings(None, pred), 4)
    assert sorted(map(int, written)) == [f.number for f in first_findings(found, 6)]
    assert count(drawn, DETECTION.colour) > 20 * 625, 'all are marked'


def test_what_was_missed_says_its_score_beside_notes_of_the_found(example, monkeypatch):
    written = []
    monkeypatch.setattr(overlay, 'draw_text', lambda canvas, text, *_: written.append(text))
    notes = [f'logit {n}' for n in range(len(example.pred))]
    draw_overlay(example.image, example.truth, example.pred, example.match, example.score, notes=notes)
    missed, *found = [w for w in written if re.match(r'\d+ px, ', w)]
    assert ', score 0.' in missed
    assert sorted(w.split(', ')[1] for w in found) == notes


def test_insets_use_the_width(example):
    """A camera's 640 pixels, insets of image and score: two beside each other, not one and black."""
    pad = ((0, 392), (0, 480))
    arrays = [np.pad(a, pad) for a in (example.image, example.score)]
    pred = find_components(arrays[1] > 0.5)
    picture = draw_overlay(arrays[0], pred=pred, score=arrays[1])
    assert picture.shape[:2] == (HEADER + 512 + strip(4), 640)
    below = picture[HEADER + 512 + LINE :]
    used = np.nonzero((below == np.uint8(DETECTION.colour)).all(-1).any(0))[0]
    assert used.max() - used.min() > 0.8 * 640


@pytest.mark.parametrize('with_scores', [False, True])
def test_insets_of_a_narrow_image_stand_beside_it(with_scores):
    mask = np.zeros((1600, 48), bool)
    mask[100:103, 5:8] = mask[900:903, 20:23] = True
    found = find_components(mask)
    picture = draw_overlay(mask * 255, pred=found, score=mask * 1.0 if with_scores else None)
    assert picture.shape == (HEADER + 1600, MIN_WIDTH, 3)
    assert count(picture[:, 48:], DETECTION.colour) > 500


def test_letters_beyond_ascii():
    def shape(text):
        canvas = np.zeros((30, 60, 3), np.uint8)
        draw_text(canvas, text, (2, 22))
        return canvas.tobytes()

    assert len({shape(text) for text in ('\xfc', '\u03a9', '\xe9', '\u2013', '\xfc?')}) == 5
    # no font for these
    assert shape('\xfc\U0010fffd') == shape('\xfc?')


def test_text_is_legible_and_keeps_to_the_canvas():
    canvas = np.zeros((30, 60, 3), np.uint8)
    draw_text(canvas, '12 px', (2, 22), (255, 255, 255))
    rows = np.nonzero(canvas.any((1, 2)))[0]
    assert rows.max() - rows.min() >= 12
    assert text_width('12 px') > 30
    for at in ((-20, 5), (50, 29), (70, 50), (-200, -50)):
        draw_text(canvas, 'far \u00e9', at, halo=True)


@pytest.mark.parametrize('width', [256, 400])
def test_no_line_of_the_header_runs_over_the_border(width):
    frame = np.random.default_rng(0).normal(90, 5, (256, width))
    seen = find_components(frame > 1000)
    picture = draw_overlay(frame, seen, seen, match_components(seen, seen, radius=3.0), view_size=512)
    border = picture[:HEADER, -GAP:].reshape(-1, 3)
    assert (border == border[0]).all()


def test_without_truth_detections_and_without_prediction_targets(example):
    detections = draw_overlay(example.image, pred=example.pred)
    assert count(detections, DETECTION.colour) > 40
    assert count(detections, FALSE_ALARM.colour) == count(detections, MISSED.colour) == 0
    targets = draw_overlay(example.image, example.truth)
    assert count(targets, TARGET.colour) > 40
    assert draw_overlay(example.image).shape[0] == HEADER + 120 * 5


@pytest.mark.parametrize('kind', ['uint16', 'float', 'colour', 'constant', 'nan'])
def test_any_image_is_shown(example, kind):
    image = {
        'uint16': example.image.astype(np.uint16) * 200,
        'float': example.image / 255.0,
        'colour': np.repeat(example.image[..., None], 3, 2),
        'constant': np.zeros((120, 160), np.uint8),
        'nan': np.where(example.mask > 0, np.nan, example.image.astype(float)),
    }[kind]
    picture = draw_overlay(image, example.truth, example.pred, example.match, example.score)
    if kind in ('uint16', 'float', 'colour'):
        plain = draw_overlay(example.image, example.truth, example.pred, example.match, example.score)
        assert np.abs(picture.astype(int) - plain).max() <= 1


def test_refuses_what_does_not_fit(example):
    with pytest.raises(ValueError, match='160x120, the score map 10x10'):
        draw_overlay(example.image, example.truth, example.pred, example.match, np.zeros((10, 10)))
    with pytest.raises(ValueError, match='without a match'):
        draw_overlay(example.image, example.truth, example.pred)


@pytest.mark.parametrize(
    ('box', 'shape', 'window'),
    [
        ((50, 60, 53, 61), (120, 160), (35, 44, 67, 76)),
        ((0, 0, 3, 3), (120, 160), (0, 0, 32, 32)),
        ((158, 118, 160, 120), (120, 160), (128, 88, 160, 120)),
        ((20, 20, 60, 30), (120, 160), (10, 0, 70, 60)),
        ((5, 5, 8, 8), (20, 16), (0, 0, 16, 20)),
    ],
)
def test_crop_window(box, shape, window):
    assert crop_window(box, shape) == window


def test_stretch_reaches_black_and_white_and_keeps_small_targets_bright():
    image = np.random.default_rng(0).normal(1000, 5, (256, 256))
    image[7, 7:10] = 1200
    grey = stretch(image)
    assert grey.min() == 0
    assert (grey[7, 7:10] == 255).all()
    assert 100 < np.median(grey) < 150


def test_no_loop_over_pixels():
    """Sixteen times the pixels with the same objects run as many lines of Python."""

    def lines_run(side):
        image = np.random.default_rng(0).integers(0, 255, (side, side)).astype(np.uint8)
        mask, found = np.zeros((side, side), bool), np.zeros((side, side), bool)
        mask[100:103, 100:103] = mask[180:183, 200:203] = True
        found[100:103, 100:103] = found[20:23, 120:124] = True
        truth, pred = find_components(mask), find_components(found)
        match = match_components(truth, pred)
        count = 0

        def trace(frame, event, argument):
            nonlocal count
            count += event == 'line'
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            draw_overlay(image, truth, pred, match)
        finally:
            sys.settrace(before)
        return count

    for side in (256, 1024):
        lines_run(side)  # sets up, and keeps the letters of every line of text
    assert 0 < lines_run(1024) <= 1.05 * lines_run(256)


def test_a_miss_within_a_false_alarm_keeps_its_outline_mark_and_number():
    mask, wrong = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    mask[30, 24:27] = True
    wrong[16:46, 16:44] = True
    truth, pred = find_components(mask), find_components(wrong)
    findings = list_findings(truth, pred, match_components(truth, pred))
    assert [f.kind for f in findings] == [MISSED, FALSE_ALARM]
    drawn = draw_findings(np.full((64, 64), 100, np.uint8), truth, pred, findings, 4)
    ring = marks.outer_ring(marks.enlarge(np.uint8(mask), 4))
    assert (drawn[ring] == np.uint8(MISSED.colour)).all()
    circle = drawn[..., 0].astype(int) - drawn[..., 1] > 60
    assert circle.sum() > ring.sum() + 40
    assert count(drawn, marks.PAPER) > 250  # the plates of both numbers
    assert (drawn[np.kron(mask, np.ones((4, 4), bool))] == 100).all()


@pytest.mark.parametrize('mark', ['brackets', 'circle', 'diamond'])
def test_a_mark_at_a_border_stays_whole(mark):
    def pixels(centre):
        canvas = np.zeros((90, 120, 3), np.uint8)
        draw_mark(canvas, mark, centre, (6, 9), (0, 200, 0))
        return np.count_nonzero(canvas)

    assert pixels((1, 1)) == pixels((118, 89)) == pixels((60, 45)) > 20


@pytest.mark.parametrize('hole', [0, 10])
def test_a_false_alarm_that_is_most_of_the_image_hides_no_mark(example, hole):
    mask = np.ones(example.mask.shape, bool)
    mask[:hole] = False
    pred = find_components(mask)
    assert len(match_components(example.truth, pred).false) == 1
    findings = list_findings(example.truth, pred, match_components(example.truth, pred))
    assert [f.kind for f in findings] == [MISSED, MISSED, FALSE_ALARM]
    drawn = draw_findings(example.image, example.truth, pred, findings, 4)
    assert count(drawn, MISSED.colour) > 40
    # its frame, along at least three of the image's borders
    frame = (drawn == np.uint8(FALSE_ALARM.colour)).all(-1)
    assert frame[:, 1].sum() > 0.8 * 4 * (120 - hole)
    assert frame[-2].sum() > 0.8 * 4 * 160
    # targets keep their grey values
    truth = np.kron(example.mask > 0, np.ones((4, 4), bool))
    plain = draw_findings(example.image, None, None, [], 4)
    np.testing.assert_array_equal(drawn[truth], plain[truth])
