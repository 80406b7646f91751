import math
import pickle

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample

from madnet.engine import irstd_metric as metric_module
from madnet.engine.irstd_metric import IRSTDMetric
from madnet.errors import RunFailed, UserError
from madnet.evaluation import evaluate, evaluate_all
from madnet.evaluation.targets import Least
from madnet.inference.prediction import Prediction

from . import plain


def sample(prob, mask, index, net_logits=None, **meta):
    data = SegDataSample(
        metainfo={'img_path': f'x/{index}.png', 'img_id': f'{index}', 'sample_idx': index, **meta}
    )
    data.seg_logits = PixelData(data=torch.from_numpy(prob)[None])
    data.gt_mask = PixelData(data=torch.from_numpy(mask)[None])
    data.gt_sem_seg = PixelData(data=torch.from_numpy((mask > 127).astype(np.int64))[None])
    if net_logits is not None:
        data.net_logits = PixelData(data=torch.from_numpy(net_logits)[None])
    return data.to_dict()


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    return [plain.scene(rng, size=(40 + k, 52)) for k in range(7)]


def run(metric, samples, batch=1):
    for k in range(0, len(samples), batch):
        metric.process({}, samples[k : k + batch])
    return metric.evaluate(len(samples))


def test_equals_evaluate_for_any_batch_size(pairs):
    metric = METRICS.build({'type': 'IRSTDMetric', 'protocols': ('native', 'basicirstd')})
    samples = [sample(*pair, k) for k, pair in enumerate(pairs)]
    flat = run(metric, samples)
    expected = evaluate_all(*zip(*pairs, strict=True), ('native', 'basicirstd'))
    assert str(metric.evaluator.compute()) == str(expected)
    assert flat['nIoU'] == expected['native']['nIoU']
    assert flat['basicirstd/Pd'] == expected['basicirstd']['Pd']
    assert [row['name'] for row in metric.evaluator.per_image()[:7]] == list('0123456')
    assert metric.evaluator.details(resamples=5)['native']['pd_fa']['Pd']
    assert str(run(metric, samples, batch=4)) == str(flat), 'the second epoch must not remember the first'


def test_scored_beside_it_is_the_same(pairs):
    samples = [sample(*pair, k) for k, pair in enumerate(pairs)]
    metric, plainly = (IRSTDMetric('all', base_size=48, beside=beside) for beside in (True, False))
    for _ in range(2):
        assert str(run(metric, samples, batch=3)) == str(run(plainly, samples))
        assert str(metric.evaluator.per_image()) == str(plainly.evaluator.per_image())
    broken = sample(np.full_like(pairs[0][0], np.nan), pairs[0][1], 8)
    with pytest.raises(RunFailed, match='8: the scores of the model are NaN'):
        run(metric, [samples[0], broken, *samples[1:]])


def test_base_protocols_take_the_logits_of_the_network(pairs):
    rng = np.random.default_rng(1)
    logits = [rng.normal(-2, 2, (64, 64)).astype(np.float32) for _ in pairs]
    metric = IRSTDMetric('all', base_size=64)
    run(metric, [sample(*pair, k, logits[k]) for k, pair in enumerate(pairs)])
    from madnet.evaluation.arrays import resize_mask

    masks = [resize_mask(mask, (64, 64)) for _, mask in pairs]
    expected = evaluate(logits, masks, 'abc', from_logits=True)
    assert metric.evaluator.compute()['abc'] == expected
    assert metric.evaluator.compute()['dnanet']['pixels'] == len(pairs) * 256**2
    assert metric.evaluator.compute()['native'] == evaluate(*zip(*pairs, strict=True), 'native')


def test_base_size_from_argument_sample_or_network(pairs):
    prob, mask = pairs[0]
    logits = np.zeros((32, 48), np.float32)
    for meta, net, argument, expected in (
        ({}, None, None, prob.size),
        ({}, logits, None, 32 * 48),
        ({'base_size': 24}, logits, None, 24 * 24),
        ({'base_size': (20, 24)}, None, None, 20 * 24),
        ({'base_size': 24}, logits, (16, 20), 16 * 20),
    ):
        metric = IRSTDMetric('abc', base_size=argument)
        run(metric, [sample(prob, mask, 0, net, **meta)])
        assert metric.evaluator.compute()['abc']['pixels'] == expected


