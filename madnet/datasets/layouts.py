"""How the field's data sets lie in their folders: one table, one reader."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from madnet.errors import UserError
from madnet.files import names_below
from madnet.images import EXTENSIONS
from madnet.text import one_form, two_forms

from .catalogue import find_entry
from .splits import clean_id


@dataclass(frozen=True)
class Layout:
    """One way to lay out a data set.

    Attributes:
        title: Who lays it out so.
        images: Folder of the images, within the data set's folder; ``{part}`` stands for a part's folder,
            ``{sequence}`` for a sequence's, whose name begins the ids of its frames.
        masks: Folder of the masks, written in the same way.
        lists: Where lists of ids lie; ``{split}`` is train, val, trainval or test, ``{set}`` and ``{tail}``
            name the split set.
        image_suffix: What the images' names carry after the id.
        mask_suffixes: What the masks' names may carry after the id.
    """

    title: str
    images: str
    masks: str
    lists: tuple[str, ...] = ()
    image_suffix: str = ''
    mask_suffixes: tuple[str, ...] = ('', '_pixels0', '_mask')


#: In the order in which they are tried; layouts that share their folders differ in the lists beside them.
LAYOUTS = (
    Layout('BasicIRSTD', 'images', 'masks', ('img_idx/{split}_{tail}.txt', 'img_idx/{split}.txt')),
    Layout('LESPS', 'images', 'masks', ('{split}_{tail}.txt',)),
    Layout('lists in the folder', 'images', 'masks', ('{split}.txt',)),
    Layout('sirst v1, DNA-Net', 'images', 'masks', ('{set}/{split}.txt',)),
    Layout(
        'lists under splits/',
        'images',
        'masks',
        ('splits/{set}/{split}.txt', 'splits/{set}/{split}_{tail}.txt'),
    ),
    Layout('images and masks, no lists', 'images', 'masks'),
    Layout('sirst v2', 'mixed', 'annotations/masks', ('splits/{split}_{tail}.txt', 'splits/{split}.txt')),
    Layout('IRSTD-1K release', 'IRSTD1k_Img', 'IRSTD1k_Label', ('{split}.txt',)),
    Layout(
        'SIRSTdevkit', 'PNGImages', 'SIRST/BinaryMask', ('Splits/{split}_{tail}.txt', 'Splits/{split}.txt')
    ),
    Layout('MAD-Net, ABC, SIRST-AUG', '{part}/images', '{part}/masks'),
    Layout('folders per part, turned round', 'images/{part}', 'masks/{part}'),
    Layout('MDvsFA', '.', '.', image_suffix='_1', mask_suffixes=('_2',)),
    Layout('folders per part and sequence', '{part}/{sequence}/images', '{part}/{sequence}/masks'),
    Layout('folders per sequence', '{sequence}/images', '{sequence}/masks', ('{split}.txt',)),
)

#: Part → the names its folder goes by. A training folder is all there is to train on, unless a validation
#: folder stands beside it.
PARTS = {
    'trainval': ('trainval', 'train', 'training'),
    'val': ('val', 'valid', 'validation'),
    'test': ('test', 'testing'),
}

#: Other names of a list → its own.
SPELLINGS = {'training': 'train', 'valid': 'val', 'validation': 'val', 'testing': 'test'}

_LIST_FIELDS = {
    '{split}': '(?P<split>trainval|training|train|validation|valid|val|testing|test)',
    '{set}': '(?P<set>[^/]+)',
    '{tail}': '(?P<tail>[^/]+)',
}


@dataclass(frozen=True)
class Pair:
    """An image file and its mask file; None where there is no mask."""

    image: Path
    mask: Path | None


@dataclass
class Folder:
    """What lies in a data set's folder.

    Attributes:
        root: The folder.
        layout: How it is laid out.
        pairs: Part → id → :class:`Pair`; the only part is ``''`` where the layout has none.
        lists: Split set → part → file that lists its ids.
    """

    root: Path
    layout: Layout
    pairs: dict[str, dict[str, Pair]]
    lists: dict[str, dict[str, Path]] = field(default_factory=dict)

    @property
    def by_part(self) -> bool:
        """Whether the parts are folders, not lists."""
        return '' not in self.pairs

    def find(self, image_id: str, parts: tuple[str, ...] | None = None) -> Pair | None:
        """The pair with this id, in the first of the given parts that has it (None: in any)."""
        for part, pairs in self.pairs.items():
            if (parts is None or part in parts) and image_id in pairs:
                return pairs[image_id]
        return None

    def frames_of(self, ids: tuple[str, ...]) -> tuple[str, ...]:
        """A list's ids, with the frames of a sequence in the place of its name."""
        known = {i for pairs in self.pairs.values() for i in pairs}
        if known.issuperset(ids) or not any('/' in i for i in known):
            return ids
        frames: dict[str, list[str]] = {}
        for i in sorted(known):
            frames.setdefault(i.rpartition('/')[0], []).append(i)
        return tuple(frame for i in ids for frame in (frames.get(i, [i]) if i not in known else [i]))

    def lists_named(self, name: str) -> list[str]:
        """The split sets here that a name may mean: all of it, or one of its ``/``-separated pieces."""
        return [name] if name in self.lists else [key for key in self.lists if name in key.split('/')]


