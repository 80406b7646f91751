"""Looks at every file of a data set, and says what is wrong with it."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np

from madnet.datasets.catalogue import Entry, published_lists
from madnet.datasets.duplicates import thumbnail
from madnet.datasets.layouts import Folder, Pair, read_folder
from madnet.datasets.locate import range_of_set
from madnet.datasets.selection import folders_of
from madnet.datasets.sources import locate_source
from madnet.datasets.splits import few, ids_sha256, read_ids, split_of
from madnet.errors import UserError
from madnet.evaluation.components import find_components
from madnet.evaluation.rules import half
from madnet.files import names_below
from madnet.images import EXTENSIONS, fit_mask, image_size, read_image, read_mask
from madnet.images.masks import some, stored_values
from madnet.progress import progress_bar
from madnet.text import counted, printable

#: From bad to harmless: what would be refused or make wrong numbers; what one has to know before one trusts a
#: number; what is so, and no fault.
SEVERITIES = ('error', 'warning', 'note')
#: Thumbnails that correlate more are near-duplicates, as in
#: :func:`~madnet.datasets.duplicates.find_near_duplicates`.
NEAR = 0.995
#: A mask with a larger share of target pixels is taken for inverted: small targets cover some thousandths.
INVERTED = 0.5
#: Files beside images that are no data.
_SILENT = ('.txt', '.json', '.md', '.xml', '.csv', '.yaml', '.yml', '.mat', '.html', '.pdf')

#: (part, id); the part is '' where the folder has none.
Key = tuple[str, str]


@dataclass
class Facts:
    """What one image and its mask are like."""

    pair: Pair
    size: tuple[int, int] | None = None  # (W, H) of the image; None where it can't be read
    channels: int = 1  # or 3, as stored
    colour: float = 0  # largest difference of two channels, on the file's scale
    dtype: str = 'uint8'
    grey: tuple[float, float] = (0, 0)  # least and largest value
    digest: str = ''  # of the image's pixels
    thumbnail: np.ndarray | None = None  # see madnet.datasets.duplicates
    mask_size: tuple[int, int] | None = None  # (W, H) of the mask file
    values: tuple[int, ...] = ()  # up to eight grey values of the mask, ascending
    n_values: int = 0  # how many there are
    areas: tuple[int, ...] = ()  # pixels of the 8-connected targets with grey value above 127
    above_zero: int = 0  # number of the targets with grey value above 0
    share: float = 0.0  # of the mask's pixels above 127
    at_border: int = 0  # targets that touch the image's border
    #: Kind → what was said, for what keeps the pair from being used.
    trouble: dict[str, str] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether image and mask can be read and fit each other."""
        return not self.trouble


@dataclass(frozen=True)
class Finding:
    """One kind of defect or peculiarity."""

    severity: str  # one of SEVERITIES
    kind: str  # a short name, such as 'mask missing'
    what: str  # what it means and what to do
    which: tuple[str, ...]  # images (ids, with their part's folder where there is one), pairs, or files


@dataclass
class Inspection:
    """What :func:`inspect` finds of a data set; of the findings, the worst first."""

    folder: Folder
    entry: Entry | None
    name: str
    facts: dict[Key, Facts]
    #: Split set → split → keys of the images that are here.
    splits: dict[str, dict[str, list[Key]]] = field(default_factory=dict)
    #: Split set → split → number of ids listed.
    listed: dict[str, dict[str, int]] = field(default_factory=dict)
    #: Split set of the folder → the one whose ids are the same.
    same: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def targets(self) -> int:
        """8-connected targets with mask above 127."""
        return sum(len(f.areas) for f in self.facts.values())

    @property
    def faint(self) -> list[Key]:
        """Images whose masks are not all 0, and have no value above 127."""
        return [k for k, f in self.facts.items() if f.usable and f.above_zero and not f.areas]

    @property
    def mostly_faint(self) -> bool:
        """Whether most masks that are not all 0 have no value above 127: another value stands for target."""
        return 2 * len(self.faint) > sum(f.usable and f.above_zero > 0 for f in self.facts.values())

    def add(self, severity: str, kind: str, what: str, which: Iterable[str]) -> None:
        """Note a finding, if it has any image."""
        which = tuple(which)
        if which:
            self.findings.append(Finding(severity, kind, what, which))
            self.findings.sort(key=lambda f: SEVERITIES.index(f.severity))


def label(key: Key) -> str:
    """``'test/000001'`` for ``('test', '000001')``, the id alone where there are no parts."""
    return '/'.join(filter(None, key))


