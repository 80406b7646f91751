"""Pictures to the bytes of PNG, JPEG and WebP files."""

import cv2
import numpy as np

# Rows as differences from those above, which are none where a picture was enlarged by squares; OpenCV before
# 4.11 knows no filters and leaves the choice to libpng.
_ENLARGED = [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP] if hasattr(cv2, 'IMWRITE_PNG_FILTER') else []


def encode_png(pixels: np.ndarray, enlarged: bool = False) -> bytes:
    """The bytes of a PNG file.

    Args:
        pixels: (H, W), or (H, W, 3) in BGR order; uint8 or uint16.
        enlarged: Whether most pixels were enlarged to squares: a fifth of the size, and quicker.

    Raises:
        ValueError: OpenCV cannot encode them, or would change them.
    """
    if pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f'a picture of type {pixels.dtype}, which a PNG cannot hold')
    done, data = cv2.imencode('.png', np.ascontiguousarray(pixels), _ENLARGED if enlarged else [])
    if not done:
        raise ValueError(f'a picture of shape {pixels.shape} and type {pixels.dtype} cannot be encoded')
    return data.tobytes()


def encode_jpeg(pixels: np.ndarray) -> bytes:
    """The bytes of a JPEG file with colours at full resolution, so that thin outlines stay.

    Args:
        pixels: (H, W), or (H, W, 3) in BGR order; uint8.
    """
    options = (cv2.IMWRITE_JPEG_QUALITY, 88)
    sampling = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    return cv2.imencode('.jpg', np.ascontiguousarray(pixels), (*options, *sampling))[1].tobytes()


#: Scales and qualities that a WebP is tried at, from the best, until it is small enough.
_WEBP_STEPS = ((1.0, 84), (0.85, 80), (0.7, 75), (0.55, 70), (0.4, 60))
_WEBP_SIDE = 16383  # of the format


def encode_webp(pixels: np.ndarray, most: int, flat: bool = False) -> bytes:
    """The bytes of a WebP file, reduced until it is small enough.

    Args:
        pixels: (H, W), or (H, W, 3) in BGR order; uint8.
        most: Bytes that it may take; the last of :data:`_WEBP_STEPS` is taken where even that needs more.
        flat: Whether to try first without loss, which is small for charts.
    """
    fits = min(1.0, _WEBP_SIDE / max(pixels.shape[:2]))
    data = b''
    for scale, quality in (*([(1.0, 101)] if flat else []), *_WEBP_STEPS):  # above 100: without loss
        size = [max(1, round(fits * scale * side)) for side in pixels.shape[1::-1]]
        reduced = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        data = cv2.imencode('.webp', reduced, (cv2.IMWRITE_WEBP_QUALITY, quality))[1].tobytes()
        if len(data) <= most:
            break
    return data
