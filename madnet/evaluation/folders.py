"""Scoring maps that any other program has written to a folder."""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from madnet.errors import UserError
from madnet.evaluation.arrays import resize_image
from madnet.evaluation.bootstrap import paired_bootstrap
from madnet.evaluation.evaluator import Evaluator
from madnet.evaluation.protocols import ProtocolLike, get_protocols
from madnet.evaluation.targets import KEEP_ALL, Least, left_out
from madnet.files import names_below
from madnet.images import EXTENSIONS, MaskRule, finite, fit_mask, image_size, read_image, read_mask
from madnet.images.masks import MaskCensus, fits
from madnet.images.score_maps import ScoreCensus, scores_and_greys
from madnet.text import one_form, two_forms

# What the field's data sets and programs append to an image's name.
_SUFFIX = re.compile(r'(_pixels0|_mask|_gt|_label|_pred|_score|_logits)$', re.IGNORECASE)


class Pairs(NamedTuple):
    """Predictions and masks that belong together, and what does not."""

    #: (id, prediction, mask), sorted by id.
    found: tuple[tuple[str, Path, Path], ...]
    #: One line per missing, extra or mis-sized file; ``found`` is without them.
    problems: tuple[str, ...]


#: A folder, or its files by id.
Folder = str | os.PathLike | Mapping[str, Path]


def find_maps(folder: Folder, what: str) -> dict[str, Path]:
    """Files of a folder by id: their stem without the suffixes in use (``_pixels0``, ``_mask``, ``_pred`` …).

    Args:
        folder: Where it holds no such file itself, its sub-folders are searched; ids begin with their path.
            A mapping is taken as it is, its ids in the same Unicode form.
        what: For messages, such as ``'predictions'``.

    Raises:
        UserError: No such folder, none of the known file types in it, or two files for one id.
    """
    if isinstance(folder, Mapping):
        return {one_form(i): path for i, path in folder.items()}
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f'{what}: no folder {folder}')
    files = [p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS and p.is_file()]
    below = (folder / name for name in (() if files else names_below(folder)))
    files = sorted(files or (p for p in below if p.suffix.lower() in EXTENSIONS and p.is_file()))
    if not files:
        raise UserError(f'{what}: no file in {folder}, expected one of {", ".join(EXTENSIONS)}')
    maps: dict[str, Path] = {}
    for path in files:
        stem = one_form(_SUFFIX.sub('', path.relative_to(folder).with_suffix('').as_posix()))
        if stem in maps:
            other = maps[stem]
            why = two_forms(other.stem, path.stem)
            raise UserError(f'{what}: both {other.name} and {path.name} in {folder} stand for {stem!r}{why}')
        maps[stem] = path
    return maps


def pair_folders(
    pred_dir: str | os.PathLike,
    mask_dir: Folder,
    ids: Iterable[str] | None = None,
    mended: Mapping[str, Path] | None = None,
    any_size: bool = False,
) -> Pairs:
    """Match predictions with masks, and compare their sizes from the files' headers.

    Args:
        pred_dir: Score maps, see :func:`madnet.images.read_scores`.
        mask_dir: Masks, see :func:`madnet.images.read_mask`.
        ids: The images to look at; default all of both folders.
        mended: Id → mask file that is right where that of the folder is known to be wrong.
        any_size: Whether a prediction may have another size than its mask.

    Raises:
        UserError: A folder is missing or empty, or a file cannot be read.
    """
    preds, masks = find_maps(pred_dir, 'predictions'), find_maps(mask_dir, 'masks')
    masks.update((i, path) for i, path in (mended or {}).items() if i in masks)
    wanted = set(preds) | set(masks)
    if ids is not None:
        wanted = {_SUFFIX.sub('', re.sub(r'\.png$', '', one_form(i.strip()))) for i in ids if i.strip()}
    found, problems = [], []
    for name in sorted(wanted):
        if name not in preds or name not in masks:
            problems += [f'{name} has no prediction'] * (name not in preds)
            problems += [f'{name} has no mask'] * (name not in masks)
            continue
        sizes = image_size(preds[name]), image_size(masks[name])
        if not (any_size or fits(*sizes)):
            w, h = zip(*sizes, strict=True)
            problems.append(f'{name} is {w[0]} × {h[0]}, its mask {w[1]} × {h[1]} (width × height)')
        else:
            found.append((name, preds[name], masks[name]))
    return Pairs(tuple(found), tuple(problems))