def inspect(source: str, split_set: str | None = None, name: str | None = None) -> Inspection:
    """Look at every file of a data set.

    Args:
        source: Its folder, or a name of the catalogue.
        split_set: Look at these lists only; None for all, packaged and in the folder.
        name: Of the set in the folder; None to go by its ``dataset.json`` or the folder's.

    Raises:
        UserError: No data set in a layout that can be read, or no lists of that name.
    """
    folder, entry, name = locate_source(source, name)
    keys = [(part, i) for part, pairs in folder.pairs.items() for i in sorted(pairs)]
    bar = progress_bar(keys, what=f'check {name}')
    found = Inspection(folder, entry, name, {key: look(folder.pairs[key[0]][key[1]]) for key in bar})
    _find_broken(found)
    _find_strays(found)
    _find_mask_values(found)
    _find_mended(found)
    _read_splits(found, split_set)
    _find_crossings(found)
    find_duplicates(found)
    _note_the_rest(found)
    return found


def look(pair: Pair) -> Facts:
    """Read an image and its mask, and measure both; what can't be read is said in ``trouble``."""
    facts = Facts(pair)
    try:
        pixels = read_image(pair.image)
        facts.thumbnail = thumbnail(pixels)
    except UserError as error:
        facts.trouble['unreadable image'] = str(error)
    else:
        facts.size = (pixels.shape[1], pixels.shape[0])
        facts.channels = pixels.shape[2] if pixels.ndim == 3 else 1
        facts.dtype = str(pixels.dtype)
        facts.grey = (pixels.min().item(), pixels.max().item())
        if pixels.ndim == 3:
            wide = pixels.astype(np.float64)
            facts.colour = max(abs(wide[..., 0] - wide[..., c]).max().item() for c in (1, 2))
        shape = str((pixels.shape, pixels.dtype)).encode()
        facts.digest = hashlib.sha256(shape + np.ascontiguousarray(pixels).data).hexdigest()
    if pair.mask is None:
        facts.trouble['mask missing'] = f'{pair.image}: no mask'
        return facts
    try:
        _look_at_mask(facts, pair.mask)
    except UserError as error:
        kind = 'mask of another size' if facts.mask_size else 'unreadable mask'
        facts.trouble[kind] = str(error)
    return facts


def _look_at_mask(facts: Facts, path: Path) -> None:
    mask = read_mask(path, strict=False)
    facts.mask_size = (mask.shape[1], mask.shape[0])
    levels = np.flatnonzero(np.bincount(mask.ravel(), minlength=256))
    facts.values, facts.n_values = tuple(map(int, levels[:8])), len(levels)
    if facts.size:
        mask = fit_mask(mask, facts.size[::-1], path, facts.pair.image)
    targets = find_components(half(mask))
    facts.areas = tuple(map(int, targets.areas))
    facts.share = float(targets.areas.sum() / mask.size)
    facts.above_zero = len(targets) if set(facts.values) <= {0, 255} else len(find_components(mask > 0))
    h, w = mask.shape
    x0, y0, x1, y1 = targets.boxes.T
    facts.at_border = int(((x0 == 0) | (y0 == 0) | (x1 == w) | (y1 == h)).sum())


def _find_broken(found: Inspection) -> None:
    kinds: dict[str, list[str]] = defaultdict(list)
    first: dict[str, str] = {}
    for key, facts in found.facts.items():
        for kind, reason in facts.trouble.items():
            kinds[kind].append(label(key))
            first.setdefault(kind, reason)
    explained = {
        'unreadable image': 'an image that cannot be read',
        'unreadable mask': 'a mask that cannot be read',
        'mask missing': f'an image without mask ({found.folder.layout.masks}/)',
        'mask of another size': 'and another aspect: the mask cannot cover its image',
    }
    for kind, what in explained.items():
        found.add('error', kind, f'{what} (the first: {first.get(kind, "").rstrip(".")})', kinds[kind])


def _find_strays(found: Inspection) -> None:
    """Files beside the images that belong to no pair, and so are skipped in silence."""
    pairs = [p for part in found.folder.pairs.values() for p in part.values()]
    used = {p.image for p in pairs} | {p.mask for p in pairs if p.mask}
    places = {p.image.parent for p in pairs}, {p.mask.parent for p in pairs if p.mask}
    fixes = {found.folder.root / fix for fix in (found.entry.mask_fixes.values() if found.entry else ())}
    mended = {m.stem for m in fixes}
    lone, other = [], []
    here = {place / name for place in places[0] | places[1] for name in names_below(place)}
    for path in sorted(here - used - fixes):
        name = str(path.relative_to(found.folder.root))
        if path.suffix.lower() not in EXTENSIONS:
            other += [name] * (path.suffix.lower() not in _SILENT)
        elif path.parent in places[1] and not any(path.stem.startswith(m) for m in mended):
            lone.append(name)
        elif path.parent not in places[1]:
            other.append(name)
    found.add('warning', 'image missing', 'a mask without image', lone)
    found.add('warning', 'files not read', 'of a kind or in a place that is not read', other)


