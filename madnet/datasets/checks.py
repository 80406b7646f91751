"""What is wrong with a data set is said when it is opened, not in the middle of training."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from madnet.errors import UserError
from madnet.files import cache_folder, names_below, read_json, write_json
from madnet.images import EXTENSIONS, MaskRule, read_image, read_mask, to_channels
from madnet.images.arrays import RAW_DESCRIPTION
from madnet.images.frames import bits_in_use, read_header
from madnet.images.masks import MaskCensus, fits, size_problem
from madnet.images.notices import say_once
from madnet.images.values import ValueRange
from madnet.text import counted

from .contents import stamp_of

#: About how many images a set's range of grey values is taken from.
LOOKED_AT = 32


def kept(
    kind: str, question: object, files: Iterable[str | os.PathLike], answer: Callable[[], dict]
) -> tuple:
    """An answer about files, found again in the user's cache while none of them changes.

    Args:
        kind: Folder of the cache, under ``~/.cache/madnet`` (``$XDG_CACHE_HOME/madnet``).
        question: What else the answer depends on, by its ``repr``.
        files: Their paths, sizes and times count, and those of what describes raw ones.
        answer: Finds it, as JSON holds it.

    Returns:
        The answer, and whether it was found now.

    Raises:
        UserError: A file is not there.
    """
    paths = [*map(Path, files)]
    beside = {p.with_name(RAW_DESCRIPTION) for p in paths if p.suffix.lower() == '.raw'}
    try:
        stamps = [stamp_of(p) for p in [*paths, *sorted(filter(Path.exists, beside))]]
    except OSError as e:
        raise UserError(f'{e.filename}: cannot be read ({e.strerror}).') from None
    key = hashlib.sha256(repr((question, stamps)).encode()).hexdigest()
    place = cache_folder(kind) / f'{key[:32]}.json'
    with suppress(UserError):
        return read_json(place), False
    found = answer()
    with suppress(UserError):  # a cache that can't be written costs time, nothing else
        write_json(place, found)
    return found, True


@dataclass(frozen=True)
class DatasetFacts:
    """What a part of a data set holds.

    Attributes:
        images: How many.
        targets: 8-connected components of the masks above 127.
        empty: Masks without a target.
        widths, heights: Smallest and largest, in pixels.
        grey: Lowest and highest value of the images looked at, as stored.
        looked_at: How many images those are.
    """

    images: int
    targets: int
    empty: int
    widths: tuple[int, int]
    heights: tuple[int, int]
    grey: tuple[float, float]
    looked_at: int

    def __str__(self) -> str:
        width, height = (f'{a}' if a == b else f'{a}–{b}' for a, b in (self.widths, self.heights))
        of = '' if self.looked_at == self.images else f' (by {self.looked_at} of them)'
        return (
            f'{self.images} images of {width} × {height} pixels, {self.targets} targets, {self.empty} empty '
            f'masks, grey values {self.grey[0]:g}–{self.grey[1]:g}{of}'
        )


def look_at(
    where: str,
    pairs: Sequence[tuple[str, str]],
    rule: MaskRule,
    value_range: ValueRange = None,
    bit_depth: int = 16,
) -> DatasetFacts:
    """Read the masks of a data set, the headers of its images and some of the images; say what is wrong.

    What was read is kept in the user's cache; only files that change are read again.

    Args:
        where: The data set, for messages.
        pairs: Image file and mask file of each image.
        rule: By which the masks are read.
        value_range, bit_depth: See :func:`madnet.images.to_channels`.

    Raises:
        UserError: A file cannot be read, a mask does not fit its image or the rule, the masks have no value
            above 127 or are inverted, or grey values need a ``value_range``.
    """
    files = [file for pair in pairs for file in pair]
    facts = kept('datasets', (rule, 1), files, lambda: {'rows': [_row(*pair, rule) for pair in pairs]})[0]
    census, rows = MaskCensus(), facts['rows']
    misfits = []
    for (image, mask), row in zip(pairs, rows, strict=True):
        size, mask_size, brightest, target_pixels, _ = row
        census.count(mask, brightest, mask_size[0] * mask_size[1], target_pixels)
        if not fits(size, mask_size):
            misfits.append(size_problem(mask, mask_size, size) + f' ({image})')
    if misfits:
        more = f' So are {len(misfits) - 1} more.' if len(misfits) > 1 else ''
        raise UserError(f'{where}: {misfits[0]}.{more}')
    census.refuse(where, rule)
    if census.empty == len(pairs):
        say_once(f'{where}: all {len(pairs)} masks are empty; there is nothing to be found.')
    chosen = pairs[:: max(1, len(pairs) // LOOKED_AT)]
    bounds = [_grey_range(image, value_range, bit_depth) for image, _ in chosen]
    widths, heights = zip(*(row[0] for row in rows), strict=True)
    return DatasetFacts(
        len(rows),
        sum(row[4] for row in rows),
        sum(row[3] == 0 for row in rows),
        (min(widths), max(widths)),
        (min(heights), max(heights)),
        (min(low for low, _ in bounds), max(high for _, high in bounds)),
        len(chosen),
    )


def _row(image: str, mask: str, rule: MaskRule) -> list:
    """Size of the image, size of the mask, its brightest value, target pixels, targets."""
    header = read_header(image)
    if header.frames != 1:
        read_image(image)  # says that one frame is expected
    truth = read_mask(mask, rule, strict=False)
    target = (truth > 127).astype(np.uint8)
    pixels = int(target.sum())
    count = cv2.connectedComponents(target, connectivity=8)[0] - 1 if pixels else 0
    return [[header.width, header.height], [*truth.shape[::-1]], int(truth.max()), pixels, count]


def _grey_range(image: str, value_range: ValueRange, bit_depth: int) -> tuple[float, float]:
    pixels = read_image(image)
    if pixels.dtype != np.uint8 or value_range is not None:
        depth = min(bit_depth, bits_in_use(pixels, image))
        to_channels(pixels, 3, depth, value_range, image)  # says what is wrong with the range
    return float(pixels.min()), float(pixels.max())


def say_what_is_skipped(where: str, pairs: Iterable[tuple[str | Path, str | Path | None]]) -> None:
    """Warn of files beside images and masks that nothing reads: of other kinds, a second one of an id, or in
    sub-folders.

    ``pairs`` are image file and mask file of *all* images of the folder.
    """
    pairs = list(pairs)
    used = {os.path.abspath(f) for pair in pairs for f in pair if f}
    kinds: Counter[str] = Counter()
    stems: Counter[str] = Counter()
    used_stems = {os.path.splitext(f)[0] for f in used}
    folders = {os.path.dirname(f) for f in used}
    for folder in sorted(folders):
        for entry in os.scandir(folder):
            path = os.path.join(folder, entry.name)
            if path in used or entry.name.startswith('.') or entry.name == RAW_DESCRIPTION:
                continue
            stem, ending = os.path.splitext(path)
            if stem in used_stems and ending.lower() in EXTENSIONS:
                stems[ending] += 1
            elif ending.lower() not in EXTENSIONS and entry.is_file():
                kinds[ending or 'no ending'] += 1
    kinds.pop('.txt', None)  # lists of ids, in some layouts
    for found, why in ((kinds, 'of a kind that is not read'), (stems, 'the second image of an id')):
        if found:
            which = ', '.join(f'{n} {kind}' for kind, n in sorted(found.items()))
            say_once(f'{where}: {sum(found.values())} files are left out, {why}: {which}.')
    tops = [{os.path.dirname(os.path.abspath(f)) for f in files if f} for files in zip(*pairs, strict=True)]
    # where images and masks share a folder, no sub-folder is ever read
    below = {os.path.join(top, name) for top in tops[0] - tops[1] for name in names_below(top)}
    beside = sorted(f for f in below if os.path.dirname(f) not in folders and f.lower().endswith(EXTENSIONS))
    if beside:
        say_once(
            f'{where}: {counted(len(beside), "image")} in sub-folders left out, since others lie above them '
            f'(the first: {beside[0]}); move all into sub-folders, or name all in lists, such as day2/0001.'
        )
