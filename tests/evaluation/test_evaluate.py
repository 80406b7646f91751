import math
import pickle

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from madnet.errors import UserError
from madnet.evaluation import PROTOCOLS, Evaluator, evaluate, evaluate_all, make_protocol
from madnet.evaluation.arrays import resize_mask, resize_scores
from madnet.evaluation.counts import ImageCounts, count_image
from madnet.evaluation.metrics import COUNTS
from madnet.evaluation.strata import TARGET
from madnet.evaluation.view import View

from . import plain

seeds = st.integers(0, 10_000)


def scenes(seed, n=5, **options):
    rng = np.random.default_rng(seed)
    return [plain.scene(rng, **options) for _ in range(n)]


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name] == b[name] or (math.isnan(a[name]) and math.isnan(b[name])), name


def run(pairs, protocols='all', names=None, **options):
    evaluator = Evaluator(protocols, **options)
    for k, (prob, mask) in enumerate(pairs):
        evaluator.update(prob, mask, names[k] if names else None)
    return evaluator


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_against_plain_loops(seed):
    pairs = scenes(seed)
    result = evaluate(*zip(*pairs, strict=True), make_protocol('native', matching='greedy'))
    counts = np.array([plain.counts(*pair) for pair in pairs])
    inter, union, targets, matched, false = counts.sum(0)
    pixels = sum(mask.size for _, mask in pairs)
    assert result['IoU'] == pytest.approx(inter / union if union else 1)
    assert result['nIoU'] == pytest.approx(np.mean([i / u if u else 1 for i, u in counts[:, :2]]))
    assert result['targets'] == targets
    assert result['Fa'] == pytest.approx(false / pixels)
    if targets:
        assert result['Pd'] == pytest.approx(matched / targets)
    truth = np.concatenate([mask.ravel() > 127 for _, mask in pairs])
    pred = np.concatenate([prob.ravel() > 0.5 for prob, _ in pairs])
    tp = (truth & pred).sum()
    if tp:
        precision, recall = tp / pred.sum(), tp / truth.sum()
        assert result['precision'] == pytest.approx(precision)
        assert result['recall'] == pytest.approx(recall)
        assert result['F1'] == pytest.approx(2 * precision * recall / (precision + recall))


@given(seeds, st.sampled_from([name for name in PROTOCOLS if name != 'abc']))
@settings(max_examples=30, deadline=None)
def test_f1_follows_from_iou(seed, protocol):
    result = evaluate(*zip(*scenes(seed, 3), strict=True), protocol)
    assert result['F1'] == pytest.approx(2 * result['IoU'] / (1 + result['IoU']), abs=1e-12)


def test_f1_of_abc_follows_from_iou_but_for_its_epsilons():
    result = evaluate(*zip(*scenes(1, 8), strict=True), 'abc')
    assert result['F1'] == pytest.approx(2 * result['IoU'] / (1 + result['IoU']), abs=1e-4)


@given(seeds, st.randoms())
@settings(max_examples=15, deadline=None)
def test_order_of_images_does_not_matter(seed, random):
    pairs = scenes(seed)
    names = [f'image{k}' for k in range(len(pairs))]
    order = list(range(len(pairs)))
    random.shuffle(order)
    one = run(pairs, names=names)
    other = run([pairs[k] for k in order], names=[names[k] for k in order])
    for name, numbers in one.compute().items():
        same(numbers, other.compute()[name])
    assert str(one.per_image()) == str(other.per_image())


@given(seeds, st.lists(st.integers(0, 3), min_size=6, max_size=6), st.booleans())
@settings(max_examples=25, deadline=None)
def test_any_sharing_out_among_processes(seed, ranks, curves):
    pairs = scenes(seed, 6, size=(24, 30))
    whole = run(pairs, names=list('abcdef'), curves=curves)
    parts = [Evaluator('all', curves=curves) for _ in range(4)]
    for k, rank in enumerate(ranks):
        parts[rank].update(*pairs[k], 'abcdef'[k])
    parts[3].update(
        *pairs[0], 'a'
    )  # a sampler's padding: the last of one process repeats the first of the set
    parts = [pickle.loads(pickle.dumps(p)) for p in parts]
    merged = parts[0].merge(parts[1].merge(parts[2])).merge(parts[3])
    assert len(merged) == 6
    for name, numbers in whole.compute().items():
        same(numbers, merged.compute()[name])
    assert str(whole.per_image()) == str(merged.per_image())
    assert str(whole.details(resamples=20)['native'].get('roc')) == str(
        merged.details(resamples=20)['native'].get('roc')
    )


