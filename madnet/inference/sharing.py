"""Images shared out: one process reads, computes and writes at once, or several share the images."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import cv2

from madnet.errors import UserError, in_brief
from madnet.files import CannotWrite, write_whole
from madnet.overlap import InTurn, handling, start_processes
from madnet.progress import progress_bar

from .base_predictor import READ_AHEAD, BasePredictor
from .inputs import Frame
from .large_frame import predict_large
from .outputs import image_files, record
from .prediction import Prediction

#: A record; or what is wrong with the image; or None: it was not reached.
Outcome: TypeAlias = dict[str, Any] | str | None
#: Predictions that wait to be drawn and written, or are just now, and threads or processes that do it.
_WAITING = 12
_WRITERS = 4
#: Images from which on processes write: a thread that draws holds Python's lock, which a network of small
#: operators wants hundreds of times an image; but a process takes a while to start.
_MANY = 64


def predict_all(
    make: partial[BasePredictor],
    predictor: BasePredictor,
    writing: InTurn,
    jobs: int,
    threads: int | None,
    out: Path,
    kinds: Sequence[str],
    work: list[tuple[Frame, str]],
) -> tuple[list[Outcome], BaseException | None]:
    """The outcome of :func:`_predict` for each task, and what ended the work before its time."""
    outcomes: list[Outcome] = [None] * len(work)
    try:
        with interrupted_by_sigterm():
            if jobs == 1:
                predict_in_turn(predictor, writing, out, kinds, work, outcomes)
            else:
                _in_processes(make, jobs, threads, out, kinds, work, outcomes)
    except KeyboardInterrupt as e:
        return outcomes, e
    except UserError as e:
        reason = str(e)
    except BrokenProcessPool:
        who, less = (
            (f'--jobs {jobs}', 'fewer jobs, and --tile, need') if jobs > 1 else ('writing', '--tile needs')
        )
        reason = f'{who}: a process was killed (out of memory?); {less} less.'
    else:
        return outcomes, None
    if len(work) > 1:
        reason += f' {outcomes.count(None)} of {len(work)} images were not predicted.'
    return outcomes, UserError(reason)


def start_writing(images: int) -> InTurn:
    """What draws and writes this many predictions beside the network, for :func:`predict_in_turn`."""
    processes = min((os.cpu_count() or 1) - 1, _WRITERS) if images >= _MANY else 0
    writing = InTurn(_WAITING, _WRITERS, processes)
    for _ in range(processes):
        writing.call(warm_up)
    return writing


def warm_up() -> None:
    """Nothing; but whoever is to call it imports this module, and all that writing takes."""


def predict_in_turn(
    predictor: BasePredictor,
    writing: InTurn,
    out: Path,
    kinds: Sequence[str],
    work: list[tuple[Frame, str]],
    outcomes: list[Outcome],
) -> None:
    """Put the outcome for each task of ``work`` into its place, as far as it was reached, whatever ends it.

    While an image is computed, the next ones are read and those before it are drawn and written.
    """
    numbers = iter(range(len(work)))
    written: dict[int, Future[Outcome]] = {}
    try:
        with writing, _switching_quickly(), progress_bar(total=len(work), what='predict') as bar:
            for large, tasks in groupby(work, lambda task: is_large(predictor, task[0])):
                frames = (frame for frame, _ in tasks)
                if large:
                    for _ in frames:
                        number = next(numbers)
                        outcomes[number] = _predict(predictor, out, kinds, *work[number])
                        bar.update()
                    continue
                with closing(predictor.attempts(frames, READ_AHEAD)) as attempts:
                    for attempt in attempts:
                        number = next(numbers)
                        told = _told(attempt, work[number][0]) if isinstance(attempt, Exception) else attempt
                        written[number] = writing.call(_write, told, out, kinds, *work[number])
                        bar.update()
    finally:
        _collect(written, outcomes)


def _collect(futures: Mapping[int, Future[Outcome]], outcomes: list[Outcome]) -> None:
    """Put what has come of each task into its place."""
    for number, future in futures.items():
        if future.done() and not future.cancelled() and future.exception() is None:
            outcomes[number] = future.result()


@contextmanager
def _switching_quickly() -> Iterator[None]:
    """A network of small operators gives Python's lock away and wants it back hundreds of times an image; a
    thread that draws keeps it for a whole switch interval each time, 5 ms unless told otherwise."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def is_large(predictor: BasePredictor, frame: Frame) -> bool:
    """Whether a frame is read, predicted and written in bands; not where it cannot be read."""
    with suppress(UserError):  # which reading it will raise again
        return predictor.is_large(frame)
    return False


def is_cut(predictor: BasePredictor, frame: Frame) -> bool:
    """Whether a frame is predicted in tiles; not where it cannot be read."""
    with suppress(UserError):
        return predictor.is_cut(frame)
    return False


def _predict(
    predictor: BasePredictor, out: Path, kinds: Sequence[str], frame: Frame, name: str
) -> dict[str, Any] | str:
    """Predict an image and write its files; returns its record, or what is wrong with it."""
    try:
        if predictor.is_large(frame):
            return predict_large(predictor, frame, out, kinds, name)
        attempt: Prediction | str = predictor(frame)
    except CannotWrite:
        raise
    except Exception as e:
        attempt = _told(e, frame)
    return _write(attempt, out, kinds, frame, name)


def _write(
    attempt: Prediction | str, out: Path, kinds: Sequence[str], frame: Frame, name: str
) -> dict[str, Any] | str:
    """Write an image's files; returns its record, or what is wrong with it."""
    if isinstance(attempt, str):
        return attempt
    try:
        files, found = image_files(out, kinds, attempt, name), record(attempt, name)
    except Exception as e:
        return _told(e, frame)
    for file, content in files:
        write_whole(file, content, settled=False)
    return found


def _told(e: Exception, frame: Frame) -> str:
    """What is wrong with an image, in a line."""
    if isinstance(e, UserError):
        return str(e)
    if isinstance(e, MemoryError):
        return f'{frame}: not enough memory; --tile needs less.'
    # whatever a codec, OpenCV or torch raise: no image ends the others
    return f'{frame}: {type(e).__name__}: {in_brief(e)}'


def _in_processes(
    make: partial[BasePredictor],
    jobs: int,
    threads: int | None,
    out: Path,
    kinds: Sequence[str],
    work: list[tuple[Frame, str]],
    outcomes: list[Outcome],
) -> None:
    """Put the outcome of :func:`_predict` for each task of ``work`` into its place, as far as it was reached,
    whatever ends it.

    Raises:
        BrokenProcessPool: A process was killed.
    """
    jobs = min(jobs, len(work))
    threads = threads or max(1, (os.cpu_count() or 1) // jobs)
    pool = start_processes(jobs, _start_process, (make, threads))
    futures: list[Future[Outcome]] = []
    try:
        for task in work:  # those given out count, though a signal ends this
            futures.append(pool.submit(_predict_in_process, (out, kinds, *task)))
        for future in progress_bar(as_completed(futures), total=len(work), what='predict'):
            future.result()
    finally:
        pool.shutdown(cancel_futures=True)
        _collect(dict(enumerate(futures)), outcomes)


def interrupted_by_sigterm():
    """SIGTERM as Ctrl-C, for a while."""
    return handling(signal.SIGTERM, signal.default_int_handler)


_predictor: BasePredictor  # of a process that shares images


def _start_process(make: partial, threads: int) -> None:
    global _predictor
    cv2.setNumThreads(threads)
    _predictor = make()
    _predictor.set_threads(threads)


def _predict_in_process(task: tuple) -> dict[str, Any] | str:
    return _predict(_predictor, *task)
