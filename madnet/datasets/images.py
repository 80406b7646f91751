"""Image and mask files to arrays: 8 and 16 bit; grey, RGB, with alpha or a palette."""

import io
from os import PathLike
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from madnet.errors import UserError


def read_pixels(path: str | PathLike) -> np.ndarray:
    """Decode an image file without loss.

    Args:
        path: PNG, BMP, TIFF or JPEG.

    Returns:
        (H, W), or (H, W, 3) in BGR order; uint8 or uint16 on the file's own scale. Palettes are turned into
        the colours they stand for, 1-bit images into 0 and 255; alpha is dropped, for in these data sets it
        says nothing.

    Raises:
        UserError: No such file, no image, or pixels of another type.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror}).') from error
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if pixels is None:
        raise UserError(
            f'{path}: not an image ({len(data)} bytes); expected a whole PNG, BMP, TIFF or JPEG file.'
        )
    if pixels.dtype not in (np.uint8, np.uint16):
        raise UserError(f'{path}: pixels of type {pixels.dtype}; expected 8 or 16 bit unsigned.')
    if pixels.ndim == 3 and pixels.shape[2] == 4 and pixels.dtype == np.uint8 and data[:2] in (b'II', b'MM'):
        # OpenCV multiplies a TIFF's colours by its alpha; Pillow leaves them alone.
        pixels = np.array(Image.open(io.BytesIO(data)).convert('RGB'))[..., ::-1]
    return np.ascontiguousarray(pixels[..., :3]) if pixels.ndim == 3 else pixels


def to_channels(pixels: np.ndarray, channels: int, bit_depth: int = 16) -> np.ndarray:
    """Bring decoded pixels to a number of channels on the 0–255 scale.

    Args:
        pixels: As :func:`read_pixels` gives them.
        channels: 1 (luma 0.299 R + 0.587 G + 0.114 B, ITU-R BT.601) or 3 (BGR).
        bit_depth: Bits in use of 16-bit pixels: 2^bit_depth - 1 becomes 255.

    Returns:
        (H, W, channels): uint8 for 8-bit pixels, else float32 (nothing of the depth is lost). Never a view.
    """
    if pixels.dtype == np.uint16:
        pixels = np.minimum(pixels.astype(np.float32) * (255 / (2**bit_depth - 1)), 255)
    if channels == 1:
        grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if pixels.ndim == 3 else pixels.copy()
        return grey[..., None]
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels.copy()


def to_mask(pixels: np.ndarray) -> np.ndarray:
    """Bring a decoded mask to (H, W) uint8.

    Of a coloured or palette mask the strongest channel counts: a label of pure red is as much a target as a
        white one.
    """
    if pixels.dtype == np.uint16:
        pixels = (pixels // 257).astype(np.uint8)
    return pixels.max(axis=2) if pixels.ndim == 3 else pixels
