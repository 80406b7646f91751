"""Tests over several data sets, at another threshold, and over sets without targets."""

import csv
import json

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmseg.registry import METRICS, MODELS

import madnet  # noqa: F401
from madnet.datasets import SyntheticSIRSTDataset
from madnet.engine import several_sets
from madnet.engine import test as testing
from madnet.engine.config import load_config
from madnet.engine.irstd_metric import IRSTDMetric
from madnet.engine.several_metrics import SeveralMetrics
from madnet.engine.several_sets import ScoredSet, detections_of
from madnet.engine.test import run_test
from madnet.engine.train import train
from madnet.errors import UserError
from madnet.evaluation import Evaluator, evaluate, make_protocol
from madnet.evaluation.thresholds import parse_threshold, refuse_same_part
from madnet.files import read_json
from madnet.images import read_scores
from madnet.records import MetricsFile, metrics_text, read_per_image

SETS = """
_base_ = ['{tiny}']
test_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(type='SyntheticSIRSTDataset', split=s, length=n, size=64, pipeline=_base_.test_pipeline)
            for s, n in (('test', 2), ('val', 3))
        ],
    )
)
test_evaluator = dict(protocols=['native', 'acm'])
"""


@pytest.fixture
def weights(tiny_config, tmp_path):
    torch.manual_seed(0)
    model = MODELS.build(load_config(tiny_config).model)
    path = tmp_path / 'weights.pth'
    torch.save(model.state_dict(), path)
    return str(path)


@pytest.fixture
def several(tiny_config, tmp_path):
    path = tmp_path / 'several.py'
    path.write_text(SETS.format(tiny=tiny_config))
    return str(path)


def maps(folder):
    return [read_scores(p) for p in sorted(folder.glob('*.png'))]


def test_a_row_for_each_set_and_one_over_all(several, weights, tmp_path, capsys):
    out = tmp_path / 'out'
    found = run_test(several, weights, out=str(out), save_scores=True)
    printed = capsys.readouterr().out
    labels = ['SyntheticSIRSTDataset test', 'SyntheticSIRSTDataset val']
    # the protocols that the config names
    assert [*found.results] == ['native', 'acm']
    assert [*found.sets] == labels
    assert [one.dataset.images for one in found.sets.values()] == [2, 3]
    assert found.dataset.images == found.results['native']['images'] == 5
    for label in [*labels, 'all']:
        assert sum(line.startswith(label + '  ') for line in printed.splitlines()) == 2
    for count in ('targets', 'matched', 'false_pixels', 'pixels'):
        total = sum(one.results['native'][count] for one in found.sets.values())
        assert found.results['native'][count] == total
    # each set's score maps have a folder of their own, though images of both have equal names
    assert [len(maps(out / 'scores' / label)) for label in labels] == [2, 3]
    rows = read_per_image(out / 'per_image.csv')
    assert [r['dataset'] for r in rows if r['protocol'] == 'acm'] == [labels[0]] * 2 + [labels[1]] * 3
    # the record is one that readers of a single set's take, too
    assert MetricsFile.read(out / 'metrics.json').sets.keys() == found.sets.keys()
    content = read_json(out / 'metrics.json')
    assert content['schema'] == 1
    assert content['results']['native']['IoU'] == found.results['native']['IoU']


def test_what_is_wrong_with_the_last_set_is_said_before_the_first_is_scored(tiny_config, weights, tmp_path):
    (tmp_path / 'bare').mkdir()
    config = tmp_path / 'several.py'
    bare = f"dict(type='SIRSTDataset', name='bare', data_root={str(tmp_path / 'bare')!r}, split='all')"
    config.write_text(SETS.format(tiny=tiny_config).replace('        ],', f'        ] + [{bare}],'))
    with pytest.raises(UserError, match=r'^bare: .*bare'):
        run_test(str(config), weights, out=str(tmp_path / 'out'), save_scores=True)
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    ('sets', 'labels'),
    [
        (['a test', 'a val', 'c test'], ['a test', 'a val', 'c']),
        (['a test', 'a test', 'c test'], ['a test #1', 'a test #2', 'c']),
        (['a', 'b'], ['a', 'b']),
    ],
)
def test_only_names_that_repeat_get_a_split_or_a_number(sets, labels):
    assert (
        several_sets.labels_of([dict(zip(('name', 'split'), one.split(), strict=False)) for one in sets])
        == labels
    )


