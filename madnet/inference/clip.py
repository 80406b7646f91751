"""Clips and streams: frames in the order of time, while the next ones are read and the last ones written."""

import queue
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from copy import copy
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from madnet.errors import UserError, in_brief
from madnet.images import FrameLoader

from .clip_source import ClipFrame, ClipSource
from .inputs import Frame
from .prediction import Prediction, Target
from .tracking import Tracked, Tracker

#: Frames that are read and wait.
_WAITING = 8


class FramePredictor(Protocol):
    """What a :class:`~madnet.inference.base_predictor.BasePredictor` is here."""

    @property
    def loader(self) -> FrameLoader: ...

    def attempts(
        self, images: Iterable[Frame | np.ndarray], ahead: int = 0, loader: FrameLoader | None = None
    ) -> Generator[Prediction | Exception, None, None]: ...


@dataclass(frozen=True)
class ClipResult:
    """What was found in a frame of a clip.

    Attributes:
        number: Of the frame, from 0.
        time: Seconds since the first.
        prediction: Of the frame alone; None where there is an ``error``.
        targets: Those of the prediction, or with tracking those that are in another frame too.
        tracks: With tracking the number of each target's track, from 1; else empty.
        error: What is wrong with the frame; it then has no targets that would mean anything.
    """

    number: int
    time: float
    prediction: Prediction | None = None
    targets: tuple[Target, ...] = ()
    tracks: tuple[int, ...] = ()
    error: str | None = None


class _Reading:
    """Takes frames from a source in a thread; of a live one, those that nobody has taken in time are left
    out."""

    def __init__(self, source: ClipSource):
        self._source = source
        self._waiting: queue.Queue[ClipFrame | UserError | None] = queue.Queue(1 if source.live else _WAITING)
        self._stopped = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def __iter__(self) -> Iterator[ClipFrame]:
        while True:
            frame = self._waiting.get()
            if frame is None:
                return
            if isinstance(frame, UserError):
                raise frame
            yield frame

    def close(self) -> None:
        """Read no more."""
        self._stopped.set()

    def _run(self) -> None:
        try:
            with closing(self._source.frames()) as frames:
                for frame in frames:
                    if not self._put(frame, self._source.live):
                        return
            self._put(None)
        except UserError as e:
            self._put(e)
        except Exception as e:  # whatever OpenCV raises
            self._put(UserError(f'{self._source.name}: {_reason(e)}'))

    def _put(self, frame: ClipFrame | UserError | None, live: bool = False) -> bool:
        """Whether somebody is still there to take it."""
        while not self._stopped.is_set():
            try:
                self._waiting.put(frame, block=not live, timeout=0.1)
                return True
            except queue.Full:
                if live:
                    with suppress(queue.Empty):
                        self._waiting.get_nowait()
                        self._source.left_out += 1
        return False


def follow(predictor: FramePredictor, source: ClipSource, track: bool = False) -> Iterator[ClipResult]:
    """The results of a clip's frames, in order, as they come.

    Frames that cannot be read or predicted are results too, with what is wrong with them, but for the first
    of a source whose first frame must do. Where a clip ends before its end, or Ctrl-C ends it, what was
    predicted is given out before that is raised.

    Args:
        predictor: Finds targets in a frame.
        source: Of the frames.
        track: Whether targets are followed from frame to frame, and those that live for one dropped; a result
            comes when the next frame is known.

    Raises:
        UserError: The clip ends before its end, or its first frame must do and does not.
    """
    reading = _Reading(source)
    ending: BaseException | None = None
    waiting: dict[int, ClipResult] = {}
    tracker = Tracker() if track else None
    try:
        for result in _predicted(predictor, source, reading):
            if tracker is None:
                yield result
                continue
            waiting[result.number] = result
            if result.error is not None:
                tracker.skip(result.number)
            else:
                for settled in tracker.add(result.number, result.targets):
                    yield from _with_tracks(waiting, settled)
    except (KeyboardInterrupt, UserError) as e:
        ending = e
    finally:
        reading.close()
    if tracker is not None:
        for settled in tracker.finish():
            yield from _with_tracks(waiting, settled)
        yield from waiting.values()
    if ending is not None:
        raise ending


def _predicted(predictor: FramePredictor, source: ClipSource, reading: _Reading) -> Iterator[ClipResult]:
    """Results without tracks."""
    frames: deque[ClipFrame] = deque()
    loader = copy(predictor.loader.measured([]))  # 'auto' is of this clip alone
    ending: BaseException | None = None

    def images() -> Iterator[np.ndarray | Frame]:
        nonlocal ending
        try:
            for frame in reading:
                frames.append(_usable(frame, loader))
                source.value_range = loader.value_range
                if not isinstance(image := frames[-1].image, UserError):
                    yield image
        except (KeyboardInterrupt, UserError) as e:  # raised when all frames before it are done
            ending = e

    def failed(frame: ClipFrame, problem: Exception) -> ClipResult:
        if source.first_must_do and not frame.number:
            raise problem
        return ClipResult(frame.number, frame.time, error=_reason(problem))

    def unreadable() -> Iterator[ClipResult]:
        while frames and isinstance(problem := frames[0].image, UserError):
            yield failed(frames.popleft(), problem)

    with closing(predictor.attempts(images(), source.ahead, loader)) as attempts:
        for attempt in attempts:
            yield from unreadable()
            frame = frames.popleft()
            if isinstance(attempt, Prediction):
                yield ClipResult(frame.number, frame.time, attempt, attempt.targets)
            else:
                yield failed(frame, attempt)
    yield from unreadable()
    if ending is not None:
        raise ending


def _usable(frame: ClipFrame, loader: FrameLoader) -> ClipFrame:
    """The frame, or what is wrong with it where it is the first one and its range cannot be measured."""
    image = frame.image
    if not isinstance(image, UserError):
        try:
            loader.measure_first(*((image.path, image.number) if isinstance(image, Frame) else (image,)))
        except UserError as e:
            return replace(frame, image=e)
    return frame


def _reason(problem: Exception) -> str:
    if isinstance(problem, UserError):
        return str(problem)
    return f'{type(problem).__name__}: {in_brief(problem)}'


def _with_tracks(waiting: dict[int, ClipResult], settled: Tracked) -> Iterator[ClipResult]:
    """The results up to a frame that the tracker has settled."""
    for number in [n for n in waiting if n <= settled.frame]:
        result = waiting.pop(number)
        if number == settled.frame:
            result = replace(
                result,
                targets=tuple(target for _, target in settled.targets),
                tracks=tuple(track for track, _ in settled.targets),
            )
        yield result
