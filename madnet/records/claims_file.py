"""``claims.json``: published weights, measured again, beside what is claimed of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from madnet.records.columns import column
from madnet.records.metrics_file import DatasetInfo
from madnet.records.reading import Record, RecordFile

Values = dict[str, float | None]
Intervals = dict[str, list[float | None]]


@dataclass
class CheckedClaim(Record):
    """One claim, measured.

    Attributes:
        dataset: Which images.
        protocol: Name of the one that the claim is checked under.
        claimed: Metric → number, in fractions as in ``metrics.json``.
        measured: All metrics under that protocol.
        intervals: Metric → [low, high] of its 95 % interval over the images.
        native: All metrics under protocol ``native``.
        native_intervals: Their 95 % intervals.
        views: Views of each image that were averaged.
        source: Where the claim stands.
        note: What else is to be known of it.
    """

    dataset: DatasetInfo
    protocol: str
    claimed: Values
    measured: Values
    intervals: Intervals
    native: Values
    native_intervals: Intervals
    views: int = 1
    source: str = ''
    note: str = ''


@dataclass
class ClaimsFile(RecordFile):
    """What ``madnet verify`` found.

    Attributes:
        name: Of the weights in the registry.
        about: What they are, in one line.
        sha256: Of their file.
        origin: Repository and path where others published them.
        trained_on: In words.
        claims: One by one.
        versions: Package → version.
    """

    FILE: ClassVar[str] = 'claims.json'
    WRITER: ClassVar[str] = 'madnet verify'

    name: str
    about: str
    sha256: str
    claims: list[CheckedClaim]
    origin: str | None = None
    trained_on: str = ''
    versions: dict[str, Any] = field(default_factory=dict)


#: Columns of :func:`claim_rows`.
HEADS = ['metric', 'claimed', 'measured', 'difference', '95 % interval', 'native', '95 % interval']


def claim_rows(found: ClaimsFile) -> list[tuple[str, list[list[str]]]]:
    """The tables of a file: what each is about, and a row for every metric of the claim."""
    tables = []
    for claim in found.claims:
        rows = [_row(key, value, claim) for key, value in claim.claimed.items()]
        views = f', {claim.views} views' if claim.views > 1 else ''
        tables.append((f'{claim.dataset.words} ({claim.dataset.images}), {claim.protocol}{views}', rows))
    return tables


def _row(key: str, claimed: float | None, claim: CheckedClaim) -> list[str]:
    unit = column(key)
    measured = claim.measured.get(key)
    apart = '–'
    if measured is not None and claimed is not None:
        apart = f'{round((measured - claimed) * unit.scale, 2) + 0.0:+.2f}'  # never -0.00

    def between(interval: Sequence[float | None] | None) -> str:
        return '–' if interval is None else f'{unit.text(interval[0])} to {unit.text(interval[1])}'

    return [
        unit.title,
        unit.text(claimed),
        unit.text(measured),
        apart,
        between(claim.intervals.get(key)),
        unit.text(claim.native.get(key)),
        between(claim.native_intervals.get(key)),
    ]
