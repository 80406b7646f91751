"""Of an image's views and scales, what a prediction averages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Averaging(NamedTuple):
    """What a network's prediction averages: by default the image as it is.

    Attributes:
        views: Mirrored and turned views: 1, 2, 4 or 8.
        scales: At which it looks at each of them, the largest first, as their order does not matter.
        merge: What is taken of the scales' logits, ``'mean'`` or ``'max'``.
    """

    views: int = 1
    scales: tuple[float, ...] = (1.0,)
    merge: str = 'mean'

    @classmethod
    def of(cls, said: object) -> Averaging:
        """What a ``test_cfg``, a ``metrics.json`` or a calibration says; what is missing is as by default."""
        given = said if isinstance(said, Mapping) else {k: getattr(said, k, None) for k in cls._fields}
        scales = sorted(map(float, given.get('scales') or (1,)), reverse=True)
        return cls(given.get('views') or 1, tuple(scales), given.get('merge') or 'mean')

    def __str__(self) -> str:
        """As the commands take it."""
        words = f'--views {self.views}'
        if self.scales != (1,):
            words += f' --scales {",".join(f"{scale:g}" for scale in self.scales)}'
        return words if self.merge == 'mean' else f'{words} --merge {self.merge}'

    @property
    def scales_text(self) -> str:
        """The scales and how their logits are merged, in words; empty for 1 alone."""
        return '' if self.scales == (1,) else f'{self.merge} of {", ".join(f"{s:g}" for s in self.scales)}'

    @property
    def cost(self) -> float:
        """By what the multiply-accumulates grow, which are taken to grow with the pixels."""
        return self.views * sum(scale * scale for scale in self.scales)
