"""Data sets in Pascal VOC's form: an XML of boxes or points for each image, corners counted from 1."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from madnet.curation.labels import (
    Labelled,
    Shape,
    boxes_of,
    files_by_id,
    name_left_out,
    refuse_other_size,
    refuse_unknown,
    with_parts_alone,
)
from madnet.curation.writing import NewSet
from madnet.datasets.splits import read_ids
from madnet.errors import UserError
from madnet.files import expect_file, names_below
from madnet.images import EXTENSIONS, image_size
from madnet.images.frames import read_header
from madnet.text import one_form

_IMAGES = ('JPEGImages', 'PNGImages', 'images', '.')


def is_voc(root: Path) -> bool:
    """Whether a folder holds ``Annotations/*.xml``."""
    return any(name.endswith('.xml') for name in names_below(root / 'Annotations'))


def read_voc(root: Path, classes: Sequence[str] | None) -> dict[str, list[Labelled]]:
    """Split → images, by the lists in ``ImageSets/Main`` (``train``, ``val``, ``trainval``, ``test``).

    Raises:
        UserError: An XML cannot be read, an image is not there.
    """
    labels = root / 'Annotations'
    images: dict[str, Labelled] = {}
    seen: dict[str, None] = {}
    files = _image_files(root)
    for image_id, path in files_by_id(labels, '.xml').items():
        images[image_id] = _read_xml(path, image_id, files, classes, seen)
    refuse_unknown(classes, seen, root)
    found: dict[str, list[Labelled]] = {}
    for split in ('train', 'val', 'trainval', 'test'):
        path = root / 'ImageSets' / 'Main' / f'{split}.txt'
        if path.is_file():
            ids = read_ids(path)
            lacking = [i for i in ids if i not in images]
            if lacking:
                raise UserError(f'{path}: {lacking[0]} has no XML in {labels}.')
            found[split] = [images[i] for i in ids]
    if found:
        listed = {labelled.image for part in found.values() for labelled in part}
        rest = [labelled.image for labelled in images.values() if labelled.image not in listed]
        name_left_out(rest, 'labelled image', f'in no list of {root / "ImageSets" / "Main"}, left out')
    else:
        _name_unlabelled(root, images)
    return found or {'': list(images.values())}


def _image_files(root: Path) -> dict[str, Path]:
    """Id → its image, in the first folder, and of the first ending, that has one."""
    found: dict[str, Path] = {}
    for name in _IMAGES:
        found = files_by_id(root / name, *EXTENSIONS) | found
    return found


def _name_unlabelled(root: Path, images: Mapping[str, Labelled]) -> None:
    """labelImg writes no XML for an image without targets: it looks like one that nobody has seen yet."""
    taken = {labelled.image for labelled in images.values()}
    folders = {file.parent for file in taken}
    rest = sorted(
        p for folder in folders for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS and p not in taken
    )
    rest = [p for p in rest if one_form(p.stem) not in images]
    give = 'give an XML without objects to those that show no target'
    name_left_out(rest, 'image', f'without an XML in {root / "Annotations"}, left out; {give}')


def _read_xml(
    path: Path, image_id: str, files: Mapping[str, Path], classes: Sequence[str] | None, seen: dict[str, None]
) -> Labelled:
    try:
        expect_file(path)
        data = path.read_bytes()
        if b'<!DOCTYPE' in data or b'<!ENTITY' in data:
            raise UserError(f'{path}: declares entities, which VOC does not need.')
        tree = ElementTree.fromstring(data)
    except (OSError, ElementTree.ParseError, ValueError) as error:
        raise UserError(f'{path}: not readable as XML ({error}).') from None
    image = files.get(image_id)
    if image is None:
        raise UserError(f'{path}: no image {image_id} in {", ".join(_IMAGES[:3])} beside Annotations.')
    labelled = Labelled(image_id, image, [], image_size(image))
    said = _size(tree, path)
    if all(said):
        refuse_other_size(image, labelled.size, said)
    for target in tree.iter('object'):
        name = target.findtext('name') or ''
        seen[name] = None
        if classes and name not in classes:
            continue
        labelled.shapes.append(_shape(target, path))
    return labelled


def _size(tree: ElementTree.Element, path: Path) -> tuple[float, float]:
    """(W, H) of the image that was labelled; zeros where the XML does not say."""
    try:
        width, height = (float(tree.findtext(f'size/{side}') or 0) for side in ('width', 'height'))
    except ValueError:
        raise UserError(f'{path}: a size without numbers as width and height.') from None
    return width, height


def _shape(target: ElementTree.Element, path: Path) -> Shape:
    try:
        box = target.find('bndbox')
        if box is not None:
            x0, y0, x1, y1 = (float(box.findtext(k, '')) for k in ('xmin', 'ymin', 'xmax', 'ymax'))
            return Shape('box', (x0 - 1, y0 - 1, x1, y1))
        x, y = (float(target.findtext(f'point/{k}', '')) - 0.5 for k in ('x', 'y'))
        return Shape('point', (x, y))
    except ValueError:
        raise UserError(
            f'{path}: an object without numbers as xmin, ymin, xmax, ymax in its bndbox (or x, y in a point).'
        ) from None


def write_voc(new: NewSet, parts: Mapping[str, Sequence[Labelled]]) -> None:
    """Write ``JPEGImages/``, ``Annotations/`` and ``ImageSets/Main/``; every target as a box."""
    for split, images in with_parts_alone(parts, 'trainval').items():
        for labelled in images:
            name = f'{labelled.image_id}{labelled.image.suffix.lower()}'
            if new.copy(f'JPEGImages/{name}', labelled.image):
                new.put(f'Annotations/{labelled.image_id}.xml', _xml(labelled, name).encode())
        ids = ''.join(f'{labelled.image_id}\n' for labelled in images)
        new.put(f'ImageSets/Main/{split}.txt', ids.encode())


def _xml(labelled: Labelled, name: str) -> str:
    w, h = labelled.size
    objects = ''.join(
        '  <object>\n    <name>target</name>\n    <difficult>0</difficult>\n    <bndbox>'
        f'<xmin>{x0 + 1:g}</xmin><ymin>{y0 + 1:g}</ymin><xmax>{x1:g}</xmax><ymax>{y1:g}</ymax>'
        '</bndbox>\n  </object>\n'
        for x0, y0, x1, y1 in boxes_of(labelled.shapes, labelled.size)
    )
    depth = read_header(labelled.image).channels
    size = f'<size><width>{w}</width><height>{h}</height><depth>{depth}</depth></size>'
    return f'<annotation>\n  <filename>{escape(name)}</filename>\n  {size}\n{objects}</annotation>\n'
