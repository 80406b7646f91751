"""``cost.json`` and ``costs.json``: what networks cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

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

    def of_views(self, views: int | None, scales: Sequence[float] | None = None) -> Cost:
        """What averaging several views, each at several scales, costs; MACs are taken to grow with the
        pixels, and latency is not known from that of one."""
        factor = (views or 1) * sum(scale * scale for scale in scales or (1,))
        if factor == 1:
            return self
        return replace(self, MACs=self.MACs and round(self.MACs * factor), latency=None, device=None)


@dataclass
class Costs(RecordFile):
    """``costs.json``: network → its cost."""

    FILE: ClassVar[str] = 'costs.json'
    WRITER: ClassVar[str] = 'docs/build/zoo.py'

    networks: dict[str, Cost]
    kind: Literal['costs'] = 'costs'
