import math

import cv2
import numpy as np
import pytest

from madnet.evaluation import Evaluator, find_components, make_protocol
from madnet.evaluation.boxes import centre_ap, detections, peak_scores
from madnet.evaluation.limitirstd import limitirstd_score
from madnet.evaluation.strata import TARGET, by_count, by_scr, by_size, local_scr

from . import plain


def table(**columns):
    return {name: np.asarray(values, float) for name, values in columns.items()}


def test_peaks_and_detections():
    prob = np.zeros((10, 10), np.float32)
    prob[1:3, 1:4] = [[0.6, 0.7, 0.6], [0.6, 0.9, 0.6]]
    prob[7, 7] = 0.95
    components = find_components(prob > 0.5)
    assert peak_scores(prob, components) == pytest.approx([0.9, 0.95])
    found = detections(prob, components)
    assert list(found[0]) == pytest.approx([7, 7, 7, 7, 8, 8, 0.95])
    assert list(found[1]) == pytest.approx([2, 1.5, 1, 1, 4, 3, 0.9])


def test_centre_ap_by_hand():
    targets = table(image=[0, 0, 1], x=[10, 30, 5], y=[10, 30, 5])
    found = table(image=[0, 1, 0, 1], x=[11, 20, 30, 5], y=[10, 20, 31, 5], score=[0.9, 0.8, 0.7, 0.6])
    # hit, false, hit, hit: precision 1, 1/2, 2/3, 3/4 at recall 1/3, 1/3, 2/3, 1
    assert centre_ap(targets, found) == pytest.approx(1 / 3 + 3 / 4 * 2 / 3)
    assert centre_ap(targets, table(image=[], x=[], y=[], score=[])) == 0
    assert math.isnan(centre_ap(table(image=[], x=[], y=[]), found))


def test_centre_ap_gives_a_target_to_one_detection_only():
    targets = table(image=[0], x=[10], y=[10])
    found = table(image=[0, 0], x=[10, 11], y=[10, 10], score=[0.6, 0.9])
    assert centre_ap(targets, found) == 1
    found['x'][1] = 40
    assert centre_ap(targets, found) == pytest.approx(0.5)


def test_centre_ap_of_equal_scores_does_not_hang_on_order():
    targets = table(image=[0, 1], x=[10, 10], y=[10, 10])
    found = table(image=[0, 1, 1], x=[10, 30, 10], y=[10, 30, 10], score=[0.9, 0.9, 0.9])
    turned = {name: column[::-1] for name, column in found.items()}
    assert centre_ap(targets, found) == centre_ap(targets, turned) == pytest.approx(2 / 3)


def test_box_view_with_pycocotools():
    pytest.importorskip('pycocotools')
    prob, mask = np.zeros((60, 60), np.float32), np.zeros((60, 60), np.uint8)
    mask[10:14, 10:14] = mask[40:44, 40:44] = 255
    prob[10:14, 10:14] = 0.9  # box IoU 1
    prob[40:44, 41:45] = 0.8  # 12 of 20: IoU 0.6
    evaluator = Evaluator('native', boxes=True)
    evaluator.update(prob, mask, 'a')
    result = evaluator.compute()['native']
    assert result['AP50'] == pytest.approx(1)
    # found at 0.5, 0.55 and 0.6 both, above only one of two (51 of COCO's 101 recalls)
    assert result['AP50-95'] == pytest.approx((3 + 7 * 51 / 101) / 10)
    assert result['AP_centre'] == 1


def test_local_scr_by_hand():
    rng = np.random.default_rng(0)
    image = rng.normal(100, 5, (60, 60))
    truth = np.zeros((60, 60), bool)
    truth[30:32, 30:33] = truth[33, 35] = True
    image[30:32, 30:33] += 40
    scr = local_scr(image, find_components(truth))
    window = image[10:52, 10:53]
    background = window[~truth[10:52, 10:53]]
    expected = abs(image[30:32, 30:33].mean() - background.mean()) / background.std()
    assert scr[0] == pytest.approx(expected)
    assert local_scr(np.dstack([image] * 3), find_components(truth)) == pytest.approx(scr)
    assert np.isinf(local_scr(truth * 1.0, find_components(truth))[0])


def test_strata_by_size_and_contrast():
    n = 6
    targets = {name: np.zeros(n) for name in TARGET.names}
    targets['area'][:] = [1, 9, 10, 25, 26, 81]
    targets['scr'][:] = [0.5, 1, 3.9, 8, np.inf, np.nan]
    targets['matched'][:] = [1, 0, 1, 1, 0, 1]
    targets['IoU'][:] = [0.5, np.nan, 0.4, 0.6, np.nan, 0.9]
    targets['recall'][:] = [1, 0, 0.5, 0.7, 0.2, 1]
    rows = by_size(targets)
    assert [r['targets'] for r in rows] == [2, 2, 1, 1]
    assert [r['Pd'] for r in rows] == [0.5, 1, 0, 1]
    assert rows[1]['IoU'] == pytest.approx(0.5)
    assert rows[0]['recall'] == 0.5
    assert [r['targets'] for r in by_scr(targets)] == [1, 1, 1, 0, 2]


def test_strata_by_count_add_up():
    rng = np.random.default_rng(1)
    evaluator = Evaluator('native')
    for k in range(12):
        prob, mask = plain.scene(rng, blobs=k % 5)
        evaluator.update(prob, mask, str(k), image=rng.integers(0, 255, mask.shape))
    result, strata = evaluator.compute()['native'], evaluator.details(resamples=10)['native']['strata']
    assert sum(r['images'] for r in strata['count']) == 12
    assert sum(r['matched'] for r in strata['count']) == result['matched']
    for kind in ('size', 'scr', 'count'):
        assert sum(r['targets'] for r in strata[kind]) == result['targets'], kind
    assert strata['count'][0]['targets'] == 0
    assert strata['count'] == by_count(evaluator.images('native'))


def test_target_rows_hold_what_happened_to_each():
    mask, prob = np.zeros((30, 30), np.uint8), np.zeros((30, 30), np.float32)
    cv2.rectangle(mask, (5, 5), (8, 8), 255, -1)
    cv2.rectangle(mask, (20, 20), (21, 21), 255, -1)
    cv2.rectangle(prob, (5, 5), (8, 6), 1.0, -1)
    evaluator = Evaluator('native')
    evaluator.update(prob, mask)
    targets = evaluator.counted('native').rows('target_rows', TARGET)
    assert targets['matched'].tolist() == [1, 0]
    assert targets['area'].tolist() == [16, 4]
    assert targets['recall'].tolist() == [0.5, 0]
    assert targets['IoU'][0] == 0.5
    assert targets['distance'][0] == 1
    assert np.isnan(targets['IoU'][1])


def test_an_extended_protocol_may_match_nothing():
    evaluator = Evaluator(make_protocol('native', matching=None))
    evaluator.update(*plain.scene(np.random.default_rng(0)))
    strata = evaluator.details(resamples=0)['native*']['strata']
    assert sum(row['targets'] for row in strata['count']) == evaluator.compute()['native*']['targets'] > 0
    assert all(math.isnan(row['matched']) for row in strata['count'] if row['images'])


def test_limitirstd():
    assert limitirstd_score(0.4, 0.8, 1e-5)['Sp'] == pytest.approx(0.6)
    assert limitirstd_score(0.4, 0.8, 2e-4)['Sp'] == 0
    full = limitirstd_score(0.4, 0.8, 1e-5, params=2.225e6 / 2, macs=12.56e9)
    assert full['Se'] == pytest.approx(0.25)
    assert full['score'] == pytest.approx((0.6 + 0.25) / 2)