def test_targets_keep_their_images_through_a_merge():
    pairs = scenes(3, 4)
    whole = run(pairs, 'native', names='abcd')
    left, right = run(pairs[:2], 'native', names='ab'), run(pairs[1:], 'native', names='bcd')
    merged = left.merge(right)
    expected, found = (each.counted('native').rows('target_rows', TARGET) for each in (whole, merged))
    for column, values in expected.items():
        np.testing.assert_array_equal(values, found[column])


def test_an_image_repeated_long_ago_is_refused_with_curves_and_fine_without():
    pairs = scenes(0, 8, size=(16, 16))
    names = [f'image{k}' for k in range(8)]
    for curves in (True, False):
        one, two = run(pairs, 'native', names, curves=curves), run(pairs, 'native', names, curves=curves)
        if curves:
            with pytest.raises(UserError, match='round_up=False'):
                one.merge(two)
        else:
            assert len(one.merge(two)) == 8


def test_counts_are_named_and_a_missing_one_is_refused():
    prob, mask = scenes(0, 1)[0]
    counts = count_image(PROTOCOLS['abc'], View(prob, mask, False))
    assert counts.tp == ((prob > 0.5) & (mask == 255)).sum()
    assert counts.pixels == mask.size
    assert (counts.hierarchy, counts.pd_fa, counts.found) == (None, None, None)
    named = {name: getattr(counts, name) for name in COUNTS}
    assert ImageCounts(**named).union == counts.union
    with pytest.raises(TypeError, match='targets'):
        ImageCounts(**{name: value for name, value in named.items() if name != 'targets'})
    with pytest.raises(TypeError, match='more'):
        ImageCounts(**named, more=1)


