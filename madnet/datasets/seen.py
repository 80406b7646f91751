"""Which images a network was trained on, by what is recorded of its training."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from madnet.errors import UserError
from madnet.images.notices import say_once
from madnet.records.pretrained_index import PretrainedEntry

from .catalogue import Entry, find_entry, get_split_set, split_ids
from .contents import DIGITS, hashes
from .locate import locate
from .selection import select
from .splits import ids_sha256
from .wrappers import is_kind

#: What an image is known by: (data set, id) where the catalogue has the set, ('', path of the file), and
#: (CONTENT, hash of the file), by which a copy is known in whatever folder.
Keys = frozenset[tuple[str, str]]

#: Takes the place of a data set in keys of what files hold; no set can be called so.
CONTENT = '/content'

#: What it means that images were trained on, and what to do, where something is chosen on them; …
CHOSEN = (
    'it finds more targets and has fewer false alarms there than on new images, so a threshold, budget or '
    'temperature chosen there promises too much; choose it on others, such as a folder of your own'
)
#: … and where they are scored.
SCORED = (
    'the numbers flatter it, and say nothing of new images; test it on others, such as the test part of the '
    'lists that it was trained by'
)


@dataclass(frozen=True)
class TrainedPart:
    """A part of a data set that a network was trained on.

    Attributes:
        record: What says so, in words.
        split: The part.
        name, data_root, split_set, indices: As of :class:`~madnet.datasets.sirst_dataset.SIRSTDataset`.
        exclude_near_test: As there; of a set that the catalogue does not know, the few images that it leaves
            out count as trained on.
        contents: Keys of what its files hold, where the record has them.
        sha256: Of its ids, where the record has it: then the lists that come with the package say which
            images these were. Else its folder does, as far as it is still there.
    """

    record: str
    split: str
    name: str | None = None
    data_root: str | None = None
    split_set: str | None = None
    exclude_near_test: bool = False
    indices: int | Sequence[int] | None = None
    contents: Keys = frozenset()
    sha256: str | None = None

    @property
    def words(self) -> str:
        """Such as ``'NUAA-SIRST idx_427 trainval'``."""
        return ' '.join(
            filter(None, (self.name or Path(str(self.data_root)).name, self.split_set, self.split))
        )

    @cached_property
    def keys(self) -> Keys:
        """Those of all its images; none where nobody can say any more which these were."""
        try:
            return self.contents | (self._packaged() if self.sha256 else self._in_folder())
        except (AttributeError, OSError, TypeError, UserError, ValueError):
            # the folder is gone, other lists lie in it, or the config was of another kind
            return self.contents

    def as_plain(self) -> dict[str, Any]:
        """What :func:`parts_of_record` reads, of plain values."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        if self.contents:
            given['contents'] = ''.join(sorted(digest for _, digest in self.contents))
        return given

    def _in_folder(self) -> Keys:
        try:
            folder, entry, name = locate(self.data_root, self.name)
        except UserError:
            return self._packaged()
        selection = select(folder, entry, name, self.split, self.split_set, allow_partial=True)
        pairs = list(selection.pairs)
        if self.exclude_near_test and entry and selection.split_set in entry.split_sets:
            left_out = get_split_set(entry, selection.split_set).near_test or ()
            pairs = [(i, pair) for i, pair in pairs if i not in left_out]
        if isinstance(self.indices, int):  # as mmengine has it: the first N, or the last
            pairs = pairs[: self.indices] if self.indices >= 0 else pairs[self.indices :]
        elif self.indices is not None:
            pairs = [pairs[k] for k in self.indices if k < len(pairs)]
        return frozenset().union(*(keys_of(entry, self.split, i, pair.image) for i, pair in pairs))

    def _packaged(self) -> Keys:
        entry = find_entry(self.name or '')
        if entry is None or self.indices is not None:
            return frozenset()
        lists = get_split_set(entry, self.split_set)
        ids = split_ids(entry.name, self.split, lists.name)
        others = tuple(i for i in ids if i not in (lists.near_test or ()))
        fitting = [ids, others] if self.sha256 else [others if self.exclude_near_test else ids]
        found = next((c for c in fitting if self.sha256 in (None, ids_sha256(c))), ())
        return frozenset().union(*(keys_of(entry, self.split, i) for i in found))


def keys_of(entry: Entry | None, split: str, image_id: str, path: str | os.PathLike | None = None) -> Keys:
    """What one image is known by.

    Args:
        entry: Its data set in the catalogue.
        split: Its part: some sets number the images of each part anew.
        image_id: Its id.
        path: Its file, where it is at hand.
    """
    found = {('', os.path.realpath(path))} if path is not None else set()
    by_folder = entry is not None and entry.default_lists is not None and entry.default_lists.by_folder
    if entry is not None and not (by_folder and split == 'all'):
        found.add((f'{entry.name}/test' if by_folder and split == 'test' else entry.name, image_id))
    return frozenset(found)