def score_folder(
    pred_dir: str | os.PathLike,
    mask_dir: Folder,
    protocols: ProtocolLike | Iterable[ProtocolLike] = 'native',
    *,
    from_logits: bool = False,
    size: tuple[int, int] | None = None,
    image_dir: Folder | None = None,
    ids: Iterable[str] | None = None,
    allow_missing: bool = False,
    boxes: bool = False,
    mask_values: Sequence[int] | None = None,
    labels: bool = False,
    mended: Mapping[str, Path] | None = None,
    least: Least = KEEP_ALL,
) -> tuple[Evaluator, tuple[str, ...]]:
    """Score a folder of maps against a folder of masks.

    Args:
        pred_dir, mask_dir, ids, mended: Score maps and masks, see :func:`pair_folders`.
        protocols: As ``get_protocols`` takes them.
        from_logits: Whether the maps hold raw logits.
        size: (h, w) for protocols at a base size. Where all are such, maps of any size are resized to it, as
            those of programs that never go back to the image's own.
        image_dir: The images, one for each map, for the local signal-to-clutter ratio and the rank of
            targets; one of another scale than its map is resized. Optional.
        allow_missing: Score what is complete although some files are missing, extra or mis-sized.
        boxes: Whether to add the box view (needs pycocotools).
        mask_values: The stored value of the background in masks, then those of targets; see
            :class:`madnet.images.MaskRule`.
        labels: The predictions are labels: 0 is background, anything else target.
        least: What a component above 0.5 (above 0 of logits) must have at least to count.

    Returns:
        The evaluator, ready for ``compute()``, ``details()`` and ``per_image()``; and what was left out.

    Raises:
        UserError: Files that do not fit, listed at once before anything is scored; a map that is no score
            map; or maps that are labels or grey values of another range, see
            :class:`~madnet.images.score_maps.ScoreCensus`.
    """
    chosen = get_protocols(protocols)
    rule, census = MaskRule(mask_values), MaskCensus()
    any_size = size is not None and all(p.resolution != 'native' for p in chosen)
    pairs = pair_folders(pred_dir, mask_dir, ids, mended, any_size)
    images = find_maps(image_dir, 'images') if image_dir is not None else {}
    bare: dict[str, str] = {}  # one without its image would take the ranks of all others down to logits
    if image_dir is not None:
        scored = {name: mask if any_size else pred for name, pred, mask in pairs.found}
        bare = _without_image(images, scored)
    problems = (*pairs.problems, *bare.values())
    _refuse(problems, allow_missing)
    if least.looks_at_image and image_dir is None:
        raise UserError('min_scr and min_rank look at the images: give their folder by --images (image_dir).')
    greys = ScoreCensus()
    evaluator = Evaluator(chosen, boxes=boxes)
    for name, pred, mask in pairs.found:
        if name in bare:
            continue
        scores, stored = _scores(pred, from_logits, labels)
        truth = read_mask(mask, rule, strict=False)
        census.add(mask, truth)
        greys.add(stored)
        image = finite(read_image(images[name]), images[name]) if name in images else None
        if not least.keeps_all:
            threshold = 0.0 if from_logits else 0.5
            shown = None if image is None else resize_image(image, scores.shape)
            out = left_out(scores > threshold, scores, least, shown, name, from_logits)
            scores = np.where(out, 2 * threshold - scores, scores)  # as far below
        evaluator.update(
            scores,
            truth if any_size else fit_mask(truth, scores.shape, mask, pred),
            name,
            from_logits=from_logits,
            base_size=size,
            image=image,
        )
    where = 'the data set' if isinstance(mask_dir, Mapping) else str(mask_dir)
    census.refuse(where, rule, '--mask-values')
    greys.refuse(str(pred_dir))
    if not len(evaluator):
        also = f' and an image in {image_dir}' if bare else ''
        raise UserError(f'no prediction in {pred_dir} belongs to a mask in {where}{also}')
    return evaluator, problems


