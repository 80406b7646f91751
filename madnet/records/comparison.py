"""``comparison.json``: many networks, data sets and seeds, trained and tested alike."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from madnet.records.columns import Spread
from madnet.records.costs import Cost
from madnet.records.metrics_file import DatasetInfo
from madnet.records.reading import OMITTED, Record, RecordFile


@dataclass
class ComparisonPlan(Record):
    """The parts of the plan that tables speak of."""

    datasets: list[str]
    seeds: list[int]
    recipe: str | None = None
    protocols: Any = ()
    options: dict[str, Any] = field(default_factory=dict)
    views: list[int] = field(default_factory=list)
    amp: str | None = None
    size: int = 256


@dataclass
class ComparisonRow(Record):
    """One network on one data set with one number of views.

    Attributes:
        network: Name of the network or the detector.
        label: What tables call it.
        dataset: Which images it was tested on.
        config: Its config file.
        results: Protocol → metric → mean, deviation and number over the seeds.
        cost: Of all views together.
        views: Views of each image that are averaged.
        recipe: Name of the recipe; None where nothing was trained, or by a config that the plan names.
        chosen: How the tested epoch was chosen, in words.
        epochs: Of the training; None where it went by minutes.
        budget: Minutes that each training had instead.
        stopped: Where a hook ended trainings before that, in words; None where none did.
        rule: Threshold of a training-free detector.
        seeds: Those that are done.
        minutes: Of all seeds together.
        folders: Of the finished tests, within the comparison's.
    """

    network: str
    label: str
    dataset: DatasetInfo
    config: str
    results: dict[str, dict[str, Spread]]
    cost: Cost = field(default_factory=Cost)
    views: int = 1
    recipe: str | None = None
    chosen: str | None = None
    epochs: int | None = None
    budget: float | None = None
    stopped: list[str] | None = field(default=None, metadata=OMITTED)
    rule: str | None = None
    seeds: list[int] = field(default_factory=list)
    minutes: float = 0.0
    folders: list[str] = field(default_factory=list)

    def values(self, protocol: str) -> dict[str, float | Spread | None]:
        """Metrics under a protocol as tables take them: a plain number for one seed."""
        return {k: v if v.n > 1 else v.mean for k, v in self.results[protocol].items()}


@dataclass
class Comparison(RecordFile):
    """What a comparison found so far.

    Attributes:
        plan: What was asked for.
        rows: What is done.
        made: Date, as YYYY-MM-DD.
        machine: In words.
        versions: Package → version.
        failed: Run → error.
        kind: ``'comparison'``.
    """

    FILE: ClassVar[str] = 'comparison.json'
    WRITER: ClassVar[str] = 'madnet compare'

    plan: ComparisonPlan
    rows: list[ComparisonRow]
    made: str = ''
    machine: str = ''
    versions: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str | None] = field(default_factory=dict)
    kind: Literal['comparison'] = 'comparison'
