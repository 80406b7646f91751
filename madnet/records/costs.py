"""``cost.json`` and ``costs.json``: what networks cost."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from madnet.records.averaging import Averaging
from madnet.records.columns import COST
from madnet.records.reading import OMITTED, RecordFile


@dataclass
class Cost(RecordFile):
    """What a network costs for one image, as far as it is known.

    Attributes:
        parameters: How many numbers are learned.
        MACs: Multiply-accumulates of convolutions, matrix products and selective scans.
        latency: Seconds of a forward pass.
        device: What the latency was measured on, in words.
        size: Side of the square image in pixels.
        channels: Of the image.
        model_sha256: Of the settings of the network that was measured, where a comparison did it.
    """

    FILE: ClassVar[str] = 'cost.json'
    WRITER: ClassVar[str] = 'madnet compare'

    size: int | None = field(default=None, metadata=OMITTED)
    channels: int | None = field(default=None, metadata=OMITTED)
    parameters: int | None = field(default=None, metadata=OMITTED)
    MACs: int | None = field(default=None, metadata=OMITTED)
    latency: float | None = field(default=None, metadata=OMITTED)
    device: str | None = field(default=None, metadata=OMITTED)
    model_sha256: str | None = field(default=None, metadata=OMITTED)

    def columns(self) -> dict[str, float]:
        """The columns :data:`~madnet.records.columns.COST` of a table that are known."""
        return {k: getattr(self, k) for k in COST if getattr(self, k) is not None}

    def of_all(self, averaging: Averaging) -> Cost:
        """What it costs to average so; latency is not known from that of one view."""
        if averaging.cost == 1:
            return self
        return replace(self, MACs=self.MACs and round(self.MACs * averaging.cost), latency=None, device=None)


@dataclass
class Costs(RecordFile):
    """``costs.json``: network → its cost."""

    FILE: ClassVar[str] = 'costs.json'
    WRITER: ClassVar[str] = 'docs/build/zoo.py'

    networks: dict[str, Cost]
    kind: Literal['costs'] = 'costs'
