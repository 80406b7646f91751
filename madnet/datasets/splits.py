"""Lists of image ids: read, cut and hashed in the same way everywhere."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from madnet.errors import UserError
from madnet.files import read_text
from madnet.images import EXTENSIONS
from madnet.text import one_form

#: What ``split=`` may say. The first four are as published; ``fit`` and ``val`` are two parts of ``trainval``
#: for choosing a checkpoint without looking at ``test``; ``all`` is every image.
SPLITS = ('train', 'val', 'trainval', 'test', 'fit', 'all')

#: The part of ``trainval`` that becomes ``val`` where no validation list was published.
VAL_SHARE = 0.2


def clean_id(line: str) -> str:
    """The id in a line of a list, in Unicode's normal form C, without space and image extension: ``'000092'``
    for ``'000092.png'``."""
    line = one_form(line).strip().replace('\\', '/')
    if not line.startswith('/'):  # './' and '//' name nothing, as in a path
        line = PurePosixPath(line).as_posix()
    stem, dot, extension = line.rpartition('.')
    return stem if dot and f'.{extension.lower()}' in EXTENSIONS else line


def read_ids(path: Path) -> tuple[str, ...]:
    """The ids in a text file, one a line, as of :func:`clean_id`; any line end, byte-order mark and blank
    lines are tolerated.

    Raises:
        UserError: The file cannot be read, or names an id twice.
    """
    try:
        text = read_text(path, 'utf-8-sig')
        if '\0' in text:  # as in UTF-16 without a byte-order mark
            raise UnicodeError('holds NUL characters')
    except (OSError, UnicodeError) as error:
        advice = '; save it as UTF-8' if isinstance(error, UnicodeError) else ''
        raise UserError(f'{path}: not a readable list of image ids ({error}){advice}.') from error
    ids = tuple(clean_id(line) for line in text.splitlines() if line.strip())
    if len(set(ids)) != len(ids):
        twice = sorted({i for i in ids if ids.count(i) > 1})
        raise UserError(f'{path}: {few(twice)} listed more than once; each id may appear once.')
    return ids


def few(ids: Sequence[str], n: int = 4) -> str:
    """The first ``n`` ids, for a message of one line."""
    return ', '.join(ids[:n]) + (', …' if len(ids) > n else '')


def ids_sha256(ids: Iterable[str]) -> str:
    """Hash that identifies a set of images, whatever their order.

    It is the SHA-256 of the sorted ids, each followed by a line feed, so that ``sha256sum`` of a packaged
    list gives the same.
    """
    return hashlib.sha256(''.join(f'{i}\n' for i in sorted(ids)).encode(errors='surrogateescape')).hexdigest()


def cut_validation(
    ids: Iterable[str], group: int = 1, share: float = VAL_SHARE
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Cut a training part in two by a hash of the id: the same on every machine, whatever the order of
    ``ids``.

    The groups with the smallest SHA-256 become ``val``: ``round(share · groups)`` of them, of several
    sequences (ids with a slash) at least one. A sequence is one group, for its frames show nearly the same; a
    single sequence is cut by frames.

    Args:
        ids: The training part.
        group: Images ``k · group … (k + 1) · group - 1`` (ids are numbers then) show one scene and stay
            together.
        share: Of the groups, for ``val``.

    Returns:
        ``(fit, val)``, both sorted.
    """
    ids = list(ids)
    sequences = {i.rpartition('/')[0] for i in ids}
    groups: dict[str, list[str]] = {}
    for i in ids:
        whole = i.rpartition('/')[0] if len(sequences) > 1 else ''
        groups.setdefault(whole or (str(int(i) // group) if group > 1 else i), []).append(i)
    ranked = sorted(groups, key=lambda g: hashlib.sha256(g.encode(errors='surrogateescape')).hexdigest())
    n_val = max(round(share * len(ranked)), len(sequences) > 1)
    val = sorted(i for g in ranked[:n_val] for i in groups[g])
    fit = sorted(i for g in ranked[n_val:] for i in groups[g])
    return tuple(fit), tuple(val)


def how_cut(ids: Iterable[str], part: Iterable[str]) -> str:
    """How :func:`cut_validation` came to a part of ``ids``, in words."""
    there, taken = ({i.rpartition('/')[0] for i in each} for each in (ids, part))
    if len(there) < 2:
        return 'by a hash of the id'
    of = len(taken - {''}), len(there - {''})
    return 'by a hash of the folder, {} of {}, each kept whole as a sequence'.format(*of)


def split_of(lists: Mapping[str, Sequence[str]], split: str, group: int = 1) -> tuple[str, ...] | None:
    """One split out of the lists that were published.

    Args:
        lists: Any of ``train``, ``val``, ``trainval``, ``test``.
        split, group: See :data:`SPLITS` and :func:`cut_validation`.

    Returns:
        Sorted ids, or None where the lists do not say. Without a ``val`` list, ``train`` and ``trainval``
        are both the whole training part, and ``fit`` and ``val`` are cut from it.
    """
    if split == 'all':
        return tuple(sorted({i for ids in lists.values() for i in ids})) or None
    if split == 'test':
        return tuple(sorted(lists['test'])) if 'test' in lists else None
    trainval = set(lists.get('trainval', ())) or {*lists.get('train', ()), *lists.get('val', ())}
    if not trainval:
        return None
    if split == 'trainval':
        ids = trainval
    elif 'val' in lists:
        val = set(lists['val'])
        train = set(lists.get('train', ())) or trainval - val
        ids = {'train': train, 'val': val, 'fit': train - val}[split]
    elif split == 'train':
        ids = set(lists.get('train', trainval))
    else:
        ids = set(cut_validation(trainval, group)[split == 'val'])
    return tuple(sorted(ids))


def refuse_overlap(lists: Mapping[str, Sequence[str]], where: str) -> None:
    """Raise a UserError that names the ids which are both in the test part and in a training part."""
    test = set(lists.get('test', ()))
    for part in ('trainval', 'train', 'val'):
        both = sorted(test.intersection(lists.get(part, ())))
        if both:
            raise UserError(
                f"{where}: {len(both)} ids are in both '{part}' and 'test' ({few(both, 8)}): a test "
                'on images seen in training says nothing; use lists without overlap.'
            )
