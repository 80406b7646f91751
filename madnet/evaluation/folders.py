"""Scoring maps that any other program has written to a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from madnet.errors import UserError
from madnet.evaluation.arrays import as_map, refuse_zero_one
from madnet.evaluation.bootstrap import paired_bootstrap
from madnet.evaluation.evaluator import Evaluator
from madnet.evaluation.protocols import ProtocolLike, get_protocols

_IMAGES = ('.png', '.bmp', '.tif', '.tiff')
_ARRAYS = ('.npy', '.npz')
# What the field's data sets and programs append to an image's name.
_SUFFIX = re.compile(r'(_pixels0|_mask|_gt|_label|_pred|_score|_logits)$', re.IGNORECASE)


@dataclass(frozen=True)
class Pairs:
    """Predictions and masks that belong together, and what does not.

    Attributes:
        found: (id, prediction, mask), sorted by id.
        problems: One line per missing, extra or mis-sized file; ``found`` is without them.
    """

    found: tuple[tuple[str, Path, Path], ...]
    problems: tuple[str, ...]


def find_maps(folder: str | os.PathLike, what: str) -> dict[str, Path]:
    """Files of a folder by id: their stem without the suffixes in use (``_pixels0``, ``_mask``, ``_pred`` …).

    Args:
        folder: Searched itself, not below.
        what: For messages, such as ``'predictions'``.

    Raises:
        UserError: No such folder, none of the known file types in it, or two files for one id.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f'{what}: no folder {folder}')
    known = (*_IMAGES, *_ARRAYS)
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in known)
    if not files:
        raise UserError(f'{what}: no file in {folder}, expected one of {", ".join(known)}')
    maps: dict[str, Path] = {}
    for path in files:
        stem = _SUFFIX.sub('', path.stem)
        if stem in maps:
            raise UserError(f'{what}: both {maps[stem].name} and {path.name} in {folder} stand for {stem!r}')
        maps[stem] = path
    return maps


def pair_folders(
    pred_dir: str | os.PathLike, mask_dir: str | os.PathLike, ids: Iterable[str] | None = None
) -> Pairs:
    """Match predictions with masks, and compare their sizes from the files' headers.

    Args:
        pred_dir: Score maps: 8- or 16-bit grey PNG (BMP, TIFF), ``.npy``, or ``.npz`` with one array.
        mask_dir: Masks, the same types.
        ids: The images to look at; default all of both folders.

    Raises:
        UserError: A folder is missing or empty, or a file cannot be read.
    """
    preds, masks = find_maps(pred_dir, 'predictions'), find_maps(mask_dir, 'masks')
    wanted = set(preds) | set(masks)
    if ids is not None:
        wanted = {_SUFFIX.sub('', re.sub(r'\.png$', '', i.strip())) for i in ids if i.strip()}
    found, problems = [], []
    for name in sorted(wanted):
        if name not in preds or name not in masks:
            problems += [f'{name} has no prediction'] * (name not in preds)
            problems += [f'{name} has no mask'] * (name not in masks)
            continue
        sizes = _size(preds[name]), _size(masks[name])
        if sizes[0] != sizes[1]:
            w, h = zip(*sizes, strict=True)
            problems.append(f'{name} is {w[0]} × {h[0]}, its mask {w[1]} × {h[1]} (width × height)')
        else:
            found.append((name, preds[name], masks[name]))
    return Pairs(tuple(found), tuple(problems))


def read_map(path: Path) -> np.ndarray:
    """A one-channel file as (H, W): images as uint8 or uint16 grey values, arrays as they are.

    Raises:
        UserError: Not readable, several arrays in an ``.npz``, or more than one channel.
    """
    try:
        if path.suffix.lower() in _ARRAYS:
            array = np.load(path, allow_pickle=False)
            if path.suffix.lower() == '.npz':
                if len(array.files) != 1:
                    raise UserError(f'{path}: holds {len(array.files)} arrays, expected one')
                array = array[array.files[0]]
            return as_map(array, str(path))
        with Image.open(path) as image:
            if image.mode in ('1', 'P'):
                image = image.convert('L')
            if image.mode == 'I':
                return np.asarray(image).astype(np.uint16)
            if image.mode not in ('L', 'I;16', 'I;16B', 'F'):
                raise UserError(f'{path}: mode {image.mode}, expected one grey channel; convert it first')
            return np.asarray(image)
    except (OSError, ValueError, EOFError) as e:
        raise UserError(f'{path}: not readable as a map ({type(e).__name__})') from None


def read_scores(path: Path, from_logits: bool = False) -> np.ndarray:
    """A score map as (H, W) float32; whole-number grey values are divided by their type's maximum.

    Raises:
        UserError: As :func:`read_map`; or whole numbers where logits were announced.
    """
    array = read_map(path)
    if array.dtype.kind in 'ui' and array.dtype.itemsize <= 2 and array.dtype != np.int8:
        if from_logits:
            raise UserError(f'{path}: {array.dtype} grey values cannot be logits')
        return array.astype(np.float32) / np.float32(np.iinfo(array.dtype).max)
    return array.astype(np.float32)