def contents_of(recorded: object) -> Keys:
    """The keys that a :meth:`~madnet.datasets.contents.Contents.text` of images stands for; none for anything
    else, as of records without them."""
    text = recorded if isinstance(recorded, str) else ''
    return frozenset((CONTENT, text[k : k + DIGITS]) for k in range(0, len(text), DIGITS))


def images_of(dataset: Any) -> list[Keys]:
    """The images of a data set; of one that has no files, none."""
    entry, split = getattr(dataset, 'entry', None), getattr(dataset, 'split', '')
    given = map(dataset.get_data_info, range(len(dataset))) if hasattr(dataset, 'get_data_info') else ()
    rows = [row for row in given if row.get('img_path')]
    held = map(contents_of, hashes([row['img_path'] for row in rows]))
    return [
        keys_of(entry, split, row.get('img_id', ''), row['img_path']) | content
        for row, content in zip(rows, held, strict=True)
    ]


def images_in(files: Iterable[str | os.PathLike]) -> list[Keys]:
    """Image files, which belong to a set of the catalogue where a folder above goes by its name."""
    found, paths = [], [*map(Path, files)]
    for path, held in zip(paths, hashes(paths), strict=True):
        above = (find_entry(folder.name) for folder in list(path.resolve().parents)[:3])
        part = 'test' if 'test' in path.parts[-3:] else ''
        entry = next(filter(None, above), None)
        found.append(keys_of(entry, part, path.stem, path) | contents_of(held))
    return found


def parts_of_entry(entry: PretrainedEntry | None) -> list[TrainedPart]:
    """What the registry says that weights were trained on; nothing of weights that are not in it."""
    if entry is None:
        return []
    return [
        TrainedPart(
            f'the registry entry of {entry.name}',
            part.split,
            name=part.dataset,
            split_set=part.split_set,
            sha256=part.sha256,
        )
        for part in entry.data
    ]


def parts_of_record(record: object) -> list[TrainedPart]:
    """What a file says of earlier trainings, each part as of :meth:`TrainedPart.as_plain`; what is of another
    form is passed over."""
    known = {f.name for f in fields(TrainedPart)}
    texts = known - {'indices', 'exclude_near_test'}
    found = []
    for part in record if isinstance(record, list) else ():
        given = {k: v for k, v in part.items() if k in known} if isinstance(part, Mapping) else {}
        if {'record', 'split'} <= given.keys() and all(isinstance(given.get(k, ''), str) for k in texts):
            found.append(TrainedPart(**{**given, 'contents': contents_of(given.get('contents'))}))
    return found


def part_of_config(dataset: Mapping[str, Any], record: str, hashes: object = None) -> TrainedPart | None:
    """What a data set in a training's config stands for, with the hashes of its images, where they are
    recorded; None where it is of another type or has no split."""
    from mmseg.registry import DATASETS  # with PyTorch, which prediction from exported files does without

    from .sirst_dataset import SIRSTDataset

    if not is_kind(dataset.get('type'), DATASETS, SIRSTDataset) or not dataset.get('split'):
        return None
    keys = ('split', 'name', 'data_root', 'split_set', 'exclude_near_test', 'indices')
    given = {key: dataset[key] for key in keys if key in dataset}
    return TrainedPart(record, **given, contents=contents_of(hashes))


def look_for_seen(
    what: str, sets: Sequence[Sequence[Keys]], trained: Sequence[TrainedPart], so: str
) -> list[int | None]:
    """Say in one line where a network was trained on images that something is chosen on, or that are scored.

    Args:
        what: What is done with the images, to begin the line with.
        sets: The images of each data set, of :func:`images_of` or :func:`images_in`.
        trained: What the network was trained on.
        so: What it means: :data:`CHOSEN` or :data:`SCORED`.

    Returns:
        How many images of each set it was trained on; None where none are known to be.
    """
    used = [part for part in trained if any(not part.keys.isdisjoint(i) for images in sets for i in images)]
    known = frozenset().union(*(part.keys for part in used))
    counts = [sum(not known.isdisjoint(image) for image in images) for images in sets]
    if used:
        parts = ', '.join(dict.fromkeys(part.words for part in used))
        records = ' and '.join(dict.fromkeys(part.record for part in used))
        say_once(
            f'warning: {what}: the network was trained on {sum(counts)} of these {sum(map(len, sets))} '
            f'images ({parts}, by {records}): {so}.'
        )
    return [count or None for count in counts]