def _files(folder: Path, suffix: str = '', nested: bool = False) -> dict[str, Path]:
    """Id → image file, for stems that end with the suffix; of several files of one id, PNG before BMP etc.

    With ``nested``, files in sub-folders count too, and their ids begin with the sub-folder's path.

    Raises:
        UserError: Two names differ only in their Unicode form.
    """
    rank = {extension: n for n, extension in enumerate(EXTENSIONS)}
    found = []
    for name in names_below(folder, nested):
        stem, extension = os.path.splitext(name)
        if extension.lower() in rank and stem.endswith(suffix):
            found.append((one_form(stem[: len(stem) - len(suffix)]), -rank[extension.lower()], name))
    names: dict[str, str] = {}
    for image_id, _, name in sorted(found):
        other = names.setdefault(image_id, name)
        if why := two_forms(os.path.splitext(other)[0], os.path.splitext(name)[0]):
            raise UserError(f'{folder}: {other} and {name} stand for one image{why}; rename one of them.')
        names[image_id] = name
    return {image_id: folder / name for image_id, name in names.items()}


def _pairs(images: Path, masks: Path, layout: Layout, nested: bool) -> dict[str, Pair]:
    mask_files = _files(masks, nested=nested)
    pairs = {}
    for image_id, path in _files(images, layout.image_suffix, nested).items():
        names = (image_id + suffix for suffix in layout.mask_suffixes)
        pairs[image_id] = Pair(path, next((mask_files[n] for n in names if n in mask_files), None))
    return pairs


def _part_folders(root: Path, layout: Layout) -> Iterator[tuple[str, str, Path, Path]]:
    """(part, sequence, image folder, mask folder) of the parts and sequences that exist here."""
    parts = PARTS if '{part}' in layout.images else {'': ('',)}
    for part, names in parts.items():
        for name in names:
            found = _sequence_folders(root, layout, name)
            if found:
                yield from ((part, *folders) for folders in found)
                break


def _sequence_folders(root: Path, layout: Layout, part: str) -> list[tuple[str, Path, Path]]:
    """(sequence, image folder, mask folder); the only sequence is '' where the layout has none."""
    sequences = ['']
    if '{sequence}' in layout.images:
        above = root / layout.images.partition('{sequence}')[0].format(part=part)
        sequences = sorted(p.name for p in above.iterdir() if p.is_dir()) if above.is_dir() else []
        # The folder that holds the data sets is none itself.
        sequences = [name for name in sequences if find_entry(name) is None]
    found = []
    for sequence in sequences:
        images, masks = (
            root / folder.format(part=part, sequence=sequence) for folder in (layout.images, layout.masks)
        )
        if images.is_dir() and masks.is_dir():
            found.append((sequence, images, masks))
    # One folder of images and masks inside of another is a data set, rather than its only sequence.
    return found if part or sequences == [''] or len(found) > 1 else []


def _lists(root: Path, layout: Layout) -> dict[str, dict[str, Path]]:
    found: dict[str, dict[str, Path]] = {}
    for template in layout.lists:
        pattern = re.escape(template).replace(r'\{', '{').replace(r'\}', '}')
        for name, group in _LIST_FIELDS.items():
            pattern = pattern.replace(name, group)
        glob = re.sub(r'\{\w+\}', '*', template)
        for path in sorted(root.glob(glob)):
            match = re.fullmatch(pattern, path.relative_to(root).as_posix())
            if match:
                groups = match.groupdict()
                key = '/'.join(groups[k] for k in ('set', 'tail') if groups.get(k)) or 'lists'
                found.setdefault(key, {}).setdefault(SPELLINGS.get(groups['split'], groups['split']), path)
    return found


