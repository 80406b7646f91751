"""Large images in overlapping tiles, put together without seams."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from madnet.errors import UserError, expect_whole


@dataclass(frozen=True)
class Tiling:
    """How an image is cut.

    Tiles begin at multiples of ``align``, so that a network which halves its maps several times halves them
    on the same grid as in the whole image. In the overlap of two tiles a halo at the border of each, a
    quarter of the overlap, is not used, for what a network says there knows least of the surroundings;
    between, weights go over linearly from one tile to the other. So wherever a network sees no further than
    the halo, tiles give what the whole image gives, to rounding.

    Args:
        size: (Height, width) of a tile in pixels.
        overlap: Pixels that neighbours share at least.
        align: Pixels.
        halo: Pixels; None for a quarter of the overlap, and never more than half of it.
        note: What is to be said where an image is cut; empty for nothing.

    Raises:
        UserError: A tile that is not larger than the overlap by ``align`` or smaller than twice ``align``, or
            a negative overlap.
    """

    size: tuple[int, int]
    overlap: int
    align: int = 32
    halo: int | None = None
    note: str = ''

    def __post_init__(self):
        # the last tile begins at a multiple of align, too, and may be smaller by up to align - 1 for that
        if self.overlap < 0 or min(self.size) < self.align + max(self.overlap, self.align):
            raise UserError(
                f'tile {self.size[0]} × {self.size[1]} with overlap {self.overlap}: expected an overlap of 0 '
                f'or more, and tiles of {2 * self.align} pixels or more that are larger than it by '
                f'{self.align} or more.'
            )

    def windows(self, height: int, width: int) -> list[tuple[slice, slice]]:
        """(rows, columns) of every tile of an image, which they cover; one for an image that fits a tile."""
        rows = self._spans(height, self.size[0])
        columns = self._spans(width, self.size[1])
        return [(row, column) for row in rows for column in columns]

    def _spans(self, length: int, tile: int) -> list[slice]:
        stride = (tile - self.overlap) // self.align * self.align
        spans = [slice(0, min(tile, length))]
        while spans[-1].stop < length:
            last = -(-(length - tile) // self.align) * self.align
            start = min(spans[-1].start + stride, last)
            spans.append(slice(start, min(start + tile, length)))
        return spans

    def weights(self, window: tuple[slice, slice], height: int, width: int) -> np.ndarray:
        """(h, w) float32 in 0–1 of a tile: 1 inside and at the image's own border, less in overlaps."""
        rows, columns = window
        return np.outer(self._ramp(rows, height), self._ramp(columns, width)).astype(np.float32)

    def _ramp(self, span: slice, length: int) -> np.ndarray:
        unused = self.overlap // 4 if self.halo is None else min(self.halo, self.overlap // 2)
        width = max(1, self.overlap - 2 * unused)
        inward = np.arange(span.stop - span.start) + 0.5 - unused
        ramp = np.ones(len(inward))
        if self.overlap and span.start > 0:
            ramp = np.minimum(ramp, np.clip(inward / width, 0, 1))
        if self.overlap and span.stop < length:
            ramp = np.minimum(ramp, np.clip(inward[::-1] / width, 0, 1))
        return ramp

    def bands(
        self, score: Callable[[tuple[slice, slice]], np.ndarray], height: int, width: int
    ) -> Iterator[np.ndarray]:
        """The score map of a large image from top to bottom, in parts that are given out as soon as no
        further tile reaches into them.

        Args:
            score: Rows and columns of a tile → its scores (h, w) in 0–1. Tiles are asked for row by row.
            height, width: Of the image.

        Yields:
            (h, width) float32 in 0–1, together as high as the image.
        """
        rows = self._spans(height, self.size[0])
        columns = self._spans(width, self.size[1])
        total, weight = (np.zeros((rows[0].stop, width), np.float32) for _ in range(2))
        for row, following in zip(rows, [*rows[1:], None], strict=True):
            for column in columns:
                share = self.weights((row, column), height, width)
                part = slice(0, row.stop - row.start), column
                total[part] += share * score((row, column))
                weight[part] += share
            done = (following.start if following else row.stop) - row.start
            yield np.clip(total[:done] / weight[:done], 0, 1)
            if following:
                total, weight = (
                    _moved_up(x, done, following.stop - following.start) for x in (total, weight)
                )


def _moved_up(array: np.ndarray, rows: int, height: int) -> np.ndarray:
    """An array without its first rows, with zeros below, of another height."""
    moved = np.zeros((height, array.shape[1]), array.dtype)
    moved[: len(array) - rows] = array[rows:]
    return moved


def make_tiling(
    tile: int | tuple[int, int] | None, overlap: int | None, aligned: bool = True
) -> Tiling | None:
    """The tiles that a user asks for.

    Args:
        tile: Side, or (height, width), in pixels; None for whole images.
        overlap: Pixels that neighbours share; None for a quarter of the tile.
        aligned: Whether a tile is seen at its own size. Where every tile is resized there is no common grid
            that alignment could keep; what it would do is to resize the last tile, which is cut to it, by
            another factor.

    Raises:
        UserError: An overlap without a tile, or what :class:`Tiling` refuses.
    """
    if tile is None:
        if overlap is not None:
            raise UserError(f'overlap: found {overlap} without a tile; give the size of the tiles too.')
        return None
    sides = tuple(tile) if isinstance(tile, tuple | list) else (tile, tile)
    if len(sides) != 2:
        raise UserError(f'tile: found {tile!r}, expected a side or (height, width) in pixels.')
    size = expect_whole(sides[0], 'tile'), expect_whole(sides[1], 'tile')
    return Tiling(size, min(size) // 4 if overlap is None else overlap, align=32 if aligned else 1)
