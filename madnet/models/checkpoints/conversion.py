"""From published key names to ours and back, once a network's names and shape are known."""

from collections.abc import Mapping

import torch
from torch import Tensor

from madnet.errors import UserError

from .fitting import check_same, some
from .renaming import Names, inverse, rename


def shape_of(state: Mapping[str, Tensor], key: str, verdict: str, axes: int = 4) -> torch.Size:
    """The shape of the tensor by which the width of a network is told: of a convolution, or with two axes of
    a linear layer.

    Raises:
        UserError: There is none; the message begins with ``verdict``.
    """
    weight = state.get(key)
    if weight is None or weight.ndim != axes:
        kind = 'convolution' if axes == 4 else 'linear layer'
        raise UserError(f'{verdict}: it has no {kind} {key}; its first keys are {some(state)}')
    return weight.shape


def to_ours(
    published: Mapping[str, Tensor], template: Mapping[str, Tensor], names: Names, verdict: str
) -> dict[str, Tensor]:
    """Renames a published state dict.

    Args:
        published: Published key → tensor, without what the published network never reads.
        template: Our state dict of that shape.
        names: Our names → the published ones.
        verdict: What an error begins with.

    Raises:
        UserError: Keys or shapes differ; the message names them.
    """
    expected = rename(template, names)
    check_same(published, expected, verdict)
    return rename({key: published[key] for key in expected}, inverse(names))


def to_published(
    ours: Mapping[str, Tensor], template: Mapping[str, Tensor], names: Names, verdict: str
) -> dict[str, Tensor]:
    """The inverse of :func:`to_ours`; ``template`` is our state dict of that shape here too."""
    check_same(ours, template, verdict)
    return rename({key: ours[key] for key in template}, names)
