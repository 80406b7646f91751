"""What a picture has to show of one image: every target and every false alarm, with its kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from madnet.visualization.palette import DETECTION, FALSE_ALARM, HIT, MISSED, TARGET, Kind

if TYPE_CHECKING:
    from madnet.evaluation.components import Components
    from madnet.evaluation.matching import Match

#: How many have an inset, unless told otherwise.
MAX_INSETS = 6


@dataclass(frozen=True)
class Finding:
    """One target, found or not, or one false alarm."""

    kind: Kind
    truth: int | None  # index among the true components
    pred: int | None  # index among the predicted components
    #: ``(x0, y0, x1, y1)`` in pixels, half-open; for a hit, the box around both components.
    box: tuple[int, int, int, int]
    area: int  # pixels of the true component, or of the predicted one where there is no true one
    #: What it is called in pictures, from 1: of detections without truth their place among the components,
    #: which is their ``number`` in tables, else the place in the list.
    number: int = 0


def list_findings(
    truth: Components | None, pred: Components | None, match: Match | None = None
) -> list[Finding]:
    """All findings of one image, in the order in which they deserve to be looked at.

    Misses come first, then false alarms and hits by turns, each kind with the largest first.

    Args:
        truth: The true components; None where no truth is known: then all predictions are detections.
        pred: The predicted components; None where there is no prediction: then the truth is shown as targets.
        match: Which are hits, which are missed, which are false; needed where both of the others are given.

    Raises:
        ValueError: ``truth`` and ``pred`` are given without ``match``.
    """
    if truth is None:
        count = 0 if pred is None else len(pred.areas)
        return _by_area(_numbered([_finding(DETECTION, None, p, truth, pred) for p in range(count)]))
    if pred is None:
        return _numbered(_by_area([_finding(TARGET, t, None, truth, pred) for t in range(len(truth.areas))]))
    if match is None:
        raise ValueError('truth and prediction are given without a match: say which belong together')

    missed = _by_area([_finding(MISSED, int(t), None, truth, pred) for t in match.missed])
    false = _by_area([_finding(FALSE_ALARM, None, int(p), truth, pred) for p in match.false])
    hits = _by_area([_finding(HIT, int(t), int(p), truth, pred) for t, p in match.pairs])
    turns = [f for pair in zip_longest(false, hits) for f in pair if f is not None]
    return _numbered(missed + turns)


def first_findings(findings: Sequence[Finding], count: int) -> list[Finding]:
    """The first ``count``, which get an inset, in the order of their numbers."""
    return sorted(findings[:count], key=lambda f: f.number)


def _numbered(findings: list[Finding]) -> list[Finding]:
    return [replace(f, number=number) for number, f in enumerate(findings, 1)]


def _finding(kind, t, p, truth, pred) -> Finding:
    boxes = ([truth.boxes[t]] if t is not None else []) + ([pred.boxes[p]] if p is not None else [])
    x0, y0 = (min(int(b[i]) for b in boxes) for i in (0, 1))
    x1, y1 = (max(int(b[i]) for b in boxes) for i in (2, 3))
    area = int(truth.areas[t]) if t is not None else int(pred.areas[p])
    return Finding(kind, t, p, (x0, y0, x1, y1), area)


def _by_area(findings: list[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda f: -f.area)
