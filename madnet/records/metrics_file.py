"""``metrics.json`` and ``per_image.csv``: what a test or a scoring of folders found."""

import csv
import io
import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from madnet.errors import UserError
from madnet.files import CannotWrite, replacing
from madnet.records.reading import OMITTED, Record, RecordFile
from madnet.text import counted, csv_text, encodable, from_cell, score_text

Curve = dict[str, list[float | None]]

#: Folders beside ``metrics.json`` that are of the same test: score maps, and pictures.
MAPS, PICTURES = 'scores', 'overlays'

#: Fewer images, of a target or two each, say nothing about the next ones: an interval over them is too short.
FEWEST_IMAGES = 20


def few_images_text(images: int | None) -> str:
    """A warning where a test part is too small to measure by; empty where it is not, or its size unknown."""
    if images is None or images >= FEWEST_IMAGES:
        return ''
    few = counted(images, 'image')
    return f'warning: {few} to test on cannot measure much: one target more or less is several per cent of Pd'


@dataclass
class DatasetInfo(Record):
    """Which images were scored.

    Attributes:
        name: Name of the data set, or the folder of the masks.
        split: Part of it, such as ``'test'``.
        split_set: Name of the split lists that the part is of.
        images: Number of images.
        split_sha256: Of their ids.
        images_sha256, masks_sha256: Of what their files hold, where these are at hand; see
            :class:`~madnet.datasets.contents.Contents`.
        trained_on: How many of them the network was trained on, by what is recorded of its training; None
            where none are known to be.
    """

    name: str | None = None
    split: str | None = None
    split_set: str | None = None
    images: int | None = None
    split_sha256: str | None = field(default=None, metadata=OMITTED)
    images_sha256: str | None = field(default=None, metadata=OMITTED)
    masks_sha256: str | None = field(default=None, metadata=OMITTED)
    trained_on: int | None = field(default=None, metadata=OMITTED)

    @property
    def words(self) -> str:
        """Name, split lists and part, such as ``'NUAA-SIRST idx_427 test'``."""
        return ' '.join(filter(None, (self.name, self.split_set, self.split)))


@dataclass
class CheckpointInfo(Record):
    """The weights that were tested, with the SHA-256 of the file."""

    path: str | None = None
    sha256: str | None = None


@dataclass
class TrainingInfo(Record):
    """How the weights were trained.

    Attributes:
        seed: Of the run.
        recipe: Length, batch and optimizer in words.
        epoch: Which epoch these weights are of, and by what it was chosen, in words.
        stopped: Where a hook ended the training before the length of the recipe, in words; None where none
            did.
        digests: Part of the config → its digest: equal where two runs share that part; a record of an
            earlier version has none of some parts.
    """

    seed: int | None = None
    recipe: str | None = None
    epoch: str | None = None
    stopped: str | None = field(default=None, metadata=OMITTED)
    digests: dict[str, str] = field(default_factory=dict)


@dataclass
class Details(Record):
    """What reports draw under one protocol; see :meth:`madnet.evaluation.Evaluator.details`.

    Attributes:
        protocol: What the protocol reproduces, in words.
        intervals: Metric → [low, high] of the 95 % interval.
        roc: ``threshold``, ``fpr`` and ``tpr`` of pixels.
        pr: ``threshold``, ``recall`` and ``precision`` of pixels.
        best_threshold: ``threshold`` and the ``IoU`` there.
        pd_fa: ``threshold``, ``Pd`` and ``Fa``.
        ranked: The same over the rank of detections, whole ones of which are left out.
        strata: ``size``, ``scr``, ``count`` → rows.
        eleven: The published curves of ``abc``: ``threshold``, ``recall``, ``precision``, ``tpr``, ``fpr``.
    """

    protocol: str | None = field(default=None, metadata=OMITTED)
    intervals: dict[str, list[float | None]] | None = field(default=None, metadata=OMITTED)
    roc: Curve | None = field(default=None, metadata=OMITTED)
    pr: Curve | None = field(default=None, metadata=OMITTED)
    best_threshold: dict[str, float | None] | None = field(default=None, metadata=OMITTED)
    pd_fa: Curve | None = field(default=None, metadata=OMITTED)
    ranked: Curve | None = field(default=None, metadata=OMITTED)
    strata: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    eleven: Curve | None = field(default=None, metadata=OMITTED)


