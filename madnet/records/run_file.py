"""``run.json``: how far one run of a comparison has come."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from madnet.records.reading import OMITTED, RecordFile


@dataclass
class RunFile(RecordFile):
    """One training and its tests.

    Attributes:
        wanted: What the plan asked for: config, seed, options and so on.
        state: ``'running'``, ``'stopped'``, ``'failed'`` or ``'done'``; ``''`` before it begins.
        trained: Whether the training has ended.
        minutes: Of all attempts together.
        error: Why it failed.
        begins_sha256: Dotted key → of the file of weights under it that the training began with.
        load_from_sha256: Of ``load_from`` alone, as it was written before.
    """

    FILE: ClassVar[str] = 'run.json'
    WRITER: ClassVar[str] = 'madnet compare'

    wanted: dict[str, Any] = field(default_factory=dict)
    trained: bool = False
    minutes: float = 0.0
    state: Literal['', 'running', 'stopped', 'failed', 'done'] = ''
    error: str | None = field(default=None, metadata=OMITTED)
    begins_sha256: dict[str, str] | None = field(default=None, metadata=OMITTED)
    load_from_sha256: str | None = field(default=None, metadata=OMITTED)
