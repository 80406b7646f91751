"""Prediction with an exported network, without PyTorch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from madnet.datasets.seen import TrainedPart, parts_of_record
from madnet.errors import UserError, in_brief
from madnet.evaluation.calibration import PLAIN, PlattScaling
from madnet.evaluation.targets import Least
from madnet.images import FrameLoader
from madnet.images.resizing import pil_resize
from madnet.images.values import ValueRange
from madnet.records.export_info import KEY, ExportInfo
from madnet.requirements import what_is_wrong

from .base_predictor import BasePredictor
from .prediction import Maps


class OnnxPredictor(BasePredictor):
    """Finds targets in images by a file that ``madnet export --format onnx`` wrote.

    It is called as :class:`~madnet.inference.Predictor` and gives the same results; NumPy, OpenCV, Pillow and
    ONNX Runtime are all that it needs. A file is data: it cannot run code, nor name other files to be read.

    Args:
        file: The exported file, or its content.
        threshold: 0–1; where the score exceeds it is target. None for what the file says.
        tile, overlap: As in :class:`~madnet.inference.Predictor`.
        value_range: Grey values that become black and white, or ``'auto'``; None for what the file says.
        min_area, min_scr, min_rank: As in :class:`~madnet.inference.Predictor`.
        calibrated, fa_budget: As there, by what was measured of the network before it was exported; a budget
            is one of those that the file says, and holds for its threshold of 0.5 alone.
        batch: Images that are read before those of one size are computed together.
        threads: How many threads compute; None for one a core.
        provider: ONNX Runtime's execution provider.

    Raises:
        UserError: ONNX Runtime or the provider is missing, the file is not one of ours, or an argument is
            out of range.
    """

    def __init__(
        self,
        file: str | os.PathLike | bytes | bytearray | memoryview,
        threshold: float | None = None,
        tile: int | tuple[int, int] | None = None,
        overlap: int | str | None = None,
        value_range: ValueRange = None,
        min_area: int = 1,
        min_scr: float = 0.0,
        min_rank: float = 0.0,
        batch: int = 1,
        threads: int | None = None,
        provider: str = 'CPUExecutionProvider',
        calibrated: bool = False,
        fa_budget: float | None = None,
    ):
        if isinstance(file, bytes | bytearray | memoryview):
            self._content, shown = bytes(file), 'exported network'
        else:
            self._content, shown = _read(file), str(file)
        self._provider, self._threads = provider, threads
        self._session = _session(self._content, threads, provider, shown)
        self.info = _info(self._session, shown)
        given = threshold
        super().__init__(
            self.info.threshold if given is None else given, batch, Least(min_area, min_scr, min_rank)
        )
        if calibrated or fa_budget is not None:
            self._calibrate(fa_budget, shown, given is None)
        value_range = _range(self.info) if value_range is None else value_range
        self._loader = FrameLoader(self.info.channels, value_range, self.info.bit_depth)
        self.tiling = self._fitted(tile, overlap, self.info.size is None, self.info.statistics)

    def _calibrate(self, budget: float | None, shown: str, moves_threshold: bool) -> None:
        if self.info.temperature is None:
            raise UserError(
                f'{shown}: nothing was known of its false alarms when it was exported; madnet calibrate '
                'measures that, then export it again.'
            )
        self.scaling = PlattScaling.of(self.info)
        if moves_threshold:
            self.threshold = self.scaling.moved(self.threshold)
        if budget is not None:
            self._ask_for_budget(self.info.rank_for_budget(budget))

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def trained(self) -> list[TrainedPart]:
        return parts_of_record(self.info.trained) or super().trained

    @property
    def origin(self) -> dict[str, Any]:
        return {**self.info.origin, 'exported': self.info.dtype}

    @property
    def loader(self) -> FrameLoader:
        return self._loader

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != '_session'}  # no pickle takes that

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.set_threads(self._threads)

    def set_threads(self, number: int | None) -> None:
        self._threads = number
        self._session = _session(self._content, number, self._provider, self.name)

    def _fingerprint(self) -> bytes:
        return hashlib.sha256(self._content).digest()

    def score_all(self, pixels: Sequence[np.ndarray], shown: Sequence[str]) -> list[Maps]:
        frames = [self._frame(*one) for one in zip(pixels, shown, strict=True)]
        alike: dict[tuple[int, ...], list[int]] = {}
        for number, frame in enumerate(frames):
            alike.setdefault(frame.shape, []).append(number)
        found: dict[int, Maps] = {}
        for numbers in alike.values():
            batch = np.stack([frames[number] for number in numbers])
            scores, logits = self._run(batch)
            found.update(zip(numbers, map(Maps, scores[:, 0], logits[:, 0]), strict=True))
        return [self._at_size(found[number], *image.shape[:2]) for number, image in enumerate(pixels)]

    def _run(self, frames: np.ndarray) -> list[np.ndarray]:
        try:
            return self._session.run(['scores', 'logits'], {'frames': frames})
        except Exception as e:  # ONNX Runtime has a type of its own for each reason
            number, _, height, width = frames.shape
            raise UserError(
                f'{self.name}: ONNX Runtime fails on a batch of {number} with {width} × {height} pixels '
                f'({in_brief(e)}). A network that turns sizes into numbers (int, .item()) takes in this form '
                'those alone that it was exported with; madnet export --format torch has no such limit.'
            ) from None

    def _frame(self, pixels: np.ndarray, shown: str) -> np.ndarray:
        """Pixels (H, W, C) → what the network takes, (C, h, w) float32."""
        if self.info.size is not None:
            height, width = self.info.size
            pixels = pil_resize(pixels, (width, height))
        self._check_size(pixels, shown)
        return pixels.transpose(2, 0, 1).astype(np.float32)

    def _at_size(self, given: Maps, height: int, width: int) -> Maps:
        """What the network gives, (h, w) → maps (H, W)."""
        if given.logits is None:
            return given
        if given.logits.shape == (height, width):
            if self.scaling == PLAIN:
                return given
            return Maps(_sigmoid(self.scaling.scaled(given.logits)), given.logits)
        aligned = self.info.align_corners
        logits = _bilinear(_bilinear(given.logits, height, aligned).T, width, aligned).T
        return Maps(_sigmoid(self.scaling.scaled(logits)))

    def _check_size(self, pixels: np.ndarray, shown: str) -> None:
        height, width = pixels.shape[:2]
        largest = self.info.largest
        if min(height, width) < self.info.smallest or (largest and max(height, width) > largest):
            bound = f'to {largest}' if largest else 'or more'
            raise UserError(
                f'{shown}: found {width} × {height} pixels, expected sides of {self.info.smallest} {bound}.'
                + (' Larger frames go in tiles.' if largest else '')
            )


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return (0.5 + 0.5 * np.tanh(0.5 * logits)).astype(np.float32)


def _bilinear(values: np.ndarray, size: int, align_corners: bool) -> np.ndarray:
    """Rows (h, …) → (size, …), by half-pixel centres or with the first and the last row kept, as in torch."""
    last = len(values) - 1
    if align_corners:
        place = np.linspace(0, last, size)
    else:
        place = ((np.arange(size) + 0.5) * (len(values) / size) - 0.5).clip(0, last)
    below = np.minimum(place.astype(int), max(0, last - 1))
    share = (place - below)[:, None].astype(values.dtype)
    return (1 - share) * values[below] + share * values[np.minimum(below + 1, last)]


def _read(file: str | os.PathLike) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as e:
        raise UserError(f'{file}: {e.strerror or e}.') from None


def _session(content: bytes, threads: int | None, provider: str, shown: str):
    try:
        import onnxruntime
    except ImportError as e:
        raise UserError(what_is_wrong(e) or f'onnxruntime: {in_brief(e)}') from None
    if threads is not None and threads < 1:
        raise UserError(f'threads: found {threads}, expected 1 or more.')
    if provider not in onnxruntime.get_available_providers():
        known = ', '.join(onnxruntime.get_available_providers())
        raise UserError(f'provider: found {provider!r}, expected one of this ONNX Runtime: {known}.')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 4  # its errors are raised as well, its warnings are of its own optimiser
    try:
        # From memory: a model that names other files cannot reach them.
        return onnxruntime.InferenceSession(content, options, providers=[provider])
    except Exception as e:  # ONNX Runtime has a type of its own for each reason
        raise UserError(f'{shown}: not a network that ONNX Runtime can run ({in_brief(e)}).') from None


def _info(session: Any, shown: str) -> ExportInfo:
    info = ExportInfo.of_file(session.get_modelmeta().custom_metadata_map.get(KEY), shown)
    puts = {'frames'}, {'scores', 'logits'}
    if puts != tuple({x.name for x in side} for side in (session.get_inputs(), session.get_outputs())):
        raise UserError(f'{shown}: not a file that madnet export wrote.')
    return info


def _range(info: ExportInfo) -> ValueRange:
    return tuple(info.value_range) if isinstance(info.value_range, list) else info.value_range
