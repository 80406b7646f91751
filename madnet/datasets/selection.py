"""Which images a split means in a data set's folder: packaged lists, lists beside the images, or folders."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from madnet.errors import UserError, nearest
from madnet.images.notices import say_once

from .catalogue import Entry, check_split_name, get_split_set, published_lists, split_ids
from .layouts import Folder, Pair
from .splits import cut_validation, few, how_cut, read_ids, refuse_overlap, split_of


class NoSuchPart(UserError):
    """A data set has no images of a split, and nothing else is wrong with it."""


class EmptyList(NoSuchPart):
    """The list of a part is there and holds no id."""


class NotHere(UserError):
    """A data set names images of a split, and none of them is there."""


@dataclass(frozen=True)
class Selection:
    """The images of one split, in the order of their ids.

    Attributes:
        split_set: Whose split it is: a name of the catalogue, of lists in the folder, or ``'folders'``.
        pairs: (id, files) of every image.
    """

    split_set: str
    pairs: tuple[tuple[str, Pair], ...]


def select(
    folder: Folder,
    entry: Entry | None,
    name: str,
    split: str,
    split_set: str | None = None,
    allow_partial: bool | None = None,
) -> Selection:
    """Find the images of a split.

    Of a known data set the packaged lists win, unless it lies in folders by part (MAD-Net, ABC), which then
    tell its parts; ``split_set='folder'`` asks for what the folder says.

    Args:
        folder: The indexed folder.
        entry: Its entry in the catalogue; None for a set that is not known.
        name: What to call it in messages.
        split: One of :data:`~madnet.datasets.splits.SPLITS`.
        split_set: A name of the catalogue, ``'folder'``, or the name of lists in the folder; None for the
            default.
        allow_partial: Accept a training part of which only some images are there, with one warning. None: for
            SIRST-AUG's 8525 images only, of which a sample is a usual thing to have.

    Raises:
        NoSuchPart: No images of this split.
        UserError: Unknown split or set, lists that overlap, images or masks that are not there.
    """
    check_split_name(split)
    where = f'{name} ({folder.root})'
    packaged = entry.split_sets if entry else {}
    if split_set is None:
        split_set, default = 'folder', entry.default_lists if entry else None
        # A set numbered by folder has its packaged list for folders only; a set numbered throughout, for
        # files only.
        if default is not None and default.by_folder == folder.by_part:
            split_set = default.name
    if entry is not None and split_set in packaged:
        record = get_split_set(entry, split_set)
        if record.by_folder and not folder.by_part:
            raise UserError(
                f'{where}: split_set {split_set!r} parts the set by folders trainval/ and test/, which are '
                f"not there; split_set='folder' uses lists in it ({', '.join(folder.lists) or 'none here'})."
            )
        if split == 'all' and record.by_folder:
            wanted: list[tuple[tuple[str, ...] | None, str]] = [
                ((part,), i) for part, ids in published_lists(entry.name, split_set).items() for i in ids
            ]
        else:
            parts = folders_of(split) if record.by_folder else None
            wanted = [(parts, i) for i in split_ids(entry.name, split, split_set)]
        partial = record.by_folder if allow_partial is None else allow_partial
        pairs = _find(folder, wanted, where, split, split_set, partial and split != 'test', entry)
    else:
        split_set, pairs = _by_folder(folder, entry, where, split, split_set, bool(allow_partial))
    if not pairs:
        raise NoSuchPart(f'{where}: no images of split {split!r}.')
    bare = [i for i, pair in pairs if pair.mask is None]
    if bare:
        raise UserError(
            f'{where}: {len(bare)} of the {len(pairs)} images of split {split!r} have no mask '
            f'({few(bare)}); looked for {folder.layout.masks}/'
            f'{bare[0]}{{{",".join(folder.layout.mask_suffixes)}}}.png, .bmp, .tif or .jpg.'
        )
    return Selection(split_set, tuple(pairs))


def folders_of(split: str) -> tuple[str, ...]:
    """The folders in which images of a split of a packaged set numbered by folder lie."""
    return ('test',) if split == 'test' else ('trainval', 'train', 'val')


def _by_folder(
    folder: Folder, entry: Entry | None, where: str, split: str, split_set: str, allow_partial: bool
) -> tuple[str, list[tuple[str, Pair]]]:
    """The split by what lies in the folder itself."""
    if folder.by_part and split_set in ('folder', 'folders'):
        return 'folders', _by_parts(folder, entry, where, split)
    if split == 'all' and split_set == 'folder' and '' in folder.pairs:
        return 'all', sorted(folder.pairs[''].items())
    key = lists_named(folder, entry.split_sets if entry else (), where, split_set)
    lists = {part: folder.frames_of(read_ids(path)) for part, path in folder.lists.get(key or '', {}).items()}
    refuse_overlap(lists, f'{where}, lists {key!r}')
    if key is None and entry is None:
        lists = {'trainval': tuple(folder.pairs[''])}
        if split != 'test':
            trainval = lists['trainval']
            val = cut_validation(trainval)[1]
            say_once(
                f'{where}: no lists of ids there, so all {len(trainval)} images are its training part, '
                f'{len(val)} of them for validation ({how_cut(trainval, val)}); madnet dataset prepare sets '
                'a test part aside.'
            )
    ids = split_of(lists, split)
    if ids is None and key is None:
        retrain = (
            '' if entry else ' Train on its training part then: a network of the whole folder has seen all.'
        )
        known = "'all' is" if entry else "'all' and the training part are"
        raise NoSuchPart(
            f'{where}: no lists of ids there ({folder.layout.title}), so only {known} known; '
            'put train.txt and test.txt there (madnet dataset prepare makes them), or sort the images into '
            'trainval/ and test/.' + retrain
        )
    if ids is None and all(lists.values()):
        raise NoSuchPart(f'{where}: no split {split!r}; lists {key!r} have {", ".join(sorted(lists))}.')
    if ids == () and split in ('fit', 'val') and 'val' not in lists:
        raise NoSuchPart(
            f'{where}: no images of split {split!r}, since the training part is too small to take a fifth of '
            'it; use selection=last.'
        )
    if not ids:
        have = ', '.join(f'{part} {len(listed)}' for part, listed in lists.items())
        kind = NoSuchPart if all(lists.values()) else EmptyList
        raise kind(f'{where}: no images of split {split!r}; lists {key!r} name {have}.')
    key = key or 'folder'
    partial = allow_partial and split != 'test'
    return key, _find(folder, [(None, i) for i in ids], where, split, key, partial, None)


def _by_parts(folder: Folder, entry: Entry | None, where: str, split: str) -> list[tuple[str, Pair]]:
    """The split where each part has its folder."""
    record = entry.default_lists if entry else None
    if record and not record.by_folder:
        # Its ids are unique throughout, so one that is in two folders is one image.
        refuse_overlap({part: tuple(pairs) for part, pairs in folder.pairs.items()}, where)
    if split == 'all':
        parts = tuple(folder.pairs)
    elif 'val' in folder.pairs:
        parts = {'trainval': ('train', 'val'), 'fit': ('train',)}.get(split, (split,))
    else:
        parts = ('test',) if split == 'test' else ('trainval',)
    pairs = [item for part in parts for item in sorted(folder.pairs.get(part, {}).items())]
    if split in ('fit', 'val') and parts == ('trainval',):
        group = record.cut_group if record and record.by_folder else 1
        ids = cut_validation([i for i, _ in pairs], group)[split == 'val']
        pairs = [(i, folder.pairs['trainval'][i]) for i in ids]
    if not pairs:
        raise NoSuchPart(f'{where}: no images of split {split!r}; the folder has {", ".join(folder.pairs)}.')
    return pairs


def lists_named(folder: Folder, packaged: Iterable[str], where: str, split_set: str) -> str | None:
    """Which lists in the folder ``split_set`` means; None where ``'folder'`` has none.

    ``packaged`` and ``where`` are for messages: names of packaged split sets, and what to call the set.

    Raises:
        UserError: It means none of them, or several.
    """
    if split_set == 'folder':
        if len(folder.lists) > 1:
            raise UserError(
                f'{where}: lists of several authors there; name one by split_set: {", ".join(folder.lists)}.'
            )
        return next(iter(folder.lists), None)
    matches = folder.lists_named(split_set)
    if len(matches) != 1:
        known = [*packaged, *folder.lists, 'folder']
        raise UserError(
            f'{where}: split_set {split_set!r} is not the name of one set of lists; there are '
            f'{", ".join(known)}.{nearest(split_set, known)}'
        )
    return matches[0]


def _find(
    folder: Folder,
    wanted: Sequence[tuple[tuple[str, ...] | None, str]],
    where: str,
    split: str,
    split_set: str,
    allow_partial: bool,
    entry: Entry | None,
) -> list[tuple[str, Pair]]:
    """The files of the wanted (folders, id), all of them, or some with a warning."""
    found = [(i, folder.find(i, parts)) for parts, i in wanted]
    lacking = [i for i, pair in found if pair is None]
    there = [(i, pair) for i, pair in found if pair is not None]
    if lacking and allow_partial and there:
        say_once(f'{where}: a partial copy, {len(there)} of {len(wanted)} images of {split!r} ({split_set}).')
    elif lacking:
        source = (
            f'get the whole set from {entry.source}, or name' if entry else 'complete the folder, or name'
        )
        raise (UserError if there else NotHere)(
            f'{where}: {len(lacking)} of the {len(wanted)} images of split {split!r} ({split_set}) are not '
            f'there ({few(lacking)}); {source} another split_set.'
        )
    return there
