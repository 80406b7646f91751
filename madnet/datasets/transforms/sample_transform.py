"""What the transforms of a sample have in common."""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from mmcv.transforms import BaseTransform

from madnet.errors import UserError, expect_number, expect_whole


class SampleTransform(BaseTransform):
    """A transform that keeps its arguments as attributes of their names, and prints them."""

    def __repr__(self) -> str:
        arguments = (f'{name}={getattr(self, name)}' for name in inspect.signature(type(self)).parameters)
        return f'{type(self).__name__}({", ".join(arguments)})'


class DrawnTransform(SampleTransform, ABC):
    """A transform whose random numbers are drawn apart from what is done to pixels.

    So the same numbers may be applied elsewhere: a loading process draws for a batch that lies on a GPU.
    """

    #: Whether :meth:`draw` asks for ``gt_seg_map``, and whether :meth:`apply` changes masks and size as well.
    looks_at_labels = geometric = False

    def __post_init__(self) -> None:
        """Of the subclasses that are dataclasses; ``prob`` and what ends so has to be a share.

        Raises:
            UserError: It is not in 0–1.
        """
        for name in inspect.signature(type(self)).parameters:
            if name.endswith('prob'):
                expect_number(getattr(self, name), f'{type(self).__name__}.{name}', least=0, most=1)

    @abstractmethod
    def draw(self, sample: dict) -> dict[str, Any]:
        """Draw from NumPy's global generator all that :meth:`apply` needs.

        Looks at the sample's size (:func:`size_of`) and labels alone. Every sample gives the same keys, and
        numbers or arrays of the same shape, so that those of a batch can be stacked.
        """

    @abstractmethod
    def apply(self, sample: dict, drawn: dict[str, Any]) -> dict:
        """Change the sample as was drawn; of image and masks whatever is there."""

    def transform(self, results: dict) -> dict:
        return self.apply(results, self.draw(results))


def size_of(sample: dict) -> tuple[int, int]:
    """(Height, width) of a sample, also of one whose image is elsewhere."""
    return tuple(sample['img'].shape[:2] if 'img' in sample else sample['img_shape'])


def fields_of(sample: dict) -> tuple[str, ...]:
    """Keys of the image, if it is there, and of the masks."""
    return tuple(key for key in ('img', *sample.get('seg_fields', [])) if key in sample)


def reflected(position, length):
    """Where a position outside of 0 … ``length`` - 1 lies after reflection at the borders, whose pixels are
    not repeated; of numbers, arrays or tensors."""
    period = 2 * length - 2 + (length == 1)
    return length - 1 - abs(length - 1 - position % period)


def sides_of(name: str, size: Any) -> tuple[int, int] | None:
    """(Height, width) of a size in pixels, which may be one number for both; None stays.

    Raises:
        UserError: It is no such size, or not positive; ``name`` is what the message calls it.
    """
    if size is None:
        return None
    height, width = size if isinstance(size, Sequence) and len(size) == 2 else (size, size)
    return expect_whole(height, name, least=1), expect_whole(width, name, least=1)


def range_of(name: str, values: Any, least: float | None = 0, whole: bool = False) -> tuple:
    """(lowest, highest) of what a transform draws.

    Args:
        name: The argument, for the message.
        values: As the user gave them.
        least: What the lowest may be; None for anything above 0.
        whole: Whether both are whole numbers.

    Raises:
        UserError: ``values`` are not two such numbers, the smaller first.
    """
    bound = 0 if least is None else least
    try:
        low, high = values
        kinds = Integral if whole else Real
        good = all(isinstance(v, kinds) and not isinstance(v, bool) for v in (low, high))
        good = good and bound <= low <= high < math.inf and (least is not None or low > 0)
    except (TypeError, ValueError):  # not two
        good = False
    if not good:
        kind = 'whole numbers' if whole else 'numbers'
        limits = f'positive {kind}' if least is None else f'{kind} from {least:g} on'
        raise UserError(f'{name}: found {values!r}, expected two {limits}, the smaller first.')
    return low, high
