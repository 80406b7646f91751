"""Detectors without training over whole data sets: their table, and their seconds on one core."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from math import isnan, nan
from pathlib import Path

import numpy as np

from madnet.classical.detectors import DETECTORS, Detector, get_detector
from madnet.classical.pool import start_pool
from madnet.classical.thresholds import get_rule
from madnet.datasets import SIRSTDataset
from madnet.errors import UserError
from madnet.evaluation import Evaluator
from madnet.evaluation.curves import ScoreHistogram, score_bins
from madnet.evaluation.pixel import iou, mean, precision_recall_f1, ratio
from madnet.evaluation.rules import half
from madnet.files import plain, read_json, write_json, write_whole
from madnet.records import SHORT, ClassicalSet, as_text, column, markdown_table

_SAVE_EVERY = 20.0  # seconds
_LOAD = ({'type': 'LoadSIRSTImage', 'channels': 1}, {'type': 'LoadSIRSTMask'})
# Dividing by each image's range is the scale on which pooled AUCs of such detectors are given.
_CURVE_RULE = 'minmax0.5'


def benchmark(
    data: Sequence[str],
    split: str = 'test',
    methods: Sequence[str] | None = None,
    rules: Sequence[str] = ('mean+12std', 'minmax0.5'),
    workers: int = 1,
    out: str = 'work_dirs/classical',
    markdown: str | None = None,
    images: int | None = None,
) -> dict:
    """Run detectors over a part of one or several data sets and print their tables.

    What is done is kept in ``<out>/<data set>_<split>/<method>.json``, image by image: the same call goes on
    where an earlier one was stopped, and only adds up what is all there.

    Args:
        data: Names of data sets, found under ``$MADNET_DATA_ROOT``, or their folders.
        split: Part of each.
        methods: Names of :data:`~madnet.classical.detectors.DETECTORS`; None for all.
        rules: Names of threshold rules.
        workers: Processes; every number but the seconds is the same for any.
        out: Folder of the measurements.
        markdown: File to write the tables to.
        images: Only the first so many of each set; None for all.

    Returns:
        ``{'<data set>': {'split', 'images', 'split_sha256', 'methods': {name: {'rules': {rule: numbers},
        'curves': …, 'seconds': …}}}}``, fractions as everywhere.

    Raises:
        UserError: A name is unknown, or a data set is not found.
    """
    detectors = [get_detector(name) for name in methods or DETECTORS]
    rules = [get_rule(rule).name for rule in rules]
    if workers < 1:
        raise UserError(f'--workers {workers}: expected 1 or more')
    report, text = {}, []
    pool = start_pool(workers) if workers > 1 else None
    try:
        for name in data:
            dataset = _open(name, split, images)
            measured = {}
            for detector in detectors:
                path = Path(out, f'{dataset.dataset_name}_{split}', f'{detector.name}.json')
                measurement = Measurement(path, detector, rules, dataset.split_sha256)
                measurement.run(dataset, pool)
                measured[detector.name] = measurement.summary(dataset.image_ids)
            report[dataset.dataset_name] = {**dataset.describe(), 'methods': measured}
            text.append(as_markdown(ClassicalSet.from_json(plain(report[dataset.dataset_name]))))
            print(text[-1], flush=True)
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)
    if markdown:
        write_whole(markdown, '\n'.join(text))
        print(f'written {markdown}')
    return report


def _open(name: str, split: str, images: int | None) -> SIRSTDataset:
    where = {'data_root': name} if Path(name).is_dir() else {'name': name}
    return SIRSTDataset(**where, split=split, pipeline=_LOAD, indices=images)


class Measurement:
    """One detector on one data set, kept in a file.

    Args:
        path: The file; what it holds of the same detector, rules and images is taken over.
        detector: The detector.
        rules: Names of threshold rules.
        images: Which images these are; a file about others is begun anew.
    """

    def __init__(self, path: Path, detector: Detector, rules: Sequence[str], images: str):
        self.path, self.detector, self.rules = path, detector, list(rules)
        self.rows: dict[str, dict] = {}
        self.histogram = ScoreHistogram()
        self._key = {
            'method': detector.name,
            'parameters': repr(detector.parameters),
            'rules': self.rules,
            'images': images,
        }
        if path.is_file():
            held = read_json(path)
            if held.get('key') == self._key:
                self.rows = held['rows']
                self.histogram.add(tuple(np.array(part, np.int64) for part in held['histogram']))

    def run(self, dataset: SIRSTDataset, pool) -> None:
        """Measure the images of a data set that are not measured yet, in the pool's processes if there is
        one."""
        jobs = (
            (self.detector, sample['img'], sample['gt_mask'], sample['img_id'], self.rules)
            for sample in self._missing(dataset)
        )
        saved = time.monotonic()
        try:
            for name, row, share in pool.map(_measure, *_columns(jobs)) if pool else map(_measure_one, jobs):
                self.rows[name] = row
                self.histogram.add(share)
                if time.monotonic() - saved > _SAVE_EVERY:
                    self.save()
                    saved = time.monotonic()
        finally:
            self.save()

    def _missing(self, dataset: SIRSTDataset) -> Iterator[dict]:
        for index, name in enumerate(dataset.image_ids):
            if name not in self.rows:
                yield dataset[index]

    def save(self) -> None:
        """Write the file, whole or not at all."""
        index = np.flatnonzero(self.histogram.total)
        share = (index, self.histogram.total[index], self.histogram.positive[index])
        content = {'key': self._key, 'rows': self.rows, 'histogram': share}
        write_json(self.path, content)

    def summary(self, names: Iterable[str]) -> dict:
        """The numbers of a set, by rule; curves on the min-max scale; CPU seconds per image."""
        rows = [self.rows[name] for name in names]
        threshold, best = self.histogram.best_threshold()
        return {
            'title': self.detector.title,
            'paper': self.detector.paper,
            'rules': {rule: _numbers([row['rules'][rule] for row in rows]) for rule in self.rules},
            'curves': {
                'scale': '(S - min) / (max - min) of each image',
                'AUC': self.histogram.auc(),
                'AUC_per_image': mean([row['AUC'] for row in rows if row['AUC'] is not None]),
                'oracle': {'threshold': threshold, 'IoU': best},
            },
            'constant_maps': sum(row['constant'] for row in rows),
            'seconds': mean([row['seconds'] for row in rows]),
        }


def _columns(jobs: Iterable[tuple]) -> list[list]:
    return [list(column) for column in zip(*jobs, strict=True)] or [[]]


def _measure_one(job: tuple):
    return _measure(*job)


def _measure(
    detector: Detector, image: np.ndarray, mask: np.ndarray, name: str, rules: Sequence[str]
) -> tuple[str, dict, tuple]:
    """(name, row, share of the histogram) of one image."""
    start = time.process_time()
    scores = detector(image)
    seconds = time.process_time() - start
    counts = {}
    for rule in rules:
        evaluator = Evaluator('native', curves=False, extended=False)
        evaluator.update(get_rule(rule).to_unit(scores), mask, name)
        counts[rule] = evaluator.per_image()[0] | {'pixels': mask.size}
    share = ScoreHistogram.count(score_bins(get_rule(_CURVE_RULE).to_unit(scores)), half(mask))
    alone = ScoreHistogram()
    alone.add(share)
    auc = alone.auc()
    row = {
        'seconds': seconds,
        'constant': bool(scores.min() == scores.max()),
        'AUC': None if isnan(auc) else auc,
        'rules': counts,
    }
    return name, row, share


def _numbers(rows: Sequence[dict]) -> dict[str, float]:
    """What the evaluation's ``native`` computes of the same counts."""
    total = {key: sum(row[key] for row in rows) for key in _COUNTS}
    tp, fp, fn = total['TP'], total['FP'], total['FN']
    precision, recall, f1 = precision_recall_f1(tp, tp + fp, tp + fn, empty=1.0)
    return {
        'IoU': iou(tp, tp + fp + fn, 1.0),
        'nIoU': mean([row['IoU'] for row in rows]),
        'F1': f1,
        'precision': precision,
        'recall': recall,
        'Pd': ratio(total['matched'], total['targets']),
        'Fa': ratio(total['false_pixels'], total['pixels'], nan),
        'targets': total['targets'],
    }


