"""One image with a hit, a miss and a false alarm, and results on disk made by the real evaluation."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from madnet.evaluation import Evaluator
from madnet.evaluation.components import Components, find_components
from madnet.evaluation.matching import Match, match_components
from madnet.files import plain
from madnet.records import MetricsFile, write_results


@dataclass(frozen=True)
class Example:
    image: np.ndarray
    mask: np.ndarray
    score: np.ndarray
    truth: Components
    pred: Components
    match: Match


def make_example(seed: int = 0, shape: tuple[int, int] = (120, 160)) -> Example:
    """A target of three pixels that is missed, one of nine that is hit, a false alarm of six."""
    rng = np.random.default_rng(seed)
    image = rng.integers(60, 90, shape).astype(np.uint8)
    mask, score = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    mask[30, 40:43] = 255
    mask[80:83, 100:103] = 255
    image[mask > 0] = 200
    score[30, 40:43] = 0.3
    score[80:83, 101:104] = 0.9
    score[60:62, 20:23] = 0.7
    truth, pred = find_components(mask > 127), find_components(score > 0.5)
    return Example(image, mask, score, truth, pred, match_components(truth, pred))


@pytest.fixture
def example() -> Example:
    return make_example()


@pytest.fixture(scope='session')
def run_folder(tmp_path_factory):
    """Images, masks, and the results of two methods with their score maps: root/{images,masks,a,b}."""
    root = tmp_path_factory.mktemp('runs')
    evaluators = {name: Evaluator(('native', 'abc')) for name in 'ab'}
    for k in range(6):
        example = make_example(k)
        name = f'scene_{k}'
        for folder, picture in (('images', example.image), ('masks', example.mask)):
            (root / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(root / folder / f'{name}.png'), picture)
        for method, evaluator in evaluators.items():
            score = example.score if method == 'a' or k % 2 else np.roll(example.score, 8, 1)
            (root / method / 'scores').mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / method / 'scores' / f'{name}.png'), np.uint8(score * 255))
            evaluator.update(score, example.mask, name)
    for method, evaluator in evaluators.items():
        details = evaluator.details(resamples=50)
        # figures take most of the time of a report: those of one protocol will do
        for key in ('roc', 'pr', 'eleven'):
            del details['abc'][key]
        del details['native']['strata']['count']
        report = {
            'config': f'configs/{method}.py',
            'checkpoint': {'path': f'{method}.pth', 'sha256': 'f00d' * 16},
            'dataset': {'name': 'made_up', 'split': 'test', 'images': 6},
            'results': evaluator.compute(),
            'details': details,
        }
        write_results(root / method, MetricsFile.from_json(plain(report)), evaluator.per_image())
    scalars = root / 'a' / '20260101_000000' / 'vis_data'
    scalars.mkdir(parents=True)
    lines = []
    for epoch in (1, 2, 3):
        lines.append(f'{{"lr": 0.001, "loss": {3 - epoch / 2}, "epoch": {epoch}, "step": {epoch * 10}}}')
        lines.append(f'{{"IoU": {epoch / 10}, "nIoU": {epoch / 9}, "Pd": NaN, "step": {epoch}}}')
    (scalars / 'scalars.json').write_text('\n'.join(lines) + '\n{"lr": 0.0', encoding='utf-8')
    return root
