"""Images as stacks of overlapping patches, and back."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from madnet.errors import UserError, expect_whole, nearest

#: How pixels that several patches cover get their value.
REASSEMBLIES = ('median', 'mean', 'last')


@dataclass(frozen=True)
class PatchGrid:
    """Where the patches of an image lie.

    Patches are numbered down the rows first, then along the columns; ``last`` depends on it.

    Attributes:
        shape: (H, W) of the image.
        patch: Side of a patch in pixels.
        step: Pixels from one patch to the next.
        flush: Whether a last patch, flush with the border, covers what the steps leave over.

    Raises:
        UserError: The image is smaller than a patch, or a number is below 1.
    """

    shape: tuple[int, int]
    patch: int
    step: int
    flush: bool = True

    def __post_init__(self):
        for name in ('patch', 'step'):
            expect_whole(getattr(self, name), name, least=1)
        if min(self.shape) < self.patch:
            height, width = self.shape
            raise UserError(
                f'image: {width} × {height} pixels are less than one patch of {self.patch} × {self.patch}; '
                'give a smaller patch'
            )

    @cached_property
    def starts(self) -> tuple[np.ndarray, np.ndarray]:
        """First rows and first columns of the patches."""
        return self._starts(self.shape[0]), self._starts(self.shape[1])

    def _starts(self, length: int) -> np.ndarray:
        starts = np.arange(0, length - self.patch + 1, self.step)
        return np.union1d(starts, [length - self.patch]) if self.flush else starts

    def __len__(self) -> int:
        return len(self.starts[0]) * len(self.starts[1])

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The patches of an image: (H, W) → (n, patch, patch), a copy."""
        windows = sliding_window_view(image, (self.patch, self.patch))
        patches = windows[np.ix_(*self.starts)].swapaxes(0, 1)
        return patches.reshape(-1, self.patch, self.patch)

    def join(self, patches: np.ndarray, how: str = 'mean') -> np.ndarray:
        """An image from its patches: (n, patch, patch) → (H, W); 0 where no patch lies.

        Args:
            patches: As :meth:`cut` orders them.
            how: Of the values that cover a pixel: their ``'median'``, their ``'mean'``, or the ``'last'``
                one (what several published programs do under the name of a mean).

        Raises:
            UserError: Unknown ``how``.
        """
        if how not in REASSEMBLIES:
            raise UserError(
                f'reassembly={how!r}: expected one of {", ".join(REASSEMBLIES)}.'
                f'{nearest(str(how), REASSEMBLIES)}'
            )
        if how == 'median':
            return self._median(patches)
        image, cover = np.zeros(self.shape), np.zeros(self.shape)
        for patch, window in zip(patches, self._windows(), strict=True):
            if how == 'last':
                image[window] = patch
            else:
                image[window] += patch
                cover[window] += 1
        return image if how == 'last' else image / np.maximum(cover, 1)

    def _windows(self) -> list[tuple[slice, slice]]:
        size = self.patch
        rows, columns = self.starts
        return [(slice(r, r + size), slice(c, c + size)) for c in columns for r in rows]

    def _median(self, patches: np.ndarray) -> np.ndarray:
        # Patches this many places apart do not overlap, not even with the flush one: they share a layer.
        layers = -(-self.patch // self.step) + 1
        stack = np.full((*self.shape, layers * layers), np.inf)
        down = len(self.starts[0])
        for number, (patch, (rows, columns)) in enumerate(zip(patches, self._windows(), strict=True)):
            layer = (number // down % layers) * layers + number % down % layers
            stack[rows, columns, layer] = patch
        stack.sort(axis=-1)  # what no patch covers comes last
        cover = np.isfinite(stack).sum(axis=-1)
        lower, upper = (np.maximum(cover - 1, 0) // 2)[..., None], (cover // 2)[..., None]
        middle = np.take_along_axis(stack, lower, -1) + np.take_along_axis(stack, upper, -1)
        return np.where(cover > 0, middle[..., 0] / 2, 0)
