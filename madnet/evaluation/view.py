"""One image at one size, with everything that several protocols may ask of it computed once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from madnet.evaluation.arrays import resize_mask, resize_scores, sigmoid
from madnet.evaluation.components import Components, find_components
from madnet.evaluation.curves import score_bins
from madnet.evaluation.matching import Match, match_components
from madnet.evaluation.protocols import LOGIT, Protocol
from madnet.evaluation.rules import MASK_RULES
from madnet.evaluation.targets import describe_components

_Made = TypeVar('_Made')


class View:
    """A score map and its mask at the size they are scored at.

    Args:
        scores: (H, W) float32, probabilities in 0–1 or logits.
        mask: (H, W) uint8 grey values.
        from_logits: What ``scores`` are.
        logits: (H, W) raw logits, where ``scores`` are what a sigmoid has made of them: it rounds the highest
            ones to 1.
    """

    def __init__(
        self, scores: np.ndarray, mask: np.ndarray, from_logits: bool, logits: np.ndarray | None = None
    ):
        self.mask = mask
        self._logits = scores if from_logits else logits
        self._scores = scores
        self._from_logits = from_logits
        self._cache: dict[tuple, Any] = {}

    def resized(self, scores: np.ndarray, from_logits: bool, size: tuple[int, int]) -> View:
        """Another view of this image's mask, mask and given scores resized to (h, w)."""
        return View(resize_scores(scores, size), resize_mask(self.mask, size), from_logits)

    @cached_property
    def prob(self) -> np.ndarray:
        """(H, W) float32 in 0–1."""
        return sigmoid(self._scores) if self._from_logits else self._scores

    def describe(self, components: Components, image: np.ndarray | None) -> np.ndarray:
        """Rows of :func:`~madnet.evaluation.targets.describe_components`, by logits where there are any."""
        if self._logits is None:
            return describe_components(self._scores, components, image)
        return describe_components(self._logits, components, image, scaling=None)

    @cached_property
    def bins(self) -> np.ndarray:
        """(H, W) bins of a :class:`~madnet.evaluation.curves.ScoreHistogram`."""
        return score_bins(self.prob)

    def _once(self, key: tuple, make: Callable[[], _Made]) -> _Made:
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]

    def prediction(self, rule: str | float) -> np.ndarray:
        """(H, W) bool. Given probabilities only, raw logit > 0 is probability > 0.5."""
        if rule != LOGIT:
            return self._once(('prediction', rule), lambda: self.prob > rule)
        if not self._from_logits:
            return self.prediction(0.5)
        return self._once(('prediction', rule), lambda: self._scores > 0)

    def truth(self, rule: str) -> np.ndarray:
        """(H, W) bool by a key of ``MASK_RULES``."""
        return self._once(('truth', rule), lambda: MASK_RULES[rule](self.mask))

    def predicted_components(self, rule: str | float) -> Components:
        """Components of :meth:`prediction`."""
        rule = 0.5 if rule == LOGIT and not self._from_logits else rule
        return self._once(('pred', rule), lambda: find_components(self.prediction(rule)))

    def targets(self, rule: str) -> Components:
        """Components of :meth:`truth`."""
        return self._once(('targets', rule), lambda: find_components(self.truth(rule)))

    def match(self, protocol: Protocol) -> Match:
        """The match of :meth:`targets` and :meth:`predicted_components`, by a protocol that matches."""
        matching = protocol.matching
        assert matching is not None, protocol.name
        truth, pred = self.targets(protocol.mask), self.predicted_components(protocol.target_prediction)
        key = ('match', protocol.mask, protocol.target_prediction, matching, protocol.radius)
        return self._once(key, lambda: match_components(truth, pred, matching, protocol.radius))
