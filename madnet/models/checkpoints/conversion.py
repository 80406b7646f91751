"""From published key names to ours and back, once a network's names and shape are known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from madnet.errors import UserError
from madnet.models.checkpoints.fitting import check_same, first_keys
from madnet.models.checkpoints.renaming import Names, inverse, rename


@dataclass(frozen=True)
class Converter:
    """The way between the checkpoints of a published network and ours.

    Attributes:
        name: The network, as in commands.
        about: Which published forms of it are known, in one line.
        to_ours: Published state dict → state dict of an ``IRSTDSegmentor`` (keys ``backbone.``, ``neck.``,
            ``decode_head.``). The published one may be bare or under ``state_dict``, its keys with or without
            what trainers put before them; width, image channels and form are read from it.
        to_published: The inverse, from our state dict, bare or under ``state_dict``.
        takes_like: Whether ``to_published`` has an argument ``like``, a published checkpoint whose names are
            taken over where they are not all known from elsewhere.

    Both raise :class:`~madnet.errors.UserError` where keys or shapes are not those of the architecture; the
    message names them.
    """

    name: str
    about: str
    to_ours: Callable[[Mapping[str, Any]], dict[str, Tensor]]
    to_published: Callable[..., dict[str, Tensor]]
    takes_like: bool = False


def shape_of(state: Mapping[str, Tensor], key: str, verdict: str, axes: int = 4) -> torch.Size:
    """The shape of the tensor that shows the width of a network: of a convolution, or with two axes of a
    linear layer.

    Raises:
        UserError: There is none; the message begins with ``verdict``.
    """
    weight = state.get(key)
    if weight is None or weight.ndim != axes:
        kind = 'convolution' if axes == 4 else 'linear layer'
        raise UserError(f'{verdict}: it has no {kind} {key}; its first keys are {first_keys(state)}')
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
