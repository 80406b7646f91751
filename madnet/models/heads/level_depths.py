"""Numbers of blocks on the levels of a decoder."""

from collections.abc import Sequence

from madnet.errors import UserError


def level_depths(depths: Sequence[int] | None, in_channels: Sequence[int], head: str) -> list[int]:
    """Blocks of each level except the deepest; by default 1 on the finest and 2 on the others.

    Raises:
        UserError: Not one value, at least 1, for each of them; ``head`` is who has been given them.
    """
    deepest = len(in_channels) - 1
    depths = [1, *[2] * (deepest - 1)] if depths is None else list(depths)
    if len(depths) != deepest or min(depths) < 1:
        raise UserError(
            f'{head}: depths={depths}, expected {deepest} number(s) of blocks, at least 1 each, for all '
            f'levels except the deepest of in_channels={list(in_channels)}'
        )
    return depths