def _all_lists(root: Path, layout: Layout) -> dict[str, dict[str, Path]]:
    """The lists of every layout with the same folders."""
    found: dict[str, dict[str, Path]] = {}
    listed: set[Path] = set()  # img_idx/train.txt is BasicIRSTD's, and no set named img_idx as well
    for other in LAYOUTS:
        if (other.images, other.masks) == (layout.images, layout.masks):
            for key, parts in _lists(root, other).items():
                for split, path in parts.items():
                    if path not in listed:
                        found.setdefault(key, {}).setdefault(split, path)
                        listed.add(path)
    return found


def read_folder(root: Path) -> Folder | None:
    """Recognise a data set's layout and index its files.

    Returns:
        The index, or None where no layout of :data:`LAYOUTS` fits. Only folders are read, and lists beside
        folders by part; no image is opened.

    Raises:
        UserError: Two files in one folder have names that differ only in their Unicode form.
    """
    if not root.is_dir():
        return None
    # Files in sub-folders are looked for only where no layout fits without: a folder per part is no sequence,
    # and its name begins no id, unless lists there have ids such as train/000001, or name images that are
    # found in no other way.
    plain = [layout for layout in LAYOUTS if '{part}' not in layout.images]
    by_part = [layout for layout in LAYOUTS if '{part}' in layout.images]
    known = _recognise(root, LAYOUTS, nested=False) or _recognise(root, [*by_part, *plain], nested=True)
    if known and (known.by_part or not all(map(known.find, _listed(known)))):
        whole = _recognise(root, plain, nested=True)
        if whole and any(whole.find(i) and not known.find(i) for i in _listed(whole)):
            known = whole
    if known and known.by_part and 'val' in known.pairs and 'trainval' in known.pairs:
        known.pairs = {'train' if part == 'trainval' else part: pairs for part, pairs in known.pairs.items()}
    return known


def _listed(folder: Folder) -> tuple[str, ...]:
    """The ids in all lists of a folder; whatever is wrong with a list is said by whoever takes it."""
    lines: list[str] = []
    for path in (path for parts in folder.lists.values() for path in parts.values() if path.is_file()):
        with suppress(OSError):
            lines += path.read_text('utf-8-sig', errors='replace').splitlines()
    return folder.frames_of(tuple(dict.fromkeys(filter(None, map(clean_id, lines)))))


def _recognise(root: Path, layouts: Sequence[Layout], nested: bool) -> Folder | None:
    for layout in layouts:
        if nested and layout.images == '.':  # every folder below would be one
            continue
        folders = list(_part_folders(root, layout))
        lists = _lists(root, layout) if folders else {}
        # No list where this layout would have some: another row of the table says it better.
        if not folders or (layout.lists and not lists and _shares_folders(layout)):
            continue
        found: dict[str, dict[str, Pair]] = {}
        for part, sequence, images, masks in folders:
            before = one_form(f'{sequence}/') if sequence else ''
            for image_id, pair in _pairs(images, masks, layout, nested).items():
                found.setdefault(part, {})[before + image_id] = pair
        # Where images and masks share a folder, one image whose name happens to end so is no evidence.
        alone = layout.images != layout.masks
        if any(alone or pair.mask for part in found.values() for pair in part.values()):
            return Folder(root, layout, found, _all_lists(root, layout))
    return None


def count_images(root: Path) -> int:
    """How many image files lie in a folder and below it."""
    return sum(os.path.splitext(name)[1].lower() in EXTENSIONS for name in names_below(root))


def _shares_folders(layout: Layout) -> bool:
    return sum((layout.images, layout.masks) == (other.images, other.masks) for other in LAYOUTS) > 1


def layouts_in_words() -> str:
    """The layouts that can be read, for messages and documents, in one line."""
    seen: dict[str, Layout] = {}
    for layout in LAYOUTS:
        image = f'{layout.images}/X{layout.image_suffix}.png'.removeprefix('./')
        mask = f'{layout.masks}/X{layout.mask_suffixes[0]}.png'.removeprefix('./')
        seen.setdefault(f'{image} + {mask}'.format(part='{trainval,test}', sequence='{sequence}'), layout)
    return '; '.join(seen) + '; X may be a path (sequence/frame)'
