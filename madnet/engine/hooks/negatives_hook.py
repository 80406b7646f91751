"""Collects where a test found targets that are none."""

import numpy as np
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from madnet.engine.irstd_metric import target_probability
from madnet.engine.sample_names import name_of
from madnet.evaluation.components import find_components, grown


@HOOKS.register_module()
class NegativesHook(Hook):
    """Keeps the false detections of a test as hard negatives, for ``RandomTargetCrop(negatives=…)``.

    Args:
        threshold: Probability, 0–1, above which is a detection.
        margin: A detection with a pixel this near to a target, in pixels, is none: it may be its edge.
        most: Points kept of an image, those with the highest scores.

    Attributes:
        points: Id of the image → its rows and columns, after the test of all processes.
    """

    def __init__(self, threshold: float = 0.5, margin: int = 4, most: int = 20):
        self.threshold = threshold
        self.margin = margin
        self.most = most
        self.points: dict[str, list[list[int]]] = {}

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Find them in the images of a batch."""
        for sample in outputs:
            scores = target_probability(sample.seg_logits.data)
            truth = sample.gt_sem_seg.data.squeeze(0).cpu().numpy()
            found = false_points(scores, truth, self.threshold, self.margin, self.most)
            self.points[name_of(sample.metainfo)] = found

    def after_test_epoch(self, runner, metrics=None) -> None:
        """Bring together what several processes found."""
        gathered = all_gather_object(self.points)
        self.points = {name: points for found in gathered for name, points in found.items()}


def false_points(
    scores: np.ndarray, truth: np.ndarray, threshold: float = 0.5, margin: int = 4, most: int = 20
) -> list[list[int]]:
    """Rows and columns of false detections, each at its highest score, the highest first.

    Args:
        scores: (H, W) probabilities.
        truth: (H, W), not 0 where a target is.
        threshold, margin, most: As of :class:`NegativesHook`.
    """
    near = grown(truth, margin)
    peaks = []
    for rows, columns in find_components(scores > threshold).pixels():
        if not near[rows, columns].any():
            k = int(np.argmax(scores[rows, columns]))
            peaks.append((float(scores[rows[k], columns[k]]), int(rows[k]), int(columns[k])))
    peaks.sort(key=lambda peak: (-peak[0], *peak[1:]))
    return [[row, column] for _, row, column in peaks[:most]]
