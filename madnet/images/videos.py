"""Frames of videos."""

import mmap
import re
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from madnet.errors import UserError
from madnet.images.headers import Header, check_size, frame_index, last_opened
from madnet.images.notices import say_once

#: Endings of videos, whose frames can be predicted.
VIDEO_EXTENSIONS = ('.avi', '.mp4', '.mkv', '.mov')

#: A video may hold this many frames less than its header says: some containers only estimate.
_ESTIMATE = 2

#: What an MP4 or MOV file is made of, as far as frames may come after it.
_BOXES = (b'ftyp', b'styp', b'moov', b'moof', b'mdat', b'sidx', b'free', b'skip', b'wide', b'uuid')

#: FFmpeg's and V4L2's names of pixels that are 16 bits of grey.
_GREY_16 = (b'Y1\0\x10', b'Y16 ')
#: And of others of more than 8 bits; where the last byte comes first, also backwards.
_DEEP = re.compile(
    rb'[YG][1-4].[\x09-\x11 !]|Y210|Y216|Y410|Y416|v410|RGB0|BGR0|RBA@|BRA@|@RBA|@BRA|XYZ\$', re.DOTALL
)


def open_video(where: str | int) -> cv2.VideoCapture:
    """A video, camera or address, which may not have opened, of frames (H, W, 3) BGR uint8, or (H, W) uint16
    where it holds 16 bits of grey; one line says so where OpenCV cuts other pixels to 8 bits."""
    capture = cv2.VideoCapture(where)
    codes = [int(capture.get(p)) for p in (cv2.CAP_PROP_CODEC_PIXEL_FORMAT, cv2.CAP_PROP_FOURCC)]
    names = [code.to_bytes(4, 'little') for code in codes if 0 < code < 2**32]
    if any(name in _GREY_16 for name in names) and capture.set(cv2.CAP_PROP_CONVERT_RGB, 0):
        return capture
    if any(_DEEP.fullmatch(order) for name in names for order in (name, name[::-1])):
        say_once(
            f'{where}: of more than 8 bits, of which OpenCV leaves 8; 16 bits of grey (FFmpeg: '
            '-pix_fmt gray16le) are read whole.'
        )
    return capture


def is_cut_off(capture: cv2.VideoCapture, path: Path, frames: int, seconds: float) -> bool:
    """Whether a video ended before its end, after so many frames, the last of them at so many seconds.

    Some containers hold no number of frames; OpenCV then gives duration times rate, which is wrong where the
    rate varies. So a video must also end before its time to be cut off; and Matroska, whose sound may last
    longer, must lack bytes, and MP4 must lack more frames than its edit list leaves out, which a line says.
    """
    claimed, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    if claimed > 0 and rate > 0 and seconds >= (claimed - 1 - _ESTIMATE) / rate:
        return False
    lacking, fewer = _lacks_bytes(path), frames < claimed - _ESTIMATE
    if lacking is False and fewer and path.suffix.lower() != '.mkv':
        # those left out at the beginning are read all the same, as others are that are damaged
        lacking = _count_packets(path) - frames > _hidden_at_the_beginning(path) + _ESTIMATE
        if not lacking:
            say_once(f'{path}: {frames} of {claimed:g} frames are shown, an edit list leaves the others out.')
    return fewer if lacking is None else lacking


def _lacks_bytes(path: Path) -> bool | None:
    """Whether a Matroska (RFC 9559), MP4 or MOV file (ISO/IEC 14496-12) is shorter than it says, if it
    says it; None for other kinds."""
    end, there = 0, path.stat().st_size
    with path.open('rb') as file:
        while end < there:  # its outermost parts
            file.seek(end)
            head = file.read(16)
            if head.startswith((b'\x1aE\xdf\xa3', b'\x18S\x80g')) and any(head[4:5]):
                # the zeros that its size begins with say how many bytes more the size has
                size_end = 5 + 8 - head[4].bit_length()
                unknown = (1 << 7 * (size_end - 4)) - 1
                size = int.from_bytes(head[4:size_end], 'big') & unknown
                length = 0 if size == unknown else size_end + size
            elif head[4:8] in _BOXES:
                length = int.from_bytes(head[:4], 'big')
                length = int.from_bytes(head[8:], 'big') if length == 1 else length
            else:
                break
            if not length:  # all the rest, however much
                return False
            end += length
    return end > there if end else None