def _find_mask_values(found: Inspection) -> None:
    read = {k: f for k, f in found.facts.items() if f.usable}
    faint = found.faint
    masks = {found.facts[k].values: mask for k in faint if (mask := found.facts[k].pair.mask)}
    values = stored_values(masks.values())
    found.add(
        'error' if found.mostly_faint else 'warning',
        'mask without a value above 127',
        f'values {some(values)}: read as empty; 255 is to stand for target',
        map(label, faint),
    )
    inverted = [k for k, f in read.items() if f.share > INVERTED]
    found.add('error', 'inverted', f'more than {INVERTED:.0%} of the pixels are target', map(label, inverted))
    grey = [k for k, f in read.items() if not set(f.values) <= {0, 255} or f.n_values > 2]
    grey = [k for k in grey if k not in faint]
    counts = [k for k in grey if found.facts[k].above_zero != len(found.facts[k].areas)]
    found.add(
        'warning',
        'targets depend on the threshold',
        'another number of targets at > 0 than at > 127',
        (f'{label(k)} ({found.facts[k].above_zero} for {len(found.facts[k].areas)})' for k in counts),
    )
    found.add('note', 'grey masks', 'values beside 0 and 255; target is > 127', map(label, grey))
    empty = [k for k, f in read.items() if not f.above_zero]
    severity = 'error' if len(empty) == len(read) else 'note'
    found.add(severity, 'empty masks', 'no target in the image', map(label, empty))
    odd = [k for k, f in read.items() if f.size != f.mask_size]
    found.add(
        'warning',
        'mask of another size',
        'of the same aspect: read by nearest neighbour',
        (f'{label(k)} ({_size(read[k].mask_size)} for {_size(read[k].size)})' for k in odd),
    )


def _find_mended(found: Inspection) -> None:
    """Masks of the release that the catalogue replaces: what is wrong with the replaced ones."""
    fixes = found.entry.mask_fixes if found.entry else {}
    raw = read_folder(found.folder.root) if fixes else None
    for image_id in fixes if raw else ():
        pair, used = (folder.find(image_id) for folder in (raw, found.folder) if folder)
        if pair and used and used.mask and pair != used:
            what = f'the mask {used.mask.relative_to(found.folder.root)} is used instead'
            name = f'{image_id} ({_size_of(pair.mask)} for {_size_of(pair.image)})'
            found.add('warning', 'mask of another size', what, [name])


def _size_of(path: Path | None) -> str:
    with suppress(UserError):
        return _size(image_size(path) if path else None)
    return _size(None)


def _size(size: tuple[int, int] | None) -> str:
    return '{} × {}'.format(*size) if size else 'unreadable'


def _read_splits(found: Inspection, only: str | None) -> None:
    folder, entry = found.folder, found.entry
    known: dict[str, str] = {}
    for name, record in (entry.split_sets if entry else {}).items():
        if record.by_folder == folder.by_part and only in (None, name):
            published = published_lists(found.name, name)
            known[_identity(published)] = name
            _take_lists(found, name, published, record.by_folder, 'warning')
    if folder.by_part and not found.splits and only in (None, 'folders'):
        found.splits['folders'] = {p: [(p, i) for i in sorted(ids)] for p, ids in folder.pairs.items()}
        found.listed['folders'] = {p: len(ids) for p, ids in folder.pairs.items()}
    for name, files in folder.lists.items():
        if only not in (None, name):
            continue
        try:
            lists = {split: folder.frames_of(read_ids(path)) for split, path in files.items()}
        except UserError as error:
            found.add('error', 'broken list', str(error).rstrip('.'), [name])
            continue
        identity = _identity(lists)
        if identity in known:
            if known[identity] != name:
                found.same[name] = known[identity]
            continue
        known[identity] = name
        _take_lists(found, name, lists, False, 'error')
    if only is not None and only not in folder.lists and not found.splits:
        there = ', '.join([*(entry.split_sets if entry else ()), *folder.lists]) or 'none'
        raise UserError(f'{found.name}: no lists {only!r}; there are {there}.')