def compare_folders(
    dir_a: str | os.PathLike,
    dir_b: str | os.PathLike,
    mask_dir: Folder,
    protocol: ProtocolLike = 'native',
    *,
    resamples: int = 2000,
    **options,
) -> dict:
    """Whether method B is better than method A on the same images: a paired bootstrap over images.

    Args:
        dir_a, dir_b: Score maps of A and of B.
        mask_dir, protocol, **options: As in :func:`score_folder`. With ``allow_missing``, images complete on
            both sides are compared.
        resamples: Of the bootstrap.

    Returns:
        ``metrics``, see ``paired_bootstrap``, of sets without targets Fa alone; ``images``: rows ``{'name',
        'a', 'b', 'difference'}`` of per-image IoU, where they differ most first; ``left_out``: what could not
        be compared; ``results``: both sides' numbers.

    Raises:
        UserError: As :func:`score_folder`; or no target, and a protocol without false alarms.
    """
    if len(get_protocols(protocol)) != 1:
        raise UserError('a comparison takes one protocol')
    any_size = options.get('size') is not None and get_protocols(protocol)[0].resolution != 'native'
    pairing = options.pop('ids', None), options.get('mended'), any_size
    sides = [pair_folders(folder, mask_dir, *pairing) for folder in (dir_a, dir_b)]
    left_out = tuple(f'{side}: {p}' for side, pairs in zip('AB', sides, strict=True) for p in pairs.problems)
    _refuse(left_out, options.get('allow_missing', False))
    common = sorted({f[0] for f in sides[0].found} & {f[0] for f in sides[1].found})
    if not common:
        raise UserError(f'no image has a prediction in {dir_a}, one in {dir_b} and a mask')
    options['ids'] = common
    evaluators = [score_folder(folder, mask_dir, protocol, **options)[0] for folder in (dir_a, dir_b)]
    protocol = evaluators[0].protocols[0]
    name = protocol.name
    results = {side: e.compute()[name] for side, e in zip('AB', evaluators, strict=True)}
    a, b = (evaluator.images(name) for evaluator in evaluators)
    compared = paired_bootstrap(a, b, resamples=resamples, empty=protocol.niou_empty or 0.0)
    # those that the protocol knows, and that say something of these images
    metrics = {
        metric: numbers
        for metric, numbers in compared.items()
        if not np.isnan(results['A'][metric]) and (metric == 'Fa' or results['A']['targets'])
    }
    if not metrics:
        raise UserError(f'no target in these masks, and protocol {name} counts no false alarms; take native.')
    rows: list[dict[str, Any]] = [
        {'name': image, 'a': float(x), 'b': float(y), 'difference': float(y - x)}
        for image, x, y in zip(evaluators[0].names, a['IoU'], b['IoU'], strict=True)
    ]
    rows.sort(key=lambda row: (-abs(row['difference']), row['name']))
    return {
        'protocol': name,
        'metrics': metrics,
        'images': rows,
        'left_out': left_out,
        'results': results,
    }


def _without_image(images: Mapping[str, Path], scored: Mapping[str, Path]) -> dict[str, str]:
    """What is wrong with the image of a map or mask, by id, where there is none or it is no scaled copy."""
    wrong = {}
    for name, path in scored.items():
        if name not in images:
            wrong[name] = f'{name} has no image'
        elif not fits(size := image_size(images[name]), there := image_size(path)):
            wrong[name] = (
                f'{name} is {there[0]} × {there[1]}, its image {size[0]} × {size[1]} (width × height)'
            )
    return wrong


def _refuse(problems: tuple[str, ...], allow_missing: bool) -> None:
    if problems and not allow_missing:
        more = f' and {len(problems) - 20} more' if len(problems) > 20 else ''
        raise UserError(
            f'{len(problems)} files do not fit: {"; ".join(problems[:20])}{more}. Nothing was scored;'
            ' --allow-missing scores the others'
        )


def _scores(path: Path, from_logits: bool, labels: bool) -> tuple[np.ndarray, np.ndarray | None]:
    scores, stored = scores_and_greys(path, from_logits, labels)
    low, high = np.nanmin(scores, initial=np.inf), np.nanmax(scores, initial=-np.inf)
    if not from_logits and (low < 0 or high > 1):
        raise UserError(
            f'{path}: values {low:g} to {high:g}, expected 0–1; give --logits if these are logits'
        )
    return scores, stored
