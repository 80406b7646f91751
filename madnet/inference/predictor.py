"""From an image to its targets."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmseg.structures import SegDataSample

from madnet.engine.irstd_metric import target_probability
from madnet.errors import UserError
from madnet.evaluation.arrays import as_scores
from madnet.images.values import ValueRange
from madnet.models.deploy import switch_to_deploy

from .detector import load_detector
from .inputs import Frame, Source, is_single, iterate
from .prediction import Prediction
from .tiling import Tiling


class Predictor:
    """Finds targets in images, with a network or a training-free method.

    An image takes the way of the config's own test pipeline, so a score map is the one that
    ``tools/test.py`` scores, bit for bit on the same processor::

        predictor = Predictor('configs/madnet_nuaa.py', 'work_dirs/madnet_nuaa/best.pth')
        prediction = predictor('scene.png')
        prediction.score_map, prediction.mask  # (H, W)
        for target in prediction.targets:
            print(target.x, target.y, target.area, target.box, target.peak)

    Args:
        config_or_name: A shipped name (``madnet.pretrained.list_pretrained()``), the name of a training-free
            method, a config file of ours or of mmseg, or a config.
        checkpoint: The weights for a config with a network.
        device: Such as ``'cpu'`` or ``'cuda:0'``; None for a GPU where there is one.
        threshold: 0–1; where the score exceeds it is target. 0.5 is what the metrics use; of a training-free
            method it stands for the threshold that the method's rule found in the image.
        tile: Side, or (height, width), in pixels of the tiles in which larger images are scored; None for
            whole images. A tile takes the way of an image: with a config that resizes, a tile of the base
            size is scored at its own scale, where a whole large image would be shrunk and lose its targets.
        overlap: Pixels that neighbouring tiles share; None for a quarter of the tile. Seams vanish wherever
            the network sees no further than a quarter of the overlap; a network with layers that look at the
            whole image, as MAD-Net's memory, sees a tile where it would see the image.
        value_range: Grey values that become black and white, for files and arrays whose sensor does not use
            the whole range of their type, such as (0, 16383) for 14 bits; needed for floats that are not on
            the 0–255 scale. ``'auto'``: percentiles, measured once over all images of a folder or file, and
            for each array and each item of a list. None: what the config says.
        views: Mirrored and turned views of an image whose logits a network averages: 1, 2, 4 or 8, at so many
            times the cost; None for what the config says, usually 1.
        scales: At which a network predicts, such as (1, 0.7, 0.5), each with all views; the cost grows with
            the sum of their squares. None for what the config says, usually 1 alone. A tile is scaled alone.
        merge: What is taken of the scales' logits, ``'mean'`` or ``'max'``; None: what the config says.
        fold: Fold re-parameterised blocks for speed: the same scores to rounding.
        options: Dotted keys and values that override a config, or a training-free method's, such as
            ``{'model.rule': 'minmax0.5'}``.
        trust_checkpoint: Whether the checkpoint may hold pickled objects.
        min_area: Pixels; components that are smaller are no targets.
        dataset: The data set, or its folder, that a config file's network was trained on: whose mean,
            deviation and base size; None for the config's.

    Raises:
        UserError: Nothing goes by this name, the checkpoint does not fit, or an option is out of range.
    """

    def __init__(
        self,
        config_or_name: str | os.PathLike | Config,
        checkpoint: str | os.PathLike | None = None,
        device: str | torch.device | None = None,
        threshold: float = 0.5,
        tile: int | tuple[int, int] | None = None,
        overlap: int | None = None,
        value_range: ValueRange = None,
        views: int | None = None,
        scales: Sequence[float] | None = None,
        merge: str | None = None,
        fold: bool = False,
        options: Mapping[str, Any] | None = None,
        trust_checkpoint: bool = False,
        dataset: str | None = None,
        min_area: int = 1,
    ):
        if min_area < 1:
            raise UserError(f'min_area: found {min_area}, expected 1 pixel or more.')
        if not 0 <= threshold <= 1:
            raise UserError(f'threshold: found {threshold:g}, expected a score in 0–1.')
        device = _device(device)
        self.threshold = threshold
        self.min_area = min_area
        self.detector = load_detector(
            config_or_name, checkpoint, device, value_range, options, trust_checkpoint, dataset
        )
        given = {'views': views, 'scales': scales, 'merge': merge}
        given = {key: value for key, value in given.items() if value is not None}
        if given and not hasattr(self.model, 'set_test_time'):
            key, value = next(iter(given.items()))
            raise UserError(f'{key}: found {value}, but only networks of this package average {key}.')
        if given:
            self.model.set_test_time(**given)
        if fold:
            switch_to_deploy(self.model)
        self.tiling = self._make_tiling(tile, overlap)

    @property
    def model(self) -> torch.nn.Module:
        """The segmentor, in evaluation mode."""
        return self.detector.model

    def __call__(self, source: Source | Iterable[Source]) -> Prediction | list[Prediction]:
        """Predict one image or several.

        Args:
            source: An image file; an array (H, W) or (H, W, 3) BGR, of 8 or 16 bit or floats on the 0–255
                scale; a folder, whose image files are taken by name; or a list of such. Pages of a TIFF,
                frames of a GIF, a video or an array file are images.

        Returns:
            A prediction for one image, a list of them for a folder, a file of several frames, or a list.

        Raises:
            UserError: No such file, no image, or an array that is none.
        """
        files = iterate(source) if isinstance(source, str | os.PathLike) else ()
        if not isinstance(source, Frame):  # whoever deals them out has measured them all
            self.detector.pipeline.measure([(f.path, f.number) for f in files])
        found = self.stream(source)
        return next(found) if is_single(source) else list(found)

    def stream(self, source: Source | Iterable[Source]) -> Iterator[Prediction]:
        """Predictions one by one, for what does not fit into memory; ``source`` may be a generator, such as
        the frames of a video."""
        for number, image in enumerate(iterate(source)):
            yield self._predict(image, f'image_{number}')

    @torch.no_grad()
    def _predict(self, image: Frame | np.ndarray, name: str) -> Prediction:
        path = None
        if isinstance(image, Frame):
            path, name = image.path, image.path.stem + image.suffix
            pixels = self.detector.pipeline.load(path, image.number)
        else:
            pixels = self.detector.pipeline.load(image)
        shown = str(path or name)
        if self.tiling is None:
            scores = self._score(pixels, shown)
        else:
            scores = self.tiling.apply(lambda part: self._score(part, shown), pixels)
        return Prediction(name, scores, self.threshold, path, pixels, self.min_area)

    def _score(self, pixels: np.ndarray, shown: str) -> np.ndarray:
        sample = self.detector.pipeline.prepare(pixels, shown)
        result = self.model.test_step({key: [value] for key, value in sample.items()})[0]
        return score_map(result, shown)

    def _make_tiling(self, tile: int | tuple[int, int] | None, overlap: int | None) -> Tiling | None:
        if tile is None:
            if overlap is not None:
                raise UserError(f'overlap: found {overlap} without a tile; give the size of the tiles too.')
            return None
        if next(self.model.parameters(), None) is None:
            raise UserError(
                f'tile: {self.detector.name} judges a pixel by the statistics of its whole image, '
                'which a tile has not; leave tiles out.'
            )
        size = (tile, tile) if isinstance(tile, int) else tuple(tile)
        # Where every tile is resized there is no common grid that alignment could keep; what it would do
        # is to resize the last tile, which is cut to it, by another factor.
        align = 1 if self.detector.pipeline.resizes else 32
        return Tiling(size, min(size) // 4 if overlap is None else overlap, align)


def score_map(result: SegDataSample, what: str) -> np.ndarray:
    """(H, W) float32 in 0–1: the target's probability in a segmentor's result.

    Raises:
        UserError: As :func:`~madnet.engine.irstd_metric.target_probability`; or scores that are no
            probabilities.
    """
    return as_scores(target_probability(result.seg_logits.data), f'{what}: score map')


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as e:
        reason = str(e).splitlines()[0]
        raise UserError(
            f"device: found {str(device)!r}, not usable here ({reason}). 'cpu' always is."
        ) from None
