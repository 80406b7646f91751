"""What an exported network says of itself, in the metadata of its file."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from madnet.errors import UserError, expect_number
from madnet.records.reading import OMITTED, Record

#: Under which name files keep it.
KEY = 'madnet'


@dataclass
class ExportInfo(Record):
    """How frames are brought to an exported network, and what its scores mean.

    Attributes:
        name: Of the network.
        channels: 1 (luma), or 3 in BGR order; on the 0–255 scale. Normalising, padding and the sigmoid are
            inside the file.
        mean, std: What the file normalises by, for the record.
        statistics: ``'training'`` where ``mean`` and ``std`` normalise frames; ``'image'`` where each frame's
            own level and spread do, which tiles of it lack.
        threshold: Score above which is target, 0–1.
        size: (height, width) in pixels that every frame is resized to, and its logits back, both bilinear;
            None for the frame's own size.
        align_corners: Whether logits are resized with their corners kept, not by half-pixel centres.
        value_range: Grey values that become 0 and 255; see :func:`~madnet.images.to_channels`.
        bit_depth: Bits in use of 16-bit frames where there is no range.
        smallest: Pixels that a side of a frame must have.
        largest: Pixels that a side may have; None for no bound.
        classes: Names of what is scored.
        temperature: By which logits are to be divided for true probabilities; None where nobody calibrated.
        bias: What is to be added to them then.
        budgets: False-alarm pixels over all pixels → least rank of a detection that kept to it on validation
            images.
        dtype: What the weights are stored as, and computed in.
        licence: Of the weights.
        origin: What the network was made from: config, checkpoint, SHA-256.
        trained: What it was trained on, with what its training began with: parts of data sets, as of
            :meth:`madnet.datasets.seen.TrainedPart.as_plain`; None of a file that does not say.
        versions: Of the packages that wrote the file.
        network: What it is built from, where the file does not hold its operators: ``model``, ``pipeline``,
            ``channels_last`` and ``folded``.
    """

    name: str
    channels: int
    mean: list[float]
    std: list[float]
    statistics: str = 'training'
    threshold: float = 0.5
    size: list[int] | None = None
    align_corners: bool = False
    value_range: Any = None
    bit_depth: int = 16
    smallest: int = 1
    largest: int | None = None
    classes: list[str] = field(default_factory=lambda: ['target'])
    temperature: float | None = None
    bias: float = 0.0
    budgets: dict[str, float] = field(default_factory=dict)
    dtype: str = 'float32'
    licence: str = 'not stated'
    origin: dict[str, Any] = field(default_factory=dict)
    trained: list[dict[str, Any]] | None = field(default=None, metadata=OMITTED)
    versions: dict[str, str] = field(default_factory=dict)
    network: dict[str, Any] | None = None

    @classmethod
    def of_file(cls, text: str | None, shown: str) -> ExportInfo:
        """What stands in a file's metadata under :data:`KEY`.

        Raises:
            UserError: Nothing, or nothing whole; ``shown`` is how the message calls the file.
        """
        if text is None:
            raise UserError(f'{shown}: not a file that madnet export wrote.')
        try:
            return cls.from_json(json.loads(text), shown)
        except ValueError:
            raise UserError(f'{shown}: its metadata {KEY!r} are damaged; export it again.') from None

    def rank_for_budget(self, budget: float) -> float:
        """The least rank with which a detection kept to ``Fa <= budget`` on validation images.

        Raises:
            UserError: The file says nothing of this budget.
        """
        budget = expect_number(budget, 'fa_budget')
        for text, rank in self.budgets.items():
            if math.isclose(budget, float(text), rel_tol=1e-6):  # also as float32 has it
                return rank
        there = ', '.join(self.budgets) or 'none'
        raise UserError(f'fa_budget: found {budget:g}, of the budgets in the file of {self.name}: {there}.')

    def as_text(self) -> str:
        """What :meth:`of_file` reads."""
        return json.dumps(self.to_json())
