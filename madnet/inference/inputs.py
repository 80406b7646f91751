"""What may be given to a predictor: files, folders, arrays, and lists of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np

from madnet.datasets.images import IMAGE_EXTENSIONS
from madnet.errors import UserError, nearest

Source: TypeAlias = str | os.PathLike | np.ndarray


def is_single(source: object) -> bool:
    """Whether a source stands for one image: an array, or a path that is no folder."""
    if isinstance(source, np.ndarray):
        return True
    return isinstance(source, str | os.PathLike) and not Path(source).is_dir()


def iterate(source: Source | Iterable[Source]) -> Iterator[Path | np.ndarray]:
    """The images that a source stands for, one by one; folders by the names of their files.

    Raises:
        UserError: A path that does not exist, a folder without images, or something that is no image.
    """
    if isinstance(source, np.ndarray):
        yield source
    elif isinstance(source, str | os.PathLike):
        yield from list_images(source)
    elif isinstance(source, Iterable) and not hasattr(source, '__array__'):
        for part in source:
            yield from iterate(part)
    else:
        raise UserError(
            f'{type(source).__name__}: expected a path, a NumPy array (H, W) or (H, W, 3), or a list of them.'
        )


def list_images(path: str | os.PathLike) -> list[Path]:
    """A file itself; of a folder the image files in it, not below it, sorted by name.

    Raises:
        UserError: No such path (the nearest names are offered), or a folder without images.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_EXTENSIONS and p.is_file())
        if not found:
            below = sorted({p.parent.name for t in IMAGE_EXTENSIONS for p in path.glob(f'*/*{t}')})
            hint = f' There are some in {", ".join(below[:3])}.' if below else ''
            raise UserError(f'{path}: no image in this folder ({", ".join(IMAGE_EXTENSIONS)}).{hint}')
        return found
    if not path.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f'{path}: no such file or folder.{nearest(path.name, beside)}')
    return [path]


def unique_names(paths: list[Path]) -> list[str]:
    """A name for each file, for results to be filed under: its stem, with as much more as tells them apart.

    Raises:
        UserError: A file is given twice.
    """
    repeated = [p for p, n in Counter(p.resolve() for p in paths).items() if n > 1]
    if repeated:
        raise UserError(f'{repeated[0]}: given more than once.')
    stems = [p.stem for p in paths]
    forms = (
        stems,
        [f'{p.stem}_{p.suffix[1:]}' for p in paths],
        [f'{p.resolve().parent.name}_{p.stem}' for p in paths],
        [f'{p.stem}_{number}' for number, p in enumerate(paths)],
    )
    count = Counter(stems)
    for form in forms:
        names = [long if count[stem] > 1 else stem for stem, long in zip(stems, form, strict=True)]
        if len(set(names)) == len(names):
            return names
    return [f'{number}_{stem}' for number, stem in enumerate(stems)]
