"""From the counts of a set's images to its numbers: pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import fsum, nan
from typing import Any

import numpy as np

from madnet.evaluation.bootstrap import COLUMNS, bootstrap_intervals
from madnet.evaluation.boxes import DETECTION, box_ap, centre_ap
from madnet.evaluation.counts import ImageCounts
from madnet.evaluation.curves import ELEVEN_THRESHOLDS, PD_FA_THRESHOLDS, ScoreHistogram, thin
from madnet.evaluation.hiou import HierarchyCounts, hierarchical_iou
from madnet.evaluation.limitirstd import limitirstd_score
from madnet.evaluation.pixel import image_iou, mean, precision_recall_f1, ratio, whole
from madnet.evaluation.protocols import Protocol
from madnet.evaluation.ranking import BUDGETS, ranked_curve, separation, within_budget
from madnet.evaluation.strata import TARGET, by_count, by_scr, by_size
from madnet.evaluation.targets import PREDICTED
from madnet.text import natural

#: The counts of an image that are one number.
COUNTS = tuple(field.name for field in fields(ImageCounts) if field.type in (int, float))


@dataclass(frozen=True)
class SetCounts:
    """What one protocol has counted: names of the images, their counts in the same order, and a histogram of
    the scores of all pixels, None where no curves are collected."""

    protocol: Protocol
    names: Sequence[str]
    images: Sequence[ImageCounts]
    histogram: ScoreHistogram | None = None

    def columns(self) -> dict[str, np.ndarray]:
        """Every one of ``COUNTS`` as (n,) float64, and ``IoU``, each image's under the protocol's rules."""
        columns = {c: np.array([getattr(image, c) for image in self.images], np.float64) for c in COUNTS}
        empty = self.protocol.niou_empty or 0.0
        columns['IoU'] = image_iou(columns['niou_intersection'], columns['niou_union'], empty)
        return columns

    def rows(self, of: str, kind: np.dtype, order: Sequence[int] | None = None) -> dict[str, np.ndarray]:
        """The rows of all images by column, and ``image``: the position of each row's image in the order.

        ``of`` and ``kind`` are ``'target_rows'`` and ``TARGET``, ``'predicted_rows'`` and ``PREDICTED``, or
        ``'found'`` and ``DETECTION``; images are taken as they come, or in an ``order``.
        """
        parts = [getattr(self.images[i], of) for i in (range(len(self.images)) if order is None else order)]
        rows = np.concatenate([np.empty(0, kind), *parts])
        image = np.repeat(np.arange(len(parts), dtype=np.float64), [len(part) for part in parts])
        return {'image': image, **{name: rows[name] for name in kind.names or ()}}


def set_metrics(counted: SetCounts) -> dict[str, float]:
    """The numbers of a set, see :meth:`~madnet.evaluation.evaluator.Evaluator.compute`."""
    protocol, columns = counted.protocol, counted.columns()
    total = {name: values.sum() for name, values in columns.items()}
    empty = protocol.niou_empty or 0.0
    precision, recall, f1 = precision_recall_f1(
        total['tp'], total['predicted'], total['positive'], protocol.f1_epsilons, empty
    )
    result = {
        'IoU': ratio(total['intersection'], total['union'], empty),
        'nIoU': nan if protocol.niou_empty is None else mean(columns['IoU']),
        'F1': f1,
        'precision': precision,
        'recall': recall,
        'Pd': ratio(total['matched'], total['targets']),
        'Fa': ratio(total['false_pixels'], total['pixels']),
        'targets': int(total['targets']),
        'images': len(counted.images),
        'pixels': int(total['pixels']),
    }
    if protocol.matching:
        result |= {name: int(total[name]) for name in ('matched', 'false_components', 'false_pixels')}
        result['false_per_image'] = float(total['false_components']) / len(counted.images)
    if counted.histogram is not None:
        result |= {'AUC': counted.histogram.auc(), 'AP': counted.histogram.ap()}
    if protocol.extended:
        hierarchies = zip(*(image.hierarchy for image in counted.images), strict=True)
        result |= hierarchical_iou(HierarchyCounts(*map(fsum, hierarchies)))
        result |= limitirstd_score(result['IoU'], result['Pd'], result['Fa'])
        if protocol.matching:
            curve = detections_curve(counted)
            result |= {f'Pd@{b:.0e}'.replace('e-0', 'e-'): within_budget(curve, b)['Pd'] for b in BUDGETS}
            result['AUC_rank'] = separation(*_ranked(counted))
        if counted.images[0].found is not None:
            # AP breaks ties by image: numbered by name, they do not depend on the order of scoring.
            order = sorted(range(len(counted.names)), key=counted.names.__getitem__)
            targets, found = (
                counted.rows(*of, order) for of in (('target_rows', TARGET), ('found', DETECTION))
            )
            result |= {'AP_centre': centre_ap(targets, found, protocol.radius), **box_ap(targets, found)}
    return result


def set_details(counted: SetCounts, resamples: int = 1000, points: int = 200) -> dict:
    """What reports draw of a set, see :meth:`~madnet.evaluation.evaluator.Evaluator.details`."""
    protocol, columns, histogram = counted.protocol, counted.columns(), counted.histogram
    details: dict = {'protocol': protocol.reproduces}
    if resamples:
        empty = protocol.niou_empty or 0.0
        intervals = bootstrap_intervals({c: columns[c] for c in COLUMNS}, resamples=resamples, empty=empty)
        if protocol.niou_empty is None:
            del intervals['nIoU']
        details['intervals'] = {name: list(interval) for name, interval in intervals.items()}
    if histogram is not None:
        threshold, best = histogram.best_threshold()
        details['roc'] = thin(histogram.roc(), 'fpr', points)
        details['pr'] = thin(histogram.pr(), 'recall', points)
        details['best_threshold'] = {'threshold': threshold, 'IoU': best}
    if protocol.extended:
        if histogram is not None:
            details['pd_fa'] = _pd_fa(counted.images)
            if protocol.matching:
                curve = {k: v[1:] for k, v in detections_curve(counted).items()}
                details['ranked'] = thin(curve, 'Fa', points)
        targets = counted.rows('target_rows', TARGET)
        details['strata'] = {'size': by_size(targets), 'scr': by_scr(targets), 'count': by_count(columns)}
    if protocol.roc_counter and histogram is not None:
        details['eleven'] = _eleven(counted.images, protocol)
    return details


def detections_curve(counted: SetCounts) -> dict[str, np.ndarray]:
    """Pd against Fa of a set's detections by rank, see :func:`~madnet.evaluation.ranking.ranked_curve`; by
    logit where an image was not given."""
    scores, hits = _ranked(counted)
    targets, pixels = (_total(counted.images, name) for name in ('targets', 'pixels'))
    areas = counted.rows('predicted_rows', PREDICTED)['area']
    return ranked_curve(scores, areas, hits, targets, pixels)


def _ranked(counted: SetCounts) -> tuple[np.ndarray, np.ndarray]:
    """Scores of all detections, and whether each is a hit."""
    rows = counted.rows('predicted_rows', PREDICTED)
    scores = rows['logit'] if np.isnan(rows['rank']).any() else rows['rank']
    return scores, rows['matched'] > 0


def image_rows(counted: SetCounts) -> list[dict[str, float | int | str]]:
    """One row per image in natural order of names, see
    :meth:`~madnet.evaluation.evaluator.Evaluator.per_image`."""
    ious = counted.columns()['IoU']
    rows: list[dict[str, float | int | str]] = []
    for i in sorted(range(len(counted.names)), key=lambda i: natural(counted.names[i])):
        image = counted.images[i]
        rows.append(
            {
                'protocol': counted.protocol.name,
                'name': counted.names[i],
                'IoU': float(ious[i]),
                'TP': image.tp,
                'FP': image.predicted - image.tp,
                'FN': image.positive - image.tp,
                'targets': image.targets,
                'matched': whole(image.matched),
                'missed': whole(image.targets - image.matched),
                'false_components': whole(image.false_components),
                'false_pixels': whole(image.false_pixels),
                'pixels': image.pixels,
            }
        )
    return rows


def _pd_fa(images: Sequence[ImageCounts]) -> dict[str, list[float]]:
    targets, pixels = (_total(images, name) for name in ('targets', 'pixels'))
    matched, false = _total(images, 'pd_fa')
    return {
        'threshold': list(PD_FA_THRESHOLDS),
        'Pd': [ratio(count, targets) for count in matched],
        'Fa': [ratio(count, pixels) for count in false],
    }


def _total(images: Sequence[ImageCounts], of: str) -> Any:
    """A count, or an array of counts, summed over images."""
    return sum(getattr(image, of) for image in images)


def _eleven(images: Sequence[ImageCounts], protocol: Protocol) -> dict[str, list[float]]:
    """The arrays of the published ABC code's ROC counter."""
    tp, fp, positive, negative = _total(images, 'roc_counter')
    recall_epsilon, precision_epsilon, _ = protocol.f1_epsilons
    recall = tp / (positive + recall_epsilon)
    return {
        'threshold': list(ELEVEN_THRESHOLDS),
        'recall': recall.tolist(),
        'precision': (tp / (tp + fp + precision_epsilon)).tolist(),
        'tpr': recall.tolist(),
        'fpr': (fp / (negative + recall_epsilon)).tolist(),
    }
