"""Data sets in YOLO's form: a text file of classes, boxes, outlines or points for each image, in shares."""

import filecmp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from madnet.curation.labels import (
    Labelled,
    Shape,
    boxes_of,
    files_by_id,
    name_left_out,
    refuse_unknown,
    with_parts_alone,
)
from madnet.curation.writing import NewSet
from madnet.errors import UserError
from madnet.files import names_below
from madnet.images import EXTENSIONS, image_size
from madnet.text import one_form

#: Name of a folder → its split. What holds others comes last, of which only what they lack is read.
_SPLITS = {
    'train': 'train',
    'val': 'val',
    'valid': 'val',
    'test': 'test',
    'training': 'train',
    'trainval': 'train',
}
#: Beyond these no number is a share: a mark may reach over the border, by a pixel of few or by half a target.
_SHARES = (-1, 2)
#: By how much a box may reach over the border where six numbers may be a box with more behind it.
_SLACK = 0.1


@dataclass
class _Seen:
    """What the lines of a set tell of each other."""

    classes: dict[str, None] = field(default_factory=dict)
    outlines: bool = False  # one that is nothing else is there
    doubt: str = ''  # the first line of six numbers that may be a box with more behind it, or a triangle


def is_yolo(root: Path) -> bool:
    """Whether a folder holds ``images/`` and ``labels/*.txt`` (or both in a folder per part)."""
    return bool(_folders(root) and _texts(root))


def _folders(root: Path) -> list[tuple[str, Path, Path]]:
    """(name in :data:`_SPLITS` or '', images, labels)."""
    found: list[tuple[str, Path, Path]] = []
    for name in _SPLITS:
        for places in (('images/{}', 'labels/{}'), ('{}/images', '{}/labels')):
            images, labels = (root / place.format(name) for place in places)
            if images.is_dir() and labels.is_dir():
                found.append((name, images, labels))
    whole = root / 'images', root / 'labels'
    return found or ([('', *whole)] if all(p.is_dir() for p in whole) else [])


def _texts(root: Path) -> set[Path]:
    places = {root / 'labels', *(labels for _, _, labels in _folders(root))}
    # labelImg puts the names of its classes beside the labels
    texts = (place / name for place in places for name in names_below(place) if name.endswith('.txt'))
    return {text for text in texts if text.name != 'classes.txt'}


def read_yolo(root: Path, classes: Sequence[str] | None) -> dict[str, list[Labelled]]:
    """Split → images; an image without a text file has no target.

    Raises:
        UserError: A line that is none of ``class x y``, ``class x y w h`` (of predictions, with a confidence
            behind), ``class x1 y1 x2 y2 x3 y3 …``, in shares; triangles that may be boxes with a track or a
            key point, in a set without other outlines; no text file has the name of an image.
    """
    texts = sorted(_texts(root))
    taken: set[Path] = set()
    found: dict[str, list[Labelled]] = {}
    seen = _Seen()
    read: dict[str, Path] = {}
    for folder, images, labels in _folders(root):
        split = _SPLITS.get(folder, '')
        again = split in found or folder == 'trainval'
        by_id = files_by_id(labels, '.txt')
        for file in sorted(n for n in names_below(images) if n.lower().endswith(EXTENSIONS)):
            path, name = images / file, one_form(file.rpartition('.')[0])
            text = by_id.get(name)
            taken.update([text] if text else [])
            before = read.setdefault(name, path)
            if again and before != path:
                if folder == 'trainval' or filecmp.cmp(before, path, shallow=False):
                    continue
                raise UserError(
                    f'{before} and {path}: two images of one name, in folders of one part; rename one.'
                )
            size = image_size(path)
            shapes = _read_text(text, size, classes, seen) if text else []
            found.setdefault(split, []).append(Labelled(name, path, shapes, size))
    rest = [text for text in texts if text not in taken]
    if texts and rest == texts:
        raise UserError(
            f'{texts[0]}: no image has this name, nor that of another label file; expected images/X.png for '
            'labels/X.txt.'
        )
    name_left_out(rest, 'label file', "whose image is not there or in no part's folder, left out")
    refuse_unknown(classes, seen.classes, root)
    if seen.doubt and not seen.outlines:
        raise UserError(
            f'{seen.doubt}, a box with a track or a key point behind it, or a triangle; expected "class x y '
            'w h" of a box, without the last two numbers, and of a triangle its last corner twice.'
        )
    return {split: found[split] for split in ('', 'train', 'val', 'test') if split in found}