def _find_crossings(found: Inspection) -> None:
    """Images that one author's lists test on and another's train on."""
    crossings = []
    for name, splits in found.splits.items():
        test = set(splits.get('test', ()))
        shared = {o: len(test.intersection(training_keys(s))) for o, s in found.splits.items() if o != name}
        counts = ', '.join(f'{n} of {other}' for other, n in shared.items() if n)
        if counts:
            crossings.append(f'{name} ({counts})')
    what = (
        'test images that other lists train on, so that weights of one and numbers of the other say nothing '
        'together'
    )
    found.add('note', 'lists that cross', what, crossings)


def _identity(lists: Mapping[str, Sequence[str]]) -> str:
    parts = (split_of(lists, 'trainval') or (), split_of(lists, 'test') or ())
    return ' '.join(ids_sha256(part) for part in parts)


def _take_lists(found: Inspection, name: str, lists: dict, by_folder: bool, severity: str) -> None:
    """Note where the images of some lists are, which are not there, and which are in two parts."""
    found.listed[name] = {split: len(ids) for split, ids in lists.items()}
    found.splits[name] = {}
    lacking: list[str] = []
    for split, ids in lists.items():
        keys = []
        for i in ids:
            homes = [p for p in found.folder.pairs if i in found.folder.pairs[p]]
            homes = [p for p in homes if p in folders_of(split)] if by_folder else homes
            keys += [(homes[0], i)] if homes else []
            lacking += [] if homes else [f'{split}/{i}']
        found.splits[name][split] = keys
        if not keys and severity == 'error':  # a published list of a set that is here in part is none
            what = f'none of the {len(ids)} ids for {split} is there (the first: {few(ids, 1)!r})'
            what = what if ids else f'holds no id for {split}'
            found.add('error', 'broken list', f'{what}; expected such as {min(found.facts)[1]!r}', [name])
    found.add(severity, 'not there', f'listed in {name}, but not in the folder', lacking)
    if by_folder:
        return
    test = set(lists.get('test', ()))
    for split in ('trainval', 'train', 'val'):
        both = sorted(test.intersection(lists.get(split, ())))
        what = f'listed in {name} for {split} and for test: a test on them says nothing'
        found.add('error', 'ids in two parts', what, both)
    unlisted = sorted(set(found.facts) - {k for keys in found.splits[name].values() for k in keys})
    found.add('note', 'not listed', f'in the folder, but in no list of {name}', map(label, unlisted))


def training_keys(splits: dict[str, list[Key]]) -> list[Key]:
    """The images of a split set that one may train on."""
    return sorted({k for split, keys in splits.items() if split != 'test' for k in keys})


def find_duplicates(found: Inspection) -> None:
    """Note images that show the same, inside of parts and across; what was noted before is replaced."""
    found.findings = [f for f in found.findings if 'duplicates' not in f.kind]
    seen = {k: f.thumbnail for k, f in found.facts.items() if f.thumbnail is not None}
    if not seen:
        return
    keys = list(seen)
    row = {key: n for n, key in enumerate(keys)}
    digests = [found.facts[k].digest for k in keys]
    thumbnails = np.stack(list(seen.values()))
    close = thumbnails @ thumbnails.T > NEAR
    pairs = {(i, j): digests[i] == digests[j] for i, j in np.argwhere(close).tolist() if i < j}
    # Images of one grey level have no thumbnail to correlate.
    copies: dict[str, list[int]] = defaultdict(list)
    for n, digest in enumerate(digests):
        copies[digest].append(n)
    pairs |= {pair: True for group in copies.values() for pair in combinations(group, 2)}
    kinds = ((True, 'exact duplicates'), (False, 'near-duplicates'))
    across: set[tuple[int, int]] = set()
    for name, splits in found.splits.items():
        test = {row[k] for k in splits.get('test', ()) if k in row}
        train = {row[k] for k in training_keys(splits) if k in row} - test
        parted = {(i, j) for i, j in pairs if (i in train and j in test) or (j in train and i in test)}
        across |= parted
        for exact, kind in kinds:
            couples = [p for p in parted if pairs[p] == exact]
            # the same id in two lists is one image, and its own finding
            tests = sorted({label(keys[i]) for p in couples for i in p if i in test})
            what = f'test images of {name} that a training image also shows'
            found.add('warning', f'{kind} across parts', what, tests)
    for exact, kind in kinds:
        inside = [p for p, same in sorted(pairs.items()) if same == exact and p not in across]
        names = (f'{label(keys[i])} = {label(keys[j])}' for i, j in inside)
        found.add('note', kind, 'pairs of images inside one part', names)