def score_folder(
    pred_dir: str | os.PathLike,
    mask_dir: str | os.PathLike,
    protocols: ProtocolLike | Iterable[ProtocolLike] = 'native',
    *,
    from_logits: bool = False,
    size: tuple[int, int] | None = None,
    image_dir: str | os.PathLike | None = None,
    ids: Iterable[str] | None = None,
    allow_missing: bool = False,
    boxes: bool = False,
) -> tuple[Evaluator, tuple[str, ...]]:
    """Score a folder of maps against a folder of masks.

    Args:
        pred_dir: Score maps, see :func:`pair_folders`.
        mask_dir: Masks.
        protocols: As ``get_protocols`` takes them.
        from_logits: Whether the maps hold raw logits.
        size: (h, w) for protocols at a base size.
        image_dir: The images, for the local signal-to-clutter ratio of targets; optional.
        ids: Score only these.
        allow_missing: Score what is complete although some files are missing, extra or mis-sized.
        boxes: Whether to add the box view (needs pycocotools).

    Returns:
        The evaluator, ready for ``compute()``, ``details()`` and ``per_image()``; and what was left out.

    Raises:
        UserError: Files that do not fit, listed at once before anything is scored; or a map that is no score
            map.
    """
    chosen = get_protocols(protocols)
    pairs = pair_folders(pred_dir, mask_dir, ids)
    _refuse(pairs.problems, allow_missing)
    images = find_maps(image_dir, 'images') if image_dir is not None else {}
    evaluator = Evaluator(chosen, boxes=boxes)
    for name, pred, mask in pairs.found:
        evaluator.update(
            _scores(pred, from_logits),
            _mask(mask),
            name,
            from_logits=from_logits,
            base_size=size,
            image=_grey(images[name]) if name in images else None,
        )
    if not len(evaluator):
        raise UserError(f'no prediction in {pred_dir} belongs to a mask in {mask_dir}')
    return evaluator, pairs.problems


def compare_folders(
    dir_a: str | os.PathLike,
    dir_b: str | os.PathLike,
    mask_dir: str | os.PathLike,
    protocol: ProtocolLike = 'native',
    *,
    resamples: int = 2000,
    **options,
) -> dict:
    """Whether method B is better than method A on the same images: a paired bootstrap over images.

    Args:
        dir_a: Score maps of A.
        dir_b: Score maps of B.
        mask_dir: Masks.
        protocol: One.
        resamples: Of the bootstrap.
        **options: Of :func:`score_folder`. With ``allow_missing``, images complete on both sides are
            compared.

    Returns:
        ``metrics``, see ``paired_bootstrap``; ``images``: rows ``{'name', 'a', 'b', 'difference'}`` of
        per-image IoU, where they differ most first; ``left_out``: what could not be compared; ``results``:
        both sides' numbers.

    Raises:
        UserError: As :func:`score_folder`.
    """
    if len(get_protocols(protocol)) != 1:
        raise UserError('a comparison takes one protocol')
    ids = options.pop('ids', None)
    sides = [pair_folders(folder, mask_dir, ids) for folder in (dir_a, dir_b)]
    left_out = tuple(f'{side}: {p}' for side, pairs in zip('AB', sides, strict=True) for p in pairs.problems)
    _refuse(left_out, options.get('allow_missing', False))
    common = sorted({f[0] for f in sides[0].found} & {f[0] for f in sides[1].found})
    if not common:
        raise UserError(f'no image has a prediction in {dir_a}, one in {dir_b} and a mask in {mask_dir}')
    evaluators = [
        score_folder(folder, mask_dir, protocol, ids=common, **options)[0] for folder in (dir_a, dir_b)
    ]
    name = evaluators[0].protocols[0].name
    a, b = (evaluator.images(name) for evaluator in evaluators)
    rows = [
        {'name': image, 'a': float(x), 'b': float(y), 'difference': float(y - x)}
        for image, x, y in zip(evaluators[0].names, a['IoU'], b['IoU'], strict=True)
    ]
    rows.sort(key=lambda row: (-abs(row['difference']), row['name']))
    return {
        'protocol': name,
        'metrics': paired_bootstrap(a, b, resamples=resamples),
        'images': rows,
        'left_out': left_out,
        'results': {side: e.compute()[name] for side, e in zip('AB', evaluators, strict=True)},
    }


def _refuse(problems: tuple[str, ...], allow_missing: bool) -> None:
    if problems and not allow_missing:
        raise UserError(
            f'{len(problems)} files do not fit: {_listing(problems)}. Nothing was scored;'
            ' --allow-missing scores the others'
        )


def _listing(problems: tuple[str, ...], at_most: int = 20) -> str:
    more = f' and {len(problems) - at_most} more' if len(problems) > at_most else ''
    return '; '.join(problems[:at_most]) + more


def _scores(path: Path, from_logits: bool) -> np.ndarray:
    scores = read_scores(path, from_logits)
    low, high = np.nanmin(scores, initial=np.inf), np.nanmax(scores, initial=-np.inf)
    if not from_logits and (low < 0 or high > 1):
        raise UserError(
            f'{path}: values {low:g} to {high:g}, expected 0–1; give --logits if these are logits'
        )
    return scores


def _mask(path: Path) -> np.ndarray:
    mask = read_map(path)
    refuse_zero_one(mask, str(path))
    return mask


def _grey(path: Path) -> np.ndarray:
    if path.suffix.lower() in _ARRAYS:
        return np.load(path, allow_pickle=False)
    with Image.open(path) as image:
        deep = image.mode in ('I', 'F') or image.mode.startswith('I;')
        return np.asarray(image if deep else image.convert('RGB'))


def _size(path: Path) -> tuple[int, int]:
    """(width, height), from the header where the type allows."""
    if path.suffix.lower() in _ARRAYS:
        height, width = read_map(path).shape
        return width, height
    try:
        with Image.open(path) as image:
            return image.size
    except OSError:
        raise UserError(f'{path}: not readable as an image') from None
