"""Triton kernels of layer normalisation: rows of ``CHANNELS`` values, some of them to a tile.

``WIDTH`` is ``CHANNELS``, brought to a power of two. The backward pass takes mean and variance anew: they are
two sums over values that it reads anyway.
"""

import triton
import triton.language as tl


@triton.jit
def _rows(source, tile, rows, CHANNELS: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr):
    """Where the values of a tile lie, which of them are there, and their values in float32."""
    row = (tile * ROWS + tl.arange(0, ROWS)).to(tl.int64)[:, None]
    channel = tl.arange(0, WIDTH)[None, :]
    place = row * CHANNELS + channel
    there = (row < rows) & (channel < CHANNELS)
    return place, there, tl.load(source + place, mask=there, other=0.0).to(tl.float32)


@triton.jit
def _normalised(x, there, eps, CHANNELS: tl.constexpr):
    """Rows with mean 0 and variance 1, and what they were multiplied by."""
    centred = tl.where(there, x - tl.sum(x, 1)[:, None] / CHANNELS, 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / CHANNELS + eps)[:, None]
    return centred * scale, scale


@triton.jit
def _of_channels(source, CHANNELS: tl.constexpr, WIDTH: tl.constexpr):
    channel = tl.arange(0, WIDTH)
    return tl.load(source + channel, mask=channel < CHANNELS, other=0.0).to(tl.float32)[None, :]


@triton.jit
def normalise_kernel(
    x, weight, bias, y, rows, eps, CHANNELS: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr
):
    """y of one tile."""
    place, there, values = _rows(x, tl.program_id(0), rows, CHANNELS, WIDTH, ROWS)
    values, _scale = _normalised(values, there, eps, CHANNELS)
    values = values * _of_channels(weight, CHANNELS, WIDTH) + _of_channels(bias, CHANNELS, WIDTH)
    tl.store(y + place, values.to(y.dtype.element_ty), mask=there)


@triton.jit
def gradient_kernel(
    x, weight, grad, of_x, parts, rows, eps,
    CHANNELS: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """The gradient of x in every n-th tile, and sums for weight and bias over them, a row of ``parts``
    (programs, 2, CHANNELS)."""
    factor = _of_channels(weight, CHANNELS, WIDTH)
    of_weight = tl.zeros((WIDTH,), tl.float32)
    of_bias = tl.zeros((WIDTH,), tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(rows, ROWS), tl.num_programs(0)):
        place, there, values = _rows(x, tile, rows, CHANNELS, WIDTH, ROWS)
        values, scale = _normalised(values, there, eps, CHANNELS)
        slope = tl.load(grad + place, mask=there, other=0.0).to(tl.float32)
        of_weight += tl.sum(slope * values, 0)
        of_bias += tl.sum(slope, 0)
        slope *= factor
        slope -= (tl.sum(slope, 1)[:, None] + values * tl.sum(slope * values, 1)[:, None]) / CHANNELS
        tl.store(of_x + place, (slope * scale).to(of_x.dtype.element_ty), mask=there)
    channel = tl.arange(0, WIDTH)
    part = parts + tl.program_id(0) * 2 * CHANNELS + channel
    tl.store(part, of_weight, mask=channel < CHANNELS)
    tl.store(part + CHANNELS, of_bias, mask=channel < CHANNELS)
