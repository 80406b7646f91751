"""Equality with what the published metric code gives on twenty awkward pairs."""

import json
import math

import numpy as np
import pytest
import torch

from madnet.evaluation import Evaluator, evaluate, evaluate_all
from madnet.evaluation.protocols import make_protocol

TOLERANCE = {'rel': 0, 'abs': 1e-6}


@pytest.fixture(scope='module')
def golden(golden_dir):
    tensors = torch.load(golden_dir / 'metrics' / 'metrics.pt', weights_only=True)
    numbers = json.loads((golden_dir / 'metrics' / 'metrics.json').read_text())
    masks = np.round(tensors['labels'].numpy() * 255).astype(np.uint8)
    return tensors['pred_logits'].numpy(), masks, numbers


def check_abc(evaluator, expected):
    result = evaluator.compute()['abc']
    for ours, theirs in (('IoU', 'IoU'), ('nIoU', 'nIoU'), ('F1', 'f1')):
        assert result[ours] == pytest.approx(expected[theirs], **TOLERANCE), ours
    assert result['Fa'] == pytest.approx(expected['FA'][0], **TOLERANCE)
    assert (result['matched'], result['targets']) == (expected['PD_count'][0], expected['targets'][0])
    assert result['false_pixels'] == expected['FA_pixels'][0]
    if math.isnan(expected['PD'][0]):
        assert math.isnan(result['Pd'])
    else:
        assert result['Pd'] == pytest.approx(expected['PD'][0], **TOLERANCE)
    images = evaluator.images('abc')
    assert (images['intersection'].sum(), images['union'].sum()) == (expected['inter'], expected['union'])
    assert images['IoU'] == pytest.approx(expected['per_image_IoU'], **TOLERANCE)
    eleven = evaluator.details(resamples=0)['abc']['eleven']
    for name in ('recall', 'precision', 'tpr', 'fpr'):
        assert eleven[name] == pytest.approx(expected[name], **TOLERANCE), name
    assert result['recall'] == pytest.approx(expected['recall'][5], **TOLERANCE)
    assert result['precision'] == pytest.approx(expected['precision'][5], **TOLERANCE)


def check_basicirstd(result, expected):
    assert result['IoU'] == pytest.approx(expected['mIoU'], **TOLERANCE)
    assert result['false_pixels'] == expected['FA_pixels']
    assert (result['matched'], result['targets']) == (expected['PD_count'], expected['targets'])
    if 'get_error' in expected:  # the published code divides by zero without targets
        assert math.isnan(result['Pd'])
    else:
        assert result['Pd'] == pytest.approx(expected['PD'], **TOLERANCE)
        assert result['Fa'] == pytest.approx(expected['FA'], **TOLERANCE)
    assert math.isnan(result['nIoU'])


def test_whole_set(golden):
    logits, masks, numbers = golden
    evaluator = Evaluator('abc,basicirstd')
    for logit, mask in zip(logits, masks, strict=True):
        evaluator.update(logit, mask, from_logits=True)
    check_abc(evaluator, numbers['all20'])
    check_basicirstd(evaluator.compute()['basicirstd'], numbers['basicirstd_all20'])


@pytest.mark.parametrize('pair', range(20))
def test_every_pair(golden, pair):
    logits, masks, numbers = golden
    evaluator = Evaluator('all')
    evaluator.update(logits[pair], masks[pair], from_logits=True)
    check_abc(evaluator, numbers['per_pair'][pair])
    check_basicirstd(evaluator.compute()['basicirstd'], numbers['basicirstd_per_pair'][pair])


def test_acm_and_dnanet_are_abc_where_they_share_its_code(golden):
    logits, masks, numbers = golden
    protocols = ['acm', make_protocol('dnanet', name='dnanet', resolution='base')]
    results = evaluate_all(logits, masks, protocols, from_logits=True)
    expected = numbers['all20']
    assert results['acm']['IoU'] == results['dnanet']['IoU'] == pytest.approx(expected['IoU'], **TOLERANCE)
    assert results['acm']['nIoU'] == pytest.approx(expected['nIoU'], **TOLERANCE)
    assert results['dnanet']['Pd'] == pytest.approx(expected['PD'][0], **TOLERANCE)
    assert results['dnanet']['Fa'] == pytest.approx(expected['FA'][0], **TOLERANCE)
    assert math.isnan(results['acm']['Pd'])
    assert math.isnan(results['dnanet']['nIoU'])


def test_probabilities_give_the_same(golden):
    logits, masks, numbers = golden
    prob = torch.sigmoid(torch.from_numpy(logits)).numpy()
    result = evaluate(prob, masks, 'abc')
    for ours, theirs in (('IoU', 'IoU'), ('nIoU', 'nIoU'), ('F1', 'f1')):
        assert result[ours] == pytest.approx(numbers['all20'][theirs], **TOLERANCE)


def test_labels_as_totensor_makes_them(golden_dir, golden):
    labels = torch.load(golden_dir / 'metrics' / 'metrics.pt', weights_only=True)['labels']
    logits, masks, _ = golden
    assert evaluate(logits, labels, 'abc', from_logits=True) == evaluate(
        logits, masks, 'abc', from_logits=True
    )
