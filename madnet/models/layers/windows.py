"""Cutting a map into windows and putting it together again."""

from torch import Tensor


def window_partition(x: Tensor, window: tuple[int, int]) -> Tensor:
    """Map (B, H, W, C) → tokens (B·nW, h·w, C) of its nW = (H/h)(W/w) windows of h×w.

    Windows are in row-major order inside an image, tokens in row-major order inside a window.
    H and W must be multiples of the window.
    """
    batch, height, width, channels = x.shape
    h, w = window
    x = x.view(batch, height // h, h, width // w, w, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, h * w, channels)


def window_reverse(windows: Tensor, window: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """The inverse of :func:`window_partition`: tokens (B·nW, h·w, C) → map (B, H, W, C), size (H, W)."""
    (h, w), (height, width) = window, size
    x = windows.view(-1, height // h, width // w, h, w, windows.shape[-1])
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, windows.shape[-1])