@dataclass
class SetResults(Record):
    """One of several data sets that were scored together; attributes as of :class:`MetricsFile`."""

    results: dict[str, dict[str, float | None]]
    dataset: DatasetInfo = field(default_factory=DatasetInfo)
    details: dict[str, Details] = field(default_factory=dict)
    other_metrics: dict[str, Any] | None = field(default=None, metadata=OMITTED)


@dataclass
class MetricsFile(RecordFile):
    """What ``metrics.json`` holds.

    Attributes:
        results: Protocol → metric → value: fractions; None where it is undefined.
        dataset: Which images.
        config: The config of the test.
        checkpoint: Its weights; None for a training-free detector.
        training: How they were trained, as far as the checkpoint says.
        predictions: Folder of the score maps, where folders were scored.
        labels, from_logits: Whether these hold labels or raw logits, where they do.
        masks: Folder of the masks, likewise.
        views: Views of each image that a prediction averages.
        scales: At which each view was predicted, where that is not 1 alone.
        merge: What was taken of their logits, ``'mean'`` or ``'max'``.
        least: What components above 0.5 had at least to count, where that was asked for: ``min_area``,
            ``min_scr``, ``min_rank``.
        threshold: Probability above which is target, where it is not the protocols' own.
        threshold_chosen_on: On which images it was chosen, in words; None where it was given.
        fa_budget: Where detections were left out to keep to a budget of false alarms: ``budget``, the least
            ``rank``, what it was ``chosen_on``, in words, and ``Pd`` and ``Fa`` so, by ``native``.
        details: Protocol → what reports draw.
        other_metrics: What metrics beside IRSTDMetric gave in the test, by name, as they gave it; of several
            data sets each has its own.
        sets: Where several data sets were scored: name → its part of what is said of all here.
        detector: A training-free detector's ``method``, ``title``, ``paper``, ``parameters``, ``rule`` and
            ``formula``.
        left_out: Images that were not scored.
        versions: Package → version.
    """

    FILE: ClassVar[str] = 'metrics.json'
    WRITER: ClassVar[str] = 'madnet test'

    results: dict[str, dict[str, float | None]]
    dataset: DatasetInfo = field(default_factory=DatasetInfo)
    config: str | None = field(default=None, metadata=OMITTED)
    checkpoint: CheckpointInfo | None = None
    training: TrainingInfo | None = field(default=None, metadata=OMITTED)
    predictions: str | None = field(default=None, metadata=OMITTED)
    labels: bool | None = field(default=None, metadata=OMITTED)
    from_logits: bool | None = field(default=None, metadata=OMITTED)
    masks: str | None = field(default=None, metadata=OMITTED)
    views: int | None = field(default=None, metadata=OMITTED)
    scales: list[float] | None = field(default=None, metadata=OMITTED)
    merge: str | None = field(default=None, metadata=OMITTED)
    least: dict[str, float] | None = field(default=None, metadata=OMITTED)
    threshold: float | None = field(default=None, metadata=OMITTED)
    threshold_chosen_on: str | None = field(default=None, metadata=OMITTED)
    fa_budget: dict[str, Any] | None = field(default=None, metadata=OMITTED)
    details: dict[str, Details] = field(default_factory=dict)
    other_metrics: dict[str, Any] | None = field(default=None, metadata=OMITTED)
    sets: dict[str, SetResults] | None = field(default=None, metadata=OMITTED)
    detector: dict[str, Any] | None = field(default=None, metadata=OMITTED)
    left_out: Any = field(default=None, metadata=OMITTED)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def threshold_text(self) -> str:
        """The threshold in words; empty where the protocols' own hold."""
        if self.threshold is None:
            return ''
        chosen = f', chosen by IoU on {self.threshold_chosen_on}' if self.threshold_chosen_on else ''
        return f'threshold {score_text(self.threshold)}{chosen}'

    @property
    def least_text(self) -> str:
        """What components had at least to count, in words; empty where all count."""
        kinds = {'min_area': ('area', 1), 'min_scr': ('local SCR', 0), 'min_rank': ('rank', 0)}
        below = [f'{kinds[k][0]} below {v:g}' for k, v in (self.least or {}).items() if v > kinds[k][1]]
        return f'left out: components with {" or ".join(below)}' if below else ''

    @property
    def budget_text(self) -> str:
        """What a budget of false alarms leaves, in words; empty where none was asked for."""
        if self.fa_budget is None:
            return ''
        pd, fa = self.fa_budget['Pd'], 1e6 * self.fa_budget['Fa']
        found = '' if pd is None else f'Pd {100 * pd:.2f} %, '
        chosen = 'Fa <= {budget:g}: a rank of {rank:.4g} or more, chosen on {chosen_on}'
        kept = '' if self.fa_budget['Fa'] <= self.fa_budget['budget'] else ', more than the budget'
        return f'{chosen.format(**self.fa_budget)}; here {found}Fa {fa:.2f}e-6{kept}'

    def details_of(self, protocol: str) -> Details:
        """What reports draw under a protocol; of nothing where the file has nothing."""
        return self.details.get(protocol) or Details()


