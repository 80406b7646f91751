"""What ``tools/benchmark.py classical --json`` writes: training-free detectors over data sets."""

from __future__ import annotations

import os
from dataclasses import dataclass

from madnet.files import read_json
from madnet.records.metrics_file import DatasetInfo
from madnet.records.reading import Record, decode


@dataclass
class BestThreshold(Record):
    """The threshold with the highest IoU, chosen on the very images that are scored."""

    threshold: float
    IoU: float | None


@dataclass
class DetectorCurves(Record):
    """Numbers without a threshold: ``AUC`` of all pixels together, and the mean over images."""

    AUC: float | None
    AUC_per_image: float | None
    oracle: BestThreshold
    scale: str = ''


@dataclass
class DetectorResult(Record):
    """One detector on one data set.

    Attributes:
        title: What tables call it.
        paper: Where it comes from.
        rules: Threshold rule → metric → value, fractions.
        curves: On the scale of each image's lowest and highest score.
        constant_maps: Images whose score map has one value.
        seconds: CPU seconds an image.
    """

    title: str
    paper: str
    rules: dict[str, dict[str, float | None]]
    curves: DetectorCurves
    constant_maps: int
    seconds: float


@dataclass(kw_only=True)
class ClassicalSet(DatasetInfo):
    """All detectors on one data set."""

    methods: dict[str, DetectorResult]


def read_classical(path: str | os.PathLike) -> dict[str, ClassicalSet]:
    """Data set → what was measured on it.

    Raises:
        UserError: The file cannot be read, or holds something else.
    """
    return decode(dict[str, ClassicalSet], read_json(path), str(path))
