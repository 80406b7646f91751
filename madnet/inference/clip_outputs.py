"""The files of a clip: JSON and CSV that grow line by line, and a video to watch."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from madnet.errors import UserError
from madnet.files import CannotWrite, json_text, not_following, replacing, what_to_do, write_json
from madnet.text import counted, csv_text
from madnet.visualization.clip_view import ClipView

from .clip import ClipResult
from .outputs import TARGET_COLUMNS, target_cells
from .prediction import Prediction

#: What words of ``--format`` mean for a clip: ending.
CLIP_FORMATS = {'video': '.mp4', 'jsonl': '.jsonl', 'csv': '.csv'}
_COLUMNS = ('frame', 'time', 'track', *TARGET_COLUMNS)


class ClipOutputs:
    """Writes the results of one clip.

    Lines of JSON and CSV are in the file, whole, as soon as a frame is done; the video takes its name when it
    is whole.

    Args:
        out: Folder, made where it is missing; None for lines of JSON on standard output alone.
        name: Of the files.
        kinds: Of :data:`CLIP_FORMATS`.
        fps: Frames a second of the video.

    Raises:
        UserError: One of the files is there already.
    """

    def __init__(self, out: Path | None, name: str, kinds: Sequence[str], fps: float):
        endings = {kind: CLIP_FORMATS[kind] for kind in kinds} | {'record': '.json'}
        self.paths = {} if out is None else {kind: out / f'{name}{end}' for kind, end in endings.items()}
        if there := [str(path) for path in self.paths.values() if os.path.lexists(path)]:
            are, them = ('are', 'them') if len(there) > 1 else ('is', 'it')
            raise UserError(f'{", ".join(there)}: {are} there already; remove {them}, or give another --out.')
        self._json = self._csv = self._video = None
        if out is None or 'jsonl' in self.paths:
            self._json = _Lines(self.paths.get('jsonl'))
        if 'csv' in self.paths:
            self._csv = _Lines(self.paths['csv'], csv_text([_COLUMNS]))
        if 'video' in self.paths:
            self._video = _Video(self.paths['video'], fps)

    def add(self, result: ClipResult) -> None:
        """Write a frame.

        Raises:
            CannotWrite: A line or a picture does not reach its file.
            UserError: There is no video of this size, or of as many frames a second.
        """
        tracks = result.tracks or (None,) * len(result.targets)
        targets = [(track, t.to_dict()) for track, t in zip(tracks, result.targets, strict=True)]
        if self._json is not None:
            content: dict[str, Any] = {'frame': result.number, 'time': round(result.time, 6)}
            if result.error is None:
                content['targets'] = [t if track is None else {'track': track, **t} for track, t in targets]
            else:
                content['error'] = result.error
            self._json.add(json_text(content, indent=None))
        if self._csv is not None:
            frame = result.number, f'{result.time:.6f}'
            rows = ((*frame, '' if track is None else track, *target_cells(t)) for track, t in targets)
            self._csv.add(csv_text(rows))
        if self._video is not None and result.prediction is not None:
            self._video.add(result)

    def close(self, record: Mapping[str, Any]) -> None:
        """Make the files whole.

        Args:
            record: What was run, and what came of it.

        Raises:
            CannotWrite: The video is not whole, or the record cannot be written.
        """
        for lines in (self._json, self._csv):
            if lines is not None:
                lines.close()
        try:
            if self._video is not None:
                self._video.close()
        finally:
            if self.paths:
                write_json(self.paths['record'], record)


class _Lines:
    """A file that grows by whole lines, made for the first of them; standard output for no path.

    Args:
        path: There must be no such file.
        head: What it begins with.
    """

    def __init__(self, path: Path | None, head: str = ''):
        self._path, self._head = path, head
        self._file: IO[bytes] | None = None
        self._whole = 0
        self._problem: CannotWrite | None = None

    def add(self, lines: str) -> None:
        """Append some, all of them or none; after a failure none ever.

        Raises:
            CannotWrite: They are not in the file.
        """
        if self._problem is not None:
            raise self._problem
        try:
            if self._path is None:
                sys.stdout.buffer.write(lines.encode())
                sys.stdout.buffer.flush()
            else:
                self._append(lines)
        except OSError as e:
            where = self._path or 'standard output'
            reason = f'{where}: cannot be written ({e.strerror or e}). {what_to_do(e.errno)}'
            self._problem = CannotWrite(reason)
            raise self._problem from None

    def _append(self, lines: str) -> None:
        assert self._path is not None
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self._path, 'xb', 0, opener=not_following)  # noqa: SIM115  closed by close
            lines = self._head + lines
        rest = memoryview(lines.encode())
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            os.ftruncate(self._file.fileno(), self._whole)
            raise
        self._whole = self._file.tell()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            if not self._whole and self._path is not None:
                self._path.unlink()


class _Video:
    """An MPEG-4 video of the frames with what was found."""

    def __init__(self, path: Path, fps: float):
        self._path, self._fps = path, fps
        self._view = ClipView()
        self._writer: Any = None
        self._frames = 0

    def add(self, result: ClipResult) -> None:
        assert result.prediction is not None  # a frame that could be read
        assert result.prediction.image is not None
        found = counted(len(result.targets), 'target')
        picture = self._view.draw(
            result.prediction.image,
            _mask(result, result.prediction),
            [t.box for t in result.targets],
            [t.centroid for t in result.targets],
            result.tracks,
            f'{result.time:.2f} s  frame {result.number}  {found}',
        )
        if self._writer is None:
            self._replacing = replacing(self._path)
            self._temporary = self._replacing.__enter__()
            self._size = picture.shape[1::-1]
            self._writer = cv2.VideoWriter(
                str(self._temporary), cv2.VideoWriter.fourcc(*'mp4v'), self._fps, self._size
            )
            if not self._writer.isOpened():
                width, height = self._size
                problem = UserError(
                    f'{self._path}: MPEG-4 has no video of {width} × {height} pixels at {self._fps:g} frames '
                    'a second; leave video out of --format, or give another --fps.'
                )
                self._writer = None
                self._replacing.__exit__(UserError, problem, None)
                raise problem
        if picture.shape[1::-1] != self._size:
            picture = cv2.resize(picture, self._size)
        self._writer.write(picture[..., ::-1])
        self._frames += 1

    def close(self) -> None:
        if self._writer is None:
            return
        self._writer.release()
        problem = None
        if _frames_in(self._temporary) != self._frames:  # OpenCV does not say that it could not write
            problem = CannotWrite(f'{self._path}: cannot be written whole; is there space left?')
        self._replacing.__exit__(type(problem) if problem else None, problem, None)
        if problem:
            raise problem


def _mask(result: ClipResult, prediction: Prediction) -> np.ndarray:
    """(H, W) bool: the pixels of the targets that are left."""
    if len(result.targets) == len(prediction.targets):
        return prediction.mask
    kept = [target in result.targets for target in prediction.targets]
    return np.concatenate([[False], kept])[prediction.components.labels]


def _frames_in(path: Path) -> int:
    video = cv2.VideoCapture(str(path))
    try:
        return int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        video.release()
