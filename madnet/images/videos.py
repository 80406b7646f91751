"""Frames of videos."""

import re
from pathlib import Path

import cv2
import numpy as np

from madnet.errors import UserError
from madnet.images.headers import Header, check_size, frame_index, last_opened
from madnet.images.notices import say_once

#: Endings of videos, whose frames can be predicted.
VIDEO_EXTENSIONS = ('.avi', '.mp4', '.mkv', '.mov')


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


class Video:
    """An open video, read from front to back."""

    def __init__(self, path: Path):
        self.path = path
        self._open()
        parts = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_COUNT
        width, height, frames = (int(self._capture.get(part)) for part in parts)
        self.header = Header(width, height, frames)
        if not self._capture.isOpened() or self.header.frames < 1:
            raise UserError(f'{path}: not readable as a video.')
        check_size(width, height, path)

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
