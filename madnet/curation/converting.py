"""One form of a data set from another."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from madnet import __version__
from madnet.curation.coco_format import find_coco, read_coco, write_coco
from madnet.curation.labels import (
    BOXES,
    LEVEL,
    Labelled,
    Shape,
    boxes_of,
    mask_of,
    name_left_out,
    rule,
    with_parts_alone,
)
from madnet.curation.voc_format import is_voc, read_voc, write_voc
from madnet.curation.writing import NewSet, fresh_folder
from madnet.curation.yolo_format import is_yolo, read_yolo, write_yolo
from madnet.datasets.layouts import layouts_in_words
from madnet.datasets.locate import RECORD, NoSuchSet, name_of, range_of_set
from madnet.datasets.selection import EmptyList, NoSuchPart, select
from madnet.datasets.sources import find_sources, locate_source
from madnet.datasets.splits import refuse_overlap
from madnet.errors import UserError
from madnet.evaluation.components import find_components
from madnet.evaluation.rules import half
from madnet.images import MaskRule, fit_mask, read_image, read_mask
from madnet.images.masks import MaskCensus
from madnet.progress import progress_bar

_READERS: tuple[tuple[str, Callable, Callable], ...] = (
    ('coco', find_coco, read_coco),
    ('voc', is_voc, read_voc),
    ('yolo', is_yolo, read_yolo),
)
_WRITERS = {'coco': write_coco, 'yolo': write_yolo, 'voc': write_voc}


def convert(
    source: str,
    to: str,
    out: str,
    split_set: str | None = None,
    classes: Sequence[str] | None = None,
    level: float = LEVEL,
    mask_values: Sequence[int] | None = None,
) -> str:
    """Write a data set in another form; ``dataset.json`` says how it came to be.

    Args:
        source: A folder, COCO's JSON, or a name of the catalogue.
        to: ``'madnet'`` (masks), ``'coco'``, ``'yolo'`` or ``'voc'``.
        out: The new folder.
        split_set: Whose parts, for a set with masks.
        classes: Take these only.
        level: See :func:`~madnet.curation.labels.mask_of`.
        mask_values: What masks of one's own hold; see :class:`~madnet.images.MaskRule`.

    Returns:
        What was done, as text.

    Raises:
        UserError: The source is in no form that can be read, or a file in it is wrong.
    """
    if not 0 < level <= 1:
        raise UserError(f'--level {level:g}: expected a share above 0, up to 1.')
    form, name, parts = _read(source, split_set, classes, MaskRule(mask_values))
    for option, value, fits, what in (
        ('--classes', classes, form != 'masks', 'classes'),
        ('--mask-values', mask_values, form == 'masks', 'masks'),
        ('--split-set', split_set, form == 'masks', 'lists of several authors'),
    ):
        if value and not fits:
            raise UserError(f'{option}: {source} ({form}) has no {what}.')
    if not any(parts.values()):
        raise UserError(f'{source}: no image in it ({form}).')
    for split in (split for split, images in parts.items() if not images):
        raise UserError(f'{source}: no image of its part {split} ({form}); give it some, or take it away.')
    _refuse_outside(source, parts)
    if to != 'yolo':  # where each part has its folder
        parts = _apart(parts)
    if to == 'madnet' and any(parts):  # as YOLO's and VOC's writers: what no part names is to train on
        parts = with_parts_alone(parts, 'trainval' if 'trainval' in parts else 'train')
    marks = sum(len(labelled.shapes) for images in parts.values() for labelled in images)
    with fresh_folder(out) as folder:
        new = NewSet(folder)
        counts: dict[str, int] = {}
        if to == 'madnet':
            how = rule(level)
            components = _write_masks(new, parts, counts, level)
            counts['targets (8-connected components) in the masks'] = components
        else:
            _WRITERS[to](new, parts)
            how = BOXES
        made = {
            'by': f'madnet dataset convert --to {to}',
            'madnet': __version__,
            'source': source,
            'from': form,
        }
        new.finish(name, range_of_set(_home(source, form)), made=made, rule=how, marks=marks, done=counts)
    sizes = ', '.join(f'{split or "all"} {len(images)}' for split, images in parts.items())
    lines = [f'{out}: {new.images:,} images ({sizes}), {form} → {to}', f'  rule: {how}']
    return '\n'.join([*lines, *(f'  {n:,} × {what}' for what, n in counts.items())])


def _read(
    source: str, split_set: str | None, classes: Sequence[str] | None, masks: MaskRule
) -> tuple[str, str, dict[str, list[Labelled]]]:
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix.lower() != '.json':
            raise UserError(f"{source}: not COCO's JSON; give the folder of the data set, unpacked.")
        return 'coco', name_of(path.parent), read_coco(path, classes)
    root = find_sources([source])[0].arguments.get('data_root')
    if root:
        path = Path(root)
        for form, fits, read in _READERS:
            if fits(path):
                return form, name_of(path), read(path, classes)
    try:
        return 'masks', *_read_masks(source, split_set, masks)
    except NoSuchSet:
        if root:
            raise UserError(
                f'{source}: neither COCO (*.json), nor YOLO (images/, labels/*.txt), nor VOC '
                f'(Annotations/*.xml), nor masks: {layouts_in_words()}.'
            ) from None
        raise


def _refuse_outside(source: str, parts: dict[str, list[Labelled]]) -> None:
    """Labels that all miss their images are in other units, or of other images."""
    drawn = [
        (labelled, boxes_of([shape], labelled.size))
        for images in parts.values()
        for labelled in images
        for shape in labelled.shapes
        if shape.kind != 'mask'
    ]
    if drawn and not any(boxes for _, boxes in drawn):
        first = drawn[0][0]
        raise UserError(
            f'{source}: none of its {len(drawn)} marks lies in its image (the first is of {first.image}, '
            '{} × {} pixels): in other units, or of other images?'.format(*first.size)
        )


def _home(source: str, form: str) -> Path:
    """The folder of the set that was read."""
    path = Path(source).expanduser()
    if path.is_file():  # COCO's, which may lie in a folder of its own
        return next((p for p in path.parents[:2] if (p / RECORD).is_file()), path.parent)
    root = find_sources([source])[0].arguments.get('data_root')
    return Path(root) if root and form != 'masks' else locate_source(source)[0].root


def _read_masks(source: str, split_set: str | None, rule: MaskRule) -> tuple[str, dict[str, list[Labelled]]]:
    folder, entry, name = locate_source(source)
    if folder.by_part or folder.lists or (entry and entry.split_sets):
        wanted, lacking = {}, []
        for split, ours in (('train', 'fit'), ('val', 'val'), ('test', 'test')):
            try:
                wanted[split] = select(folder, entry, name, ours, split_set, True).pairs
            except EmptyList:  # whoever made the list meant it to be a part
                raise
            except NoSuchPart as reason:
                lacking.append(reason)
        if not wanted:
            raise lacking[0]
    else:
        wanted = {'': select(folder, entry, name, 'all').pairs}
    taken = {pair.image for pairs in wanted.values() for _, pair in pairs}
    pairs_here = (pair for pairs in folder.pairs.values() for pair in pairs.values())
    rest = sorted(pair.image for pair in pairs_here if pair.mask and pair.image not in taken)
    name_left_out(rest, 'image', 'with a mask, in no list of a part, left out')
    parts: dict[str, list[Labelled]] = {}
    census = MaskCensus()
    for split, pairs in wanted.items():
        parts[split] = []
        for image_id, pair in progress_bar(pairs, what=f'read {split}'):
            shape = read_image(pair.image).shape[:2]
            grey = read_mask(pair.mask, rule, strict=False)
            census.add(pair.mask, grey)
            mask = half(fit_mask(grey, shape, pair.mask, pair.image))
            shapes = [Shape.of_mask(mask)] if mask.any() else []
            parts[split].append(Labelled(image_id, pair.image, shapes, shape[::-1]))
    census.refuse(name, rule, '--mask-values')
    return name, parts


def _apart(parts: dict[str, list[Labelled]]) -> dict[str, list[Labelled]]:
    """The same, with ids that begin with the part's name where parts number their images alike."""
    homes = {each.image: split for split in reversed(parts) for each in parts[split]}
    first: dict[str, str] = {}
    if all(
        first.setdefault(each.image_id, homes[each.image]) == homes[each.image]
        for images in parts.values()
        for each in images
    ):
        return parts
    return {
        split: [replace(i, image_id=f'{homes[i.image] or "all"}_{i.image_id}') for i in images]
        for split, images in parts.items()
    }


def _write_masks(new: NewSet, parts: dict[str, list[Labelled]], counts: dict[str, int], level: float) -> int:
    components = 0
    seen: set[tuple[str, Path]] = set()
    ids = {split: [i.image_id for i in images] for split, images in parts.items() if split}
    refuse_overlap(ids, 'the lists of the data set')
    for split, images in parts.items():
        for labelled in progress_bar(images, what=f'write {split}'):
            if (labelled.image_id, labelled.image) in seen:  # train and trainval together
                continue
            pixels = read_image(labelled.image)
            mask = mask_of(labelled.shapes, pixels, counts, level)
            components += len(find_components(mask))
            new.add(labelled.image_id, labelled.image.read_bytes(), labelled.image.suffix.lower(), mask)
        seen |= {(labelled.image_id, labelled.image) for labelled in images}
    if ids:
        new.add_lists('converted', ids)
    return components