@given(seeds, st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_quarter_turns_do_not_matter(seed, turns):
    pairs = scenes(seed)
    turned = [(np.rot90(prob, turns), np.rot90(mask, turns)) for prob, mask in pairs]
    one, other = run(pairs, 'native').compute()['native'], run(turned, 'native').compute()['native']
    for name in ('IoU', 'nIoU', 'F1', 'Pd', 'Fa', 'AUC', 'AP', 'targets', 'false_components'):
        assert one[name] == pytest.approx(other[name], nan_ok=True), name


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_an_empty_image_changes_only_what_it_must(seed):
    pairs = scenes(seed)
    n = len(pairs)
    empty = (np.zeros_like(pairs[0][0]), np.zeros_like(pairs[0][1]))
    before, after = run(pairs).compute(), run([*pairs, empty]).compute()
    for name, old in before.items():
        new = after[name]
        for metric in ('IoU', 'F1', 'precision', 'recall', 'Pd', 'targets'):
            assert new[metric] == pytest.approx(old[metric], nan_ok=True), (name, metric)
        assert new['Fa'] == pytest.approx(old['Fa'] * n / (n + 1), nan_ok=True)
        added = PROTOCOLS[name].niou_empty
        if added is not None:
            assert new['nIoU'] == pytest.approx((old['nIoU'] * n + added) / (n + 1))


def test_a_set_without_any_foreground():
    empty = (np.zeros((8, 8)), np.zeros((8, 8), np.uint8))
    results = run([empty]).compute()
    assert [results['native'][m] for m in ('IoU', 'nIoU', 'F1')] == [1, 1, 1]
    assert [results['abc'][m] for m in ('IoU', 'nIoU', 'F1')] == [0, 0, 0]
    assert math.isnan(results['native']['Pd'])
    assert results['native']['Fa'] == 0


def test_one_map_alone_is_one_image():
    score = np.zeros((8, 8), np.float32)
    score[2:4, 2:4] = 0.9
    mask = np.where(score > 0, 255, 0).astype(np.uint8)
    assert evaluate(score, mask) == evaluate([score], [mask])
    with pytest.raises(UserError, match='more masks than score maps'):
        evaluate(score, [mask, mask])


def test_equal_area_false_alarms_vanish_in_abc_only():
    prob, mask = np.zeros((40, 40), np.float32), np.zeros((40, 40), np.uint8)
    mask[5:8, 5:8] = 255
    prob[5:8, 5:8] = prob[30:33, 30:33] = 0.9
    prob[20, 20] = 0.9
    results = evaluate_all([prob], [mask], 'all')
    assert results['native']['Fa'] == results['basicirstd']['Fa'] == 10 / 1600
    assert results['abc']['Fa'] == 1 / 1600


def test_grey_masks_by_protocol():
    mask = np.zeros((10, 10), np.uint8)
    mask[2, 2:7] = 0, 127, 128, 254, 255
    prob = np.where(mask > 127, 0.9, 0.1).astype(np.float32)
    results = evaluate_all([prob], [mask], 'all')
    assert results['native']['IoU'] == 1
    assert results['abc']['IoU'] == pytest.approx(1 / 3)
    assert results['basicirstd']['IoU'] == pytest.approx(1 / (3 + 3 - 1))


def test_logits_and_their_probabilities_agree():
    pairs = scenes(5)
    logits = [np.log(p / (1 - p)).astype(np.float32) for p, _ in pairs]
    masks = [m for _, m in pairs]
    protocols = 'native,acm,abc,basicirstd'  # dnanet resizes, and the two are resized differently
    a = evaluate_all(logits, masks, protocols, from_logits=True)
    b = evaluate_all([p for p, _ in pairs], masks, protocols)
    for name in a:
        for metric in ('IoU', 'nIoU', 'Pd', 'Fa', 'targets'):
            assert a[name][metric] == pytest.approx(b[name][metric], nan_ok=True)
        assert a[name]['AUC'] == pytest.approx(b[name]['AUC'], abs=1e-4)


def test_a_tiny_positive_logit_is_foreground_for_logit_rules_only():
    mask = np.full((4, 4), 255, np.uint8)
    results = evaluate_all([np.full((4, 4), 1e-9, np.float32)], [mask], 'all', from_logits=True)
    assert results['acm']['IoU'] == results['abc']['IoU'] == results['dnanet']['IoU'] == 1
    assert results['acm']['nIoU'] == results['basicirstd']['IoU'] == results['native']['IoU'] == 0


def test_base_size_resizes_and_native_does_not():
    pairs = scenes(2, 3, size=(60, 44))
    masks = [m for _, m in pairs]
    native = evaluate([p for p, _ in pairs], masks, 'native')
    assert evaluate([p for p, _ in pairs], masks, 'native', size=(32, 32)) == native
    resized = evaluate([p for p, _ in pairs], masks, 'abc', size=(32, 48))
    small = [
        (cv2.resize(p, (48, 32)), np.asarray(Image.fromarray(m).resize((48, 32), Image.Resampling.NEAREST)))
        for p, m in pairs
    ]
    assert resized == evaluate(*zip(*small, strict=True), 'abc')
    assert resized['pixels'] == 3 * 32 * 48
    assert evaluate([p for p, _ in pairs], masks, 'dnanet', size=(32, 32))['pixels'] == 3 * 256 * 256
    assert evaluate([p for p, _ in pairs], masks, 'dnanet')['pixels'] == 3 * 256 * 256


@given(st.tuples(*[st.integers(1, 90)] * 4), seeds)
@settings(max_examples=40, deadline=None)
def test_masks_are_resized_as_pillow_does(sizes, seed):
    h, w, new_h, new_w = sizes
    mask = np.random.default_rng(seed).integers(0, 256, (h, w), dtype=np.uint8)
    pillow = Image.fromarray(mask).resize((new_w, new_h), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(resize_mask(mask, (new_h, new_w)), np.asarray(pillow))


def test_scores_are_resized_as_torch_does():
    torch = pytest.importorskip('torch')
    scores = np.random.default_rng(0).random((37, 53), np.float32)
    for size in ((64, 64), (20, 100), (37, 53)):
        expected = torch.nn.functional.interpolate(
            torch.from_numpy(scores)[None, None], size, mode='bilinear', align_corners=False
        )[0, 0]
        np.testing.assert_allclose(resize_scores(scores, size), expected.numpy(), atol=1e-5)


def test_sizes_may_differ_within_a_set_and_an_image_counts_once():
    pairs = [*scenes(1, 2, size=(20, 30)), *scenes(2, 2, size=(33, 17))]
    evaluator = run(pairs, 'native', names='abcd')
    before = evaluator.compute()
    evaluator.update(*pairs[1], 'b')
    assert evaluator.compute() == before
    assert before['native']['pixels'] == 2 * 600 + 2 * 561


def test_per_image_rows_add_up():
    evaluator = run(scenes(7, 4))
    results, rows = evaluator.compute(), evaluator.per_image()
    assert len(rows) == 4 * len(PROTOCOLS)
    for name in ('native', 'acm', 'abc'):
        mine = [row for row in rows if row['protocol'] == name]
        assert np.mean([row['IoU'] for row in mine]) == pytest.approx(results[name]['nIoU'])
    native = [row for row in rows if row['protocol'] == 'native']
    tp, fp, fn = (sum(row[k] for row in native) for k in ('TP', 'FP', 'FN'))
    assert tp / (tp + fp + fn) == pytest.approx(results['native']['IoU'])
    assert sum(row['matched'] + row['missed'] for row in native) == results['native']['targets']


def test_an_interval_is_of_a_number_that_the_protocol_has():
    evaluator = run(scenes(7, 4))
    details = evaluator.details(resamples=20)
    for name, numbers in evaluator.compute().items():
        assert ('nIoU' in details[name]['intervals']) == (not math.isnan(numbers['nIoU'])), name
    assert {name for name, found in details.items() if 'nIoU' not in found['intervals']} == {
        'dnanet',
        'basicirstd',
    }


def test_memory_per_image_is_small():
    evaluator = Evaluator('native')
    prob, mask = scenes(0, 1, size=(16, 16))[0]
    evaluator.update(prob, mask, 'first')
    fixed = len(pickle.dumps(evaluator))
    for k in range(200):
        evaluator.update(prob, mask, f'image{k}')
    assert (len(pickle.dumps(evaluator)) - fixed) / 200 < 2000


@pytest.mark.parametrize(
    ('score', 'mask', 'message'),
    [
        (np.full((4, 4), np.nan), np.zeros((4, 4), np.uint8), 'all NaN'),
        (np.full((4, 4), 3.0), np.zeros((4, 4), np.uint8), 'logits'),
        (np.zeros((4, 4)), np.zeros((4, 5), np.uint8), '4 × 4, mask is 5 × 4'),
        (np.zeros((4, 4)), np.zeros((4, 4, 3), np.uint8), 'one channel'),
        (np.zeros((4, 4)), np.eye(4, dtype=np.uint8), '0 and 1'),
        (np.zeros((4, 4)), np.full((4, 4), -1), 'grey values'),
    ],
)
def test_arrays_that_do_not_fit(score, mask, message):
    with pytest.raises(UserError, match=message):
        evaluate([score], [mask])


def test_unequal_numbers_and_none_at_all():
    one = np.zeros((4, 4))
    with pytest.raises(UserError, match='more masks than score maps: only 1'):
        evaluate([one], [one, one])
    with pytest.raises(UserError, match='more score maps than masks: only 0'):
        evaluate([one], [])
    with pytest.raises(UserError, match='nothing to evaluate'):
        evaluate([], [])


def test_kinds_of_masks():
    truth = np.zeros((6, 6), bool)
    truth[2:4, 2:4] = True
    prob = np.where(truth, 0.9, 0.1)
    for mask in (
        truth,
        truth * np.uint8(255),
        truth * np.float32(1),
        truth * np.uint16(65535),
        truth[None] * 255,
        truth * np.float32(254.7),  # grey values that a resizing left, rounded as in a file
    ):
        assert evaluate([prob], [mask], 'abc')['IoU'] == 1
    with pytest.raises(UserError, match='32 NaN values, expected grey values'):
        evaluate([prob], [np.where(truth, 255, np.nan)])