_COUNTS = ('TP', 'FP', 'FN', 'targets', 'matched', 'false_pixels', 'pixels')


def as_markdown(part: ClassicalSet) -> str:
    """The tables of one data set of the report."""
    rows, curves = [], []
    for entry in part.methods.values():
        for rule, numbers in entry.rules.items():
            cells = [as_text(m, numbers[m]) for m in SHORT]
            rows.append([entry.title, rule, *cells, f'{entry.seconds:.2g}'])
        auc = [as_text('AUC', v) for v in (entry.curves.AUC, entry.curves.AUC_per_image)]
        best = [f'{entry.curves.oracle.threshold:.3f}', as_text('IoU', entry.curves.oracle.IoU)]
        curves.append([entry.title, *auc, *best, str(entry.constant_maps)])
    head = ['method', 'rule', *(column(m).title for m in SHORT), 's/image']
    curve_head = ['method', 'AUC %', 'AUC per image %', 'best t', 'IoU % there', 'constant maps']
    targets = next(iter(next(iter(part.methods.values())).rules.values()))['targets']
    return (
        f'## {part.name}, {part.split}: {part.images} images, {targets} targets\n\n'
        f'{markdown_table(head, rows, range(2, 8))}\n'
        'Without a rule, on the min-max scale of each image; the best threshold is chosen on these very '
        f'images (an oracle).\n\n{markdown_table(curve_head, curves, range(1, 6))}'
    )
