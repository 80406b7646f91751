"""What all predictors share: images of any source in, predictions out."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np

from madnet.datasets.seen import TrainedPart, parts_of_entry
from madnet.errors import UserError, expect_number, expect_whole
from madnet.evaluation.calibration import PLAIN, PlattScaling
from madnet.evaluation.targets import KEEP_ALL, Least
from madnet.images import LARGE, ArrayWindows, FrameLoader, Windows, image_size
from madnet.images.notices import say_once
from madnet.overlap import ahead as read_ahead
from madnet.records.pretrained_index import registered_as
from madnet.text import score_text

from .clip import ClipResult, follow
from .clip_source import GivenFrames, open_clip
from .inputs import Frame, Source, is_single, iterate, list_frames
from .prediction import Maps, Prediction
from .tiling import Tiling, make_tiling

#: An image, and what gives the loader for it, in which ``'auto'`` is measured; None for the predictor's own.
_Measured: TypeAlias = tuple[Frame | np.ndarray, Callable[[], FrameLoader] | None]

#: Images that are read while others are computed.
READ_AHEAD = 4


class BasePredictor(ABC):
    """Finds targets in images; a subclass says how an image is scored.

    Args:
        threshold: 0–1; where the score exceeds it is target.
        batch: Images that are computed together.
        least: What a component above the threshold must have to be a target.

    Attributes:
        scaling: Of the logits before the sigmoid, as of :class:`~madnet.inference.Prediction`.
        tiling: How images larger than a tile are cut; None for whole images. With a tiling, images are
            computed one by one.

    Raises:
        UserError: An argument out of range.
    """

    def __init__(self, threshold: float, batch: int = 1, least: Least = KEEP_ALL):
        if expect_whole(batch, 'batch') < 1:
            raise UserError(f'batch: found {batch}, expected 1 image or more.')
        if not 0 <= expect_number(threshold, 'threshold') <= 1:
            raise UserError(f'threshold: found {threshold:g}, expected a score in 0–1.')
        self.threshold = threshold
        self.least = least
        self.scaling = PLAIN
        self.batch = batch
        self.tiling: Tiling | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """The detector's name."""

    @property
    @abstractmethod
    def origin(self) -> dict[str, Any]:
        """For the record: what the detector was made from."""

    @property
    def trained(self) -> list[TrainedPart]:
        """What it was trained on, as far as that is recorded."""
        return parts_of_entry(registered_as(self.origin.get('sha256')))

    @property
    @abstractmethod
    def loader(self) -> FrameLoader:
        """What turns files and arrays into pixels."""

    def load(self, image: str | os.PathLike | np.ndarray, frame: int | None = None) -> np.ndarray:
        """Pixels (H, W, C) of a file, or of its ``frame``, or of an array."""
        return self.loader(image, frame)

    @abstractmethod
    def score_all(self, pixels: Sequence[np.ndarray], shown: Sequence[str]) -> list[Maps]:
        """Pixels (Hᵢ, Wᵢ, C) from :meth:`load`, or parts of them → maps (Hᵢ, Wᵢ).

        Args:
            pixels: Of each image.
            shown: How messages call each of them.
        """

    def score(self, pixels: np.ndarray, shown: str) -> np.ndarray:
        """Scores (H, W) of one image, as :meth:`score_all`."""
        return self.score_all([pixels], [shown])[0].scores

    @abstractmethod
    def set_threads(self, number: int) -> None:
        """How many threads of this process compute."""

    @overload
    def __call__(self, source: Frame | np.ndarray) -> Prediction: ...

    @overload
    def __call__(self, source: Source | Iterable[Source]) -> Prediction | list[Prediction]: ...

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
        found = _or_raise(self._attempts(self._measured(source), READ_AHEAD))
        return next(found) if is_single(source) else list(found)

    def stream(self, source: Source | Iterable[Source]) -> Iterator[Prediction]:
        """Predictions one by one, for what does not fit into memory; ``source`` may be a generator, such as
        the frames of a camera, of which none is taken before the one before it is predicted (with a ``batch``
        of one)."""
        return _or_raise(self._attempts(self._measured(source)))

    def clip(
        self,
        source: str | os.PathLike | Iterable[np.ndarray],
        fps: float | None = None,
        raw: str | None = None,
        track: bool = False,
    ) -> Iterator[ClipResult]:
        """What is found in the frames of a clip, in order, as they come.

        A frame that cannot be read or predicted is a result too, without targets, and with an ``error``.

        Args:
            source, fps, raw: As of :func:`~madnet.inference.clip_source.open_clip`: a video, a folder, a file
                of several frames, ``'-'``, the number of a camera, an address; or frames, as arrays, one
                after the other, taken in a thread.
            track: Whether targets are followed, and those that live for one frame dropped.

        Raises:
            UserError: There is no such clip, or it ends before its end; or the first of given frames cannot
                be predicted.
        """
        if isinstance(source, str | os.PathLike):
            return follow(self, open_clip(str(source), fps, raw), track)
        return follow(self, GivenFrames(source, fps), track)

    def attempts(
        self, images: Iterable[Frame | np.ndarray], ahead: int = 0, loader: FrameLoader | None = None
    ) -> Generator[Prediction | Exception, None, None]:
        """What comes of each image, in order: a prediction, or what was raised.

        Args:
            images: Frames and arrays.
            ahead: How many of them are read while those before are computed, besides those of a batch.
            loader: Of them; None for the predictor's own.
        """
        own = None if loader is None else lambda: loader
        return self._attempts(((image, own) for image in images), ahead)

    def _measured(self, source: Source | Iterable[Source]) -> Iterator[_Measured]:
        """The images that a source stands for; ``'auto'`` means one range for all frames of a path, and that
        of each array. Whoever deals out frames has measured them."""
        if isinstance(source, str | os.PathLike):
            frames = list_frames(source)
            together = [(f.path, f.number) for f in frames] if len(frames) > 1 else []
            own = cache(partial(self.loader.measured, together))
            yield from ((frame, own) for frame in frames)
        elif isinstance(source, Iterable) and not hasattr(source, '__array__'):
            for part in source:
                # copied, for a camera's program puts the next frame into the same array before this is read
                yield from self._measured(part.copy() if isinstance(part, np.ndarray) else part)
        else:
            for image in iterate(source):
                yield image, None if isinstance(image, Frame) else partial(self.loader.measured, [])

    def _attempts(
        self, images: Iterable[_Measured], ahead: int = 0
    ) -> Generator[Prediction | Exception, None, None]:
        batch = 1 if self.tiling else self.batch
        read = read_ahead(self._read, enumerate(images), ahead + batch - 1)
        while group := list(islice(read, batch)):
            loaded = [_value_or_error(value) for _, value in group]
            scores = iter(self._scored([one for one in loaded if not isinstance(one, Exception)]))
            for ((number, (image, _)), _), one in zip(group, loaded, strict=True):
                if isinstance(one, Exception):
                    yield one
                    continue
                found = next(scores)
                yield (
                    found if isinstance(found, Exception) else self._prediction(image, number, one[0], found)
                )

    def cuts(self, height: int, width: int) -> bool:
        """Whether an image of this size, in pixels, is predicted in tiles: it does not fit in one."""
        return self.tiling is not None and len(self.tiling.windows(height, width)) > 1

    def is_cut(self, frame: Frame, more_than: int = 0) -> bool:
        """Whether a frame is predicted in tiles, and has more pixels than ``more_than``.

        Raises:
            UserError: It cannot be read.
        """
        if self.tiling is None:
            return False
        width, height = image_size(frame.path, frame.number)
        return width * height > more_than and self.cuts(height, width)

    def is_large(self, frame: Frame) -> bool:
        """Whether a frame is to be predicted in bands: it is cut into tiles, and has more pixels than
        :data:`~madnet.images.loader.LARGE`."""
        return self.is_cut(frame, LARGE)

    def tell_of_tiles(self) -> None:
        """Say, once, what comes out otherwise in tiles than in whole images."""
        if self.tiling is not None and self.tiling.note:
            say_once(self.tiling.note)
        if self.least.min_rank and self.scaling.temperature == 1:
            say_once(
                'min_rank: tiles give scores alone, whose logits end at 16.6, so that ranks above come out '
                'lower than in whole frames.'
            )

    def windows(self, frame: Frame) -> Windows:
        """Windows of a frame, as :meth:`load` gives the whole of it."""
        return self.loader.windows(frame.path, frame.number)

    def bands(
        self, windows: Windows, shown: str, each: Callable[[], object] | None = None
    ) -> Iterator[np.ndarray]:
        """Scores of a frame from top to bottom, with tiles read as they are needed; joined, they are the
        score map of the whole.

        Args:
            windows: From :meth:`windows`; there must be a :attr:`tiling`.
            shown: How messages call the frame.
            each: Called after each tile.

        Yields:
            (h, width) float32 in 0–1.
        """

        assert self.tiling is not None
        if self.cuts(windows.height, windows.width):
            self.tell_of_tiles()

        def score(window: tuple[slice, slice]) -> np.ndarray:
            scores = self.score(windows.read(*window), shown)
            if each is not None:
                each()
            return scores

        return self.tiling.bands(score, windows.height, windows.width)

    def _fitted(
        self, tile: int | tuple[int, int] | None, overlap: int | str | None, aligned: bool, statistics: str
    ) -> Tiling | None:
        """The tiling that a user asks for; unless ``overlap`` is a number, it is measured. ``statistics`` are
        those of :class:`~madnet.records.ExportInfo`."""
        if tile is not None and statistics == 'image':
            raise UserError(
                f'tile: {self.name} brings every image to the level and spread of the training '
                "images (statistics='image'), which a tile lacks; leave the tiles out."
            )
        insist = overlap == 'auto'
        pixels = None if overlap is None or insist else expect_whole(overlap, 'overlap')
        tiling = make_tiling(tile, pixels, aligned)
        if tiling is None:
            if insist:
                raise UserError("overlap: found 'auto' without a tile; give the size of the tiles too.")
            return None
        if insist and not aligned:
            raise UserError("overlap: found 'auto' where every tile is resized; give pixels.")
        if pixels is not None or not aligned:
            return tiling
        from .halo import fit_tiling

        return fit_tiling(
            lambda x: self.score(x, 'synthetic frame'),
            self.loader.channels,
            tiling.size,
            tiling.align,
            self.name,
            self._fingerprint(),
            insist,
        )

    def _fingerprint(self) -> bytes | None:
        """What tells this network from others; None where nothing does."""
        return None

    def _read(self, numbered: tuple[int, _Measured]) -> tuple[np.ndarray, str]:
        """Pixels of an image, and how messages call it."""
        number, (image, own) = numbered
        loader = self.loader if own is None else own()
        load = self.load if loader is self.loader else loader  # mmseg's own loaders know no 'auto'
        if isinstance(image, Frame):
            return load(image.path, image.number), str(image)
        return load(image), f'image_{number}'

    def _scored(self, loaded: Sequence[tuple[np.ndarray, str]]) -> Sequence[Maps | Exception]:
        if len(loaded) > 1:
            with suppress(Exception):  # of which image, comes out below
                return self.score_all(*zip(*loaded, strict=True))
        return [_value_or_error(partial(self._whole_or_tiled, *one)) for one in loaded]

    def _whole_or_tiled(self, pixels: np.ndarray, shown: str) -> Maps:
        if not self.cuts(*pixels.shape[:2]):
            return self.score_all([pixels], [shown])[0]
        return Maps(np.concatenate(list(self.bands(ArrayWindows(pixels), shown))))

    def _prediction(
        self, image: Frame | np.ndarray, number: int, pixels: np.ndarray, maps: Maps
    ) -> Prediction:
        if isinstance(image, Frame):
            return self.as_prediction(image.path.stem + image.suffix, maps, image.path, pixels)
        return self.as_prediction(f'image_{number}', maps, None, pixels)

    def as_prediction(self, name: str, maps: Maps, path: Path | None, pixels: np.ndarray) -> Prediction:
        """Maps (H, W), judged by this predictor's limits."""
        limits = (self.least, self.scaling)
        return Prediction(name, maps.scores, self.threshold, path, pixels, *limits, maps.logits)

    def ask_for_rank(self, rank: float) -> None:
        """Leave out what has a lower rank, besides what is left out already."""
        self.least = replace(self.least, min_rank=max(self.least.min_rank, rank))

    def _ask_for_budget(self, rank: float) -> None:
        """Leave out what has a lower rank than kept to a budget on validation images.

        Raises:
            UserError: The threshold is not the one at which detections were taken there.
        """
        check_budget_threshold(self.threshold, self.scaling)
        self.ask_for_rank(rank)


def check_budget_threshold(threshold: float, scaling: PlattScaling) -> None:
    """Raise a UserError where a threshold, of scores with this scaling, is not the 0.5 of plain scores at
    which budgets of false alarms are measured: other detections have other ranks and areas."""
    measured = scaling.moved(0.5)
    if not math.isclose(threshold, measured, abs_tol=1e-4):  # as it is printed
        raise UserError(
            f'threshold {score_text(threshold)}: a budget of false alarms (fa_budget) holds for detections '
            f'at the threshold that it was measured with, {score_text(measured)} of these scores; predict '
            'with that, or leave the budget out.'
        )


def _value_or_error(value: Callable[[], Any]) -> Any:
    try:
        return value()
    except Exception as e:
        return e


def _or_raise(attempts: Iterator[Prediction | Exception]) -> Iterator[Prediction]:
    for attempt in attempts:
        if isinstance(attempt, Exception):
            raise attempt
        yield attempt
