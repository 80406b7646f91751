"""How the field's data sets lie in their folders: one table, one reader."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .images import IMAGE_EXTENSIONS


@dataclass(frozen=True)
class Layout:
    """One way to lay out a data set.

    Attributes:
        title: Who lays it out so.
        images: Folder of the images, within the data set's folder; ``{part}`` stands for a part's folder.
        masks: Folder of the masks, likewise.
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
)

#: Part → the names its folder goes by. A training folder is all there is to train on, unless a validation
#: folder stands beside it.
PARTS = {
    'trainval': ('trainval', 'train', 'training'),
    'val': ('val', 'validation'),
    'test': ('test', 'testing'),
}

_LIST_FIELDS = {
    '{split}': '(?P<split>trainval|train|val|test)',
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
        """Whether folders, not lists, tell the parts."""
        return '' not in self.pairs

    def find(self, image_id: str, parts: tuple[str, ...] | None = None) -> Pair | None:
        """The pair with this id, in the first of the given parts that has it (None: in any)."""
        for part, pairs in self.pairs.items():
            if (parts is None or part in parts) and image_id in pairs:
                return pairs[image_id]
        return None

    def lists_named(self, name: str) -> list[str]:
        """The split sets here that a name may mean: all of it, or one of its ``/``-separated pieces."""
        return [name] if name in self.lists else [key for key in self.lists if name in key.split('/')]


def _files(folder: Path, suffix: str = '') -> dict[str, Path]:
    """Id → image file, for stems that end with the suffix; of several files of one id, PNG before BMP etc."""
    rank = {extension: n for n, extension in enumerate(IMAGE_EXTENSIONS)}
    found = []
    for name in os.listdir(folder):
        stem, extension = os.path.splitext(name)
        if extension.lower() in rank and stem.endswith(suffix) and not name.startswith('.'):
            found.append((stem[: len(stem) - len(suffix)], -rank[extension.lower()], name))
    return {image_id: folder / name for image_id, _, name in sorted(found)}


def _pairs(images: Path, masks: Path, layout: Layout) -> dict[str, Pair]:
    mask_files = _files(masks)
    pairs = {}
    for image_id, path in _files(images, layout.image_suffix).items():
        names = (image_id + suffix for suffix in layout.mask_suffixes)
        pairs[image_id] = Pair(path, next((mask_files[n] for n in names if n in mask_files), None))
    return pairs


def _part_folders(root: Path, layout: Layout) -> Iterator[tuple[str, Path, Path]]:
    """(part, image folder, mask folder) of the parts that exist here."""
    parts = PARTS if '{part}' in layout.images else {'': ('',)}
    for part, names in parts.items():
        for name in names:
            images, masks = root / layout.images.format(part=name), root / layout.masks.format(part=name)
            if images.is_dir() and masks.is_dir():
                yield part, images, masks
                break


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
                found.setdefault(key, {}).setdefault(groups['split'], path)
    return found


def read_folder(root: Path) -> Folder | None:
    """Recognise a data set's layout and index its files.

    Args:
        root: The data set's own folder.

    Returns:
        The index, or None where no layout of :data:`LAYOUTS` fits. Only folders are read, no image is opened.
    """
    if not root.is_dir():
        return None
    known: Folder | None = None
    for layout in LAYOUTS:
        if known is None:
            folders = list(_part_folders(root, layout))
            lists = _lists(root, layout) if folders else {}
            # No list where this layout would have some: another row of the table says it better.
            if not folders or (layout.lists and not lists and _shares_folders(layout)):
                continue
            pairs = {part: _pairs(images, masks, layout) for part, images, masks in folders}
            if _holds_data(layout, pairs):
                known = Folder(root, layout, pairs, lists)
        elif (layout.images, layout.masks) == (known.layout.images, known.layout.masks):
            for key, parts in _lists(root, layout).items():
                for split, path in parts.items():
                    known.lists.setdefault(key, {}).setdefault(split, path)
    if known is not None and known.by_part and 'val' in known.pairs and 'trainval' in known.pairs:
        known.pairs = {'train' if part == 'trainval' else part: pairs for part, pairs in known.pairs.items()}
    return known


def _holds_data(layout: Layout, pairs: dict[str, dict[str, Pair]]) -> bool:
    found = [pair for part in pairs.values() for pair in part.values()]
    # Where images and masks share a folder, one image whose name happens to end so is no evidence.
    return any(pair.mask for pair in found) if layout.images == layout.masks else bool(found)


def _shares_folders(layout: Layout) -> bool:
    return sum((layout.images, layout.masks) == (other.images, other.masks) for other in LAYOUTS) > 1


def layouts_in_words() -> str:
    """The layouts that can be read, for messages and documents, in one line."""
    seen = {}
    for layout in LAYOUTS:
        image = f'{layout.images}/X{layout.image_suffix}.png'.removeprefix('./')
        mask = f'{layout.masks}/X{layout.mask_suffixes[0]}.png'.removeprefix('./')
        seen.setdefault(f'{image} + {mask}'.format(part='{trainval,test}'), layout)
    return '; '.join(seen)
