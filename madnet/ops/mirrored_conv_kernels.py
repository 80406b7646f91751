"""Triton kernels of :func:`madnet.ops.mirrored_conv`, on maps with the channels last.

A program has a tile, ``PIXELS`` pixels of a row and ``BLOCK`` channels, in the grid (batch · height, tile of
the row, block of channels). The neighbours of its pixels are read where they lie, from the first-level cache
for the most part.
"""

import triton
import triton.language as tl


@triton.jit
def _mirrored(place, size):
    """Where a place up to size − 1 beyond either end of an axis shows the map."""
    place = tl.abs(place)
    return tl.where(place >= size, 2 * (size - 1) - place, place)


@triton.jit
def _tile(width, channels, PIXELS: tl.constexpr, BLOCK: tl.constexpr):
    """The row of a program, columns and channels of its tile, and which of them are there."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)
    channel = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    return row, column, channel, (column < width)[:, None] & (channel < channels)[None, :]


@triton.jit
def mirrored_kernel(
    x, weight, bias, y, height, width, channels,
    SIDE: tl.constexpr, PIXELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """y of a tile."""
    row, column, channel, there = _tile(width, channels, PIXELS, BLOCK)
    here = channel < channels
    total = tl.zeros((PIXELS, BLOCK), tl.float32)
    total += tl.load(bias + channel, mask=here, other=0.0).to(tl.float32)[None, :]
    for down in range(SIDE):
        line = row - row % height + _mirrored(row % height + down - SIDE // 2, height)
        for right in tl.static_range(SIDE):
            at = line * width + _mirrored(column + right - SIDE // 2, width)
            values = tl.load(x + at[:, None] * channels + channel[None, :], mask=there, other=0.0)
            factor = tl.load(weight + (channel * SIDE + down) * SIDE + right, mask=here, other=0.0)
            total += values.to(tl.float32) * factor.to(tl.float32)[None, :]
    place = (row * width + column)[:, None] * channels + channel[None, :]
    tl.store(y + place, total.to(y.dtype.element_ty), mask=there)


@triton.jit
def _shows(place, size, which):
    """The ``which``-th place that shows a place of an axis: itself, or one beyond either end; and whether it
    does."""
    beyond = tl.where(which == 0, place, tl.where(which == 1, -place, 2 * (size - 1) - place))
    return beyond, (which == 0) | ((beyond < 0) & (which == 1)) | ((beyond >= size) & (which == 2))


@triton.jit
def gradient_kernel(
    grad, weight, of_x, height, width, channels,
    SIDE: tl.constexpr, PIXELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradient of x: each pixel gathers what was taken of it, and of what showed it beyond the border."""
    HALF: tl.constexpr = SIDE // 2
    row, column, channel, there = _tile(width, channels, PIXELS, BLOCK)
    here = channel < channels
    begin = tl.program_id(1) * PIXELS
    total = tl.zeros((PIXELS, BLOCK), tl.float32)
    for which_row in range(3):
        line, shown = _shows(row % height, height, which_row)
        shown = shown & (line >= -HALF) & (line < height + HALF)
        for which_column in range(3):
            across, seen = _shows(column, width, which_column)
            border = (which_column == 1) & (begin <= HALF)
            border = border | ((which_column == 2) & (begin + PIXELS >= width - HALF))
            if shown & ((which_column == 0) | border):
                for down in range(SIDE):
                    source = line - down + HALF
                    inside = (source >= 0) & (source < height)
                    for right in tl.static_range(SIDE):
                        at = across - right + HALF
                        known = seen & (at >= 0) & (at < width) & inside
                        at = (row - row % height + source) * width + at
                        values = tl.load(
                            grad + at[:, None] * channels + channel[None, :],
                            mask=there & known[:, None],
                            other=0.0,
                        )
                        factor = tl.load(
                            weight + (channel * SIDE + down) * SIDE + right, mask=here, other=0.0
                        )
                        total += values.to(tl.float32) * factor.to(tl.float32)[None, :]
    place = (row * width + column)[:, None] * channels + channel[None, :]
    tl.store(of_x + place, total.to(of_x.dtype.element_ty), mask=there)


@triton.jit
def weight_kernel(
    x, grad, parts, rows, tiles, height, width, channels,
    SIDE: tl.constexpr, SIDE_PADDED: tl.constexpr, PIXELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The gradients of one row of the kernel, and of the bias, over every n-th tile.

    Program (of the tiles, row of the kernel, block of channels). Writes into a row of ``parts`` (programs,
    channels · SIDE² + channels), float32; they are added up over the programs afterwards.
    """
    down = tl.program_id(1)
    channel = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    right = tl.arange(0, SIDE_PADDED)
    here = channel < channels
    total = tl.zeros((SIDE_PADDED, PIXELS, BLOCK), tl.float32)
    biases = tl.zeros((PIXELS, BLOCK), tl.float32)
    for tile in range(tl.program_id(0), rows * tiles, tl.num_programs(0)):
        row = (tile // tiles).to(tl.int64)
        column = (tile % tiles) * PIXELS + tl.arange(0, PIXELS)
        there = (column < width)[:, None] & here[None, :]
        place = (row * width + column)[:, None] * channels + channel[None, :]
        slope = tl.load(grad + place, mask=there, other=0.0).to(tl.float32)
        line = row - row % height + _mirrored(row % height + down - SIDE // 2, height)
        at = line * width + _mirrored(column[None, :] + right[:, None] - SIDE // 2, width)
        values = tl.load(
            x + at[:, :, None] * channels + channel[None, None, :],
            mask=there[None, :, :] & (right < SIDE)[:, None, None],
            other=0.0,
        )
        total += values.to(tl.float32) * slope[None, :, :]
        biases += slope
    part = parts + tl.program_id(0) * (SIDE * SIDE + 1) * channels
    place = (channel[None, :] * SIDE + down) * SIDE + right[:, None]
    tl.store(part + place, tl.sum(total, 1), mask=(right < SIDE)[:, None] & here[None, :])
    if down == 0:
        tl.store(part + SIDE * SIDE * channels + channel, tl.sum(biases, 0), mask=here)
