"""Where a detector fails: its numbers by target size, contrast and count."""

from itertools import pairwise

import numpy as np

from madnet.evaluation.components import Components, find_overlaps
from madnet.evaluation.matching import Match
from madnet.evaluation.pixel import mean, ratio, whole
from madnet.images import luma
from madnet.text import counted

#: Upper ends (inclusive) of the size classes in pixels; the last class is open.
SIZE_CLASSES = (9, 25, 80)
#: Lower ends (inclusive) of the classes of local signal-to-clutter ratio.
SCR_CLASSES = (0.0, 1.0, 2.0, 4.0, 8.0)
#: How far around a target its background reaches, in pixels.
MARGIN = 20
#: Images with this many targets; the last class is open.
COUNT_CLASSES = (0, 1, 2, 3)
_TARGET_COLUMNS = 'x y x0 y0 x1 y1 area scr matched distance IoU recall'
#: What is known of a target. ``matched`` is 0 or 1; ``distance`` and ``IoU`` are those to its partner, NaN
#: without one; ``recall`` is the share of its pixels predicted.
TARGET = np.dtype([(name, np.float64) for name in _TARGET_COLUMNS.split()])


def target_rows(targets: Components, pred: Components, match: Match | None, scr: np.ndarray) -> np.ndarray:
    """(n,) rows :data:`TARGET` of an image's targets, from the components of mask and prediction, their match
    (None where the protocol has none), and the (n,) ratios of :func:`local_scr`, NaN where unknown."""
    overlaps = find_overlaps(targets, pred)
    rows = np.full(len(targets), np.nan, TARGET)
    rows['x'], rows['y'] = targets.centroids.T
    rows['x0'], rows['y0'], rows['x1'], rows['y1'] = targets.boxes.T
    rows['area'], rows['scr'] = targets.areas, scr
    found = np.bincount(overlaps.pairs[:, 0], overlaps.pixels, minlength=len(targets))
    rows['recall'] = found / targets.areas
    rows['matched'] = 0
    if match is not None:
        t, p = match.pairs.T
        rows['matched'][t] = 1
        rows['distance'][t] = match.distances
        shared = overlaps.of(t, p)
        rows['IoU'][t] = shared / (targets.areas[t] + pred.areas[p] - shared)
    return rows


def local_scr(image: np.ndarray, targets: Components, alone: bool = False) -> np.ndarray:
    """Local signal-to-clutter ratio |μ_target − μ_background| / σ_background of every target, (n,) float64,
    by :func:`local_contrast`: infinite on a constant background, NaN where no background is left."""
    contrast, clutter = local_contrast(image, targets, alone).T
    with np.errstate(divide='ignore', invalid='ignore'):
        return abs(contrast) / clutter


def local_contrast(image: np.ndarray, targets: Components, alone: bool = False) -> np.ndarray:
    """Contrast μ_target − μ_background and clutter σ_background of every target.

    The background is the target's bounding box widened by :data:`MARGIN` pixels on each side (as in Gao et
    al., "Infrared patch-image model", TIP 2013), less every target's pixels.

    Args:
        image: (H, W) or (H, W, C) grey values or BGR on any scale; of colours, the luma counts.
        targets: Components of the mask, of the image's size.
        alone: Whether a target's own pixels alone are taken out of its background, not those of others: of
            detections, whose ratio then does not depend on what else is detected.

    Returns:
        (n, 2) float64, on the image's scale; NaN where no background is left.
    """
    image = luma(image)
    found = np.full((len(targets), 2), np.nan)
    for i, (x0, y0, x1, y1) in enumerate(targets.boxes):
        window = np.s_[max(y0 - MARGIN, 0) : y1 + MARGIN, max(x0 - MARGIN, 0) : x1 + MARGIN]
        pixels, labels = image[window].astype(np.float64), targets.labels[window]
        background = pixels[labels != i + 1 if alone else labels == 0]
        if background.size:
            found[i] = pixels[labels == i + 1].mean() - background.mean(), background.std()
    return found


def by_size(targets: dict[str, np.ndarray]) -> list[dict]:
    """One row per size class: 1–9, 10–25, 26–80 and more than 80 pixels.

    Args:
        targets: Columns of equal length, those of :data:`TARGET` that a row is made of.

    Returns:
        Rows ``{'stratum', 'targets', 'matched', 'Pd', 'IoU', 'recall'}``: IoU is the mean over matched
        targets of their IoU with their partner, recall the mean over all targets of the share of their pixels
        predicted. NaN for a class without targets.
    """
    lows = (1, *(s + 1 for s in SIZE_CLASSES))
    names = [f'{low}–{high} px' for low, high in zip(lows, SIZE_CLASSES, strict=False)]
    names.append(f'> {SIZE_CLASSES[-1]} px')
    return _rows(targets, np.searchsorted(SIZE_CLASSES, targets['area']), names)


def by_scr(targets: dict[str, np.ndarray]) -> list[dict]:
    """One row per class of local signal-to-clutter ratio, as :func:`by_size`; unknown ratios are left out."""
    known = ~np.isnan(targets['scr'])
    targets = {name: column[known] for name, column in targets.items()}
    names = [f'{low:g} ≤ SCR < {high:g}' for low, high in pairwise(SCR_CLASSES)]
    names.append(f'SCR ≥ {SCR_CLASSES[-1]:g}')
    return _rows(targets, np.searchsorted(SCR_CLASSES, targets['scr'], side='right') - 1, names)


def _rows(targets: dict[str, np.ndarray], classes: np.ndarray, names: list[str]) -> list[dict]:
    rows = []
    for k, name in enumerate(names):
        inside = classes == k
        matched = inside & (targets['matched'] > 0)
        rows.append(
            {
                'stratum': name,
                'targets': int(inside.sum()),
                'matched': int(matched.sum()),
                'Pd': ratio(matched.sum(), inside.sum()),
                'IoU': mean(targets['IoU'][matched]),
                'recall': mean(targets['recall'][inside]),
            }
        )
    return rows


def by_count(images: dict[str, np.ndarray]) -> list[dict]:
    """One row per number of targets in the image: 0, 1, 2, and 3 or more.

    Args:
        images: Columns ``targets, matched, false_pixels, pixels, intersection, union`` and ``IoU`` of the
            images.

    Returns:
        Rows ``{'stratum', 'images', 'targets', 'matched', 'Pd', 'Fa', 'IoU', 'nIoU'}``; NaN where a class is
        empty.
    """
    rows = []
    classes = np.searchsorted(COUNT_CLASSES, images['targets'], side='right') - 1
    for k, count in enumerate(COUNT_CLASSES):
        inside = classes == k
        total = {name: column[inside].sum() for name, column in images.items()}
        many = '≥ ' if k == len(COUNT_CLASSES) - 1 else ''
        rows.append(
            {
                'stratum': f'{many}{counted(count, "target")}',
                'images': int(inside.sum()),
                'targets': int(total['targets']),
                'matched': whole(total['matched']),
                'Pd': ratio(total['matched'], total['targets']),
                'Fa': ratio(total['false_pixels'], total['pixels']),
                'IoU': ratio(total['intersection'], total['union']),
                'nIoU': mean(images['IoU'][inside]),
            }
        )
    return rows
