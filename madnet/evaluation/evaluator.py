"""Any number of protocols over any number of images in one pass, one image at a time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from madnet.errors import UserError
from madnet.evaluation.arrays import as_mask, as_scores, refuse_zero_one
from madnet.evaluation.counts import ImageCounts, count_image
from madnet.evaluation.curves import ScoreHistogram
from madnet.evaluation.metrics import SetCounts, image_rows, set_details, set_metrics
from madnet.evaluation.protocols import Protocol, ProtocolLike, get_protocols
from madnet.evaluation.targets import PREDICTED
from madnet.evaluation.view import View
from madnet.images.masks import fits


class _Scored(NamedTuple):
    name: str
    counts: dict[str, ImageCounts]  # by protocol


class Evaluator:
    """Takes one image at a time and keeps its counts.

    They come from :func:`~madnet.evaluation.counts.count_image`, and the numbers are made of them by
    :mod:`madnet.evaluation.metrics`; scores go into histograms of fixed size. All results are sums of whole
    numbers, or exactly rounded sums of fractions, so they do not depend on the order of the images or on how
    they were shared out among processes.

    An image that comes twice (samplers pad the last round of a distributed run by repeating) counts once.

    Args:
        protocols: As :func:`~madnet.evaluation.protocols.get_protocols` takes them.
        curves: Whether ROC, PR and Pd-Fa are collected. Without them, validation costs least.
        boxes: Whether the box view is collected, for the ``extended`` protocols; needs pycocotools.
        extended: False leaves out hIoU, strata and box view of every protocol: thousands of components in the
            noise of an untrained network make them expensive.

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
        self._images: dict[Hashable, _Scored] = {}
        self._histograms: dict[tuple, ScoreHistogram] = {}
        self._recent: OrderedDict[Hashable, dict[tuple, tuple]] = OrderedDict()
        self._taken_base: tuple[int, ...] | None = None  # where nobody names one

    def __len__(self) -> int:
        return len(self._images)

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
            scores: (H, W) probabilities in 0–1, or logits, at the image's own size; at any where all
                protocols score at a base size.
            mask: (H, W) grey values as in the file, see :func:`~madnet.evaluation.arrays.as_mask`.
            name: The image's, for :meth:`per_image`; default its running number.
            from_logits: Whether ``scores`` are raw logits.
            net_logits: (h, w) raw logits at the size the network saw. Protocols at a base size take these,
                resized only where their size is another; without them, ``scores``.
            base_size: (h, w) of protocols at a base size; default the size of ``net_logits``. Without either,
                these protocols too score arrays at the size they have, which must then be the same for all.
            image: (H, W) or (H, W, C) grey values for the local signal-to-clutter ratio and the rank of
                targets, at the mask's size or another scale of it; optional.
            key: What makes the image the same as another; default its name.

        Raises:
            UserError: Sizes differ, values are out of range, a map has more than one channel, a base size is
                missing, or too many components for hIoU.
        """
        name = str(len(self)) if name is None else str(name)
        key = name if key is None else key
        if key in self._images:
            return
        scores = as_scores(scores, f'{name}: score map', from_logits)
        mask = as_mask(mask, f'{name}: mask')
        if scores.shape != mask.shape:
            at_own = [p.name for p in self.protocols if base_size is None or p.resolution == 'native']
            if at_own:
                raise UserError(
                    f'{name}: score map is {_size(scores.shape)}, mask is {_size(mask.shape)} (width × height'
                    f'); expected equal sizes for protocol {", ".join(at_own)}; others take any, with a base'
                    ' size (--size)'
                )
        if image is not None and not fits(np.shape(image)[1::-1], mask.shape[::-1]):
            raise UserError(
                f'{name}: image is {_size(np.shape(image))}, mask is {_size(mask.shape)} (width × height); '
                'expected equal sizes, or a scaled copy of the same aspect'
            )
        if net_logits is not None:
            net_logits = as_scores(net_logits, f'{name}: logits', True)
        same_size = net_logits is not None and net_logits.shape == scores.shape
        if base_size is None:
            base_size = mask.shape if net_logits is None else net_logits.shape
            self._take_as_base(base_size)
        own = View(scores, mask, from_logits, net_logits if same_size else None)
        views: dict[tuple, View] = {}
        counts: dict[str, ImageCounts] = {}
        shares: dict[tuple, tuple] = {}
        for protocol in self.protocols:
            size = protocol.scored_size(mask.shape, base_size)
            logits = net_logits if protocol.resolution != 'native' else None
            place = (logits is not None, size)
            if place not in views:
                if logits is not None:
                    views[place] = own.resized(logits, True, size)
                else:
                    whole = size == mask.shape == scores.shape
                    views[place] = own if whole else own.resized(scores, from_logits, size)
            view = views[place]
            try:
                counts[protocol.name] = count_image(protocol, view, image, self.curves, self.boxes)
            except UserError as e:
                raise UserError(f'{name}: {e}') from None
            if self.curves and _group(protocol) not in shares:
                shares[_group(protocol)] = ScoreHistogram.count(view.bins, view.truth(protocol.mask))
        for group, share in shares.items():
            self._histograms.setdefault(group, ScoreHistogram()).add(share)
        self._images[key] = _Scored(name, counts)
        if self.curves:
            self._recent[key] = shares
            if len(self._recent) > self.RECENT:
                self._recent.popitem(last=False)

    def _take_as_base(self, size: tuple[int, ...]) -> None:
        """Take the size of arrays for the base size, as long as all have the same."""
        names = [p.name for p in self.protocols if p.resolution == 'base']
        if names and self._taken_base not in (None, size):
            raise UserError(
                f'protocol {", ".join(names)} scores all images at one base size; this data set has none, '
                f'and images of {_size(self._taken_base)} and {_size(size)}: choose it, such as '
                '--cfg-options base_size=256 (madnet evaluate: --size 256)'
            )
        self._taken_base = size

    def merge(self, other: Evaluator) -> Evaluator:
        """Take over what another evaluator with the same settings has counted; returns self.

        Images that both have seen count once. Their counts are simply left out; from a histogram a repeated
        image can be taken out again while it is among the last ``RECENT`` ones that either side scored, which
        covers the padding of distributed samplers.

        Raises:
            UserError: Other settings, or the same image on both sides too long ago to be taken out of the
                curves.
        """
        if (other.protocols, other.curves, other.boxes) != (self.protocols, self.curves, self.boxes):
            raise UserError('cannot merge evaluations with other protocols or options')
        if other._taken_base is not None:
            self._take_as_base(other._taken_base)
        repeated = [key for key in other._images if key in self._images]
        shares_out = [other._recent.get(key) or self._recent.get(key) for key in repeated if self.curves]
        if None in shares_out:
            raise UserError(
                f'image {repeated[shares_out.index(None)]!r} was scored by two processes, not as the last of'
                ' either: give the sampler round_up=False, or evaluate without curves'
            )
        for group, histogram in other._histograms.items():
            self._histograms.setdefault(group, ScoreHistogram()).merge(histogram)
        for shares in filter(None, shares_out):
            for group, share in shares.items():
                self._histograms[group].add(share, -1)
        self._recent.update(other._recent)
        for key, scored in other._images.items():
            self._images.setdefault(key, scored)
        return self

    def compute(self) -> dict[str, dict[str, float]]:
        """The numbers of every protocol.

        Returns:
            ``{'native': {'IoU', 'nIoU', 'F1', 'precision', 'recall', 'Pd', 'Fa', 'targets', 'images', 'AUC',
            'AP', …}, …}`` as fractions, and ``false_per_image``, components; NaN for what a protocol does not
            define, and for Pd without targets.
            ``extended`` protocols add hIoU with its error shares, ``Sp`` of LimitIRSTD, ``Pd@1e-4``,
            ``Pd@1e-5`` and ``Pd@1e-6`` (the highest Pd at an Fa of at most that, detections being ranked),
            ``AUC_rank`` (how well the rank tells hits from false alarms) and, with ``boxes``, ``AP50``,
            ``AP50-95`` and ``AP_centre``.

        Raises:
            UserError: No image was scored.
        """
        return {p.name: set_metrics(self._counted_any(p)) for p in self.protocols}

    def details(self, resamples: int = 1000, points: int = 200) -> dict[str, dict]:
        """What reports draw: curves, strata and intervals of every protocol.

        Args:
            resamples: How many, for the bootstrap; 0 for none.
            points: About how many points a curve has at most.

        Returns:
            Per protocol: ``intervals`` (95 %: ``{'IoU': [low, high], …}``); with ``curves``: ``roc``
            (``threshold, fpr, tpr``), ``pr`` (``threshold, recall, precision``) and ``best_threshold``
            (``threshold, IoU``); for ``extended`` protocols ``pd_fa`` (``threshold, Pd, Fa``) and ``strata``
            (``size, scr, count``, each a list of rows), and ``ranked`` (``threshold, Pd, Fa`` of
            :func:`~madnet.evaluation.ranking.ranked_curve`); for ``abc`` its ``eleven`` (``threshold,
            recall, precision, tpr, fpr``).

        Raises:
            UserError: No image was scored.
        """
        return {p.name: set_details(self._counted_any(p), resamples, points) for p in self.protocols}

    def per_image(self) -> list[dict[str, float | int | str]]:
        """One row per protocol and image, in natural order of names: what ``per_image.csv`` holds.

        IoU is the image's term of nIoU; a protocol without Pd and Fa has NaN there.
        """
        return [row for protocol in self.protocols for row in image_rows(self.counted(protocol.name))]

    def counted(self, protocol: str) -> SetCounts:
        """What the protocol of that name has counted so far."""
        chosen = next(p for p in self.protocols if p.name == protocol)
        images = [scored.counts[protocol] for scored in self._images.values()]
        histogram = self._histograms.get(_group(chosen), ScoreHistogram()) if self.curves else None
        return SetCounts(chosen, self.names, images, histogram)

    def _counted_any(self, protocol: Protocol) -> SetCounts:
        if not self._images:
            raise UserError('nothing to evaluate: no image was scored')
        return self.counted(protocol.name)

    @property
    def names(self) -> list[str]:
        """The images' names in the order of their counts."""
        return [scored.name for scored in self._images.values()]

    def images(self, protocol: str) -> dict[str, np.ndarray]:
        """Per-image counts by column, and ``IoU`` under the protocol's rules, in the order of ``names``."""
        return self.counted(protocol).columns()

    def predicted(self, protocol: str) -> dict[str, np.ndarray]:
        """Columns :data:`~madnet.evaluation.targets.PREDICTED` of an ``extended`` protocol's detections, and
        ``image``, which indexes ``names``."""
        return self.counted(protocol).rows('predicted_rows', PREDICTED)