def _hidden_at_the_beginning(path: Path) -> float:
    """How many frames the edit lists of an MP4 or MOV file leave out before those shown, at most (boxes
    ``elst`` and ``stts`` of ISO/IEC 14496-12)."""
    most = 0.0
    with path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(b'elst')
        while at >= 0:
            wide = 8 if data[at + 4] else 4  # bytes of each time in an entry: how long, and from when
            entry, table = 2 * wide + 4, data.find(b'stts', at)
            lasts = int.from_bytes(data[table + 16 : table + 20], 'big')  # of a frame, in the same unit
            entries = int.from_bytes(data[at + 8 : at + 12], 'big') if table >= 0 and lasts else 0
            for k in range(min(entries, 99)):
                start = at + 12 + k * entry + wide
                begins = int.from_bytes(data[start : start + wide], 'big', signed=True)
                most = max(most, begins / lasts)
            at = data.find(b'elst', at + 4)
    return most


@lru_cache
def _count_frames(path: Path, changed: int) -> int:
    """How many frames a video holds, and one where it is cut off, which cannot be decoded.

    Args:
        path: The video.
        changed: When it was last.
    """
    capture = cv2.VideoCapture(str(path))
    claimed = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    if path.suffix.lower() in ('.avi', '.mkv'):
        plain = _count_packets(path) == claimed
    else:  # where an edit list may leave some out: whether the last one is where it should be
        plain = capture.set(cv2.CAP_PROP_POS_FRAMES, claimed - 1) and capture.grab() and not capture.grab()
    if plain:
        return claimed
    capture = cv2.VideoCapture(str(path))
    frames, seconds = _grabbed(capture)
    return frames + is_cut_off(capture, path, frames, seconds)


def _count_packets(path: Path) -> int:
    """How many frames a video's file holds, none of them decoded."""
    capture = cv2.VideoCapture(str(path))
    return _grabbed(capture)[0] if capture.set(cv2.CAP_PROP_FORMAT, -1) else 0


def _grabbed(capture: cv2.VideoCapture) -> tuple[int, float]:
    """How many frames follow, and when the last of them is shown."""
    frames, seconds = 0, 0.0
    while capture.grab():
        frames, seconds = frames + 1, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
    return frames, seconds


class Video:
    """An open video, read from front to back."""

    def __init__(self, path: Path):
        self.path = path
        self._open()
        parts = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT
        width, height = (int(self._capture.get(part)) for part in parts)
        frames = _count_frames(path, path.stat().st_mtime_ns) if self._capture.isOpened() else 0
        if frames < 1:
            raise UserError(f'{path}: not readable as a video.')
        check_size(width, height, path)
        self.header = Header(width, height, frames, channels=3)

    def _open(self) -> None:
        self._capture, self._next = open_video(str(self.path)), 0

    def read(self, index: int) -> np.ndarray:
        """A frame, as of :func:`open_video`; frames behind the last one read cost a new start."""
        if index < self._next:
            self._open()
        while self._next <= index:
            read, pixels = self._capture.read()
            if not read:
                raise UserError(f'{self.path}: frame {self._next} cannot be decoded.')
            self._next += 1
        return pixels


def video_frame(path: Path, frame: int | None) -> np.ndarray:
    """A frame of a video, as of :func:`open_video`; one after the other is quickest."""
    video = last_opened.open(Video, path)
    return video.read(frame_index(frame, video.header.frames, path))
