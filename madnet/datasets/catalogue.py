"""The known datasets: one table, ``catalogue.json``, and their split lists, checked when they are read."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from madnet.errors import UserError, nearest
from madnet.files import read_json

from .splits import SPLITS, few, ids_sha256, read_ids, split_of

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class SplitSet:
    """One published way to part a dataset.

    Attributes:
        name: As ``split_set=`` says it, e.g. ``'idx_427'``.
        about: Whose lists these are.
        by_folder: True where the parts are folders and an id is unique within its part only.
        cut_group: How many consecutive images show one scene (see
            :func:`~madnet.datasets.splits.cut_validation`).
        counts: Images of each split, those cut from the training part too.
        hashes: :func:`~madnet.datasets.splits.ids_sha256` of each split.
        near_test: Training images that show nearly what a test image shows
            (:func:`~madnet.datasets.duplicates.find_near_duplicates` with its default threshold); None where
            they were not looked for.
    """

    name: str
    about: str
    by_folder: bool
    cut_group: int
    counts: dict[str, int]
    hashes: dict[str, str]
    near_test: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Entry:
    """What is known of one dataset.

    Attributes:
        name: The name used in this package.
        folders: Names its folder goes by; case and punctuation do not matter.
        source: Where to get it.
        licence: What its authors state for the data; ``'unknown'`` where nobody has looked.
        citation: The paper to cite.
        note: What one has to know before one uses it; mostly empty.
        unchecked: Which of these are written from memory and were not compared with the release.
        base_size: Side of the square, in pixels, at which the published networks train and are scored.
        images: Images in the whole release; None where its authors give none.
        targets: 8-connected targets with mask > 127 in the whole release; None where not counted.
        mask_fixes: Id → path, within the data set's folder, of a mask that is right where the release's is
            not.
        default_split_set: Used when ``split_set`` is not given; None where no lists are packaged: the set's
            own folder says what its parts are then.
        split_sets: Name → :class:`SplitSet`; empty where no lists are packaged.
        statistics: Empty where none were measured; else ``{'grey': {'mean': [m], 'std': [s]}, 'rgb': …, 'of':
            …}``: over all pixels of the training images of the default split set, on the 0–255 scale; grey is
            luma 0.299 R + 0.587 G + 0.114 B. ``by_image`` holds ``grey`` and ``rgb`` with the same weight for
            each image, whatever its size, without the images of ``near_test``; where it lacks, they are the
            same.
    """

    name: str
    folders: tuple[str, ...]
    source: str
    licence: str
    citation: str
    base_size: int
    note: str = ''
    unchecked: tuple[str, ...] = ()
    images: int | None = None
    targets: int | None = None
    mask_fixes: dict[str, str] = field(default_factory=dict)
    default_split_set: str | None = None
    split_sets: dict[str, SplitSet] = field(default_factory=dict)
    statistics: dict = field(default_factory=dict)

    @property
    def default_lists(self) -> SplitSet | None:
        """The split set that is used when none is named; None where no lists are packaged."""
        return self.split_sets.get(self.default_split_set or '')

    @property
    def short(self) -> str:
        """The shortest of its names, in lower case and without punctuation: ``'nudt'``."""
        return min(map(_key, (self.name, *self.folders)), key=len)

    @classmethod
    def from_json(cls, name: str, record: dict) -> 'Entry':
        split_sets = {
            key: SplitSet(
                name=key,
                about=value['about'],
                by_folder=value['by_folder'],
                cut_group=value['cut_group'],
                counts={k: v['count'] for k, v in lists.items()},
                hashes={k: v['sha256'] for k, v in lists.items()},
                near_test=tuple(value['near_test']) if 'near_test' in value else None,
            )
            for key, value in record.get('split_sets', {}).items()
            for lists in [{**value['lists'], **value.get('cut', {})}]
        }
        tuples = {key: tuple(record.get(key, ())) for key in ('folders', 'unchecked')}
        return cls(**{**record, **tuples, 'name': name, 'split_sets': split_sets})


@functools.cache
def known_datasets() -> dict[str, Entry]:
    """Name → :class:`Entry` of every known dataset."""
    table = read_json(_HERE / 'catalogue.json')
    return {name: Entry.from_json(name, record) for name, record in table.items()}


def _key(name: str) -> str:
    return ''.join(c for c in name.lower() if c.isalnum())


def find_entry(name: str) -> Entry | None:
    """The dataset that goes by this name (``'nudt_sirst'`` is ``'NUDT-SIRST'``), or None."""
    return next((e for e in known_datasets().values() if _key(name) in map(_key, (e.name, *e.folders))), None)


def get_entry(name: str) -> Entry:
    """Like :func:`find_entry`; a UserError offers the nearest names where there is none."""
    entry = find_entry(name)
    if entry is None:
        raise UserError(
            f'unknown dataset {name!r}: the catalogue knows {", ".join(known_datasets())}.'
            f'{nearest(name, known_datasets())}'
        )
    return entry


def about_lists(name: str | None, split_set: str | None) -> str:
    """Whose the lists of a data set are, in a sentence; empty where that is not known."""
    entry = find_entry(name) if name else None
    lists = entry.split_sets.get(split_set or '') if entry else None
    if lists is not None:
        return f'Split {lists.name}: {lists.about}'
    return 'Split hashed: parts drawn by a hash of the image ids.' if split_set == 'hashed' else ''


@functools.cache
def published_lists(name: str, split_set: str) -> dict[str, tuple[str, ...]]:
    """Part → sorted ids, from the packaged files: ``trainval``, ``test``, maybe ``train`` and ``val``.

    Raises:
        UserError: A file is missing, or its ids are not those that the catalogue's count and hash say.
    """
    entry = get_entry(name)
    record = get_split_set(entry, split_set)
    folder = _HERE / 'splits' / entry.name / split_set
    lists = {}
    for path in sorted(folder.glob('*.txt')):
        ids = read_ids(path)
        if len(ids) != record.counts.get(path.stem) or ids_sha256(ids) != record.hashes[path.stem]:
            raise UserError(
                f'{path}: {len(ids)} ids that are not the {record.counts.get(path.stem)} of the catalogue; '
                'the installed package is damaged: install it again.'
            )
        lists[path.stem] = ids
    if not {'trainval', 'test'} <= lists.keys():
        raise UserError(f'{folder}: the packaged split lists are missing; install the package again.')
    return lists


def get_split_set(entry: Entry, split_set: str | None = None) -> SplitSet:
    """A split set of a dataset by name, its default for None; a UserError offers the nearest."""
    split_set = split_set or entry.default_split_set or ''
    if not entry.split_sets:
        raise UserError(
            f'{entry.name}: no lists of it are packaged; its own folder says what its parts are '
            '(split_set=folder).'
        )
    if split_set not in entry.split_sets:
        raise UserError(
            f'{entry.name}: unknown split_set {split_set!r}, known are {", ".join(entry.split_sets)}.'
            f'{nearest(split_set, entry.split_sets)}'
        )
    return entry.split_sets[split_set]


def check_split_name(split: str | None, known: Iterable[str] = SPLITS) -> str:
    """The split, if it exists; else a UserError, with the nearest names, also where none is named."""
    if split is None:
        raise UserError(f'no split is named: say split= one of {", ".join(known)}; there is no default.')
    if split not in known:
        raise UserError(
            f'unknown split {split!r}: expected one of {", ".join(known)}.{nearest(split, known)}'
        )
    return split


def split_ids(name: str, split: str, split_set: str | None = None) -> tuple[str, ...]:
    """The sorted ids of a split of a known dataset.

    Args:
        name: Any name the dataset goes by.
        split: ``train``, ``val``, ``trainval``, ``test``, ``fit`` or ``all``; see
            :data:`~madnet.datasets.splits.SPLITS`.
        split_set: None for the dataset's default.

    Raises:
        UserError: An unknown name, or a packaged list that is damaged.

    >>> len(split_ids('NUAA-SIRST', 'trainval')), len(split_ids('NUDT-SIRST', 'val'))
    (341, 133)
    """
    check_split_name(split)
    entry = get_entry(name)
    record = get_split_set(entry, split_set)
    ids = split_of(published_lists(entry.name, record.name), split, record.cut_group) or ()
    if split in record.hashes and ids_sha256(ids) != record.hashes[split]:
        raise UserError(
            f'{entry.name} {record.name}: the cut {split!r} has changed ({len(ids)} ids: {few(ids)}).'
        )
    return ids


def identify_split(entry: Entry, ids: Iterable[str]) -> dict[str, str] | None:
    """Which part of a known dataset these images of it are, in any order: ``{'name': …, 'split': …,
    'split_set': …}`` of the first match, or None.

    Ids alone do not tell a dataset: a changed copy has the same, and numbers from 000000 are anybody's.
    """
    digest = ids_sha256(ids)
    for split_set in entry.split_sets.values():
        for split, known in split_set.hashes.items():
            if known == digest:
                return {'name': entry.name, 'split': split, 'split_set': split_set.name}
    return None
