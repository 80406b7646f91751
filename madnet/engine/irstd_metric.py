"""The metric of training and testing loops: a thin shell over :class:`Evaluator`."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_rank
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmseg.registry import METRICS

from madnet.datasets.transforms.sample_transform import sides_of
from madnet.engine.sample_names import name_of
from madnet.errors import RunFailed, UserError
from madnet.evaluation.arrays import resize_image
from madnet.evaluation.evaluator import Evaluator
from madnet.evaluation.protocols import ProtocolLike
from madnet.evaluation.targets import Least, left_out
from madnet.files import write_whole
from madnet.images import read_image
from madnet.images.encoding import encode_png
from madnet.overlap import InTurn


@METRICS.register_module()
class IRSTDMetric(BaseMetric):
    """IoU, nIoU, F1, Pd, Fa and the rest under named protocols.

    Protocols of native resolution score the probabilities at the image's own size; protocols at a base size
    score the raw logits at the size that the network saw (``net_logits``) where the model hands them over,
    resized where that is not the base size, and else the probabilities resized.

    Processes exchange counts, never maps. The result is the same for any number of them and any order of
    images; an image that a sampler repeats to fill the last round counts once.

    While a GPU predicts, a thread scores what it has predicted before; what is wrong with an image is then
    raised some images later.

    Args:
        protocols: Names, ``'all'``, or protocols of one's own; the first one's numbers are logged without a
            prefix.
        base_size: Side or (h, w) of protocols at a base size; default the samples' ``base_size``, else the
            size of ``net_logits``, else the images' own where all have one.
        curves: Whether ROC, PR and Pd-Fa curves are collected; off makes validation cheapest.
        boxes: Whether to add the box view (needs pycocotools).
        extended: Whether hIoU and the strata are computed where a protocol has them; off in validation.
        scr: Whether to read each image file again for the local signal-to-clutter ratio of its targets,
            resized where the mask has another size.
        min_area, min_scr, min_rank: As of :class:`~madnet.evaluation.targets.Least`: components of scores
            above 0.5 that have less count as background, with their logits' signs turned; what
            ``madnet predict`` leaves out with the same options. Protocols at a base size then score the
            probabilities resized where the network saw the image at another size.
        prefix: Put before every logged name.
        beside: Whether a thread scores; ``'auto'``: what comes from a GPU.
        output_dir: Folder for a PNG of labels of each image, 1 where it scores above 0.5 and 0 elsewhere, by
            its name; what ``--out`` of mmseg's test sets.
        keep_results: Set by ``--out`` too; not looked at.

    Attributes:
        last_numbers: What the last evaluation returned, by its logged names.

    Raises:
        UserError: Unknown protocol, or a limit out of range.
    """

    default_prefix = ''

    def __init__(
        self,
        protocols: ProtocolLike | Iterable[ProtocolLike] = ('native',),
        base_size: int | tuple[int, int] | None = None,
        curves: bool = True,
        boxes: bool = False,
        extended: bool = True,
        scr: bool = False,
        min_area: int = 1,
        min_scr: float = 0.0,
        min_rank: float = 0.0,
        prefix: str | None = None,
        beside: bool | str = 'auto',
        output_dir: str | os.PathLike | None = None,
        keep_results: bool = False,
    ):
        super().__init__(prefix=prefix)
        self.beside = beside
        self.output_dir = output_dir
        self.base_size = sides_of('IRSTDMetric.base_size', base_size)
        self.least = Least(min_area, min_scr, min_rank)
        self.scr = scr or self.least.looks_at_image
        self._settings: dict[str, Any] = {
            'protocols': protocols,
            'curves': curves,
            'boxes': boxes,
            'extended': extended,
        }
        self._evaluator = Evaluator(**self._settings)
        self._seen = 0  # images, though they may not be scored yet
        self._thread = InTurn()
        self._last: Evaluator | None = None
        self.last_numbers: dict[str, float] = {}

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Score one batch.

        Args:
            data_batch: Not looked at.
            data_samples: With ``seg_logits`` as :func:`target_probability` takes them, ``gt_mask`` (1, H, W)
                grey values (or else ``gt_sem_seg`` 0/1), and where there are any ``net_logits`` (1, h, w) raw
                logits.

        Raises:
            UserError: A sample lacks its mask, or sizes differ.
            RunFailed: The model's scores are NaN.
        """
        for sample in data_samples:
            beside = self.beside
            if beside == 'auto':
                scores = sample['seg_logits']['data']
                beside = isinstance(scores, torch.Tensor) and scores.is_cuda
            if beside:
                self._thread.call(self._score, sample, self._seen)
            else:
                self._score(sample, self._seen)
            self._seen += 1

    def _score(self, sample: dict, number: int) -> None:
        path = sample.get('img_path')
        name = name_of(sample) or str(sample.get('sample_idx', number))
        key: tuple = (path, sample.get('img_id'), sample.get('sample_idx'))
        if key == (None, None, None):
            key = (get_rank(), number)
        scores = target_probability(sample['seg_logits']['data'])
        if np.isnan(scores).any():
            raise RunFailed(f'{name}: the scores of the model are NaN; has the training diverged?')
        net_logits = _array(sample['net_logits']) if 'net_logits' in sample else None
        mask = _mask(sample, name)
        image = None
        if self.scr and path and os.path.isfile(path):  # as the sample's own pipeline has scaled it
            image = resize_image(read_image(path), mask.shape)
        if not self.least.keeps_all:
            scores, net_logits = self._leave_out(scores, net_logits, image, name)
        if self.output_dir is not None:
            labels = encode_png((scores > 0.5).astype(np.uint8))
            write_whole(Path(self.output_dir, f'{name}.png'), labels, settled=False)
        self._evaluator.update(
            scores,
            mask,
            name,
            net_logits=net_logits,
            base_size=self.base_size or sides_of('base_size', sample.get('base_size')),
            image=image,
            key=key,
        )

    def _leave_out(
        self, scores: np.ndarray, logits: np.ndarray | None, image: np.ndarray | None, name: str
    ) -> tuple[np.ndarray, np.ndarray | None]:
        if logits is not None and logits.shape != scores.shape:
            logits = None
        surest = scores if logits is None else logits
        out = left_out(scores > 0.5, surest, self.least, image, name, from_logits=logits is not None)
        scores = np.where(out, 1 - scores, scores)
        return scores, logits if logits is None else np.where(out, -logits, logits)

    def evaluate(self, size: int) -> dict[str, float]:
        """Gather all processes' counts, compute, and start afresh.

        (The base class zips the processes' lists of results and cuts the tail by ``size``, which drops images
        when the processes had unequal shares.)

        Args:
            size: Images in the data set.

        Returns:
            ``{'nIoU': …, 'IoU': …}`` of the first protocol, ``{'abc/IoU': …}`` of the others; the same on
            every process.

        Raises:
            UserError: No image was processed.
        """
        self._thread.finish()
        self._seen = 0
        first, *others = all_gather_object(self._evaluator)
        for other in others:
            first.merge(other)
        if len(first) != size:
            print_log(f'{len(first)} different images were scored, the data set has {size}', 'current', 30)
        self._evaluator = Evaluator(**self._settings)
        return self._publish(first)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The numbers so far; ``results`` is not used, since counts live in the evaluator."""
        self._thread.finish()
        return self._publish(self._evaluator)

    def names(self) -> list[str]:
        """The names of the numbers, known before any image is scored."""
        blank = Evaluator(**self._settings)
        blank.update(np.zeros((8, 8), np.float32), np.zeros((8, 8), np.uint8), base_size=(8, 8))
        return list(self._flat(blank))

    def _publish(self, evaluator: Evaluator) -> dict[str, float]:
        self._last, self.last_numbers = evaluator, self._flat(evaluator)
        return self.last_numbers

    def _flat(self, evaluator: Evaluator) -> dict[str, float]:
        flat = {}
        for number, (name, numbers) in enumerate(evaluator.compute().items()):
            for metric, value in numbers.items():
                flat[metric if number == 0 else f'{name}/{metric}'] = value
        return {f'{self.prefix}/{k}': v for k, v in flat.items()} if self.prefix else flat

    @property
    def evaluator(self) -> Evaluator:
        """The counts of the last evaluation."""
        return self._last or self._evaluator


def target_probability(seg_logits: torch.Tensor) -> np.ndarray:
    """(H, W) float32: the target's probability in a segmentor's ``seg_logits``.

    Args:
        seg_logits: (1, H, W) probabilities, as segmentors of one channel give them, or (2, H, W) logits of
            background and target.

    Raises:
        UserError: More channels.
    """
    channels = seg_logits.shape[0] if seg_logits.ndim > 2 else 1
    if channels == 2:
        seg_logits = (seg_logits[1:].float() - seg_logits[:1].float()).sigmoid()
    elif channels != 1:
        raise UserError(
            f'the model gives {channels} classes, expected one (target), or two (background, target).'
        )
    return _array({'data': seg_logits})


def _array(pixel_data: dict) -> np.ndarray:
    """(1, H, W) tensor of a data sample → (H, W) float32."""
    data = pixel_data['data']
    data = (
        data.detach().float().cpu().numpy()
        if isinstance(data, torch.Tensor)
        else np.asarray(data, np.float32)
    )
    return data.reshape(data.shape[-2:])


def _mask(sample: dict, name: str) -> np.ndarray:
    """(H, W) uint8 grey values."""
    for key in ('gt_mask', 'gt_sem_seg'):
        if key in sample:
            data = np.asarray(sample[key]['data'].cpu()).squeeze(0)
            return data if key == 'gt_mask' else data == 1
    raise UserError(f'{name}: the sample has no mask, so there is nothing to score it against')
