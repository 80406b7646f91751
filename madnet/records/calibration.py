"""``*.calibration.json``: what scores of a detector mean, as validation images say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from madnet.records.metrics_file import Curve, DatasetInfo
from madnet.records.reading import Record, RecordFile


@dataclass
class CalibrationErrors(Record):
    """How far probabilities are from what they say.

    Attributes:
        count: Pixels, or detections.
        before, after: Expected calibration error without temperature and bias and with them; None of nothing.
        diagram_before, diagram_after: ``count``, ``said``, ``true`` of each bin of probability.
    """

    count: int
    before: float | None
    after: float | None
    diagram_before: dict[str, list[float | None]]
    diagram_after: dict[str, list[float | None]]


@dataclass
class Calibration(RecordFile):
    """What ``<weights>.calibration.json`` holds.

    Attributes:
        detector: Its name, and what it was made from.
        temperature, bias: By which logits are divided, and what is added, before the sigmoid; 1 and 0 for a
            training-free detector.
        pixels: Errors of pixels near targets.
        detections: Errors of detections, whose probability is that of their highest pixel.
        ranked: ``threshold``, ``Pd`` and ``Fa`` of detections by rank.
        separation: How well the rank tells hits from false alarms; and by logit and by area alone.
        sets: The images.
        views, scales, merge: What was averaged in each, as of :class:`~madnet.inference.Predictor`.
        versions: Package → version.
    """

    FILE: ClassVar[str] = 'calibration.json'
    WRITER: ClassVar[str] = 'madnet calibrate'

    detector: dict[str, Any]
    temperature: float
    pixels: CalibrationErrors
    detections: CalibrationErrors
    ranked: Curve
    separation: dict[str, float | None]
    sets: list[DatasetInfo]
    views: int = 1
    scales: list[float] = field(default_factory=lambda: [1.0])
    merge: str = 'mean'
    bias: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    kind: Literal['calibration'] = 'calibration'