def test_processes_with_unequal_shares_and_a_repeated_image(pairs, monkeypatch):
    samples = [sample(*pair, k) for k, pair in enumerate(pairs)]
    whole = IRSTDMetric('all', base_size=48)
    expected = run(whole, samples)
    shares = [[0, 3, 6], [1, 4, 0], [2, 5, 1], []]
    others = []
    for share in shares[1:]:
        part = IRSTDMetric('all', base_size=48)
        part.process({}, [samples[k] for k in share])
        others.append(part._evaluator)
    monkeypatch.setattr(
        metric_module, 'all_gather_object', lambda own: pickle.loads(pickle.dumps([own, *others]))
    )
    first = IRSTDMetric('all', base_size=48)
    first.process({}, [samples[k] for k in shares[0]])
    assert str(first.evaluate(7)) == str(expected)
    assert str(first.evaluator.per_image()) == str(whole.evaluator.per_image())


def _worker(rank, folder, port):
    import torch.distributed as dist

    dist.init_process_group('gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=2)
    rng = np.random.default_rng(0)
    pairs = [plain.scene(rng, size=(40 + k, 52)) for k in range(3)]
    metric = IRSTDMetric('all', base_size=48)
    metric.process({}, [sample(*pairs[k], k) for k in ((0, 2), (1, 0))[rank]])
    (folder / f'{rank}.txt').write_text(str(metric.evaluate(3)))
    dist.destroy_process_group()


def test_two_real_processes(pairs, tmp_path):
    import socket

    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(_worker, (tmp_path, port), nprocs=2)
    expected = str(
        run(IRSTDMetric('all', base_size=48), [sample(*pair, k) for k, pair in enumerate(pairs[:3])])
    )
    assert (tmp_path / '0.txt').read_text() == (tmp_path / '1.txt').read_text() == expected


def test_falls_back_on_the_binary_mask(pairs):
    data = sample(*pairs[0], 0)
    del data['gt_mask']
    metric = IRSTDMetric()
    run(metric, [data])
    assert metric.evaluator.compute()['native'] == evaluate([pairs[0][0]], [pairs[0][1]])
    del data['gt_sem_seg']
    with pytest.raises(UserError, match='no mask'):
        metric.process({}, [data])


def test_half_precision_and_nan(pairs):
    prob, mask = pairs[0]
    data = sample(prob, mask, 0)
    data['seg_logits']['data'] = data['seg_logits']['data'].bfloat16()
    assert math.isfinite(run(IRSTDMetric(), [data])['IoU'])
    with pytest.raises(RunFailed, match='diverged'):
        IRSTDMetric().process({}, [sample(np.full_like(prob, np.nan), mask, 0)])


def test_nothing_processed():
    with pytest.raises(UserError, match='no image'):
        IRSTDMetric().evaluate(0)


def test_prefix_and_curves(pairs):
    flat = run(IRSTDMetric(prefix='val', curves=False), [sample(*pairs[0], 0)])
    assert 'val/nIoU' in flat
    assert 'val/AUC' not in flat


def test_scr_reads_the_image(pairs, tmp_path):
    import cv2

    prob, mask = pairs[0]
    path = tmp_path / 'x.png'
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (*mask.shape, 3), dtype=np.uint8))
    metric = IRSTDMetric(scr=True)
    run(metric, [sample(prob, mask, 0, img_path=str(path))])
    rows = metric.evaluator.details(resamples=0)['native']['strata']['scr']
    assert sum(r['targets'] for r in rows) == metric.evaluator.compute()['native']['targets'] > 0


