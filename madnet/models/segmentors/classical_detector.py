"""A training-free detector as a model, so that the tools of networks run it."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from madnet.classical.detectors import Detector, get_detector
from madnet.classical.pool import map_in_pool, start_pool
from madnet.classical.thresholds import DEFAULT_RULE, get_rule
from madnet.errors import UserError


@MODELS.register_module()
class ClassicalDetector(BaseModel):
    """A detector of :data:`~madnet.classical.detectors.DETECTORS` with the interface of a segmentor.

    It has no weights and is not trained. Its decision is made per image, by a rule on the raw score map;
    everything after a network decides at 0.5. Both agree because ``seg_logits`` is the raw map on a unit
    scale whose 0.5 is the image's own threshold, and whose order within the image is the raw map's (see
    :meth:`~madnet.classical.thresholds.ThresholdRule.to_unit`). So metrics, protocols, pictures and saved
    maps need to know nothing of rules. Pooled curves and AUC belong to the rule, like every other number.

    Args:
        method: Name of the detector.
        rule: Name of the threshold rule.
        params: What differs from the detector's default parameters.
        workers: Processes that share the images of a batch; the results do not depend on it.
        data_preprocessor: None: images come as they are, on the 0–255 scale.

    Raises:
        UserError: Unknown method, parameter or rule.
    """

    #: There are no weights to load and nothing to train.
    training_free = True

    def __init__(
        self,
        method: str,
        rule: str = DEFAULT_RULE,
        params: dict | None = None,
        workers: int = 1,
        data_preprocessor: dict | None = None,
    ):
        super().__init__(data_preprocessor=data_preprocessor)
        self.detector = get_detector(method, **(params or {}))
        self.rule = get_rule(rule)
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def describe(self) -> dict:
        """For the record: ``method``, ``title``, ``paper``, ``parameters``, ``rule`` and its ``formula``."""
        return {
            'method': self.detector.name,
            'title': self.detector.title,
            'paper': self.detector.paper,
            'parameters': self.detector.parameters,
            'rule': self.rule.name,
            'formula': self.rule.formula,
        }

    def forward(
        self,
        inputs: Tensor | Sequence[Tensor],
        data_samples: list[SegDataSample] | None = None,
        mode: str = 'tensor',
    ) -> list[SegDataSample] | list[Tensor]:
        """
        Args:
            inputs: Images (C, Hᵢ, Wᵢ), 1 or 3 (BGR) channels on the 0–255 scale.
            data_samples: Those of the images, in mode ``'predict'``.
            mode: ``'predict'`` for data samples, ``'tensor'`` for score maps (1, Hᵢ, Wᵢ) in 0–1.

        Raises:
            UserError: Mode ``'loss'``, or an image that the detector does not take.
        """
        if mode == 'predict':
            return self.predict(inputs, data_samples)
        if mode == 'tensor':
            return self._score(inputs)
        raise UserError(f'{self.detector.name} needs no training; score it with madnet test, no checkpoint')

    def predict(
        self, inputs: Tensor | Sequence[Tensor], data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Results of images (B, C, H, W), or of a list of images (C, Hᵢ, Wᵢ).

        Returns:
            The data samples, each with ``seg_logits``: the score map in 0–1, (1, H, W), above 0.5 exactly
            where the rule detects; and ``pred_sem_seg``: 0/1, (1, H, W).
        """
        if data_samples is None:
            data_samples = [SegDataSample(metainfo={'ori_shape': tuple(image.shape[1:])}) for image in inputs]
        names = [str(sample.metainfo.get('img_path', '')) for sample in data_samples]
        for sample, score in zip(data_samples, self._score(inputs, names), strict=True):
            sample.set_data(
                {
                    'seg_logits': PixelData(data=score),
                    'pred_sem_seg': PixelData(data=(score > 0.5).to(score)),
                }
            )
        return data_samples

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict] | None = None) -> Tensor:
        """Logits (B, 1, H, W) of images (B, C, H, W) on the 0–255 scale; finite, above 0 where detected."""
        return torch.stack(self._score(inputs)).clamp(1e-6, 1 - 1e-6).logit()

    def _score(self, inputs: Tensor | Sequence[Tensor], names: Sequence[str] = ()) -> list[Tensor]:
        images = [image.detach().cpu().numpy().transpose(1, 2, 0) for image in inputs]
        device, count = inputs[0].device, len(images)
        arguments = [self.detector] * count, [self.rule.name] * count, images, names or [''] * count
        if self.workers > 1 and len(images) > 1:
            self._pool = self._pool or start_pool(self.workers)
            scores: Iterable[np.ndarray] = map_in_pool(self._pool, unit_scores, *arguments)
        else:
            scores = map(unit_scores, *arguments)
        return [torch.from_numpy(score)[None].to(device) for score in scores]


def unit_scores(detector: Detector, rule: str, image: np.ndarray, name: str = '') -> np.ndarray:
    """An image (H, W, C) on the 0–255 scale → its score map (H, W) float32 in 0–1 under a rule; a UserError
    names the image."""
    try:
        return get_rule(rule).to_unit(detector(image))
    except UserError as error:
        if not name:
            raise
        raise UserError(f'{name}: {str(error).removeprefix("image: ")}') from None
