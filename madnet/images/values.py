"""Grey values of any sensor on the 0–255 scale that networks and methods see."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np

from madnet.errors import UserError
from madnet.images.notices import say_once
from madnet.images.windows import FrameWindows

#: Which grey values become 0 and 255: two numbers; ``'auto'``, measured; None, what the type says (which
#: configs and data sets write :data:`BY_TYPE` where nothing else shall say it later).
ValueRange: TypeAlias = tuple[float, float] | Literal['auto'] | None

#: A ``value_range`` that says aloud that there is none: 8 bits stay, 16 are divided by their range.
BY_TYPE = 'type'
#: Percentiles of a frame that ``'auto'`` turns into black and white: neither dead pixels nor hot ones count.
AUTO = (0.1, 99.99)
#: Of a file with four times as many pixels and more, ``'auto'`` looks at each third row and column, or fewer.
_SAMPLED = 2**24
#: A frame of 16 bits or floats that spans less of its scale than this comes out black, grey or white.
LEAST_SPAN = 0.25


def check_value_range(value: Any, where: str = 'value_range') -> ValueRange:
    """A ``value_range`` as a user writes it: None or ``'type'``, ``'auto'``, or a pair of numbers.

    Raises:
        UserError: Something else, or a range that is empty or reversed.
    """
    if value is None or (isinstance(value, str) and value == BY_TYPE):
        return None
    if isinstance(value, str) and value == 'auto':
        return 'auto'
    try:
        low, high = (float(v) for v in value)
    except (TypeError, ValueError):
        raise UserError(f"{where}: found {value!r}, expected (low, high) or 'auto'.") from None
    if not low < high or not np.isfinite([low, high]).all():
        raise UserError(f'{where}: found {(low, high)}, expected (low, high) with low < high.')
    return low, high


def measure_range(
    frames: Iterable[np.ndarray | FrameWindows], names: Sequence[object] = ()
) -> tuple[float, float]:
    """The range that ``value_range='auto'`` stands for: one for all frames.

    Args:
        frames: (H, W) or (H, W, 3), of any type; or files, which are read in parts.
        names: Of the frames, complete when the last is taken: one line then names a frame without which the
            range would be less than half as wide.

    Returns:
        The lowest :data:`AUTO` percentile of a frame, and the highest; at least 1 apart.

    Raises:
        UserError: NaN or infinite values, or no frame.
    """
    bounds = [_percentiles(frame) for frame in frames]
    if not bounds:
        raise UserError("value_range='auto': no image to measure it on.")
    low, high = _around(bounds)
    for k, name in enumerate(names if len(bounds) > 2 else ()):
        black, white = _around(bounds[:k] + bounds[k + 1 :])
        if 0 < 2 * (white - black) < high - low:
            say_once(
                f"{name}: value_range='auto' is ({low:g}, {high:g}) by this image alone, by the others "
                f'({black:g}, {white:g}); leave it out, or give two numbers.'
            )
    return float(low), float(high if high > low else low + 1)


def _around(bounds: Sequence[Sequence[float]]) -> tuple[float, float]:
    return min(b[0] for b in bounds), max(b[1] for b in bounds)


def _percentiles(frame: np.ndarray | FrameWindows) -> Sequence[float]:
    if isinstance(frame, FrameWindows):
        step = (
            math.isqrt(frame.height * frame.width // _SAMPLED) | 1
        )  # odd: sensors differ by even and odd rows
        parts = [finite(part, frame.path)[::step, ::step].ravel() for _, part in frame.bands()]
        return np.percentile(np.concatenate(parts), AUTO)
    return np.percentile(finite(frame, 'image'), AUTO)


def measure_extent(frame: FrameWindows) -> tuple[float, float]:
    """The lowest and the highest grey value of a frame, read in parts.

    Raises:
        UserError: NaN or infinite values, or a part that cannot be read.
    """
    bounds = []
    for _, part in frame.bands():
        bounds += [finite(part, frame.path).min(), part.max()]
    return min(bounds), max(bounds)


def to_channels(
    pixels: np.ndarray,
    channels: int,
    bit_depth: int = 16,
    value_range: ValueRange = None,
    what: object = 'image',
    extent: tuple[float, float] | None = None,
) -> np.ndarray:
    """Bring an image's values to a number of channels on the 0–255 scale.

    Args:
        pixels: (H, W) or (H, W, 3) BGR, as :func:`~madnet.images.read_image` gives them.
        channels: 1 (:func:`luma`) or 3 (BGR).
        bit_depth: Bits in use of 16-bit pixels: 2^bit_depth - 1 becomes 255. Without meaning where there is a
            ``value_range``.
        value_range: Grey values that become 0 and 255, what lies outside is clipped; ``'auto'`` measures them
            in this image; None leaves 8 bits as they are, divides 16 bits by their range, and takes floats as
            values on the 0–255 scale.
        what: Name of the image for messages.
        extent: The lowest and the highest grey value of the image, where ``pixels`` are a part of it.

    Returns:
        (H, W, channels): uint8 for 8-bit pixels without a range, else float32 (nothing of the depth is lost).
        Never a view.

    Raises:
        UserError: Values that without a range have no black and white, or that are not finite.
    """
    pixels = _on_scale(pixels, bit_depth, value_range, what, extent)
    if channels == 1:
        return (luma(pixels) if pixels.ndim == 3 else pixels.copy())[..., None]
    return np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels.copy()


def luma(pixels: np.ndarray) -> np.ndarray:
    """(H, W) of an image (H, W), (H, W, 1) or (H, W, 3) BGR: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), on
    the image's scale."""
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return pixels.reshape(pixels.shape[:2])
    if pixels.dtype not in (np.uint8, np.uint16, np.float32):  # of which OpenCV makes no grey
        return pixels @ np.array([0.114, 0.587, 0.299])
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)