def write_results(
    folder: str | os.PathLike,
    report: MetricsFile,
    per_image: Iterable[Mapping],
    detections: Iterable[Mapping] = (),
    maps: Mapping[Path, Path] | None = None,
) -> tuple[Path, ...]:
    """Write ``metrics.json``, ``per_image.csv`` and, if there are any, ``detections.csv`` under a folder,
    made where it is missing; without any, one of former results is removed.

    All tables are whole before the former numbers go, and the new numbers come last: a full disk leaves a
    former test as it was, and a process that is killed leaves no numbers beside files of another test.

    Args:
        folder: Where to.
        report: NaN and infinity, which JSON has no word for, become null.
        per_image: Rows with equal keys; NaN becomes an empty cell, infinity ``inf``.
        detections: Rows as well, one for each predicted component.
        maps: Folder of former maps → that of new ones, if there are any, which take its place; former ones
            come to lie beside where the new ones were.

    Returns:
        The paths.

    Raises:
        UserError: A file cannot be written.
    """
    folder = Path(folder)
    numbers, detected = folder / MetricsFile.FILE, folder / 'detections.csv'
    tables = {folder / 'per_image.csv': _table(list(per_image)), detected: _table(list(detections))}
    tables = {path: table for path, table in tables.items() if table or path != detected}
    with replacing(numbers) as new_numbers:
        new_numbers.write_text(report.whole_text(), 'utf-8')
        with ExitStack() as stack:
            for path, table in tables.items():
                stack.enter_context(replacing(path)).write_bytes(encodable(table).encode())
            numbers.unlink(missing_ok=True)
            if detected not in tables:
                detected.unlink(missing_ok=True)
        for place, new in (maps or {}).items():
            try:
                _exchange(place, new)
            except OSError as e:  # it is a mount point, or another's
                raise CannotWrite(f'{place}: cannot be replaced ({e.strerror or e}); move it away.') from None
    return numbers, *tables


def _exchange(place: Path, new: Path) -> None:
    if place.exists():
        new.parent.mkdir(exist_ok=True)
        os.replace(place, new.with_name('former'))
    if new.is_dir():
        os.replace(new, place)


def _table(rows: list[Mapping]) -> str:
    keys = list(rows[0]) if rows else []
    cells = (['' if row[k] != row[k] else row[k] for k in keys] for row in rows)  # NaN equals nothing
    return csv_text([keys, *cells]) if rows else ''


def read_per_image(path: str | os.PathLike) -> list[dict[str, Any]]:
    """The rows of a ``per_image.csv``, numbers as floats (NaN for empty cells); none where there is no file.

    Raises:
        UserError: It is no such file.
    """
    path = Path(path)
    if not path.is_file():
        return []
    words = ('protocol', 'name', 'dataset')
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding='utf-8'), newline='')))
        return [
            {k: from_cell(v) if k in words else float(v or 'nan') for k, v in row.items()} for row in rows
        ]
    except (AttributeError, OSError, TypeError, ValueError, csv.Error) as e:
        raise UserError(f'{path}: not a per_image.csv of madnet test ({e}).') from None