def joined(sets: Mapping[str, Evaluator]) -> Evaluator:
    """Several data sets, each scored on its own with the same settings, as one: every image of each counts,
    under ``<set>/<name>``."""
    first = next(iter(sets.values()))
    every = Evaluator(first.protocols, first.curves, first.boxes)
    for label, one in sets.items():
        for key, scored in one._images.items():
            every._images[label, key] = _Scored(f'{label}/{scored.name}', scored.counts)
        for group, histogram in one._histograms.items():
            every._histograms.setdefault(group, ScoreHistogram()).merge(histogram)
    return every


def evaluate(
    scores: Iterable[np.ndarray],
    masks: Iterable[np.ndarray],
    protocol: ProtocolLike = 'native',
    from_logits: bool = False,
    size: tuple[int, int] | None = None,
    boxes: bool = False,
) -> dict[str, float]:
    """Score maps against masks, under one protocol.

    Args:
        scores: (H, W) arrays: probabilities in 0–1, or logits with ``from_logits``.
        masks: (H, W) arrays as read from the file, grey values and all; as many.
        protocol: One, by name or of one's own.
        from_logits: Whether ``scores`` are raw logits.
        size: (h, w) of the protocols that score at a base size (``acm``, ``abc``): scores are resized
            bilinearly, masks to the nearest, before scoring. ``dnanet`` is then at its own 256×256; protocols
            of native resolution are not touched. Without it, all arrays are scored at the size they have.
        boxes: Whether to add the box view (needs pycocotools).

    Returns:
        The numbers of :meth:`Evaluator.compute` under this protocol, as fractions.

    Raises:
        UserError: Unknown protocol or several, another number of masks than of scores, no image at all, or
            arrays that do not fit.

    >>> score = np.zeros((8, 8)); score[2:4, 2:4] = 0.9
    >>> result = evaluate([score], [np.where(score > 0, 255, 0)])
    >>> result['IoU'], result['Pd'], result['Fa']
    (1.0, 1.0, 0.0)
    """
    chosen = get_protocols(protocol)
    if len(chosen) != 1:
        raise UserError(
            f'evaluate takes one protocol, found {", ".join(p.name for p in chosen)}; for several use'
            ' evaluate_all'
        )
    return evaluate_all(scores, masks, chosen, from_logits, size, boxes)[chosen[0].name]


