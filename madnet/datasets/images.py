"""Image and mask files to arrays: 8 and 16 bit; grey, RGB, with alpha or a palette."""

import io
from os import PathLike
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from madnet.errors import UserError

#: Endings of image files, in the order in which one is preferred to another of the same stem.
IMAGE_EXTENSIONS = ('.png', '.bmp', '.tif', '.tiff', '.jpg', '.jpeg')


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


def encode_png(pixels: np.ndarray) -> bytes:
    """The bytes of a PNG file.

    Args:
        pixels: (H, W), or (H, W, 3) in BGR order; uint8 or uint16.

    Raises:
        ValueError: OpenCV cannot encode them.
    """
    done, data = cv2.imencode('.png', np.ascontiguousarray(pixels))
    if not done:
        raise ValueError(f'a picture of shape {pixels.shape} and type {pixels.dtype} cannot be encoded')
    return data.tobytes()


def encode_jpeg(pixels: np.ndarray, quality: int = 88) -> bytes:
    """The bytes of a JPEG file with colours at full resolution, so that thin outlines stay.

    Args:
        pixels: (H, W), or (H, W, 3) in BGR order; uint8.
        quality: 0 to 100.
    """
    options = (cv2.IMWRITE_JPEG_QUALITY, quality)
    sampling = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    return cv2.imencode('.jpg', np.ascontiguousarray(pixels), (*options, *sampling))[1].tobytes()


def to_mask(pixels: np.ndarray) -> np.ndarray:
    """Bring a decoded mask to (H, W) uint8.

    The strongest channel of a coloured or palette mask counts: a label of pure red is as much a target as a
    white one.
    """
    if pixels.dtype == np.uint16:
        pixels = (pixels // 257).astype(np.uint8)
    return pixels.max(axis=2) if pixels.ndim == 3 else pixels


def fit_mask(
    mask: np.ndarray, shape: tuple[int, int], path: str | PathLike, image: str | PathLike
) -> np.ndarray:
    """A mask at the size of its image: nearest neighbour where it has another size, but its aspect.

    Args:
        mask: (H', W').
        shape: (H, W) of the image.
        path: The mask's file, for the error.
        image: The image's.

    Raises:
        UserError: The aspects differ by more than 1 %.
    """
    (h, w), (mask_h, mask_w) = shape, mask.shape
    if (h, w) == (mask_h, mask_w):
        return mask
    if abs(mask_w * h / (mask_h * w) - 1) > 0.01:
        raise UserError(
            f'{path}: a mask of {mask_w} × {mask_h} pixels for an image of {w} × {h} ({image}), another '
            'aspect; a mask must cover its image pixel by pixel.'
        )
    return cv2.resize(mask, (w, h), interpolation=cv2.INTER_NEAREST)
