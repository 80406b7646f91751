"""``probe.json``: how a detector behaves when one thing at a time is changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from madnet.records.reading import OMITTED, Record, RecordFile


@dataclass
class ProbePoint(Record):
    """What was found at one value of what is changed.

    Attributes:
        value: On the sweep's axis.
        frames: Shown to the detector.
        pixels: Of them all.
        targets: That were in them.
        found: Those with a detection whose centroid lies within 3 px, one-to-one.
        false_components: Detections that belong to no target.
        false_pixels: Their pixels.
        label: The value in words, where it is no number.
        pairs: Pairs of targets, where they stand in pairs.
        pairs_found: Those of which both were found.
        defects: Bad pixels or lines in the frames, where there are such.
        defects_alarmed: Those with a false detection on them.
    """

    value: float
    frames: int
    pixels: int
    targets: int
    found: int
    false_components: int
    false_pixels: int
    label: str | None = field(default=None, metadata=OMITTED)
    pairs: int | None = field(default=None, metadata=OMITTED)
    pairs_found: int | None = field(default=None, metadata=OMITTED)
    defects: int | None = field(default=None, metadata=OMITTED)
    defects_alarmed: int | None = field(default=None, metadata=OMITTED)

    @property
    def pd(self) -> float | None:
        """Share of the targets that were found, of pairs the share with both; None where there are none."""
        found, of = (self.found, self.targets) if self.pairs is None else (self.pairs_found, self.pairs)
        return found / of if found is not None and of else None

    @property
    def alarms(self) -> float:
        """False components in a million pixels."""
        return 1e6 * self.false_components / self.pixels


@dataclass
class ProbeSweep(Record):
    """One thing that was changed, over its values.

    Attributes:
        key: Its name.
        title: In words.
        axis: What the values are, with their unit.
        about: What is done to a frame.
        points: In the order of the values.
        unchanged: The value at which nothing is changed; None where no value leaves the frame alone.
        log: Whether the axis is logarithmic.
        half: Where Pd crosses 50 %, between two values by a straight line; None where it does not.
    """

    key: str
    title: str
    axis: str
    about: str
    points: list[ProbePoint]
    unchanged: float | None = None
    log: bool = False
    half: float | None = None

    @property
    def worst(self) -> ProbePoint | None:
        """The point of the lowest Pd; None without targets."""
        known = {p.pd: p for p in reversed(self.points) if p.pd is not None}
        return known[min(known)] if known else None

    @property
    def reference(self) -> ProbePoint | None:
        """The point at which nothing is changed."""
        return next((p for p in self.points if p.value == self.unchanged), None)


@dataclass
class ProbeCheck(Record):
    """One thing that a user may expect.

    Attributes:
        expected: What, in words.
        found: What was found, in words.
        holds: Whether it is so; None where the frames do not say.
    """

    expected: str
    found: str
    holds: bool | None


@dataclass
class ProbeFile(RecordFile):
    """What ``probe.json`` holds.

    Attributes:
        detector: Its name, what it was made from, and the options that were given, such as ``views``.
        threshold: Score above which is target.
        material: The frames: ``name``, ``split``, ``frames`` (how many), ``names``.
        seed: Of all draws.
        quick: Whether only a few frames were used.
        sweeps: What was changed.
        checks: What a user may expect, and whether it is so.
        versions: Package → version.
    """

    FILE: ClassVar[str] = 'probe.json'
    WRITER: ClassVar[str] = 'madnet probe'

    detector: dict[str, Any]
    threshold: float
    material: dict[str, Any]
    seed: int
    sweeps: list[ProbeSweep]
    checks: list[ProbeCheck] = field(default_factory=list)
    quick: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    kind: Literal['probe'] = 'probe'

    def sweep(self, key: str) -> ProbeSweep | None:
        """The sweep of that name; None where it was not run."""
        return next((s for s in self.sweeps if s.key == key), None)