def _note_the_rest(found: Inspection) -> None:
    def those(test: Callable[[Facts], object]) -> list[str]:
        return [label(k) for k, f in found.facts.items() if test(f)]

    what = 'channels that differ, read as their luma where a network takes one'
    found.add('note', 'coloured', what, those(lambda f: f.colour > 0))
    grey = those(lambda f: f.channels == 3 and f.colour == 0)
    found.add('note', 'grey stored as colour', 'three equal channels', grey)
    deep = those(lambda f: f.dtype == 'uint16')
    own = range_of_set(found.folder.root)
    how = 'prepare --value-range auto' if own is None else f'read by its own value range, {own}'
    found.add('note', '16 bit', f'values {_range(found, "uint16")}; {how}', deep)
    odd = those(lambda f: f.size and f.dtype not in ('uint8', 'uint16'))
    what = f'values {_range(found)}, of no 8 or 16 bits: say by value_range which are black and white'
    found.add('warning', 'values of no fixed range', what, odd if own is None else ())
    flat = those(lambda f: f.size and f.grey[0] == f.grey[1])
    found.add('warning', 'flat images', 'one grey level only', flat)
    found.add('note', 'one-pixel targets', 'images with a target of one pixel', those(lambda f: 1 in f.areas))
    border = those(lambda f: f.at_border)
    found.add('note', 'targets at the border', 'images with a target cut by the border', border)


def _range(found: Inspection, dtype: str | None = None) -> str:
    """Least and largest value of the images of a type, or of all that are neither uint8 nor uint16."""
    read = [f for f in found.facts.values() if f.size]
    own = [f.grey for f in read if (f.dtype == dtype if dtype else f.dtype not in ('uint8', 'uint16'))]
    return f'{min(low for low, _ in own):g} to {max(high for _, high in own):g}' if own else ''


def as_record(found: Inspection) -> dict:
    """The inspection as plain values, for JSON."""
    sizes = Counter(f.size for f in found.facts.values() if f.size)
    areas = [a for f in found.facts.values() for a in f.areas]
    read = [f for f in found.facts.values() if f.size]
    return {
        'name': found.name,
        'folder': str(found.folder.root),
        'layout': found.folder.layout.title,
        'known': found.entry.name if found.entry else None,
        'images': len(found.facts),
        'usable': sum(f.usable for f in found.facts.values()),
        'targets': found.targets,
        'target_area': [min(areas), int(np.median(areas)), max(areas)] if areas else None,
        'sizes': {_size(size): n for size, n in sizes.most_common()},
        'grey_range': [min(f.grey[0] for f in read), max(f.grey[1] for f in read)] if read else None,
        'splits': found.listed,
        'same_lists': found.same,
        'findings': [
            {'severity': f.severity, 'kind': f.kind, 'count': len(f.which), 'what': f.what, 'which': f.which}
            for f in found.findings
        ],
    }


def as_text(found: Inspection, examples: int = 4) -> str:
    """The inspection as text: what it is, its splits, and a table of findings, the worst first."""
    record = as_record(found)
    sizes = list(record['sizes'])
    size = sizes[0] if len(sizes) == 1 else f'{len(sizes)} sizes' if sizes else 'no size'
    area = ', area {} / {} / {} pixels (least, median, largest)'.format(*record['target_area'] or '---')
    about = f', {record["known"]} of the catalogue' if record['known'] else ''
    lines = [
        f'{record["name"]}: {record["folder"]} ({record["layout"]}{about})',
        f'  {record["images"]:,} images, {size}, grey {record["grey_range"]}; {record["targets"]:,} targets'
        + (area if record['target_area'] else ''),
    ]
    for name, parts in record['splits'].items():
        twins = [twin for twin, of in record['same_lists'].items() if of == name]
        also = f' (also {", ".join(twins)})' if twins else ''
        counts = ', '.join(f'{part} {n}' for part, n in parts.items())
        lines.append(f'  lists {name}: {counts}{also}')
    if not record['splits'] and not found.folder.lists:
        lines.append('  no lists and no folders say what its parts are')
    rows = []
    for f in found.findings:
        which = ', '.join(f.which[:examples]) + (', …' if len(f.which) > examples else '')
        rows.append((f.severity, str(len(f.which)), f.kind, f'{f.what}: {which}'))
    if rows:
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines.append('')
        for severity, count, kind, rest in rows:
            cells = (severity.ljust(widths[0]), count.rjust(widths[1]), kind.ljust(widths[2]), rest)
            lines.append('  '.join(cells))
    total = Counter(f.severity for f in found.findings)
    said = (counted(total[s], f'kind of {s}', f'kinds of {s}') for s in SEVERITIES if total[s])
    lines += ['', ', '.join(said) or 'nothing to mend']
    return '\n'.join(map(printable, lines))
