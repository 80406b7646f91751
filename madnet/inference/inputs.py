"""What may be given to a predictor: files, folders, arrays, and lists of them."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from madnet.errors import UserError, nearest
from madnet.files import own_folders
from madnet.images import EXTENSIONS, VIDEO_EXTENSIONS, count_frames
from madnet.images.arrays import RAW_DESCRIPTION
from madnet.images.notices import say_once
from madnet.text import natural

_KNOWN = (*EXTENSIONS, *VIDEO_EXTENSIONS)


@dataclass(frozen=True)
class Frame:
    """An image in a file.

    Attributes:
        path: The file.
        number: Which of its frames; None where it holds one.
    """

    path: Path
    number: int | None = None

    @property
    def suffix(self) -> str:
        """What the names of results carry for this frame: ``_0003``; nothing where it is the only one."""
        return '' if self.number is None else f'_{self.number:04d}'

    def __str__(self) -> str:
        return str(self.path) + ('' if self.number is None else f', frame {self.number}')


Source: TypeAlias = str | os.PathLike | Frame | np.ndarray


def is_single(source: object) -> bool:
    """Whether a source stands for one image: an array, a frame, or a file that holds one."""
    if isinstance(source, np.ndarray | Frame):
        return True
    return isinstance(source, str | os.PathLike) and [f.number for f in list_frames(source)] == [None]


def iterate(source: Source | Iterable[Source]) -> Iterator[Frame | np.ndarray]:
    """The images that a source stands for, one by one; folders by the names of their files.

    Raises:
        UserError: A path that does not exist, a folder without images, or something that is no image.
    """
    if isinstance(source, np.ndarray | Frame):
        yield source
    elif isinstance(source, str | os.PathLike):
        yield from list_frames(source)
    elif isinstance(source, Iterable) and not hasattr(source, '__array__'):
        for part in source:
            yield from iterate(part)
    else:
        raise UserError(
            f'{type(source).__name__}: expected a path, a NumPy array (H, W) or (H, W, 3), or a list of them.'
        )


def _is_no_content(path: Path) -> bool:
    return path.name.startswith('.') or path.name == RAW_DESCRIPTION


def list_frames(path: str | os.PathLike, given: Sequence[str | os.PathLike] = ()) -> list[Frame]:
    """The frames in a file, or in the image files of a folder (see :func:`list_images`).

    A file whose header cannot be read counts as one frame: reading it will say what is wrong.

    Args:
        path, given: As of :func:`list_images`.

    Raises:
        UserError: As :func:`list_images`.
    """
    found = []
    for file in list_images(path, given):
        try:
            frames = count_frames(file)
        except UserError:
            frames = 1
        found += [Frame(file)] if frames == 1 else [Frame(file, number) for number in range(frames)]
    return found


def list_images(path: str | os.PathLike, given: Sequence[str | os.PathLike] = ()) -> list[Path]:
    """A file itself; of a folder the image files in it, not below it, sorted by name, numbers by their value.

    How many other files a folder holds, and which folders with images, is reported once.

    Args:
        path: The file or folder.
        given: What is taken beside it, of which nothing is reported.

    Raises:
        UserError: No such path (the nearest names are offered), or a folder without images.
    """
    path = Path(path)
    if path.is_dir():
        files = [p for p in path.iterdir() if p.is_file() and not _is_no_content(p)]
        files.sort(key=lambda p: (natural(p.name), p.name))
        found = [p for p in files if p.suffix.lower() in _KNOWN]
        below = _folders_with_images(path, {os.path.realpath(each) for each in given})
        some = ', '.join(below[:3]) + (', …' if len(below) > 3 else '')
        if not found:
            hint = f' There are some in {some}.' if below else ''
            raise UserError(f'{path}: no image in this folder ({", ".join(_KNOWN)}).{hint}')
        skipped = Counter(p.suffix or 'no ending' for p in files if p.suffix.lower() not in _KNOWN)
        left_out = []
        if skipped:
            kinds = ', '.join(f'{n} {kind}' for kind, n in sorted(skipped.items()))
            left_out.append(
                f'{sum(skipped.values())} files are left out, of a kind that is not read: {kinds}'
            )
        if below:
            left_out.append(f'images in sub-folders ({some}) are left out, unless those are given, too')
        if left_out:
            say_once(f'{path}: {"; ".join(left_out)}.')
        return found
    if not path.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f'{path}: no such file or folder.{nearest(path.name, beside)}')
    return [path]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in _KNOWN and not _is_no_content(path) and path.is_file()


def _folders_with_images(path: Path, given: Set[str]) -> list[str]:
    """The names of the folders in a folder that hold images, but for those given and those with results of a
    prediction."""
    folders = [p for p in path.iterdir() if p.is_dir() and not _is_no_content(p)]
    folders = [p for p in folders if os.path.realpath(p) not in given]
    own = own_folders(path)
    found = []
    for folder in folders:
        with suppress(OSError):  # not ours to read
            if folder.name not in own and any(map(_is_image, folder.iterdir())):
                found.append(folder.name)
    return sorted(found, key=natural)


def unique_names(paths: list[Path], suffixes: Sequence[Sequence[str]] | None = None) -> list[str]:
    """A name for each file, for results to be filed under: its stem, with as much more as tells them apart.

    Args:
        paths: The files.
        suffixes: Of each file, what its results have behind its name, one for each frame; default: nothing.

    Raises:
        UserError: A file is given twice.
    """
    # not resolved: a link is a file of its own, as in a folder beside what it names
    repeated = [p for p, n in Counter(map(os.path.abspath, paths)).items() if n > 1]
    if repeated:
        raise UserError(f'{repeated[0]}: given more than once.')
    stems = [p.stem for p in paths]
    forms = (
        stems,
        [f'{p.stem}_{p.suffix[1:]}' for p in paths],
        [f'{p.resolve().parent.name}_{p.stem}' for p in paths],
        [f'{p.stem}_{number}' for number, p in enumerate(paths)],
    )
    suffixes = suffixes or [('',)] * len(paths)

    def filed(names: Sequence[str]) -> Counter[str]:
        return Counter(name + suffix for name, each in zip(names, suffixes, strict=True) for suffix in each)

    count = filed(stems)
    clashes = [any(count[s + end] > 1 for end in each) for s, each in zip(stems, suffixes, strict=True)]
    for form in forms:
        names = [long if clash else stem for stem, long, clash in zip(stems, form, clashes, strict=True)]
        if max(filed(names).values(), default=1) == 1:
            return names
    return [f'{number}_{stem}' for number, stem in enumerate(stems)]
