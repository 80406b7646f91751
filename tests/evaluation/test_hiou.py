import numpy as np
import pytest

from madnet.evaluation import evaluate, find_components, make_protocol
from madnet.evaluation.hiou import hierarchical_iou, hierarchy_counts

from . import plain

# The numbers of the authors' package: a second opinion where it is installed.
ORACLE = 'py_irstd_metrics'
AS_THE_ORACLE = make_protocol('native', matching='greedy', niou_empty=0.0)


def crowded(seed, n=6):
    """Scenes with targets and predictions in each, where the package counts no phantom components."""
    rng = np.random.default_rng(seed)
    pairs = []
    while len(pairs) < n:
        prob, mask = plain.scene(rng, size=(40, 44), blobs=9, shift=3, noise=0.06)
        if mask.any() and (prob > 0.5).any():
            pairs.append((prob, mask))
    return pairs


def check_against_oracle(pairs):
    oracle = pytest.importorskip(ORACLE)
    analysis, matching = oracle.HierarchicalIoUBasedErrorAnalysis(), oracle.MatchingBasedMetrics()
    pd_fa = oracle.ProbabilityDetectionAndFalseAlarmRate()
    options = {'with_dynamic': False, 'with_binary': True}
    pixel = oracle.CMMetrics()
    pixel.add_handler('IoU', oracle.IoUHandler(**options, sample_based=False))
    pixel.add_handler('nIoU', oracle.IoUHandler(**options, sample_based=True))
    pixel.add_handler('F1', oracle.FmeasureHandler(**options, sample_based=False, beta=1))
    for prob, mask in pairs:
        for judge in (analysis, matching, pd_fa, pixel):
            judge.update(prob, mask > 127)
    result = evaluate(*zip(*pairs, strict=True), AS_THE_ORACLE)

    for name, value in pixel.get().items():
        assert result[name] == pytest.approx(float(value['binary'])), name
    detected = pd_fa.get()
    assert result['Pd'] == pytest.approx(detected['probability_detection'].item())
    assert result['Fa'] == pytest.approx(detected['false_alarm'].item())
    assert result['hIoU'] == pytest.approx(matching.get()['hiou'].item())
    ours = {name.replace('_error', '_err').replace('_IoU', '_iou'): value for name, value in result.items()}
    short = {'merging': 'mrg', 'interference': 'itf', 'perception': 'pcp'}
    for long, abbreviated in short.items():
        ours |= {k.replace(long, abbreviated): v for k, v in ours.items() if long in k}
    for name, value in analysis.get().items():
        assert ours[name] == pytest.approx(value.item()), name


@pytest.mark.parametrize('seed', range(8))
def test_made_up_scenes_against_the_authors_package(seed):
    check_against_oracle(crowded(seed))


def test_real_scenes_against_the_authors_package(data_root):
    pytest.importorskip(ORACLE)
    cv2 = pytest.importorskip('cv2')
    pairs = []
    for path in sorted((data_root / 'NUDT-SIRST' / 'images').glob('*.png'))[::90]:
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        mask = cv2.imread(str(data_root / 'NUDT-SIRST' / 'masks' / path.name), cv2.IMREAD_GRAYSCALE)
        score = cv2.morphologyEx(image, cv2.MORPH_TOPHAT, np.ones((7, 7), np.uint8)).astype(np.float32)
        score /= max(score.max(), 1)
        if mask is not None and (mask > 127).any():
            pairs.append((score, mask))
    assert pairs, 'no pair found in NUDT-SIRST'
    check_against_oracle(pairs)


def of(truth, pred):
    return hierarchical_iou(hierarchy_counts(find_components(truth), find_components(pred)))


def boxes(*corners, size=40):
    binary = np.zeros((size, size), bool)
    for x0, y0, x1, y1 in corners:
        binary[y0:y1, x0:x1] = True
    return binary


def test_shares_sum_to_one():
    for prob, mask in crowded(11, 4):
        result = of(mask > 127, prob > 0.5)
        seg = [v for k, v in result.items() if k.startswith('seg_')]
        loc = [v for k, v in result.items() if k.startswith('loc_')]
        if result['loc_IoU']:
            assert sum(seg) == pytest.approx(1)
        assert sum(loc) == pytest.approx(1)


def test_each_kind_of_error():
    target = boxes((10, 10, 14, 14))
    assert of(target, target)['hIoU'] == 1
    assert of(target, boxes((10, 10, 14, 14), (30, 30, 32, 32)))['loc_interference_error'] == 0.5
    assert of(boxes((10, 10, 14, 14), (30, 30, 32, 32)), target)['loc_perception_error'] == 0.5
    # Two predictions near one target, then one prediction near two targets.
    low, near = (10, 10, 14, 12), (10, 13, 14, 14)
    assert of(boxes(low), boxes(low, near))['loc_m2s_error'] == 0.5
    assert of(boxes(low, near), boxes(low))['loc_s2m_error'] == 0.5
    # A prediction that covers its target and half of another.
    two = boxes((10, 10, 14, 14), (15, 10, 16, 14))
    result = of(two, boxes((10, 10, 16, 12)))
    assert result['seg_merging_error'] == pytest.approx(2 / 20)
    assert result['seg_interference_error'] == pytest.approx(2 / 20)
    assert result['seg_perception_error'] == pytest.approx(8 / 20)


def test_overlap_matches_what_distance_would_not():
    target, shifted = boxes((5, 10, 25, 14)), boxes((9, 10, 29, 14))
    assert of(target, shifted)['hIoU'] == pytest.approx(16 / 24)
    assert of(target, boxes((15, 10, 35, 14)))['hIoU'] == 0


def test_an_empty_side_has_no_phantom_components():
    some, none = boxes((3, 3, 5, 5)), boxes()
    assert of(none, some)['loc_interference_error'] == 1
    assert of(some, none)['loc_perception_error'] == 1
    assert np.isnan(of(none, none)['hIoU'])
