"""Any number of protocols over any number of images in one pass, one image at a time."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from dataclasses import replace
from itertools import zip_longest
from math import nan

import numpy as np

from madnet.errors import UserError
from madnet.evaluation.arrays import as_mask, as_scores, refuse_zero_one
from madnet.evaluation.bootstrap import COLUMNS, bootstrap_intervals
from madnet.evaluation.boxes import DETECTION_COLUMNS, box_ap, centre_ap, detections
from madnet.evaluation.components import Components, Match, overlap_matrix
from madnet.evaluation.curves import (
    ELEVEN_THRESHOLDS,
    PD_FA_THRESHOLDS,
    ScoreHistogram,
    eleven_counts,
    pd_fa_counts,
    thin,
)
from madnet.evaluation.hiou import HierarchyCounts, hierarchical_iou, hierarchy_counts
from madnet.evaluation.limitirstd import limitirstd_score
from madnet.evaluation.pixel import count_and, image_iou, iou, mean, precision_recall_f1, ratio
from madnet.evaluation.protocols import Protocol, ProtocolLike, get_protocols
from madnet.evaluation.strata import TARGET_COLUMNS, by_count, by_scr, by_size, local_scr
from madnet.evaluation.table import Table
from madnet.evaluation.target import count_targets
from madnet.evaluation.view import View

_COUNTS = (
    'pixels',
    'intersection',
    'union',
    'niou_intersection',
    'niou_union',
    'tp',
    'predicted',
    'positive',
    'targets',
    'matched',
    'false_components',
    'false_pixels',
)
_HIERARCHY = tuple(f'hierarchy_{name}' for name in HierarchyCounts._fields)
_PD_FA = tuple(f'{what}@{t:g}' for what in ('matched', 'false_pixels') for t in PD_FA_THRESHOLDS)
_ELEVEN = tuple(f'{what}@{t:g}' for what in ('tp', 'fp', 'positive', 'negative') for t in ELEVEN_THRESHOLDS)


class Evaluator:
    """Streams images, keeps counts.

    Per image stays one short row of counts per protocol (and one per target where a protocol is
    ``extended``); scores go into histograms of fixed size. All results are sums of whole numbers, or exactly
    rounded sums of fractions, so they do not depend on the order of the images or on how they were shared out
    among processes.

    An image that comes twice (samplers pad the last round of a distributed run by repeating) counts once.

    Args:
        protocols: As :func:`~madnet.evaluation.protocols.get_protocols` takes them.
        curves: Whether ROC, PR and Pd-Fa are collected. Without, validation costs least.
        boxes: Whether the box view is collected, for the ``extended`` protocols; needs pycocotools.
        extended: False leaves out hIoU, strata and box view of every protocol: thousands of components in the
            noise of an untrained network make them dear.

    Raises:
        UserError: Unknown protocol.
    """

    #: How many of the latest images can still be recognised as repeated by another process; see
    #: :meth:`merge`.
    RECENT = 4

    def __init__(
        self,
        protocols: ProtocolLike | Iterable[ProtocolLike] = 'native',
        curves: bool = True,
        boxes: bool = False,
        extended: bool = True,
    ):
        self.protocols = get_protocols(protocols)
        if not extended:
            self.protocols = tuple(replace(p, extended=False) for p in self.protocols)
        self.curves = curves
        self.boxes = boxes
        self.reset()

    def reset(self) -> None:
        """Forget every image."""
        self._index: dict[Hashable, int] = {}
        self._names: list[str] = []
        self._images = {p.name: Table(self._columns(p)) for p in self.protocols}
        extended = [p.name for p in self.protocols if p.extended]
        self._targets = {name: Table(TARGET_COLUMNS) for name in extended}
        self._detections = {name: Table(DETECTION_COLUMNS) for name in extended if self.boxes}
        self._histograms: dict[tuple, ScoreHistogram] = {}
        self._recent: OrderedDict[Hashable, dict[tuple, tuple]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._index)

    def _columns(self, protocol: Protocol) -> tuple[str, ...]:
        columns = _COUNTS
        if protocol.extended:
            columns += _HIERARCHY + (_PD_FA if self.curves else ())
        if protocol.f1_grey and self.curves:
            columns += _ELEVEN
        return columns

    def update(
        self,
        scores: np.ndarray,
        mask: np.ndarray,
        name: str | None = None,
        *,
        from_logits: bool = False,
        net_logits: np.ndarray | None = None,
        base_size: tuple[int, int] | None = None,
        image: np.ndarray | None = None,
        key: Hashable = None,
    ) -> None:
        """Score one image.

        Args:
            scores: (H, W) probabilities in 0–1, or logits, at the image's own size.
            mask: (H, W) grey values as in the file, see :func:`~madnet.evaluation.arrays.as_mask`.
            name: Of the image, for :meth:`per_image`; default its running number.
            from_logits: Whether ``scores`` are raw logits.
            net_logits: (h, w) raw logits at the size the network saw. Protocols at a base size take these,
                resized only where their size is another; without them, ``scores``.
            base_size: (h, w) of protocols at a base size; default the size of ``net_logits``. Without either,
                these protocols too score arrays at the size they have.
            image: (H, W) or (H, W, C) grey values for the local signal-to-clutter ratio of targets; optional.
            key: What makes the image the same as another; default its name.

        Raises:
            UserError: Sizes differ, values are out of range, or a map has more than one channel.
        """
        name = str(len(self._names)) if name is None else str(name)
        key = name if key is None else key
        if key in self._index:
            return
        scores = as_scores(scores, f'{name}: score map', from_logits)
        mask = as_mask(mask, f'{name}: mask')
        if scores.shape != mask.shape:
            raise UserError(
                f'{name}: score map is {_size(scores)}, mask is {_size(mask)} (width × height);'
                ' expected equal sizes'
            )
        if net_logits is not None:
            net_logits = as_scores(net_logits, f'{name}: logits', True)
            base_size = base_size or net_logits.shape
        own = View(scores, mask, from_logits)
        views: dict[object, View] = {}
        shares: dict[tuple, tuple] = {}
        for protocol in self.protocols:
            size = protocol.scored_size(mask.shape, base_size)
            use_net = net_logits is not None and protocol.resolution != 'native'
            place = (use_net, size)
            if place not in views:
                if use_net:
                    views[place] = own.resized(net_logits, True, size)
                else:
                    views[place] = own if size == mask.shape else own.resized(scores, from_logits, size)
            view = views[place]
            self._images[protocol.name].append(self._counts(protocol, view, image))
            group = (protocol.resolution, protocol.mask)
            if self.curves and group not in shares:
                shares[group] = ScoreHistogram.count(view.bins, view.truth(protocol.mask))
        for group, share in shares.items():
            self._histograms.setdefault(group, ScoreHistogram()).add(share)
        self._index[key] = len(self._names)
        self._names.append(name)
        if self.curves:
            self._recent[key] = shares
            if len(self._recent) > self.RECENT:
                self._recent.popitem(last=False)

    def _counts(self, protocol: Protocol, view: View, image: np.ndarray | None) -> list[float]:
        """The row of one image, its values in the order of :meth:`_columns`."""
        truth, union_truth = view.truth(protocol.mask), view.truth(protocol.union_mask)

        def overlap(rule: str | float) -> tuple[int, int]:
            prediction = view.prediction(rule)
            intersection = count_and(prediction, truth)
            union = int(np.count_nonzero(prediction)) + int(np.count_nonzero(union_truth)) - intersection
            return intersection, union

        row = [view.mask.size, *overlap(protocol.prediction)]
        same = protocol.niou_prediction == protocol.prediction
        row += row[1:3] if same else overlap(protocol.niou_prediction)
        prediction = view.prediction(protocol.f1_prediction)
        tp, positive = count_and(prediction, truth), int(np.count_nonzero(union_truth))
        if protocol.f1_grey:
            labelled = view.mask > 0
            positive = tp + int(np.count_nonzero(labelled)) - count_and(prediction, labelled)
        row += [tp, int(np.count_nonzero(prediction)), positive]
        targets = view.targets(protocol.mask)
        if protocol.matching is None:
            row += [len(targets), nan, nan, nan]
        else:
            pred = view.predicted_components(protocol.target_prediction)
            match = view.match(protocol)
            row += count_targets(targets, pred, match, protocol.false_alarm)
        if protocol.extended:
            row += self._extended(protocol, view, image)
        if protocol.f1_grey and self.curves:
            row += eleven_counts(view.prob, view.mask).ravel().tolist()
        return row

    def _extended(self, protocol: Protocol, view: View, image: np.ndarray | None) -> list[float]:
        targets = view.targets(protocol.mask)
        pred = view.predicted_components(protocol.target_prediction)
        match = view.match(protocol) if protocol.matching else None
        index = len(self._names)
        if len(targets):
            scr = np.full(len(targets), nan)
            if image is not None and np.shape(image)[:2] == view.mask.shape:
                scr = local_scr(np.asarray(image), targets)
            self._targets[protocol.name].extend(_target_rows(index, targets, pred, match, scr))
        if self.boxes and len(pred):
            found = detections(view.prob, pred)
            self._detections[protocol.name].extend(np.column_stack([np.full(len(found), index), found]))
        row = list(hierarchy_counts(targets, pred, radius=protocol.radius))
        if self.curves:
            matching = protocol.matching or 'one-to-one'
            row += np.concatenate(
                pd_fa_counts(view.prob, targets, PD_FA_THRESHOLDS, matching, protocol.radius)
            ).tolist()
        return row

    def merge(self, other: Evaluator) -> Evaluator:
        """Take over what another evaluator with the same settings has counted; returns self.

        Images that both have seen count once. Their rows are simply left out; from a histogram a repeated
        image can be taken out again while it is among the last ``RECENT`` ones that either side scored, which
        covers the padding of distributed samplers.

        Raises:
            UserError: Other settings, or the same image on both sides too long ago to be taken out of the
                curves.
        """
        if (other.protocols, other.curves, other.boxes) != (self.protocols, self.curves, self.boxes):
            raise UserError('cannot merge evaluations with other protocols or options')
        repeated = [key for key in other._index if key in self._index]
        shares_out = []
        for key in repeated if self.curves else ():
            shares = other._recent.get(key) or self._recent.get(key)
            if shares is None:
                raise UserError(
                    f'image {key!r} was scored by two processes, not as the last of either: give the sampler'
                    ' round_up=False, or evaluate without curves'
                )
            shares_out.append(shares)
        for group, histogram in other._histograms.items():
            self._histograms.setdefault(group, ScoreHistogram()).merge(histogram)
        for shares in shares_out:
            for group, share in shares.items():
                self._histograms[group].add(share, -1)
        self._recent.update(other._recent)

        new = np.array([key not in self._index for key in other._index], bool)
        position = len(self._names) + np.cumsum(new) - 1
        for key, index in list(other._index.items()):
            if new[index]:
                self._index[key] = int(position[index])
                self._names.append(other._names[index])
        for name, table in self._images.items():
            table.extend(other._images[name].rows()[new])
        for mine, theirs in ((self._targets, other._targets), (self._detections, other._detections)):
            for name, table in mine.items():
                rows = theirs[name].rows()
                image = rows[:, 0].astype(int)
                rows = rows[new[image]]
                rows[:, 0] = position[image[new[image]]]
                table.extend(rows)
        return self

    def compute(self) -> dict[str, dict[str, float]]:
        """The numbers of every protocol.

        Returns:
            ``{'native': {'IoU', 'nIoU', 'F1', 'precision', 'recall', 'Pd', 'Fa', 'targets', 'images', 'AUC',
            'AP', …}, …}`` as fractions; NaN for what a protocol does not define, and for Pd without targets.
            ``extended`` protocols add hIoU with its error shares, ``Sp`` of LimitIRSTD and, with ``boxes``,
            ``AP50``, ``AP50-95`` and ``AP_centre``.

        Raises:
            UserError: No image was scored.
        """
        if not self._index:
            raise UserError('nothing to evaluate: no image was scored')
        return {protocol.name: self._numbers(protocol) for protocol in self.protocols}

    def _numbers(self, protocol: Protocol) -> dict[str, float]:
        images = self.images(protocol.name)
        total = {column: values.sum() for column, values in images.items()}
        empty = protocol.niou_empty or 0.0
        precision, recall, f1 = precision_recall_f1(
            total['tp'], total['predicted'], total['positive'], protocol.f1_epsilons, empty
        )
        result = {
            'IoU': iou(total['intersection'], total['union'], empty),
            'nIoU': nan if protocol.niou_empty is None else mean(images['IoU']),
            'F1': f1,
            'precision': precision,
            'recall': recall,
            'Pd': ratio(total['matched'], total['targets']),
            'Fa': ratio(total['false_pixels'], total['pixels']),
            'targets': int(total['targets']),
            'images': len(self._index),
            'pixels': int(total['pixels']),
        }
        if protocol.matching:
            result |= {
                'matched': int(total['matched']),
                'false_components': int(total['false_components']),
                'false_pixels': int(total['false_pixels']),
            }
        if self.curves:
            histogram = self.histogram(protocol.name)
            result |= {'AUC': histogram.auc(), 'AP': histogram.ap()}
        if protocol.extended:
            result |= hierarchical_iou(
                HierarchyCounts(*(mean(images[c]) * len(self._index) for c in _HIERARCHY))
            )
            result |= limitirstd_score(result['IoU'], result['Pd'], result['Fa'])
            if self.boxes:
                targets, found = self._in_order_of_names(protocol.name)
                result |= {'AP_centre': centre_ap(targets, found, protocol.radius), **box_ap(targets, found)}
        return result

    def details(self, resamples: int = 1000, points: int = 200) -> dict[str, dict]:
        """What reports draw: curves, strata and intervals of every protocol.

        Args:
            resamples: Of the bootstrap; 0 for none.
            points: At most about so many per curve.

        Returns:
            Per protocol: ``intervals`` (95 %: ``{'IoU': [low, high], …}``); with ``curves``: ``roc``
            (``threshold, fpr, tpr``), ``pr`` (``threshold, recall, precision``) and ``best_threshold``
            (``threshold, IoU``); for ``extended`` protocols ``pd_fa`` (``threshold, Pd, Fa``) and ``strata``
            (``size, scr, count``, each a list of rows); for ``abc`` its ``eleven`` (``threshold, recall,
            precision, tpr, fpr``).
        """
        result = {}
        for protocol in self.protocols:
            images = self.images(protocol.name)
            part: dict = {'protocol': protocol.reproduces}
            if resamples:
                intervals = bootstrap_intervals({c: images[c] for c in COLUMNS}, resamples=resamples)
                part['intervals'] = {name: list(interval) for name, interval in intervals.items()}
            if self.curves:
                histogram = self.histogram(protocol.name)
                threshold, best = histogram.best_threshold()
                part['roc'] = thin(histogram.roc(), 'fpr', points)
                part['pr'] = thin(histogram.pr(), 'recall', points)
                part['best_threshold'] = {'threshold': threshold, 'IoU': best}
            if protocol.extended:
                if self.curves:
                    part['pd_fa'] = _pd_fa(images)
                targets = self._targets[protocol.name].by_column()
                part['strata'] = {'size': by_size(targets), 'scr': by_scr(targets), 'count': by_count(images)}
            if protocol.f1_grey and self.curves:
                part['eleven'] = _eleven(images, protocol)
            result[protocol.name] = part
        return result

    def images(self, protocol: str) -> dict[str, np.ndarray]:
        """Per-image counts by column, and ``IoU`` under the protocol's rules, in the order of ``names``."""
        chosen = next(p for p in self.protocols if p.name == protocol)
        columns = self._images[protocol].by_column()
        empty = chosen.niou_empty or 0.0
        columns['IoU'] = image_iou(columns['niou_intersection'], columns['niou_union'], empty)
        return columns

    @property
    def names(self) -> list[str]:
        """The images' names in the order of their rows."""
        return list(self._names)

    def histogram(self, protocol: str) -> ScoreHistogram:
        """The score histogram of a protocol, for curves and the best threshold; empty without ``curves``."""
        chosen = next(p for p in self.protocols if p.name == protocol)
        return self._histograms.get((chosen.resolution, chosen.mask), ScoreHistogram())

    def targets(self, protocol: str) -> dict[str, np.ndarray]:
        """Columns ``TARGET_COLUMNS`` of an ``extended`` protocol's targets; ``image`` indexes ``names``."""
        return self._targets[protocol].by_column()

    def per_image(self) -> list[dict[str, float | int | str]]:
        """One row per protocol and image, in natural order of names: what ``per_image.csv`` holds.

        IoU is the image's term of nIoU; a protocol without Pd and Fa has NaN there.
        """
        order = sorted(range(len(self._names)), key=lambda i: _natural(self._names[i]))
        rows = []
        for protocol in self.protocols:
            images = self.images(protocol.name)
            for i in order:
                image = {column: values[i] for column, values in images.items()}
                row = {
                    'protocol': protocol.name,
                    'name': self._names[i],
                    'IoU': float(image['IoU']),
                    'TP': int(image['tp']),
                    'FP': int(image['predicted'] - image['tp']),
                    'FN': int(image['positive'] - image['tp']),
                    'targets': int(image['targets']),
                    'matched': nan,
                    'missed': nan,
                    'false_components': nan,
                    'false_pixels': nan,
                    'pixels': int(image['pixels']),
                }
                if protocol.matching:
                    row['matched'] = int(image['matched'])
                    row['missed'] = row['targets'] - row['matched']
                    row['false_components'] = int(image['false_components'])
                    row['false_pixels'] = int(image['false_pixels'])
                rows.append(row)
        return rows

    def _in_order_of_names(self, protocol: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Targets and detections with images numbered by name, for numbers that break ties by image."""
        rank = np.empty(len(self._names))
        rank[sorted(range(len(self._names)), key=self._names.__getitem__)] = np.arange(len(self._names))
        tables = []
        for table in (self._targets[protocol], self._detections[protocol]):
            rows = table.rows()
            rows[:, 0] = rank[rows[:, 0].astype(int)]
            rows = rows[np.argsort(rows[:, 0], kind='stable')]
            tables.append(dict(zip(table.columns, rows.T, strict=True)))
        return tables[0], tables[1]


def evaluate(
    scores: Iterable[np.ndarray],
    masks: Iterable[np.ndarray],
    protocol: ProtocolLike | Iterable[ProtocolLike] = 'native',
    from_logits: bool = False,
    size: tuple[int, int] | None = None,
    boxes: bool = False,
) -> dict:
    """Score maps against masks.

    Args:
        scores: (H, W) arrays: probabilities in 0–1, or logits with ``from_logits``.
        masks: (H, W) arrays as read from the file, grey values and all; as many.
        protocol: One, by name or of one's own; or several (``'all'``, ``'native,abc'``, a list).
        from_logits: Whether ``scores`` are raw logits.
        size: (h, w) of the protocols that score at a base size (``acm``, ``abc``): scores are resized
            bilinearly, masks to the nearest, before scoring. ``dnanet`` is then at its own 256×256; protocols
            of native resolution are not touched. Without it, all arrays are scored at the size they have.
        boxes: Whether to add the box view (needs pycocotools).

    Returns:
        One protocol: its numbers, ``{'IoU', 'nIoU', 'F1', 'precision', 'recall', 'Pd', 'Fa', 'targets',
        'AUC', …}`` as fractions, see :meth:`Evaluator.compute`. Several: ``{name: numbers}``.

    Raises:
        UserError: Unknown protocol, another number of masks than of scores, no image at all, or arrays that
            do not fit.

    >>> score = np.zeros((8, 8)); score[2:4, 2:4] = 0.9
    >>> result = evaluate([score], [np.where(score > 0, 255, 0)])
    >>> result['IoU'], result['Pd'], result['Fa']
    (1.0, 1.0, 0.0)
    """
    evaluator = Evaluator(protocol, boxes=boxes)
    missing = object()
    for number, (score, mask) in enumerate(zip_longest(scores, masks, fillvalue=missing)):
        if score is missing or mask is missing:
            more, fewer = ('masks', 'score maps') if score is missing else ('score maps', 'masks')
            raise UserError(f'more {more} than {fewer}: only {number} {fewer} given')
        refuse_zero_one(mask, f'mask {number}')
        evaluator.update(score, mask, from_logits=from_logits, base_size=size)
    results = evaluator.compute()
    one = isinstance(protocol, (Protocol, dict)) or (isinstance(protocol, str) and len(results) == 1)
    return next(iter(results.values())) if one else results


def _target_rows(
    image: int, targets: Components, pred: Components, match: Match | None, scr: np.ndarray
) -> np.ndarray:
    """(n, len(TARGET_COLUMNS)) rows of one image's targets."""
    overlap = overlap_matrix(targets, pred)
    rows = {name: np.full(len(targets), nan) for name in TARGET_COLUMNS}
    rows['image'][:] = image
    rows['x'], rows['y'] = targets.centroids.T
    rows['x0'], rows['y0'], rows['x1'], rows['y1'] = targets.boxes.T
    rows['area'], rows['scr'] = targets.areas, scr
    rows['recall'] = overlap.sum(1) / targets.areas
    rows['matched'][:] = 0
    if match is not None:
        t, p = match.pairs.T
        rows['matched'][t] = 1
        rows['distance'][t] = match.distances
        rows['IoU'][t] = overlap[t, p] / (targets.areas[t] + pred.areas[p] - overlap[t, p])
    return np.column_stack([rows[name] for name in TARGET_COLUMNS])


def _pd_fa(images: dict[str, np.ndarray]) -> dict[str, list[float]]:
    targets, pixels = images['targets'].sum(), images['pixels'].sum()
    return {
        'threshold': list(PD_FA_THRESHOLDS),
        'Pd': [ratio(images[f'matched@{t:g}'].sum(), targets) for t in PD_FA_THRESHOLDS],
        'Fa': [ratio(images[f'false_pixels@{t:g}'].sum(), pixels) for t in PD_FA_THRESHOLDS],
    }


def _eleven(images: dict[str, np.ndarray], protocol: Protocol) -> dict[str, list[float]]:
    """The arrays of the published ABC code's ROC counter."""
    tp, fp, positive, negative = np.array([images[c].sum() for c in _ELEVEN]).reshape(4, -1)
    recall_epsilon, precision_epsilon, _ = protocol.f1_epsilons
    recall = tp / (positive + recall_epsilon)
    return {
        'threshold': list(ELEVEN_THRESHOLDS),
        'recall': recall.tolist(),
        'precision': (tp / (tp + fp + precision_epsilon)).tolist(),
        'tpr': recall.tolist(),
        'fpr': (fp / (negative + recall_epsilon)).tolist(),
    }


def _natural(name: str) -> list:
    return [(0, int(part), '') if part.isdigit() else (1, 0, part) for part in re.split(r'(\d+)', name)]


def _size(array: np.ndarray) -> str:
    return f'{array.shape[1]} × {array.shape[0]}'
