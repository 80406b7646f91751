"""From an image to its targets."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmseg.structures import SegDataSample

from madnet.config_files import config_and_weights
from madnet.datasets.seen import TrainedPart, parts_of_record
from madnet.engine.checkpoint_file import trusting
from madnet.engine.half_weights import half_type, warn_where_half_is_slow
from madnet.engine.irstd_metric import target_probability
from madnet.engine.speed import exact_convolutions
from madnet.engine.training_record import parts_of_origin
from madnet.errors import UserError
from madnet.evaluation.arrays import as_scores
from madnet.evaluation.calibration import PlattScaling
from madnet.evaluation.targets import Least
from madnet.images import FrameLoader, Windows
from madnet.images.values import ValueRange
from madnet.models.deploy import fold as fold_model
from madnet.records import Averaging, Calibration, ExportInfo

from .base_predictor import BasePredictor
from .calibration import (
    NotCalibrated,
    calibration_file,
    find_calibration,
    rank_for_budget,
)
from .detector import LoadedDetector, load_detector
from .inputs import Frame
from .prediction import Maps


class Predictor(BasePredictor):
    """Finds targets in images, with a network or a training-free method.

    An image takes the way of the config's own test pipeline, so a score map is the one that
    ``madnet test`` scores, bit for bit on the same CPU::

        predictor = Predictor('configs/madnet_nuaa.py', 'work_dirs/madnet_nuaa/best.pth')
        prediction = predictor('scene.png')
        prediction.score_map, prediction.mask  # (H, W)
        for target in prediction.targets:
            print(target.x, target.y, target.area, target.box, target.peak)

    Args:
        config_or_name: A shipped name (``madnet.pretrained.list_pretrained()``), the name of a training-free
            method, a config file of ours or of mmseg, a config, a ``.safetensors`` file of
            ``madnet export``, or the folder of a training, or weights in it.
        checkpoint: The weights for a config with a network.
        device: Such as ``'cpu'`` or ``'cuda:0'``; None for a GPU where there is one.
        threshold: 0–1; where the score exceeds it is target. None: what an exported file says, else the 0.5
            of the metrics, which for a training-free method stands for what its rule found in the image. With
            ``calibrated`` it is what becomes of that, so that masks stay as they are.
        tile: Side, or (height, width), in pixels of the tiles in which larger images are scored; None for
            whole images. A tile takes the way of an image: with a config that resizes, a tile of the base
            size is scored at its own scale, where a whole large image would be shrunk and lose its targets.
        overlap: Pixels that neighbouring tiles share; None for as many as the network needs, measured on
            synthetic frames the first time and then known: scores are those of the whole image. A network
            that needs more than half of a tile, such as one with layers that look at the whole image, as
            MAD-Net's memory, sees a tile where it would see the image; a quarter of the tile is shared then,
            and a line says that scores are approximate. ``'auto'`` refuses that. Of a number of pixels, a
            quarter is not used at each border.
        value_range: Grey values that become black and white, for files and arrays whose sensor does not use
            the whole range of their type, such as (0, 16383) for 14 bits; needed for floats that are not on
            the 0–255 scale. ``'auto'``: percentiles, measured once over all images of a folder or file, and
            for each array and each item of a list. None: what the config says.
        views: Mirrored and turned views of an image whose logits a network averages: 1, 2, 4 or 8, at as many
            times the cost; None for what the config says, usually 1.
        scales: At which a network predicts, such as (1, 0.7, 0.5), each with all views; the cost grows with
            the sum of their squares. None for what the config says, usually 1 alone. A tile is scaled alone.
        merge: What is taken of the scales' logits, ``'mean'`` or ``'max'``; None: what the config says.
        fold: Whether to fold re-parameterised blocks and BatchNorm into plain convolutions, on a CPU in the
            layout of memory that these are quickest in (channels-last): the same scores to rounding.
        options: Dotted keys and values that override a config, or a training-free method's, such as
            ``{'model.rule': 'minmax0.5'}``.
        trust_checkpoint: Whether the checkpoint may hold pickled objects.
        min_area: Pixels; components that are smaller are no targets.
        min_scr: Components with a lower local signal-to-clutter ratio are no targets.
        min_rank: Components with a lower rank are no targets, see :class:`~madnet.inference.Target`.
        calibrated: Take logits by the temperature and bias that ``madnet calibrate`` has found for these
            weights, so that a score of 0.8 is right eight times in ten. They must have been measured with the
            same ``views``, ``scales`` and ``merge``.
        fa_budget: Allowed false-alarm pixels as a share of all pixels, such as 1e-5: ``min_rank`` is set to
            where the validation images of ``madnet calibrate`` kept to it. Implies ``calibrated``, and holds
            for detections at the threshold of 0.5 before that.
        batch: Images that are read before they are computed together, where the network does that: on a GPU.
            None: eight there, else one.
        amp: Whether a network computes in mixed precision: bfloat16, whose range is that of float32; float16
            on GPUs that lack it.
        dataset: The data set, or its folder, that a config file's network was trained on: whose mean,
            deviation and base size; None for the config's.

    Raises:
        UserError: Nothing goes by this name, the checkpoint does not fit, or an option is out of range.
    """

    def __init__(
        self,
        config_or_name: str | os.PathLike | Config | LoadedDetector,
        checkpoint: str | os.PathLike | None = None,
        device: str | torch.device | None = None,
        threshold: float | None = None,
        tile: int | tuple[int, int] | None = None,
        overlap: int | str | None = None,
        value_range: ValueRange = None,
        views: int | None = None,
        scales: Sequence[float] | None = None,
        merge: str | None = None,
        fold: bool = False,
        options: Mapping[str, Any] | None = None,
        trust_checkpoint: bool = False,
        dataset: str | None = None,
        min_area: int = 1,
        batch: int | None = None,
        min_scr: float = 0.0,
        min_rank: float = 0.0,
        calibrated: bool = False,
        fa_budget: float | None = None,
        amp: bool = False,
    ):
        if isinstance(config_or_name, str | os.PathLike):
            config_or_name, checkpoint = config_and_weights(config_or_name, checkpoint)
        #: What it was made from, name or config, and the checkpoint.
        self.made_from = config_or_name, checkpoint
        self._trusts = trust_checkpoint
        if isinstance(config_or_name, LoadedDetector):
            self.detector = _as_it_is(config_or_name, device, checkpoint, value_range, options, dataset)
        else:
            self.detector = load_detector(
                config_or_name, checkpoint, _device(device), value_range, options, trust_checkpoint, dataset
            )
        place = next((p.device for p in self.model.parameters()), torch.device('cpu'))
        super().__init__(
            self.detector.threshold if threshold is None else threshold,
            (8 if place.type == 'cuda' else 1) if batch is None else batch,
            Least(min_area, min_scr, min_rank),
        )
        is_network = next(self.model.parameters(), None) is not None
        if amp and not is_network:
            raise UserError(
                f'amp: {self.detector.name} is no network, which could compute in half precision.'
            )
        if fold and not is_network:
            raise UserError(f'fold: {self.detector.name} is no network, which could be folded.')
        if amp:
            warn_where_half_is_slow(place.type)
        #: Whether it computes in mixed precision.
        self.amp = amp
        given = {'views': views, 'scales': scales, 'merge': merge}
        given = {key: value for key, value in given.items() if value is not None}
        if not hasattr(self.model, 'set_test_time'):
            given = {
                key: value for key, value in given.items() if value not in (1, [1], (1,))
            }  # it does that
        if given and not hasattr(self.model, 'set_test_time'):
            key, value = next(iter(given.items()))
            raise UserError(f'{key}: found {value}, but only networks of this package average {key}.')
        if given:
            self.model.set_test_time(**given)
        if calibrated or fa_budget is not None:
            self._calibrate(fa_budget, threshold is None)
        self.scaling = PlattScaling.of(getattr(self.model, 'test_cfg', None))
        if fold:
            fold_model(self.model)
        self._lay_out(fold)
        if tile is not None and not is_network:
            raise UserError(
                f'tile: {self.detector.name} judges a pixel by the statistics of its whole image, '
                'which a tile lacks; leave the tiles out.'
            )
        preprocessor = getattr(self.model, 'data_preprocessor', None)
        statistics = getattr(preprocessor, 'statistics', 'training')
        self.tiling = self._fitted(tile, overlap, not self.detector.pipeline.resizes, statistics)

    def _calibrate(self, budget: float | None, moves_threshold: bool) -> None:
        known: Calibration | ExportInfo | None = self.detector.info
        file = self.name
        try:
            known = find_calibration(*self.made_from, self.origin.get('sha256'))
            file = str(calibration_file(*self.made_from))
        except NotCalibrated:
            if known is None or known.temperature is None:
                raise
        measured = Averaging.of(known)  # what an exported file holds was measured with one view alone
        if measured != (used := Averaging.of(getattr(self.model, 'test_cfg', None))):
            raise UserError(
                f'{file}: was measured with {measured}, found {used}, for which neither its budgets nor its '
                f'temperature hold; predict with {measured}, or run madnet calibrate with {used}.'
            )
        if hasattr(self.model, 'set_test_time'):
            self.scaling = PlattScaling.of(known)
            self.model.set_test_time(**self.scaling._asdict())
            if moves_threshold:
                self.threshold = self.scaling.moved(self.threshold)
        if budget is not None:
            self._ask_for_budget(rank_for_budget(known, budget, file))

    def _lay_out(self, folded: bool) -> None:
        """Weights in the layout of memory in which convolutions are quickest.

        On a CPU that is channels-last, where a network was trained in it (which is kept, to the last digit)
        or is folded. On a GPU cuDNN would then look for a way anew for every size of image, which takes about
        35 ms a convolution.
        """
        parameter = next(self.model.parameters(), None)
        if parameter is not None and parameter.device.type != 'cpu':
            self.model.to(memory_format=torch.contiguous_format)
        elif folded:
            self.model.to(memory_format=torch.channels_last)

    @property
    def model(self) -> torch.nn.Module:
        """The segmentor, in evaluation mode."""
        return self.detector.model

    @property
    def name(self) -> str:
        return self.detector.name

    @property
    def origin(self) -> dict[str, Any]:
        return self.detector.origin

    @property
    def trained(self) -> list[TrainedPart]:
        info = self.detector.info
        if info is not None and info.trained is not None:
            return parts_of_record(info.trained)
        with trusting(self._trusts):
            return parts_of_origin(self.origin)

    @property
    def loader(self) -> FrameLoader:
        return self.detector.pipeline.loader

    def set_threads(self, number: int) -> None:
        torch.set_num_threads(number)

    def load(self, image: str | os.PathLike | np.ndarray, frame: int | None = None) -> np.ndarray:
        return self.detector.pipeline.load(image, frame)

    def windows(self, frame: Frame) -> Windows:
        return self.detector.pipeline.windows(frame.path, frame.number)

    def _fingerprint(self) -> bytes:
        how = (self.amp, repr(self.model), self.detector.description, getattr(self.model, 'test_cfg', None))
        digest = hashlib.sha256(repr(how).encode())
        for name, tensor in self.model.state_dict().items():
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        return digest.digest()

    @contextmanager
    def _precision(self) -> Iterator[None]:
        parameter = next(self.model.parameters(), None)
        kind = 'cpu' if parameter is None else parameter.device.type
        half = torch.autocast(kind, half_type(kind)) if self.amp else nullcontext()
        with exact_convolutions() if kind == 'cuda' else nullcontext(), half:
            yield

    @torch.no_grad()
    def score_all(self, pixels: Sequence[np.ndarray], shown: Sequence[str]) -> list[Maps]:
        samples = [self.detector.pipeline.prepare(*one) for one in zip(pixels, shown, strict=True)]
        with self._precision():
            results = self.model.test_step({key: [s[key] for s in samples] for key in samples[0]})
        return [_maps(result, name) for result, name in zip(results, shown, strict=True)]


def score_map(result: SegDataSample, what: str) -> np.ndarray:
    """(H, W) float32 in 0–1: the target's probability in a segmentor's result.

    Raises:
        UserError: As :func:`~madnet.engine.irstd_metric.target_probability`; or scores that are no
            probabilities.
    """
    return as_scores(target_probability(result.seg_logits.data), f'{what}: score map')


def _maps(result: SegDataSample, what: str) -> Maps:
    scores = score_map(result, what)
    if (
        'net_logits' not in result or result.net_logits.shape != scores.shape
    ):  # of another size: tests take none
        return Maps(scores)
    return Maps(scores, result.net_logits.data[0].float().cpu().numpy())


def _as_it_is(
    detector: LoadedDetector, device: str | torch.device | None, *loading: object
) -> LoadedDetector:
    if any(given is not None for given in loading):
        raise UserError(
            f'{detector.name}: is loaded already; checkpoint, value_range, options and dataset are of the '
            'loading.'
        )
    if device is not None:
        detector.model.to(_device(device))
    return detector


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
