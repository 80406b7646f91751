"""mmengine's visualiser for infrared small targets."""

import cv2
import numpy as np
from mmengine.dist import master_only
from mmengine.visualization import Visualizer
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample

from madnet.evaluation.components import find_components
from madnet.evaluation.matching import match_components
from madnet.evaluation.targets import describe_components
from madnet.files import write_whole
from madnet.images import encode_png
from madnet.visualization.overlay import draw_overlay


@VISUALIZERS.register_module()
class IRSTDVisualizer(Visualizer):
    """Hands overlays (:func:`~madnet.visualization.overlay.draw_overlay`) to files, TensorBoard and windows.

    Takes the place of mmseg's ``SegLocalVisualizer``, whose label box covers a small target; mmseg's
    ``SegVisualizationHook`` works with either.

    Args:
        name, image, vis_backends, save_dir: As in mmengine.
        radius: Pixels; a target counts as hit when a detection's centroid is nearer.
        max_insets: Insets of an image at most.
        view_size: Longer side of the enlarged image in pixels, about.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        image: np.ndarray | None = None,
        vis_backends: list | None = None,
        save_dir: str | None = None,
        radius: float = 3.0,
        max_insets: int = 6,
        view_size: int = 768,
        **kwargs,
    ):
        super().__init__(name, image, vis_backends, save_dir, **kwargs)
        self.radius = radius
        self.max_insets = max_insets
        self.view_size = view_size

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: SegDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
        with_labels: bool | None = None,
    ) -> None:
        """Draw one image with its targets, and hand it to the back ends, a file or a window.

        Args:
            name, step: Of the picture in the back ends.
            image: (H, W), (H, W, 1) or (H, W, 3), any numeric type; resized to the data sample's size where
                it has another.
            data_sample: With ``gt_sem_seg`` and ``pred_sem_seg`` (1, H, W) of 0 and 1, either of which may be
                missing, and, if at hand, ``seg_logits`` (1, H, W) probabilities and ``net_logits`` (1, H, W).
            draw_gt, draw_pred: Whether to draw the truth, and the prediction.
            show: Open a window instead of writing to the back ends.
            wait_time: Seconds that the window stays; 0 means until a key is pressed.
            out_file: Write a PNG there instead of handing the picture to the back ends.
            with_labels: Not used; for calls made for ``SegLocalVisualizer``.
        """
        truth = _binary(data_sample, 'gt_sem_seg') if draw_gt else None
        pred = _binary(data_sample, 'pred_sem_seg') if draw_pred else None
        score = _plane(data_sample, 'seg_logits') if draw_pred else None
        image = np.asarray(image)
        shape = next((a.shape for a in (truth, pred) if a is not None), image.shape[:2])
        if image.shape[:2] != shape:
            image = cv2.resize(image, shape[::-1], interpolation=cv2.INTER_LINEAR)
        if score is not None and score.shape != shape:
            score = None

        targets = None if truth is None else find_components(truth)
        found = None if pred is None else find_components(pred)
        match = None
        if targets is not None and found is not None:
            match = match_components(targets, found, radius=self.radius)
        notes = None
        logits = _plane(data_sample, 'net_logits')
        if found is not None and logits is not None and logits.shape == shape:
            rows = describe_components(logits, found, scaling=None)
            notes = [f'logit {logit:.1f}' for logit in rows['logit']]
        limits = {'max_insets': self.max_insets, 'view_size': self.view_size}
        drawn = draw_overlay(image, targets, found, match, score, notes=notes, title=name, **limits)
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            write_whole(out_file, encode_png(drawn[..., ::-1]))
        elif not show:
            self.add_image(name, drawn, step)


def _plane(data_sample: SegDataSample | None, key: str) -> np.ndarray | None:
    """(H, W) array of a field (1, H, W), or None where the sample lacks it."""
    if data_sample is None or key not in data_sample:
        return None
    data = getattr(data_sample, key).data
    return data.detach().float().cpu().numpy().reshape(data.shape[-2:])


def _binary(data_sample: SegDataSample | None, key: str) -> np.ndarray | None:
    plane = _plane(data_sample, key)
    return None if plane is None else plane == 1
