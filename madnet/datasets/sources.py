"""What names and folders of data sets mean, as users give them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from madnet.datasets.catalogue import Entry, find_entry, known_datasets
from madnet.datasets.layouts import Folder
from madnet.datasets.locate import data_home, locate, name_of
from madnet.errors import UserError, nearest


@dataclass(frozen=True)
class Source:
    """What one value of ``dataset`` means.

    Attributes:
        arguments: ``name`` and ``data_root`` of its ``SIRSTDataset``, as far as it needs them.
        entry: Its entry in the catalogue; None for a set that is not known.
        short: Its short name, for the work folder.
    """

    arguments: dict[str, Any]
    entry: Entry | None
    short: str


def find_sources(value: str | Sequence[str] | None) -> list[Source]:
    """What ``dataset`` means: names of the catalogue, folders (several in a list or with commas), or nothing.

    Raises:
        UserError: Neither a known name nor a folder.
    """
    values = str(value).split(',') if isinstance(value, (str, os.PathLike)) else value or []
    return [_find_source(str(v)) for v in values]


def locate_source(source: str, name: str | None = None) -> tuple[Folder, Entry | None, str]:
    """:func:`~madnet.datasets.locate.locate` for what a command line names: a name, or a set's own folder."""
    arguments = _find_source(source).arguments
    return locate(arguments.get('data_root'), name or arguments.get('name'))


def short_names() -> list[str]:
    """Those of the known data sets, such as ``'nuaa'``."""
    return [entry.short for entry in known_datasets().values()]


def _find_source(value: str) -> Source:
    if not value.strip():
        raise UserError('dataset: found an empty name, expected a data set of the catalogue or a folder.')
    entry = None if os.sep in value else find_entry(value)
    if entry:
        return Source({'name': entry.name}, entry, entry.short)
    folder = next((p for p in (Path(value).expanduser(), data_home() / value) if p.is_dir()), None)
    if folder is None:
        raise UserError(
            f'dataset: found {value!r}, expected a data set of the catalogue ({", ".join(known_datasets())}) '
            f"or a folder of one's own.{nearest(value, [*short_names(), *known_datasets()])}"
        )
    entry = find_entry(name_of(folder))
    arguments = {'data_root': str(folder)}
    if entry:
        arguments['name'] = entry.name
    return Source(arguments, entry, entry.short if entry else folder.resolve().name)


def set_name(dataset: Mapping) -> str:
    """What to call the data set of a resolved config."""
    root = dataset.get('data_root')
    return str(dataset.get('name') or (name_of(Path(root)) if root else dataset.get('type')))