def _on_scale(
    pixels: np.ndarray,
    bit_depth: int,
    value_range: ValueRange,
    what: object,
    extent: tuple[float, float] | None,
) -> np.ndarray:
    if value_range is None and pixels.dtype == np.uint8:
        return pixels
    darkest, brightest = extent or (finite(pixels, what).min(), pixels.max())
    if value_range is not None:
        if value_range == 'auto':
            value_range = measure_range([pixels])
            say_once(
                f"{what}: value_range='auto' measures each image; here it is {_typed(*value_range)}.", 'auto'
            )
        low, high = value_range
        _warn_of_low_contrast(darkest, brightest, low, high, what, given=True)
        # large numbers lose their last digits in float32, so the range is taken off them before
        wide = pixels.dtype.itemsize > 2 and pixels.dtype != np.float32
        above = (pixels.astype(np.float64 if wide else np.float32, copy=False) - low).astype(np.float32)
        return np.clip(above * np.float32(255 / (high - low)), 0, 255)
    if pixels.dtype == np.uint16:
        full = 2**bit_depth - 1
        _warn_of_low_contrast(darkest, brightest, 0, full, what)
        return np.minimum(pixels.astype(np.float32) * (255 / full), 255)
    if pixels.dtype.kind != 'f' or darkest < 0 or brightest > 255 or 0 < brightest <= 1:
        # Values of 0–1 taken for 0–255 would be an all but black image, and an empty prediction.
        raise UserError(
            f'{what}: {pixels.dtype} values {darkest:g} to {brightest:g}, expected the 0–255 scale; say '
            f'which values are black and white, such as {_typed(darkest, brightest)}, or auto.'
        )
    _warn_of_low_contrast(darkest, brightest, 0, 255, what)
    return pixels.astype(np.float32)


def plain_array(array: Any, what: object) -> np.ndarray:
    """An array as one of NumPy's own class and this machine's byte order, whose pixels all count.

    Raises:
        UserError: A masked array of which pixels are masked.
    """
    if np.ma.is_masked(array):
        raise UserError(f'{what}: holds masked pixels; fill them first.')
    array = np.asarray(array)
    return array.astype(array.dtype.newbyteorder('='), copy=False)


def finite(pixels: np.ndarray, what: object) -> np.ndarray:
    """The pixels themselves, or a UserError that names them where NaN or infinity is among them."""
    if pixels.dtype.kind == 'f' and not np.isfinite(pixels).all():
        raise UserError(f'{what}: holds NaN or infinite values; replace them first.')
    return pixels


def _warn_of_low_contrast(
    darkest: float, brightest: float, black: float, white: float, what: object, given: bool = False
) -> None:
    low, high = (float(min(max(bound, black), white)) for bound in (darkest, brightest))
    share = (high - low) / (white - black)
    if darkest < brightest and share < LEAST_SPAN:
        advice = (
            '' if given else f'; if the sensor counts that way, give {_typed(darkest, brightest)}, or auto'
        )
        say_once(
            f'{what}: grey values {darkest:g} to {brightest:g} span {share:.0%} of {black:g} to '
            f'{white:g}, which leaves little contrast{advice} (said for the first such image only).',
            'low contrast',
        )


def _typed(low: float, high: float) -> str:
    """A range as a config takes it, and as the commands do."""
    high = high if high > low else low + 1
    return f'value_range=[{low:.6g},{high:.6g}] (--value-range {low:.6g} {high:.6g})'
