"""Data sets in COCO's form: one JSON of boxes, outlines, run lengths or key points for each part."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unicodedata import normalize

import numpy as np

from madnet.curation.labels import Labelled, Shape, boxes_of, decode_rle, refuse_other_size, refuse_unknown
from madnet.curation.writing import NewSet
from madnet.datasets.layouts import SPELLINGS
from madnet.errors import UserError
from madnet.evaluation.components import find_components, run_lengths
from madnet.files import json_text, read_json
from madnet.images import image_size
from madnet.text import one_form


def find_coco(root: Path) -> list[Path]:
    """The JSON files of a COCO data set: the file itself, or those in the folder and one below that are."""
    files = [root] if root.is_file() else sorted([*root.glob('*.json'), *root.glob('*/*.json')])
    return [path for path in files if root.is_file() or _is_coco(path)]


def _is_coco(path: Path) -> bool:
    try:
        content = read_json(path)
    except UserError:
        return False
    return isinstance(content, dict) and {'images', 'annotations'} <= content.keys()


def read_coco(root: Path, classes: Sequence[str] | None) -> dict[str, list[Labelled]]:
    """Split → images; the split of a JSON is in its name, or in its folder's (train, val, test), or ``''``.

    Raises:
        UserError: A JSON is not COCO's, or an image is not there.
    """
    found: dict[str, list[Labelled]] = {}
    for path in find_coco(root):
        folder = path.parent.name if root not in (path, path.parent) else ''  # in the set
        split = _split_in(path.stem) or _split_in(folder)
        with _in_form(path):
            found.setdefault(split, []).extend(_read_one(path, split, classes))
    return found


@contextmanager
def _in_form(where: Path | str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f"{where}: not in COCO's form ({type(error).__name__}: {error}).") from None


def _split_in(name: str) -> str:
    """The split that a file or folder is named after, such as val2017; '' where none is."""
    words = (SPELLINGS.get(word, word) for word in re.split('[^a-z]+', name.lower()))
    return next((word for word in words if word in ('trainval', 'train', 'val', 'test')), '')


def _read_one(path: Path, split: str, classes: Sequence[str] | None) -> list[Labelled]:
    content = read_json(path)
    folders = _image_folders(path, split)
    categories = _by_id(content.get('categories', ()), 'categories', path)
    names = {i: str(category['name']) for i, category in categories.items()}
    refuse_unknown(classes, names.values(), path)
    images: dict[Any, Labelled] = {}
    for image in _by_id(content['images'], 'images', path).values():
        name = Path(str(image['file_name']))
        if name.is_absolute() or '..' in name.parts:
            raise UserError(f'{path}: file_name {str(name)!r} leads out of the folder.')
        size = (int(image['width']), int(image['height']))
        file = _image_of(path, name, *folders)
        refuse_other_size(file, image_size(file), size)
        images[image['id']] = Labelled(one_form(name.with_suffix('').as_posix()), file, [], size)
    for number, annotation in enumerate(content['annotations']):
        where = f'{path}: annotations[{number}]'
        with _in_form(where):
            where += f' (id {annotation["id"]!r})' if 'id' in annotation else ''
            if classes and names.get(annotation['category_id']) not in classes:
                continue
            image_id = annotation['image_id']
            if image_id not in images:
                such = next(map(repr, images), 'none')
                raise UserError(
                    f'{where}: found image_id {image_id!r}, expected the id of an image, as {such}.'
                )
            images[image_id].shapes += _shapes(annotation, images[image_id], where)
    return list(images.values())


def _by_id(records: Iterable[Mapping], what: str, path: Path) -> dict[Any, Mapping]:
    found: dict[Any, Mapping] = {}
    for record in records:
        both = found.setdefault(record['id'], record), record
        first, second = ([one.get(key) for key in ('file_name', 'width', 'height', 'name')] for one in both)
        if first != second:
            names = (one.get('file_name', one.get('name')) for one in both)
            raise UserError(
                '{}: found the id {!r} twice in {} ({}, {}), expected an id for each; number them anew, and '
                'their annotations.'.format(path, record['id'], what, *names)
            )
    return found


def _image_folders(path: Path, split: str) -> tuple[list[Path], list[Path]]:
    """Where the images of a JSON may lie, the nearest first; and the folders of other parts there."""
    own: list[Path] = []
    others: list[Path] = []
    above = path.parent.parent
    for place in dict.fromkeys((path.parent, path.parent / 'images', above, above / 'images')):
        for sub in sorted(place.iterdir() if place.is_dir() else ()):
            if sub.is_dir() and re.fullmatch(r'[a-z]+\d*', sub.name.lower()) and _split_in(sub.name):
                (own if _split_in(sub.name) == split else others).append(sub)
        own.append(place)
    return own, others


def _image_of(path: Path, name: Path, own: Sequence[Path], others: Sequence[Path]) -> Path:
    """The image of a file name; in folders of other parts only where no two have it."""
    # on disk it may be in another Unicode form
    names = dict.fromkeys([str(name), *(normalize(form, str(name)) for form in ('NFC', 'NFD'))])
    first, there = (
        [place / name for place in places for name in names if (place / name).is_file()]
        for places in (own, others)
    )
    there = first[:1] or there
    if not there:
        raise UserError(f'{path}: image {name} is not in {", ".join(map(str, own))}.')
    if len(there) > 1:
        raise UserError(
            f'{path}: image {name} may be {there[0]} or {there[1]}; name the JSON after its part, such as '
            'instances_train.json.'
        )
    return there[0]


def _shapes(annotation: Mapping, labelled: Labelled, where: str) -> list[Shape]:
    outline = annotation.get('segmentation')
    if isinstance(outline, Mapping):
        height, width = outline['size']
        mask = decode_rle(outline['counts'], (height, width))
        if mask is None or (width, height) != labelled.size:
            raise UserError(
                f'{where}: run lengths of {labelled.image_id} do not fill its {labelled.size} pixels.'
            )
        return [Shape.of_mask(mask)]
    pieces = [piece for piece in outline or () if len(piece) >= 6]
    if pieces:
        return [Shape('outline', tuple(np.reshape(piece, (-1, 2)).astype(float) for piece in pieces))]
    box = annotation.get('bbox')
    if box and box[2] > 0 and box[3] > 0:
        x, y, w, h = map(float, box)
        return [Shape('box', (x, y, x + w, y + h))]
    if not box and not annotation.get('keypoints'):
        raise UserError(f'{where}: marks nothing; expected bbox, segmentation or keypoints.')
    # of key points x, y and whether they are labelled at all; else a box without a size
    points = annotation.get('keypoints') or [*(box or ())[:2], 1]
    return [Shape('point', (float(x), float(y))) for x, y, shown in np.reshape(points, (-1, 3)) if shown > 0]


def write_coco(new: NewSet, parts: Mapping[str, Sequence[Labelled]]) -> None:
    """Write ``images/`` and ``annotations/instances_<split>.json``; masks as run lengths, one a component."""
    for split, images in parts.items():
        records: list[dict] = []
        annotations: list[dict] = []
        for number, labelled in enumerate(images, 1):
            name = f'{labelled.image_id}{labelled.image.suffix.lower()}'
            new.copy(f'images/{name}', labelled.image)
            w, h = labelled.size
            records.append({'id': number, 'file_name': name, 'width': w, 'height': h})
            for (x0, y0, x1, y1), more in _marks(labelled):
                box = {'bbox': [x0, y0, x1 - x0, y1 - y0], 'area': (x1 - x0) * (y1 - y0), 'iscrowd': 0}
                ids = {'id': len(annotations) + 1, 'image_id': number, 'category_id': 1}
                annotations.append({**ids, **box, **more})
        content = {
            'images': records,
            'annotations': annotations,
            'categories': [{'id': 1, 'name': 'target'}],
        }
        new.put(f'annotations/instances_{split or "all"}.json', json_text(content, 0).encode())


def _marks(labelled: Labelled) -> list[tuple[tuple, dict]]:
    """(box, what else is known) of every target."""
    marks: list[tuple[tuple, dict]] = []
    w, h = labelled.size
    for shape in labelled.shapes:
        boxes = boxes_of([shape], labelled.size)
        if shape.kind == 'mask':
            components = find_components(shape.whole((h, w)))
            for box, (ys, xs) in zip(boxes, components.pixels(), strict=True):
                rle = {'size': [h, w], 'counts': run_lengths(ys, xs, (h, w))}
                marks.append((box, {'segmentation': rle, 'area': len(ys)}))
        elif shape.kind == 'outline':
            more = {'segmentation': [np.ravel(o).tolist() for o in shape.data]}
            marks += [(box, {**more, 'area': sum(map(_area, shape.data))}) for box in boxes]
        else:
            marks += [(box, {}) for box in boxes]
    return marks


def _area(outline: np.ndarray) -> float:
    """What an outline (n, 2) of x, y encloses, pixels²."""
    x, y = np.asarray(outline, float).T
    return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2)