def evaluate_all(
    scores: Iterable[np.ndarray],
    masks: Iterable[np.ndarray],
    protocols: ProtocolLike | Iterable[ProtocolLike] = 'all',
    from_logits: bool = False,
    size: tuple[int, int] | None = None,
    boxes: bool = False,
) -> dict[str, dict[str, float]]:
    """:func:`evaluate` under several protocols in one pass (``'all'``, ``'native,abc'``, one, or a list):
    ``{name of the protocol: its numbers}``."""
    evaluator = Evaluator(protocols, boxes=boxes)
    missing: Any = object()
    # one map (H, W) alone is one image
    each = ([given] if getattr(given, 'ndim', 0) == 2 else given for given in (scores, masks))
    for number, (score, mask) in enumerate(zip_longest(*each, fillvalue=missing)):
        if score is missing or mask is missing:
            more, fewer = ('masks', 'score maps') if score is missing else ('score maps', 'masks')
            raise UserError(f'more {more} than {fewer}: only {number} {fewer} given')
        refuse_zero_one(mask, f'mask {number}')
        evaluator.update(score, mask, from_logits=from_logits, base_size=size)
    return evaluator.compute()


def _group(protocol: Protocol) -> tuple:
    """Protocols that share a histogram."""
    return protocol.resolution, protocol.mask


def _size(shape: tuple[int, ...]) -> str:
    return f'{shape[1]} × {shape[0]}'
