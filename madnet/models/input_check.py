"""What a network accepts as an image, said in one line where it is not met."""

from torch import Tensor

from madnet.errors import UserError

MIN_SIZE = 32
"""Smallest height and width of an input image, in pixels."""


class InputError(UserError, ValueError):
    """The image handed to a network has the wrong number of channels or a size that it does not take."""


def check_image(x: Tensor, in_channels: int, network: str) -> None:
    """Raises :class:`InputError` unless ``x`` is (B, in_channels, H, W) with H, W >= :data:`MIN_SIZE`."""
    if x.ndim != 4 or x.shape[1] != in_channels:
        raise InputError(
            f'{network} was built for in_channels={in_channels} but got an input of shape {tuple(x.shape)}: '
            f'set in_channels, or load images with {in_channels} channel(s)'
        )
    height, width = x.shape[2:]
    if min(height, width) < MIN_SIZE:
        raise InputError(
            f'{network} got an image of {height}×{width} pixels (height×width); the minimum is '
            f'{MIN_SIZE}×{MIN_SIZE}: enlarge or pad the image'
        )


def check_size(x: Tensor, fitting: tuple[int, int], network: str, expected: str) -> None:
    """Raises :class:`InputError` unless the image ``x`` (B, C, H, W) has the ``fitting`` (height, width), to
    which it would be padded; ``expected`` says of sizes in words which will do."""
    height, width = x.shape[2:]
    if (height, width) != tuple(fitting):
        raise InputError(
            f'{network} got an image of {height}×{width} pixels (height×width), expected {expected}: '
            f'pad it to {fitting[0]}×{fitting[1]}, as IRSTDSegmentor does'
        )