def test_one_set_keeps_the_record_it_had(tiny_config, weights, tmp_path):
    found = run_test(str(tiny_config), weights, out=str(tmp_path / 'out'))
    assert found.sets is found.threshold is None
    content = json.loads((tmp_path / 'out' / 'metrics.json').read_text())
    assert not {'sets', 'threshold', 'threshold_chosen_on'} & set(content)
    with open(tmp_path / 'out' / 'per_image.csv') as file:
        assert next(csv.reader(file))[:3] == ['protocol', 'name', 'IoU']


def test_the_threshold_reaches_every_number(tiny_config, weights, tmp_path, capsys):
    plain = run_test(str(tiny_config), weights, out=str(tmp_path / 'a'), save_scores=True)
    scores = maps(tmp_path / 'a' / 'scores')
    # between two levels of the 16-bit maps
    threshold = float(np.floor(np.quantile(scores, 0.99) * 65535) + 0.5) / 65535
    data = SyntheticSIRSTDataset(split='test', length=6, size=64)
    masks = [data.read_sample(i)[1] for i in range(6)]
    found = run_test(str(tiny_config), weights, 'native,acm', out=str(tmp_path / 'b'), threshold=threshold)
    expected = evaluate(scores, masks, make_protocol('native', prediction=threshold))
    for key in ('IoU', 'nIoU', 'F1', 'Pd', 'Fa'):
        assert found.results['native'][key] == pytest.approx(expected[key]), key
    assert found.results['native']['Fa'] != plain.results['native']['Fa']
    assert found.results['acm']['IoU'] == pytest.approx(found.results['native']['IoU'])
    assert found.threshold == threshold
    assert f'threshold {threshold:.6g}' in capsys.readouterr().out


def test_the_best_threshold_of_the_validation_part(tiny_config, weights, tmp_path, capsys):
    found = run_test(str(tiny_config), weights, out=str(tmp_path / 'a'), threshold='best:val')
    val = run_test(str(tiny_config), weights, out=str(tmp_path / 'b'), split='val')
    best = val.details['native'].best_threshold
    assert found.threshold == best['threshold']
    assert f"chosen by IoU on 'val', 6 images, IoU {100 * best['IoU']:.2f} there" in capsys.readouterr().out
    at_best = run_test(str(tiny_config), weights, out=str(tmp_path / 'c'), threshold=found.threshold)
    assert at_best.results == found.results


def test_all_parts_are_looked_at_before_any_is_scored(tiny_config, weights, tmp_path, monkeypatch):
    def no_part(cfg):
        if cfg.test_dataloader.dataset.split == missing:
            raise UserError(f'no {missing}')

    def no_choice(*_):
        raise AssertionError('scored before all parts were looked at')

    monkeypatch.setattr(testing, '_check_set', no_part)
    monkeypatch.setattr(testing, '_score', no_choice)
    for missing, how in (
        ('test', {'threshold': 'best:val'}),
        ('test', {'fa_budget': 1e-5}),
        ('val', {'threshold': 'best:trainval', 'fa_budget': 1e-5}),
    ):
        with pytest.raises(UserError, match=f'no {missing}'):
            run_test(str(tiny_config), weights, out=str(tmp_path / 'a'), **how)
    with pytest.raises(UserError, match='--fa-budget: found 2, expected a share'):
        run_test(str(tiny_config), weights, out=str(tmp_path / 'a'), threshold='best:val', fa_budget=2)


@pytest.mark.parametrize('text', ['half', '1.5', '-0.1', 'best:', 'nan'])
def test_what_is_no_threshold(text):
    with pytest.raises(UserError, match=r'--threshold: found .* expected a probability in 0–1, or best:val'):
        parse_threshold(text)


