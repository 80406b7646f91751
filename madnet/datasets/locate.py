"""Where a data set lies, or one message that says what to do about it."""

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from madnet.errors import UserError, nearest
from madnet.files import read_json
from madnet.images import check_value_range
from madnet.images.values import ValueRange
from madnet.text import counted

from .catalogue import Entry, find_entry, known_datasets
from .layouts import Folder, count_images, layouts_in_words, read_folder

#: The file that says what a data set is and how it came to be.
RECORD = 'dataset.json'

#: How a command line says where a data set lies that a config names by its folder.
MOVED = (
    '--cfg-options test_dataloader.dataset.data_root=FOLDER, and to train the same of train_dataloader and '
    'val_dataloader'
)


class NoSuchSet(UserError):
    """There is no data set in a layout that can be read."""


def data_home() -> Path:
    """The folder that holds the data sets: ``$MADNET_DATA_ROOT``, by default ``datasets/``."""
    return Path(os.environ.get('MADNET_DATA_ROOT') or 'datasets')


def name_of(folder: Path) -> str:
    """The name of the data set in a folder: what its ``dataset.json`` says, else the folder's own name."""
    with suppress(UserError):
        name = _record_of(folder).get('name')
        if isinstance(name, str) and name:
            return name
    return folder.resolve().name


def range_of_set(folder: Path) -> ValueRange:
    """The grey values that the ``dataset.json`` of a folder says are black and white, if it does.

    Raises:
        UserError: They are none, or the file is damaged.
    """
    if not (folder / RECORD).is_file():
        return None
    return check_value_range(_record_of(folder).get('value_range'), f'{folder / RECORD}: value_range')


def own_range(data_root: str | os.PathLike | None, name: str | None) -> ValueRange:
    """:func:`range_of_set` of the folder that :func:`locate` finds; None where there is no such set."""
    # most have no record, and are not looked through for one
    if not any((folder / RECORD).is_file() for folder in _candidates(data_root, name)):
        return None
    try:
        folder, _, _ = locate(data_root, name)
    except NoSuchSet:
        return None
    return range_of_set(folder.root)


def _record_of(folder: Path) -> dict[str, Any]:
    record = read_json(folder / RECORD)
    return record if isinstance(record, dict) else {}


def folders_named(home: Path, name: str) -> list[Path]:
    """The sub-folders that go by a data set's name, its own name first."""
    if not home.is_dir():
        return []
    entry = find_entry(name)
    wanted = entry.name if entry else name
    named = (p for p in home.iterdir() if p.name == name or (entry and find_entry(p.name) is entry))
    return sorted((p for p in named if p.is_dir()), key=lambda p: (p.name != wanted, p))


def _missing(name: str | None, looked: list[Path], given: bool) -> NoSuchSet:
    entry = find_entry(name) if name else None
    places = ', '.join(str(p) for p in looked)
    if entry:
        get = f'Get it from {entry.source}'
    else:
        get = 'Known sets: ' + ', '.join(f'{e.name} ({e.source})' for e in known_datasets().values())
    own = (f for f in looked if f.is_dir() and (f.name == name or (entry and find_entry(f.name) is entry)))
    there = next(own, None)
    if there is not None and (count := count_images(there)):
        return NoSuchSet(
            f'{there}: holds {counted(count, "image")}, but no masks beside them in a layout '
            'that is known; expected for example images/X.png + masks/X.png (layouts: datasets/README.md). '
            'For frames without masks there are madnet predict and madnet dataset synth --backgrounds.'
            + (f' {get}.' if entry else '')
        )
    if given and not any(folder.is_dir() for folder in looked):
        return NoSuchSet(
            f'data set {name or "folder"} not found: no folder {looked[0]}. Where a config names it, say '
            f'where it lies now: {MOVED}.'
        )
    hint = nearest(name, known_datasets()) if name and not entry else ''
    return NoSuchSet(
        f'data set {name or "folder"} not found: looked for a readable folder with images and masks at '
        f'{places}.{hint} Put it under $MADNET_DATA_ROOT (default datasets/), or give its folder: --dataset '
        f'FOLDER. {get}. Config madnet_synthetic needs none. Layouts that would do (X is an image id): '
        f'{layouts_in_words()}.'
    )


def _mend_masks(folder: Folder, entry: Entry) -> None:
    """Put the masks that are known to be right in the place of those that the release has wrong."""
    for image_id, fix in entry.mask_fixes.items():
        for pairs in folder.pairs.values():
            if image_id in pairs and (folder.root / fix).is_file():
                pairs[image_id] = replace(pairs[image_id], mask=folder.root / fix)


def locate(data_root: str | os.PathLike | None, name: str | None) -> tuple[Folder, Entry | None, str]:
    """Find and index a data set.

    Args:
        data_root: Its own folder (or one that holds it under its name); None to look under :func:`data_home`.
        name: Its name; None to go by its ``dataset.json`` or the folder's.

    Returns:
        (folder, with the masks that the catalogue mends; catalogue entry or None; name).

    Raises:
        UserError: Neither was given, or there is no data set in a layout that can be read.
    """
    candidates = _candidates(data_root, name)
    for candidate in candidates:
        folder = read_folder(candidate)
        if folder is not None:
            name = name or name_of(candidate)
            entry = find_entry(name)
            if entry:
                _mend_masks(folder, entry)
            return folder, entry, entry.name if entry else name
    named = (name, *getattr(find_entry(name), 'folders', ())) if name else ()
    looked = candidates or [data_home() / f for f in dict.fromkeys(named)]
    raise _missing(name or looked[0].name, looked, data_root is not None)


def _candidates(data_root: str | os.PathLike | None, name: str | None) -> list[Path]:
    """The folders that a data set may lie in, as :func:`locate` tries them.

    Raises:
        UserError: Neither was given.
    """
    if data_root is not None:
        return [Path(data_root), *(folders_named(Path(data_root), name) if name else [])]
    if not name:
        known = ', '.join(known_datasets())
        raise UserError(f'SIRSTDataset needs name (one of {known}) or data_root (its own folder).')
    return folders_named(data_home(), name)
