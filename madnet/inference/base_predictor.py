"""What all predictors share: images of any source in, predictions out."""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from madnet.errors import UserError
from madnet.images import LARGE, FrameLoader, LoadedWindows, image_size

from .inputs import Frame, Source, is_single, iterate
from .prediction import Prediction
from .tiling import Tiling


class BasePredictor(ABC):
    """Finds targets in images; a subclass says how an image is scored.

    Args:
        threshold: 0–1; where the score exceeds it is target.
        min_area: Pixels; components that are smaller are no targets.

    Attributes:
        tiling: How large images are cut; None for whole images.

    Raises:
        UserError: An argument out of range.
    """

    def __init__(self, threshold: float, min_area: int):
        if min_area < 1:
            raise UserError(f'min_area: found {min_area}, expected 1 pixel or more.')
        if not 0 <= threshold <= 1:
            raise UserError(f'threshold: found {threshold:g}, expected a score in 0–1.')
        self.threshold = threshold
        self.min_area = min_area
        self.tiling: Tiling | None = None

    @property
    @abstractmethod
    def name(self) -> str:
        """Of the detector."""

    @property
    @abstractmethod
    def origin(self) -> dict[str, Any]:
        """For the record: what the detector was made from."""

    @property
    @abstractmethod
    def loader(self) -> FrameLoader:
        """What turns files and arrays into pixels."""

    def load(self, image: str | os.PathLike | np.ndarray, frame: int | None = None) -> np.ndarray:
        """Pixels (H, W, C) of a file, or of its ``frame``, or of an array."""
        return self.loader(image, frame)

    @abstractmethod
    def score(self, pixels: np.ndarray, shown: str) -> np.ndarray:
        """Pixels (H, W, C) from :meth:`load`, or a part of them → scores (H, W) float32 in 0–1.

        Args:
            pixels: Of the image.
            shown: How messages call it.
        """

    @abstractmethod
    def set_threads(self, number: int) -> None:
        """How many threads of this process compute."""

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
            self.loader.measure([(f.path, f.number) for f in files])
        found = self.stream(source)
        return next(found) if is_single(source) else list(found)

    def stream(self, source: Source | Iterable[Source]) -> Iterator[Prediction]:
        """Predictions one by one, for what does not fit into memory; ``source`` may be a generator, such as
        the frames of a video."""
        for number, image in enumerate(iterate(source)):
            yield self._predict(image, f'image_{number}')

    def is_large(self, frame: Frame) -> bool:
        """Whether a frame is to be predicted in bands: it is cut into tiles, and has more pixels than
        :data:`~madnet.images.loader.LARGE`."""
        return self.tiling is not None and math.prod(image_size(frame.path)) > LARGE

    def windows(self, frame: Frame) -> LoadedWindows:
        """Windows of a frame, as :meth:`load` gives the whole of it."""
        return self.loader.windows(frame.path, frame.number)

    def bands(
        self, windows: LoadedWindows, shown: str, each: Callable[[], None] | None = None
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

        def score(window: tuple[slice, slice]) -> np.ndarray:
            scores = self.score(windows.read(*window), shown)
            if each is not None:
                each()
            return scores

        return self.tiling.bands(score, windows.height, windows.width)

    def _predict(self, image: Frame | np.ndarray, name: str) -> Prediction:
        path = None
        if isinstance(image, Frame):
            path, name = image.path, image.path.stem + image.suffix
            pixels = self.load(path, image.number)
        else:
            pixels = self.load(image)
        shown = str(path or name)
        if self.tiling is None:
            scores = self.score(pixels, shown)
        else:
            scores = self.tiling.apply(lambda part: self.score(part, shown), pixels)
        return Prediction(name, scores, self.threshold, path, pixels, self.min_area)
