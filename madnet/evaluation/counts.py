"""One image under one protocol: from a score map and a mask to named counts."""

from dataclasses import dataclass
from math import nan
from typing import Any

import numpy as np

from madnet.evaluation.arrays import resize_image
from madnet.evaluation.boxes import DETECTION, detections
from madnet.evaluation.curves import PD_FA_THRESHOLDS, eleven_counts, pd_fa_counts
from madnet.evaluation.hiou import HierarchyCounts, hierarchy_counts
from madnet.evaluation.matching import count_targets
from madnet.evaluation.pixel import count_and
from madnet.evaluation.protocols import Protocol
from madnet.evaluation.strata import TARGET, local_scr, target_rows
from madnet.evaluation.view import View


@dataclass(frozen=True, slots=True)
class ImageCounts:
    """What all numbers of a set are made of, by addition. Counts are pixels unless their name says otherwise.

    Attributes:
        pixels: Of the image, as scored.
        intersection, union: Of prediction and truth, for IoU.
        niou_intersection, niou_union: The same by the rule of nIoU.
        tp, predicted, positive: For precision, recall and F1: TP, TP + FP, TP + FN.
        targets: How many targets.
        matched: How many of them are matched; NaN, as the next two, where the protocol matches nothing.
        false_components: How many components are false alarms.
        false_pixels: Their pixels.
        hierarchy: Of hIoU; this and the next three are None where they are not collected.
        pd_fa: (2, T) matched targets and false pixels at ``PD_FA_THRESHOLDS``.
        roc_counter: (4, 11) of :func:`~madnet.evaluation.curves.eleven_counts`.
        found: (k,) rows :data:`~madnet.evaluation.boxes.DETECTION`.
        predicted_rows: (m,) rows :data:`~madnet.evaluation.targets.PREDICTED`; None where not collected.
        target_rows: (n,) rows :data:`~madnet.evaluation.strata.TARGET`; none where they are not collected.
    """

    pixels: int
    intersection: int
    union: int
    niou_intersection: int
    niou_union: int
    tp: int
    predicted: int
    positive: int
    targets: int
    matched: float = nan
    false_components: float = nan
    false_pixels: float = nan
    hierarchy: HierarchyCounts | None = None
    pd_fa: np.ndarray | None = None
    roc_counter: np.ndarray | None = None
    found: np.ndarray | None = None
    predicted_rows: np.ndarray | None = None
    target_rows: np.ndarray | None = None


def count_image(
    protocol: Protocol, view: View, image: np.ndarray | None = None, curves: bool = True, boxes: bool = False
) -> ImageCounts:
    """Count one image.

    Args:
        protocol: The rules.
        view: Score map and mask at the size the protocol scores.
        image: (H, W) or (H, W, C) grey values for the local signal-to-clutter ratio of targets; resized where
            its size is another than the view's.
        curves, boxes: Whether to count at every threshold of the Pd-Fa curve and of the ROC counter, and to
            list components as detections, where the protocol is ``extended``.
    """
    truth, union_truth = view.truth(protocol.mask), view.truth(protocol.union_mask)

    def overlap(rule: str | float) -> tuple[int, int]:
        prediction = view.prediction(rule)
        intersection = count_and(prediction, truth)
        union = int(np.count_nonzero(prediction)) + int(np.count_nonzero(union_truth)) - intersection
        return intersection, union

    intersection, union = niou_intersection, niou_union = overlap(protocol.prediction)
    if protocol.niou_prediction != protocol.prediction:
        niou_intersection, niou_union = overlap(protocol.niou_prediction)
    prediction = view.prediction(protocol.f1_prediction)
    tp, positive = count_and(prediction, truth), int(np.count_nonzero(union_truth))
    if protocol.f1_grey:
        labelled = view.mask > 0
        positive = tp + int(np.count_nonzero(labelled)) - count_and(prediction, labelled)
    targets = view.targets(protocol.mask)
    more: dict = {'targets': len(targets)}
    if protocol.matching is not None:
        pred = view.predicted_components(protocol.target_prediction)
        more |= count_targets(targets, pred, view.match(protocol), protocol.false_alarm)._asdict()
    if protocol.roc_counter and curves:
        more['roc_counter'] = eleven_counts(view.prob, view.mask)
    if protocol.extended:
        more |= _extended(protocol, view, image, curves, boxes)
    return ImageCounts(
        pixels=view.mask.size,
        intersection=intersection,
        union=union,
        niou_intersection=niou_intersection,
        niou_union=niou_union,
        tp=tp,
        predicted=int(np.count_nonzero(prediction)),
        positive=positive,
        **more,
    )


def _extended(
    protocol: Protocol, view: View, image: np.ndarray | None, curves: bool, boxes: bool
) -> dict[str, Any]:
    targets = view.targets(protocol.mask)
    pred = view.predicted_components(protocol.target_prediction)
    counts: dict[str, Any] = {'hierarchy': hierarchy_counts(targets, pred, radius=protocol.radius)}
    counts['target_rows'] = np.empty(0, TARGET)
    if image is not None:
        image = resize_image(image, view.mask.shape)
    match = view.match(protocol) if protocol.matching else None
    if match is not None:
        counts['predicted_rows'] = view.describe(pred, image)
        counts['predicted_rows']['matched'][match.pairs[:, 1]] = 1
    if len(targets):
        scr = np.full(len(targets), nan) if image is None else local_scr(image, targets)
        counts['target_rows'] = target_rows(targets, pred, match, scr)
    if boxes:
        counts['found'] = detections(view.prob, pred) if len(pred) else np.empty(0, DETECTION)
    if curves:
        how = protocol.matching or 'one-to-one', protocol.radius
        counts['pd_fa'] = np.stack(pd_fa_counts(view.prob, targets, PD_FA_THRESHOLDS, *how))
    return counts
