"""``cost.json`` and ``costs.json``: what networks cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
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

    def columns(self, measured: Cost) -> dict[str, float]:
        """The columns :data:`~madnet.records.columns.COST` of a table whose costs are ``measured`` as
        :func:`measured_like` says, as far as they are known so."""
        known = {k: getattr(self, k) for k in COST if getattr(self, k) is not None}
        if self.device != measured.device:
            known.pop('latency', None)
        return known if self.size == measured.size else {k: known[k] for k in known if k == 'parameters'}

    def of_all(self, averaging: Averaging) -> Cost:
        """What it costs to average so; latency is not known from that of one view."""
        if averaging.cost == 1:
            return self
        return replace(self, MACs=self.MACs and round(self.MACs * averaging.cost), latency=None, device=None)


def measured_like(costs: Iterable[Cost]) -> Cost:
    """Size and device of most of the costs that one table compares, of the first among as many: what was
    measured otherwise has no place in it. Empty where no size is known."""
    sized = [cost for cost in costs if cost.size]
    ways = Counter((cost.size, cost.device) for cost in [c for c in sized if c.latency] or sized)
    size, device = ways.most_common(1)[0][0] if ways else (None, None)
    return Cost(size=size, device=device)


def how_measured(costs: Sequence[Cost]) -> str:
    """What the caption of a table says of its costs, in one clause; empty where no size is known."""
    measured = measured_like(costs)
    if not measured.size:
        return ''
    words = f'MACs of one {measured.size}×{measured.size} image'
    if measured.device:
        words += f', latency of it on {measured.device}'
    others = any(cost.columns(measured) != cost.columns(cost) for cost in costs)
    return words + (' (left out where measured at another size or on another device)' if others else '')


@dataclass
class Costs(RecordFile):
    """``costs.json``: network → its cost."""

    FILE: ClassVar[str] = 'costs.json'
    WRITER: ClassVar[str] = 'docs/build/zoo.py'

    networks: dict[str, Cost]
    kind: Literal['costs'] = 'costs'
