"""Triton kernels of 3×3 convolutions of few channels: stride 1, zero padding 1, channels last.

The three taps of a row of the kernel lie beside one another in memory, 3 · C values, so that a tile of pixels
takes one product for each row.
"""

import triton
import triton.language as tl


@triton.jit
def conv_kernel(
    x, weight, bias, y, height, width,
    C_IN: tl.constexpr, C_OUT: tl.constexpr, TAPS: tl.constexpr, OUT: tl.constexpr, PIXELS: tl.constexpr,
    HAS_BIAS: tl.constexpr, TURNED: tl.constexpr,
):  # fmt: skip
    """``PIXELS`` pixels of one row of a map, all channels out.

    Program (batch · height, tile of the row). Reads x (B, H, W, C_IN) and weight (C_OUT, 3, 3, C_IN), or
    where ``TURNED``, for the gradient, (C_IN, 3, 3, C_OUT) from the last tap to the first; writes y
    (B, H, W, C_OUT). ``TAPS`` and ``OUT`` are 3 · C_IN and C_OUT, brought to a power of two of at least 16.
    """
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)
    above = (row % height - 1 + column * 0)[:, None]
    tap = tl.arange(0, TAPS)
    out = tl.arange(0, OUT)
    across, channel = tap // C_IN, tap % C_IN
    source = column[:, None] - 1 + across[None, :]
    inside = (source >= 0) & (source < width) & (tap[None, :] < 3 * C_IN)
    total = tl.zeros((PIXELS, OUT), tl.float32)
    for down in tl.static_range(3):
        line = above + down
        values = tl.load(
            x + ((row + down - 1) * width + column[:, None] - 1) * C_IN + tap[None, :],
            mask=inside & (line >= 0) & (line < height),
            other=0.0,
        )
        if TURNED:
            place = channel[:, None] * (9 * C_OUT) + (8 - 3 * down - across[:, None]) * C_OUT + out[None, :]
        else:
            place = out[None, :] * (9 * C_IN) + down * 3 * C_IN + tap[:, None]
        factors = tl.load(weight + place, mask=(tap[:, None] < 3 * C_IN) & (out[None, :] < C_OUT), other=0.0)
        total = tl.dot(values, factors.to(values.dtype), total)
    if HAS_BIAS:
        total += tl.load(bias + out, mask=out < C_OUT, other=0.0).to(tl.float32)[None, :]
    tl.store(
        y + (row * width + column[:, None]) * C_OUT + out[None, :],
        total.to(y.dtype.element_ty),
        mask=(column[:, None] < width) & (out[None, :] < C_OUT),
    )


@triton.jit
def weight_kernel(
    x, grad, parts, rows, height, width, tiles,
    C_IN: tl.constexpr, C_OUT: tl.constexpr, TAPS: tl.constexpr, OUT: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    """The gradients of weight and bias, over every n-th tile of all rows.

    Writes a row of ``parts`` (programs, C_OUT · 9 · C_IN + C_OUT), float32: weights as (C_OUT, 3, 3, C_IN),
    then biases; they are added up over the programs afterwards.
    """
    program = tl.program_id(0)
    tap = tl.arange(0, TAPS)
    out = tl.arange(0, OUT)
    across = tap // C_IN
    upper = tl.zeros((TAPS, OUT), tl.float32)
    middle = tl.zeros((TAPS, OUT), tl.float32)
    lower = tl.zeros((TAPS, OUT), tl.float32)
    biases = tl.zeros((OUT,), tl.float32)
    for tile in range(program, rows * tiles, tl.num_programs(0)):
        row = (tile // tiles).to(tl.int64)
        column = (tile % tiles) * PIXELS + tl.arange(0, PIXELS)
        line = (row % height + column * 0)[None, :]
        slope = tl.load(
            grad + (row * width + column[:, None]) * C_OUT + out[None, :],
            mask=(column[:, None] < width) & (out[None, :] < C_OUT),
            other=0.0,
        )
        biases += tl.sum(slope.to(tl.float32), 0)
        source = column[None, :] - 1 + across[:, None]
        inside = (source >= 0) & (source < width) & (tap[:, None] < 3 * C_IN)
        place = x + (row * width + column[None, :] - 1) * C_IN + tap[:, None]
        upper = tl.dot(tl.load(place - width * C_IN, mask=inside & (line > 0), other=0.0), slope, upper)
        middle = tl.dot(tl.load(place, mask=inside, other=0.0), slope, middle)
        below = inside & (line + 1 < height)
        lower = tl.dot(tl.load(place + width * C_IN, mask=below, other=0.0), slope, lower)
    part = parts + program * (9 * C_IN + 1) * C_OUT
    place = part + out[None, :] * (9 * C_IN) + tap[:, None]
    known = (tap[:, None] < 3 * C_IN) & (out[None, :] < C_OUT)
    tl.store(place, upper, mask=known)
    tl.store(place + 3 * C_IN, middle, mask=known)
    tl.store(place + 6 * C_IN, lower, mask=known)
    tl.store(part + 9 * C_IN * C_OUT + out, biases, mask=out < C_OUT)