def test_a_threshold_is_not_chosen_on_what_it_is_scored_on():
    refuse_same_part('--x', 'val', {'test'})
    refuse_same_part('--x', 'val', {'fit', None})
    for part in ('val', 'trainval', 'all', 'train'):
        with pytest.raises(UserError, match='flatters'):
            refuse_same_part('--x', 'val', {part})


def test_detections_without_a_rank_come_last():
    evaluator = Evaluator()
    score = np.zeros((64, 64), np.float32)
    for y, value in ((5, 0.7), (25, 0.9), (45, 0.8)):
        score[y : y + 3, 20:23] = value
    image = np.where(score > 0, 200, 90 + np.indices(score.shape).sum(0) % 5).astype(np.uint8)
    for name, given in (('bare', None), ('whole', image), ('last', None)):
        evaluator.update(score, np.zeros_like(score, np.uint8), name, image=given)
    rows = detections_of({'x': ScoredSet({}, evaluator)})
    assert [row['name'] for row in rows[:3]] == ['whole'] * 3
    assert [round(row['logit'], 1) for row in rows[3:]] == [2.2, 2.2, 1.4, 1.4, 0.8, 0.8]


def test_a_set_without_targets_says_its_false_alarms():
    scores = np.zeros((64, 64), np.float32)
    scores[3:5, 3:5] = scores[30, 30] = 0.9
    result = evaluate([scores, scores * 0], [np.zeros((64, 64), np.uint8)] * 2)
    assert (result['targets'], result['false_per_image']) == (0, 1.0)
    head, row = metrics_text({'native': result}).splitlines()
    assert head.split() == ['protocol', 'Fa', '×1e-6', 'false/image']
    assert row.split() == ['native', f'{5 / 2 / 64**2 * 1e6:.2f}', '1.00']
    both = {'with': {'IoU': 0.5, 'Fa': 0.0, 'targets': 2, 'false_per_image': 0.0}, 'without': result}
    assert [line.split()[1] for line in metrics_text(both).splitlines()[1:]] == ['50.00', '–']


@METRICS.register_module()
class TellsOfImages(BaseMetric):
    """A user's own metric beside ours: a number, one that is undefined, a list, and what JSON lacks."""

    default_prefix = 'own'

    def process(self, data_batch, data_samples):
        self.results += [np.float32(1)] * len(data_samples)

    def compute_metrics(self, results):
        given = {'images': sum(results), 'none': float('nan'), 'each': torch.tensor(results), 'kinds': {'a'}}
        return {**given, 'pairs': {(0, 1): np.float32(3)}, 'half': torch.tensor([0.5])}


GIVEN = {'own/none': None, 'own/kinds': "{'a'}", 'own/pairs': {'(0, 1)': 3}, 'own/half': 0.5}


def test_metrics_beside_ours_are_kept(several, tiny_config, weights, tmp_path, capsys):
    config = tmp_path / 'others.py'
    base = SETS.format(tiny=tiny_config).rpartition('test_evaluator')[0]
    config.write_text(base + "test_evaluator = [dict(type='TellsOfImages'), dict(type='IRSTDMetric')]\n")
    run_test(str(config), weights, out=str(tmp_path / 'out'))
    printed = capsys.readouterr().out
    found = MetricsFile.read(tmp_path / 'out' / 'metrics.json')
    assert found.other_metrics is None  # of two sets together nobody has computed any
    for (label, one), images in zip(found.sets.items(), (2, 3), strict=True):
        assert one.other_metrics == {'own/images': images, 'own/each': [1] * images, **GIVEN}
        assert f'{label}, other metrics  own/images {images}  own/none –  own/each' in printed
    assert 'other_metrics' not in read_json(tmp_path / 'out' / 'metrics.json')


@METRICS.register_module()
class NumbersOfClasses(TellsOfImages):
    def compute_metrics(self, results):
        return {1: sum(results)}


def test_a_name_that_is_no_text_cannot_have_a_prefix():
    metric = NumbersOfClasses()
    metric.process(None, [1, 2])
    said = r"^evaluator: NumbersOfClasses gives .* under a key of type int, expected a text, .* prefix 'own'"
    with pytest.raises(UserError, match=said):
        SeveralMetrics([metric]).evaluate(2)
    metric.prefix = None
    assert SeveralMetrics([metric]).evaluate(2) == {'1': 2.0}


