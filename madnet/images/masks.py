"""Mask files to grey values, by one rule for every kind of file."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from madnet.errors import UserError
from madnet.images.frames import bits_in_use, read_alpha, read_header, read_image, read_palette
from madnet.images.notices import say_once

#: A mask is taken for a scaled copy where it differs in size by at least this factor; nearer to its image it
#: was cropped or padded, and scaling it would shift its targets.
LEAST_SCALING = 1.1
#: VOC's palette has white borders around objects, which are neither object nor background.
_VOC_VOID = (255, (224, 224, 192))


@dataclass(frozen=True)
class MaskRule:
    """Which values stored in masks are target.

    Attributes:
        values: The background's value, then those that are target, such as (0, 1), or (255, 0) for inverted
            masks; any other is refused. None: grey values above half their range are target.
        threshold: Where ``values`` is None: stored values above it are target. 127 leaves grey values as they
            are, for the protocols to judge.

    Raises:
        UserError: ``values`` is no list of two different whole numbers or more.
    """

    values: Sequence[int] | None = None
    threshold: float = 127

    def __post_init__(self):
        if self.values is None:
            return
        try:
            values = tuple(int(v) for v in self.values)
        except (TypeError, ValueError):
            values = ()
        if len(values) < 2 or len(set(values)) < len(values):
            raise UserError(
                f'mask_values: found {self.values!r}, expected the value of the background, then those of '
                'targets, such as (0, 1).'
            )
        if self.threshold != 127:
            raise UserError('mask_values and threshold exclude each other: give one of them.')
        object.__setattr__(self, 'values', values)

    @property
    def is_default(self) -> bool:
        """Whether grey values are kept."""
        return self.values is None and self.threshold == 127


DEFAULT = MaskRule()


def read_mask(path: str | os.PathLike, rule: MaskRule = DEFAULT, strict: bool = True) -> np.ndarray:
    """Read a mask as grey values 0–255; above 127 is target.

    Kinds of files, by the default rule: grey of 8 or 16 bit, and whole numbers of an array, as they are
    stored, 16 bit brought to 8 where they exceed 255; 1 bit and bool as 0 and 255; floats in 0–1 times 255;
    colour by its strongest channel (pure red is target); a palette by its grey values where all colours in
    use are grey, else every colour but black is target, as in VOC's palette, and without a black one every
    index above 0.

    Args:
        path: Any file that :func:`~madnet.images.read_image` reads.
        rule: Which of the stored values (of a colour palette, the indices) are target.
        strict: Refuse a mask of 0 and 1; False where its whole data set is looked at instead.

    Returns:
        (H, W) uint8; 0 and 255 alone by any but the default rule.

    Raises:
        UserError: Not readable, or values that do not fit the rule.
    """
    path = Path(path)
    stored = _stored(path, rule.values is not None)
    if rule.values is not None:
        found = np.unique(stored)
        unknown = np.setdiff1d(found, rule.values)
        if unknown.size:
            raise UserError(
                f'{path}: values {some(found)}; expected those of mask_values, {some(rule.values)}.'
            )
        return np.isin(stored, rule.values[1:]).astype(np.uint8) * np.uint8(255)
    if rule.threshold != 127:
        return (stored > rule.threshold).astype(np.uint8) * np.uint8(255)
    mask = _grey(stored, path)
    if strict and mask.max() == 1:
        raise UserError(
            f'{path}: whole numbers 0 and 1, expected grey values 0–255; if 1 is target, mask_values=[0,1] '
            'says so (--mask-values 0 1).'
        )
    return mask


def _stored(path: Path, named: bool) -> np.ndarray:
    """The values in the file (H, W).

    Args:
        path: The file.
        named: Whether as :class:`MaskRule` names them: 1 bit as 0 and 1, a palette of colours as its indices;
            else both as 0 and 255.
    """
    header = read_header(path)
    if header.mode == 'P' and header.frames == 1:
        indices, colours = read_palette(path)
        used = np.unique(indices)
        shown = colours[used]
        _refuse_alpha(path, shown)
        if (shown == shown[:, :1]).all():
            return colours[indices, 0]
        if used[-1] == _VOC_VOID[0] and tuple(shown[-1].tolist()) == _VOC_VOID[1]:
            raise UserError(
                f'{path}: a VOC mask whose borders (index 255) are neither target nor background; give them '
                'to one of the two first.'
            )
        if named:
            return indices
        black = np.flatnonzero(colours.max(axis=1) == 0)  # at any index: programs number colours as they like
        background = black if np.isin(used, black).any() else [0]
        return np.where(np.isin(indices, background), 0, 255).astype(np.uint8)
    pixels = read_image(path)
    if header.mode in ('L', 'LA', 'PA', 'RGB', 'RGBA'):
        _refuse_alpha(path, pixels.reshape(pixels.shape[0] * pixels.shape[1], -1))
    if pixels.ndim == 3:
        pixels = pixels.max(axis=2)
    return pixels // 255 if named and header.mode == '1' else pixels


def _refuse_alpha(path: Path, colours: np.ndarray) -> None:
    """Raise a UserError where all colours (n, channels) of an image are one, and its alpha is not."""
    if (colours == colours[0]).all():
        alpha = read_alpha(path)
        if alpha is not None and alpha.min() < alpha.max():
            raise UserError(
                f'{path}: one colour everywhere, and the targets in the alpha channel; expected grey values: '
                'save it without alpha, 0 for background and 255 for target.'
            )


def _grey(stored: np.ndarray, path: Path) -> np.ndarray:
    low, high = stored.min(), stored.max()
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0 or high > 65535:
        raise UserError(f'{path}: values {low:g} to {high:g}, expected grey values 0–255.')
    if stored.dtype == np.uint8:
        return stored
    if stored.dtype.kind == 'f' and high <= 1:
        return np.round(stored * 255).astype(np.uint8)
    if high > 255:
        if stored.dtype != np.uint16:
            raise UserError(f'{path}: {stored.dtype} values up to {high:g}, expected grey values 0–255.')
        full = 2 ** bits_in_use(stored, path) - 1
        return np.round(stored / (full / 255)).astype(np.uint8)
    return np.round(stored).astype(np.uint8)


class MaskCensus:
    """What the masks of a data set hold together: by one of them alone a wrong rule may not show.

    Attributes:
        masks: How many.
        empty: How many hold nothing but background (0).
        faint: Mask without any target, though not all of it is 0 → its highest grey value.
        pixels, target_pixels: Over all masks.
    """

    def __init__(self):
        self.masks = self.empty = self.pixels = self.target_pixels = 0
        self.faint: dict[str, int] = {}
        self._examples: dict[int, str] = {}  # highest grey value → the first mask that has it

    def add(self, path: str | os.PathLike, mask: np.ndarray) -> None:
        """Count a mask as :func:`read_mask` gives it."""
        self.count(path, int(mask.max()), mask.size, int(np.count_nonzero(mask > 127)))

    def count(self, path: str | os.PathLike, brightest: int, pixels: int, target_pixels: int) -> None:
        """Count a mask by its numbers."""
        self.masks += 1
        self.pixels += pixels
        self.target_pixels += target_pixels
        self._examples.setdefault(brightest, str(path))
        if brightest == 0:
            self.empty += 1
        elif not target_pixels:
            self.faint[str(path)] = brightest

    def refuse(self, where: str, rule: MaskRule, option: str = 'mask_values') -> None:
        """Raise a UserError where the masks do not fit the rule that they were read by, warn where a few do
        not.

        Args:
            where: Name of the data set.
            rule: By which the masks were read.
            option: How the user can give another.
        """
        if self.pixels and 2 * self.target_pixels > self.pixels and rule.values is None:
            share = self.target_pixels / self.pixels
            raise UserError(
                f'{where}: {share:.0%} of all pixels are target, the masks look inverted: '
                f'{_inverting(option, self._values())}'
            )
        if not self.faint:
            return
        filled = self.masks - self.empty
        path, greys = next(iter(self.faint)), sorted(set(self.faint.values()))
        if 50 * len(self.faint) > filled:
            # as they are stored; grey values are what 16 bits and floats become
            highest = some(sorted({stored_values([self._examples[grey]])[-1] for grey in greys}))
            raise UserError(
                f'{where}: {len(self.faint)} of {filled} masks that are not all 0 have no grey value above '
                f'127, so no target; their highest values: {highest} (the first: {path}); '
                f'{_naming(option, self._values())}'
            )
        say_once(
            f'{where}: {len(self.faint)} of {filled} masks have grey values up to {some(greys)} only, and '
            f'count as empty, since only values above 127 are target (the first: {path}).'
        )

    def _values(self) -> list[float]:
        """All that is stored in masks that differ by their highest value: what an option has to name."""
        return stored_values(self._examples.values())


def stored_values(paths: Iterable[str | os.PathLike]) -> list[float]:
    """All values of some masks together, as :class:`MaskRule` names them, ascending.

    Raises:
        UserError: As :func:`read_mask`.
    """
    return sorted({value for path in paths for value in np.unique(_stored(Path(path), True)).tolist()})


def _namable(values: Sequence[float]) -> list[int] | None:
    """Two or more stored values as an option can name them; None where they are too many, or no whole
    numbers."""
    if len(values) > 6 or not all(float(value).is_integer() for value in values):
        return None
    return [int(value) for value in (values if len(values) > 1 else (0, *values))]


def _inverting(option: str, values: Sequence[float]) -> str:
    named = _namable(values)
    if named is None or len(named) > 2:
        return _save_anew(option, values)
    return f'{_asked(option, *named[::-1])} inverts them, {_asked(option, *named)} takes them as they are.'


def _naming(option: str, values: Sequence[float]) -> str:
    named = _namable(values)
    if named is None:
        return _save_anew(option, values)
    return f'if all values above {named[0]} are target, say so: {_asked(option, *named)}.'


def _save_anew(option: str, values: Sequence[float]) -> str:
    return f'{option} cannot name their values ({some(values)}); save them as 0 and 255.'


def _asked(option: str, *values: int) -> str:
    if option.startswith('--'):
        return f'{option} {" ".join(map(str, values))}'
    # the same in Python, in a config and after --cfg-options, where a shell takes no parentheses
    return f'{option}=[{",".join(map(str, values))}]'


def some(values: Iterable) -> str:
    """The first six values, and the last, for a message of one line."""
    values = [f'{v:g}' for v in values]
    return ', '.join(values[:6]) + (f' … {values[-1]}' if len(values) > 6 else '')


def fits(size: Sequence[int], mask_size: Sequence[int]) -> bool:
    """Whether a mask of a size can be that of an image: the same size, or another scale of it (aspects within
    1 %, and at least :data:`LEAST_SCALING` larger or smaller); sizes are (width, height)."""
    (w, h), (mask_w, mask_h) = size, mask_size
    if (w, h) == (mask_w, mask_h):
        return True
    factor = max(w / mask_w, mask_w / w)
    return abs(mask_w * h / (mask_h * w) - 1) <= 0.01 and factor >= LEAST_SCALING


def size_problem(path: str | os.PathLike, mask_size: Sequence[int], size: Sequence[int]) -> str:
    """What is wrong with a mask that does not fit; sizes are (width, height)."""
    return (
        f'{path}: a mask of {mask_size[0]} × {mask_size[1]} pixels for an image of {size[0]} × {size[1]}; a '
        'mask must cover its image pixel by pixel, or be a scaled copy of the same aspect'
    )


def fit_mask(
    mask: np.ndarray, shape: tuple[int, int], path: str | os.PathLike, image: str | os.PathLike | None = None
) -> np.ndarray:
    """A mask at the size of its image: nearest neighbour, with a warning, where it is a scaled copy.

    NUAA-SIRST's Misc_111 is released with such a mask.

    Args:
        mask: (H', W').
        shape: (H, W) of the image, or of its score map.
        path: The mask's file, for messages.
        image: The image's.

    Raises:
        UserError: It does not fit, see :func:`fits`.
    """
    size, mask_size = shape[::-1], mask.shape[::-1]
    if size == mask_size:
        return mask
    if not fits(size, mask_size):
        raise UserError(size_problem(path, mask_size, size) + (f' ({image}).' if image else '.'))
    say_once(
        f'{path}: mask of {mask_size[0]} × {mask_size[1]} brought to its image, {size[0]} × {size[1]}, by '
        'nearest neighbour.'
    )
    return cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
