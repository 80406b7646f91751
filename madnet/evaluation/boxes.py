"""The box view: components as detections, scored as in object detection."""

import contextlib
import io
from math import nan

import numpy as np

from madnet.errors import UserError, in_brief
from madnet.evaluation.components import Components
from madnet.requirements import what_is_wrong

#: Detections kept of one image, the best by score (COCO's limit).
MAX_DETECTIONS = 100
#: A component as a detection: its centre and box in pixels, and its score in 0–1.
DETECTION = np.dtype([(name, np.float64) for name in ('x', 'y', 'x0', 'y0', 'x1', 'y1', 'score')])


def peak_scores(prob: np.ndarray, components: Components) -> np.ndarray:
    """The highest probability inside every component, (n,): its score as a detection."""
    inside = components.labels > 0
    peaks = np.zeros(len(components) + 1)
    np.maximum.at(peaks, components.labels[inside], prob[inside])
    return peaks[1:]


def detections(prob: np.ndarray, components: Components) -> np.ndarray:
    """(n,) rows :data:`DETECTION` of the ``MAX_DETECTIONS`` best components, best first."""
    scores = peak_scores(prob, components)
    best = np.lexsort((-components.areas, -scores))[:MAX_DETECTIONS]
    rows = np.empty(len(best), DETECTION)
    rows['x'], rows['y'] = components.centroids[best].T
    rows['x0'], rows['y0'], rows['x1'], rows['y1'] = components.boxes[best].T
    rows['score'] = scores[best]
    return rows


def centre_ap(targets: dict[str, np.ndarray], found: dict[str, np.ndarray], radius: float = 3.0) -> float:
    """Average precision where a detection is right when its centre lies near a target's centre.

    At 3 to 5 pixels a shift of one pixel already breaks a box IoU of 0.5; a distance does not have that
    cliff. In the order of their scores, each detection takes the nearest target still free whose centroid is
    nearer than ``radius``. AP is the area under the precision envelope at all recalls (VOC 2010 and later).

    Args:
        targets: Columns ``image, x, y``.
        found: Columns ``image, x, y, score``.
        radius: Pixels.

    Returns:
        AP in 0–1; NaN without targets. Equal scores enter together, so that the order of images does not
        matter.
    """
    if not len(targets['image']):
        return nan
    order = np.argsort(-found['score'], kind='stable')
    hit = np.zeros(len(order), bool)
    free = np.ones(len(targets['image']), bool)
    by_image = {image: np.flatnonzero(targets['image'] == image) for image in np.unique(targets['image'])}
    for k in order:
        candidates = by_image.get(found['image'][k], np.zeros(0, int))
        candidates = candidates[free[candidates]]
        distance = np.hypot(
            targets['x'][candidates] - found['x'][k], targets['y'][candidates] - found['y'][k]
        )
        if len(distance) and distance.min() < radius:
            free[candidates[distance.argmin()]] = False
            hit[k] = True
    scores, hit = found['score'][order], hit[order]
    last_of_equals = np.flatnonzero(np.diff(scores, append=-1))
    tp = np.cumsum(hit)[last_of_equals]
    if not len(tp):
        return 0.0
    recall, precision = tp / len(free), tp / (last_of_equals + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0) * envelope).sum())


def box_ap(targets: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> dict[str, float]:
    """AP50 and AP50-95 of pycocotools over the boxes of components.

    Args:
        targets: Columns ``image, x0, y0, x1, y1`` (half-open, pixels).
        found: The same and ``score``.

    Returns:
        ``{'AP50', 'AP50-95'}`` in 0–1; NaN without targets.

    Raises:
        UserError: pycocotools is not installed, or cannot be loaded.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as e:
        raise UserError(what_is_wrong(e) or f'pycocotools: {in_brief(e)}') from None
    if not len(targets['image']):
        return {'AP50': nan, 'AP50-95': nan}
    truth, pred = COCO(), COCO()
    images = [{'id': int(i)} for i in np.union1d(targets['image'], found['image'])]
    truth.dataset = {'images': images, 'categories': [{'id': 1}], 'annotations': _annotations(targets)}
    pred.dataset = {'images': images, 'categories': [{'id': 1}], 'annotations': _annotations(found)}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        pred.createIndex()
        judge = COCOeval(truth, pred, 'bbox')
        judge.params.maxDets = [1, 10, MAX_DETECTIONS]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval['precision'][:, :, 0, 0, -1]
    return {'AP50': float(precision[0].mean()), 'AP50-95': float(precision.mean())}


def _annotations(boxes: dict[str, np.ndarray]) -> list[dict]:
    width, height = boxes['x1'] - boxes['x0'], boxes['y1'] - boxes['y0']
    return [
        {
            'id': k + 1,
            'image_id': int(boxes['image'][k]),
            'category_id': 1,
            'bbox': [float(boxes['x0'][k]), float(boxes['y0'][k]), float(width[k]), float(height[k])],
            'area': float(width[k] * height[k]),
            'iscrowd': 0,
            'score': float(boxes['score'][k]) if 'score' in boxes else 1.0,
        }
        for k in range(len(boxes['image']))
    ]