class ChoosesItsNumbers(TellsOfImages):
    def __init__(self):
        super().__init__()
        self.compute_metrics = self.total

    def total(self, results):
        return {'total': sum(results)}


class OnlyEvaluates:
    def evaluate(self, size):
        return {'size': size}


def test_metrics_are_evaluated_as_often_as_wished_whatever_they_are():
    own = ChoosesItsNumbers()
    several = SeveralMetrics([own, OnlyEvaluates()])
    for _ in range(2):
        own.process(None, [1, 2])
        assert several.evaluate(2) == {'own/total': 2, 'size': 2}
    own.results = ['broken']
    with pytest.raises(TypeError, match='unsupported operand'):  # which is no fault of its keys
        several.evaluate(1)


def test_metrics_beside_ours_of_one_set_in_half_precision(tiny_config, weights, tmp_path, capsys):
    config = tmp_path / 'others.py'
    config.write_text(
        f"_base_ = ['{tiny_config}']\n"
        "test_evaluator = [dict(type='TellsOfImages'), dict(type='IRSTDMetric'), "
        "dict(type='IRSTDMetric', prefix='again')]\n"
    )
    found = run_test(str(config), weights, out=str(tmp_path / 'out'), amp=True, views=2)
    assert found.other_metrics == MetricsFile.read(tmp_path / 'out' / 'metrics.json').other_metrics
    assert found.other_metrics['own/images'] == found.dataset.images
    assert found.other_metrics['again/IoU'] == found.results['native']['IoU']
    assert 'IoU' not in found.other_metrics
    assert '\nother metrics  own/images' in capsys.readouterr().out


def test_metrics_beside_ours_are_kept_in_validations(tiny_config, tmp_path):
    config = tmp_path / 'others.py'
    config.write_text(
        f"_base_ = ['{tiny_config}']\n"
        "val_evaluator = [dict(type='TellsOfImages'), dict(type='IRSTDMetric')]\n"
        "default_hooks = dict(checkpoint=dict(save_best='own/half'))\n"
    )
    runner = train(str(config), str(tmp_path / 'run'), options={'train_cfg.max_epochs': 1})
    info = runner.message_hub.runtime_info
    assert {name: info[f'val/own/{name}'] for name in ('each', 'kinds', 'pairs')} == {
        'each': [1] * 4,
        'kinds': GIVEN['own/kinds'],
        'pairs': GIVEN['own/pairs'],
    }
    best = info['best_metrics']
    assert (best['own/half'], best['own/images'], np.isnan(best['own/none'])) == (0.5, 4, True)


@METRICS.register_module()
class GivesAnIoU(TellsOfImages):
    default_prefix = ''

    def compute_metrics(self, results):
        return {'IoU': 0.5}


@pytest.mark.parametrize(
    ('first', 'second', 'images'),
    [('GivesAnIoU', 'IRSTDMetric', 3), ('IRSTDMetric', 'GivesAnIoU', 3), ('IRSTDMetric', 'IRSTDMetric', 0)],
)
def test_metrics_whose_numbers_have_one_name_are_told_apart_by_a_prefix(
    first, second, images, tiny_config, tmp_path, monkeypatch
):
    scored, score = [], IRSTDMetric._score
    monkeypatch.setattr(IRSTDMetric, '_score', lambda *args: scored.append(score(*args)))
    other = 'GivesAnIoU' if images else 'IRSTDMetric'
    config = tmp_path / 'others.py'
    config.write_text(
        f"_base_ = ['{tiny_config}']\n"
        f"val_evaluator = [dict(type='{first}'), dict(type='{second}')]\n"
        'test_evaluator = val_evaluator\n'
    )
    said = (
        f"^evaluator: {first} and {second} both give a number 'IoU'; give one of them a prefix: "
        rf"dict\(type='{other}', prefix='own'"
    )
    with pytest.raises(UserError, match=said):
        train(str(config), str(tmp_path / 'run'), options={'train_cfg.max_epochs': 1})
    assert bool(scored) == bool(images), 'names of our own metrics are known before'