@pytest.mark.parametrize('limit', [{}, {'min_scr': 2.0}])
def test_an_image_that_the_pipeline_resizes_is_resized_as_its_mask_was(tmp_path, limit):
    path = tmp_path / 'x.png'
    image = np.random.default_rng(0).integers(90, 110, (64, 80), dtype=np.uint8)
    image[20:24, 50:55] = 200
    cv2.imwrite(str(path), image)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:24, 40:44] = 255
    metric = IRSTDMetric(scr=True, **limit)
    assert run(metric, [sample(mask / np.float32(255), mask, 0, img_path=str(path))])['Pd'] == 1
    rows = metric.evaluator.details(resamples=0)['native']['strata']['scr']
    assert [r['targets'] for r in rows if r['targets']] == [1]
    assert rows[-1]['targets'] == 1, 'the target stands out where its mask lies'


def written(folder, pair, index):
    """A sample whose image is a file, in which each target's brightness makes its own SCR."""
    prob, mask = pair
    rng = np.random.default_rng(index)
    image = rng.normal(80, 4, prob.shape) + 60 * (prob > 0.8) + 6 * (prob > 0.5)
    path = folder / f'{index}.png'
    cv2.imwrite(str(path), np.clip(image, 0, 255).astype(np.uint8))
    logits = np.log(np.clip(prob, 1e-6, 1 - 1e-6) / (1 - np.clip(prob, 1e-6, 1 - 1e-6))).astype(np.float32)
    return sample(prob, mask, index, logits, img_path=str(path))


@pytest.mark.parametrize('limits', [{'min_scr': 4.0}, {'min_area': 5}, {'min_rank': 12.0}])
def test_components_are_left_out_as_in_a_prediction(pairs, tmp_path, limits):
    samples = [written(tmp_path, pair, k) for k, pair in enumerate(pairs)]
    predictions = [
        Prediction(
            '',
            s['seg_logits']['data'][0].numpy(),
            0.5,
            image=cv2.imread(s['img_path'], 0)[..., None],
            logits=s['net_logits']['data'][0].numpy(),
            least=Least(**limits),
        )
        for s in samples
    ]
    masks = [s['gt_mask']['data'][0].numpy() for s in samples]
    kept, every = IRSTDMetric(**limits), IRSTDMetric()
    assert run(every, samples) != run(kept, samples)
    expected = evaluate([p.mask.astype(np.float32) for p in predictions], masks)
    numbers = ('IoU', 'nIoU', 'Pd', 'Fa', 'false_per_image')
    assert {n: kept.evaluator.compute()['native'][n] for n in numbers} == {n: expected[n] for n in numbers}
    dropped = sum(p.too_small for p in predictions)
    assert 0 < dropped < sum(len(p.components) for p in predictions)


def test_what_is_left_out_is_background_for_curves_and_ranks_too(pairs, tmp_path):
    some = [written(tmp_path, pair, k) for k, pair in enumerate(pairs)]
    all_out = IRSTDMetric('all', base_size=48, min_scr=1000.0)
    run(all_out, some)
    assert all(numbers['IoU'] == 0 for numbers in all_out.evaluator.compute().values())
    details = all_out.evaluator.details(resamples=2)['native']
    assert details['best_threshold']['threshold'] < 0.5
    assert not details['ranked']['threshold']  # no detection is left to put in order


def test_a_limit_that_looks_at_the_image_needs_its_file(pairs):
    with pytest.raises(UserError, match=r'^0: min_scr and min_rank look at the image, and there is none'):
        run(IRSTDMetric(min_scr=1.0), [sample(*pairs[0], 0)])
    with pytest.raises(UserError, match='min_scr: found -1, expected 0 or more'):
        IRSTDMetric(min_scr=-1)


def test_labels_are_what_was_scored(pairs, tmp_path):
    folder = tmp_path / 'labels'
    metric = METRICS.build({'type': 'IRSTDMetric', 'output_dir': str(folder), 'min_area': 2})
    flat = run(metric, [sample(*pair, k) for k, pair in enumerate(pairs)])
    labels = [cv2.imread(str(folder / f'{k}.png'), cv2.IMREAD_UNCHANGED) for k in range(len(pairs))]
    assert {int(v) for label in labels for v in np.unique(label)} == {0, 1}
    expected = evaluate([label.astype(np.float32) for label in labels], [mask for _, mask in pairs])
    assert (flat['IoU'], flat['Fa']) == (expected['IoU'], expected['Fa'])