def _read_text(path: Path, size: tuple[int, int], classes: Sequence[str] | None, seen: _Seen) -> list[Shape]:
    shapes = []
    try:
        lines = path.read_text(encoding='utf-8-sig').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f'{path}: not readable as text ({error}).') from None
    for number, line in enumerate(lines, 1):
        kind, *values = line.split() or ['']
        if kind:
            seen.classes[kind] = None
        if not kind or (classes and kind not in classes):
            continue
        where = f'{path}, line {number}: found {line[:60]!r}'
        shares = _shares(values, where)
        boxed = len(shares) == 6 and _may_be_box(shares[:4])
        seen.outlines |= len(shares) >= 6 and not boxed
        if boxed and not seen.doubt:
            seen.doubt = where
        points = shares.reshape(-1, 2) * size
        if len(shares) == 2 or (len(shares) == 4 and not points[1].any()):
            shapes.append(Shape('point', tuple(points[0])))
        elif len(shares) == 4:
            shapes.append(Shape('box', (*(points[0] - points[1] / 2), *(points[0] + points[1] / 2))))
        else:
            shapes.append(Shape('outline', (points,)))
    return shapes


def _shares(values: Sequence[str], where: str) -> np.ndarray:
    try:
        shares = np.array(values, float)
    except ValueError:
        shares = np.array([np.nan])
    if len(shares) == 5:
        shares = shares[:4]  # the last is a prediction's confidence
    count = len(shares)
    if not np.isfinite(shares).all() or not (count in (2, 4) or (count >= 6 and count % 2 == 0)):
        raise UserError(
            f'{where}, expected "class x y w h" in shares of the image\'s sides (or x y, or x1 y1 x2 y2 x3 '
            'y3 …).'
        )
    least, most = _SHARES
    if shares.min() <= least or shares.max() >= most or (count == 4 and shares[2:].min() < 0):
        what = 'a number of a track behind a box?' if count == 6 and _may_be_box(shares[:4]) else 'pixels?'
        raise UserError(f"{where} ({what}), expected shares of the image's sides, 0 to 1.")
    return shares


def _may_be_box(shares: np.ndarray) -> bool:
    """Whether x, y, w, h lie in an image."""
    middle, half = shares[:2], shares[2:] / 2
    return bool((half > 0).all() and (middle - half >= -_SLACK).all() and (middle + half <= 1 + _SLACK).all())


def write_yolo(new: NewSet, parts: Mapping[str, Sequence[Labelled]]) -> None:
    """Write ``images/<split>/``, ``labels/<split>/`` and ``data.yaml``; every target as a box of class 0."""
    merged = with_parts_alone(parts, 'train', ('', 'trainval'))
    for split, images in merged.items():
        for labelled in images:
            w, h = labelled.size
            lines = [
                f'0 {(x0 + x1) / 2 / w:.8f} {(y0 + y1) / 2 / h:.8f} {(x1 - x0) / w:.8f} {(y1 - y0) / h:.8f}\n'
                for x0, y0, x1, y1 in boxes_of(labelled.shapes, labelled.size)
            ]
            name = f'{labelled.image_id}{labelled.image.suffix.lower()}'
            new.copy(f'images/{split}/{name}', labelled.image)
            new.put(f'labels/{split}/{labelled.image_id}.txt', ''.join(lines).encode())
    folders = ''.join(f'{split}: images/{split}\n' for split in merged)
    new.put('data.yaml', f'path: .\n{folders}names:\n  0: target\n'.encode())
