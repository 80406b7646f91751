"""``negatives.json``: where a detector took background for targets, on images that are trained on."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from madnet.records.reading import RecordFile


@dataclass
class NegativesFile(RecordFile):
    """Hard negatives of the images of one or more data sets.

    Attributes:
        points: Name of the data set → id of the image → rows and columns of false detections, the highest
            score first, in pixels of the image at its own size.
        detector: What found them: ``config``, and of a network ``checkpoint``.
    """

    FILE: ClassVar[str] = 'negatives.json'
    WRITER: ClassVar[str] = 'madnet test --save-negatives'

    points: dict[str, dict[str, list[list[int]]]]
    detector: dict[str, Any] = field(default_factory=dict)
