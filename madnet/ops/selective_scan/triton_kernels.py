"""Triton kernels of the selective scan; imported only where triton is used.

A tile is [step, state, channel], of T steps: channels lie across the lanes of a warp, where neighbours share
cache lines and B and C serve them all, and all steps of a state lie in one thread, so that a scan over them
is a loop without exchange. ``tl.associative_scan`` is that from the first step to the last. Backwards it
would turn the whole warp round by five shuffles a value, so :func:`_walk_back` picks the steps one by one,
which costs nothing: which register a step lies in is known when the kernel is compiled.

Square maps of one tile (:func:`square_kernel`, the inner scans of MiM-ISTD): one program has a map and a
block of channels, walks in all four directions and writes their sum.

Long sequences (:func:`forward_kernel`, and :func:`backward_kernel` for all of them): one program takes one
group (a direction, over maps), a block of channels and a segment of time, tile by tile; the state stays in
registers. Where channels are too few to keep a GPU busy, a sequence is cut into segments that run side by
side: :func:`summary_kernel` takes each from a state of 0 to its end, and the main kernels begin with what the
segments before (behind, in backward) hand on.

:func:`sum_kernel` adds up what programs leave in slabs, in a fixed order: no kernel uses atomics, so two runs
agree to the bit.

Tensors are read through strides (batch, group, channel or state, step), so plain sequences and maps share
the kernels; over maps the pixel of a step comes from index arithmetic. u, delta, A, B, C, D, bias and y are
those of :func:`madnet.ops.selective_scan`; x, b, r are the values of u, B, C at hand, dt is Δ, h the state,
``rate`` A·log2 e, N the number of states, padded to a power of two.
"""

import re
from inspect import signature

import triton
import triton.language as tl

_COUNTS = (
    'groups', 'channels', 'length', 'height', 'width', 'segments', 'segment_chunks', 'tasks', 'workers',
)  # fmt: skip


def _kernel(function):
    """A kernel that is compiled once, for all counts, strides but those along lanes, and slices of B and C.

    Left to itself, triton compiles anew, for seconds, for each number that is 1 or a multiple of 16.
    """
    names = list(signature(function).parameters)
    return triton.jit(
        function,
        do_not_specialize=[n for n in names if n in _COUNTS or re.fullmatch(r'\w+_[bgts]|slabs\d', n)],
        do_not_specialize_on_alignment=[n for n in names if n in ('B', 'C', 'M')],
    )


LOG2E = tl.constexpr(1.4426950408889634)
LOG2E_REST = tl.constexpr(1.925963033500664e-08)  # log2(e) − float32(log2(e))


@triton.jit
def _advance(decay1, drive1, decay2, drive2):
    """Two stretches of h → decay·h + drive as one."""
    return decay1 * decay2, drive1 * decay2 + drive2


@triton.jit
def _advance_keeping(decay1, kept1, last1, decay2, kept2, last2):
    """The same with drive = kept + last: what the last step keeps of the state before, and what it adds.

    The sum minus the addend would lose the digits of a small ``kept``.
    """
    return decay1 * decay2, (kept1 + last1) * decay2 + kept2, last2


@triton.jit
def _place(t, group, height, width, MAPS: tl.constexpr, WIDE: tl.constexpr):
    """Where step t of a group lies, in units of the step stride."""
    if MAPS:
        s = tl.where(group >= 2, height * width - 1 - t, t)
        t = tl.where(group % 2 == 1, (s % height) * width + s // height, s)
    if WIDE:
        t = t.to(tl.int64)
    return t


@triton.jit
def _axes(block, channels, N: tl.constexpr, N_PADDED: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    """The channels of a block and the states, and which of them are there.

    Offsets inside one item of the batch are counted in 32 bits unless they are too long for that.
    """
    c = block * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, N_PADDED)
    if WIDE:
        c, n = c.to(tl.int64), n.to(tl.int64)
    return c, n, c < channels, n < N


@triton.jit
def _softplus(x):
    """max(x, 0) + log(1 + e), e = exp(−|x|), and its slope; each digit counts where x is far below 0.

    The logarithm is 2 atanh(e / (2 + e)) as a series. Above 20 this is x and 1 by itself.
    """
    z = -tl.abs(x)
    high = z * LOG2E
    e = tl.exp2(high) * (1.0 + 0.6931471805599453 * (tl.fma(z, LOG2E, -high) + z * LOG2E_REST))
    s = e / (2.0 + e)
    q = s * s
    p = 2.819154561e-1 * q + 2.795766592e-1
    p = p * q + 4.002511501e-1
    p = p * q + 6.666631103e-1
    p = p * q + 2.0
    return tl.maximum(x, 0.0) + p * s, tl.where(x < 0.0, e, 1.0) / (1.0 + e)


@triton.jit
def _steps(raw, shift, live, SOFTPLUS: tl.constexpr):
    """Δ and its slope; 0 (the identity of the scan) where there is no step."""
    raw += shift[None, :]
    if SOFTPLUS:
        step, slope = _softplus(raw)
    else:
        step, slope = raw, tl.full(raw.shape, 1.0, tl.float32)
    return tl.where(live, step, 0.0), slope


@triton.jit
def _tile(
    source, t, i, is_i, length, group, height, width, i_stride, t_stride,
    MAPS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """The values of a source for steps t and channels or states i, (t, i); 0 where there is none."""
    at = _place(tl.minimum(t, length - 1), group, height, width, MAPS, WIDE)
    there = (t < length)[:, None] & is_i[None, :]
    return tl.load(source + (at[:, None] * t_stride + i[None, :] * i_stride), mask=there, other=0.0).to(
        tl.float32
    )


@triton.jit
def _per_channel(source, row, is_c, THERE: tl.constexpr):
    """A parameter of the channels, or 0 where there is none."""
    if THERE:
        value = tl.load(source + row, mask=is_c, other=0.0)
    else:
        value = tl.zeros(row.shape, tl.float32)
    return value


@triton.jit
def _one_step(tile, step, which):
    """The slice [state, channel] of a tile.

    All but one of the summands are 0; among integers the compiler knows that they change nothing.
    """
    bits = tile.to(tl.int32, bitcast=True)
    return tl.sum(tl.where((step == which)[:, None, None], bits, 0), 0).to(tl.float32, bitcast=True)


@triton.jit
def _walk_back(decay, drive, step, T: tl.constexpr, SHIFT: tl.constexpr):
    """h_t = decay_{t+SHIFT} h_{t+1} + drive_t from the last step, where it is drive_t, to the first."""
    h = _one_step(drive, step, T - 1)
    tile = tl.where((step == T - 1)[:, None, None], h[None, :, :], 0.0)
    for t in tl.static_range(T - 2, -1, -1):
        h = _one_step(drive, step, t) + _one_step(decay, step, t + SHIFT) * h
        tile = tl.where((step == t)[:, None, None], h[None, :, :], tile)
    return tile


@_kernel
def square_kernel(
    u, delta, A, B, C, D, bias, y,
    channels, u_b, u_c, u_t, d_b, d_g, d_c, d_t, B_b, B_g, B_n, B_t, C_b, C_g, C_n, C_t, y_b, y_t,
    N: tl.constexpr, N_PADDED: tl.constexpr, BLOCK: tl.constexpr, SIDE: tl.constexpr,
    WIDE: tl.constexpr, SOFTPLUS: tl.constexpr, HAS_D: tl.constexpr, HAS_BIAS: tl.constexpr,
):  # fmt: skip
    """y of maps of SIDE × SIDE pixels, which are one tile: the sum of the four directions, in one program.

    Tiles lie in the order of rows or of columns; the directions that come from the end walk them backwards.
    """
    T: tl.constexpr = SIDE * SIDE
    item = tl.program_id(0).to(tl.int64)
    c, n, is_c, is_n = _axes(tl.program_id(1), channels, N, N_PADDED, BLOCK, WIDE)
    step = tl.arange(0, T)
    is_nc = is_n[:, None] & is_c[None, :]
    by_rows = tl.zeros((T, BLOCK), tl.float32)
    by_columns = tl.zeros((T, BLOCK), tl.float32)
    for k in tl.static_range(4):
        turn = k % 2
        u_row, d_row = u + item * u_b, delta + (item * d_b + k * d_g)
        B_row, C_row = B + (item * B_b + k * B_g), C + (item * C_b + k * C_g)
        x = _tile(u_row, step, c, is_c, T, turn, SIDE, SIDE, u_c, u_t, True, WIDE)
        raw = _tile(d_row, step, c, is_c, T, turn, SIDE, SIDE, d_c, d_t, True, WIDE)
        b = _tile(B_row, step, n, is_n, T, turn, SIDE, SIDE, B_n, B_t, True, WIDE)
        r = _tile(C_row, step, n, is_n, T, turn, SIDE, SIDE, C_n, C_t, True, WIDE)
        row = k * channels + c
        rate = tl.load(A + row[None, :] * N + n[:, None], mask=is_nc, other=0.0) * LOG2E
        shift = _per_channel(bias, row, is_c, HAS_BIAS)
        direct = _per_channel(D, row, is_c, HAS_D)
        dt, _slope = _steps(raw, shift, is_c[None, :], SOFTPLUS)
        decay = tl.exp2(dt[:, None, :] * rate[None, :, :])
        drive = (dt * x)[:, None, :] * b[:, :, None]
        if k < 2:
            _total, h = tl.associative_scan((decay, drive), 0, _advance)
        else:
            h = _walk_back(decay, drive, step, T, 0)
        out = tl.sum(h * r[:, :, None], 1) + direct[None, :] * x
        if k % 2 == 1:
            by_columns += out
        else:
            by_rows += out
    turned = tl.permute(tl.reshape(by_columns, (SIDE, SIDE, BLOCK)), (1, 0, 2))
    y_at = y + item * y_b + (step[:, None] * y_t + c[None, :])
    tl.store(y_at, by_rows + tl.reshape(turned, (T, BLOCK)), mask=is_c[None, :])


@triton.jit
def _handed_on(
    ends, spans, rate, sequence, segments, count, n, c, channels, is_nc, is_c,
    N: tl.constexpr, BACKWARD: tl.constexpr,
):  # fmt: skip
    """The state that the first ``count`` segments hand on, in backward the last: h → end + exp(A ΣΔ) h.

    ``ends`` lie in the order of A: triton then lays both tiles out alike, and there is no turn through shared
    memory in the loop, whose barrier no load would pass.
    """
    of_state = c[None, :] * N + n[:, None]
    h = tl.zeros(rate.shape, tl.float32)
    for i in tl.range(0, count, loop_unroll_factor=8):  # so many are read at once
        at = sequence * segments + i
        if BACKWARD:
            at = sequence * segments + segments - 1 - i
        end = tl.load(ends + (at * N * channels + of_state), mask=is_nc, other=0.0)
        span = tl.load(spans + (at * channels + c), mask=is_c, other=0.0)
        h = end + tl.exp2(span[None, :] * rate) * h
    return h


@_kernel
def forward_kernel(
    u, delta, A, B, C, D, bias, y, states, ends, spans,
    groups, channels, length, height, width, segment_chunks,
    u_b, u_g, u_c, u_t, d_b, d_g, d_c, d_t, B_b, B_g, B_n, B_t, C_b, C_g, C_n, C_t, y_b, y_g, y_c, y_t,
    N: tl.constexpr, N_PADDED: tl.constexpr, BLOCK: tl.constexpr, T: tl.constexpr,
    MAPS: tl.constexpr, WIDE: tl.constexpr, SOFTPLUS: tl.constexpr,
    HAS_D: tl.constexpr, HAS_BIAS: tl.constexpr, SAVE: tl.constexpr,
):  # fmt: skip
    """y of a segment, and with SAVE the state before each of its tiles."""
    sequence = tl.program_id(0).to(tl.int64)
    batch, group = (tl.program_id(0) // groups).to(tl.int64), tl.program_id(0) % groups
    segment = tl.program_id(2)
    c, n, is_c, is_n = _axes(tl.program_id(1), channels, N, N_PADDED, BLOCK, WIDE)
    step = tl.arange(0, T)
    is_nc = is_n[:, None] & is_c[None, :]
    row = group * channels + c
    rate = tl.load(A + row[None, :] * N + n[:, None], mask=is_nc, other=0.0) * LOG2E
    shift = _per_channel(bias, row, is_c, HAS_BIAS)
    direct = _per_channel(D, row, is_c, HAS_D)
    of_state = n[:, None] * channels + c[None, :]
    h = _handed_on(
        ends, spans, rate, sequence, tl.num_programs(2), segment, n, c, channels, is_nc, is_c, N, False
    )
    u_row = u + (batch * u_b + group.to(tl.int64) * u_g)
    d_row = delta + (batch * d_b + group.to(tl.int64) * d_g)
    y_row = y + (batch * y_b + group.to(tl.int64) * y_g)
    B_row = B + (batch * B_b + group.to(tl.int64) * B_g)
    C_row = C + (batch * C_b + group.to(tl.int64) * C_g)
    chunks = tl.cdiv(length, T)
    first = segment * segment_chunks
    t = first * T + step
    next_x = _tile(u_row, t, c, is_c, length, group, height, width, u_c, u_t, MAPS, WIDE)
    next_raw = _tile(d_row, t, c, is_c, length, group, height, width, d_c, d_t, MAPS, WIDE)
    next_b = _tile(B_row, t, n, is_n, length, group, height, width, B_n, B_t, MAPS, WIDE)
    next_r = _tile(C_row, t, n, is_n, length, group, height, width, C_n, C_t, MAPS, WIDE)
    end = tl.minimum(first + segment_chunks, chunks)
    for chunk in range(first, end):
        x, raw, b, r = next_x, next_raw, next_b, next_r
        t = tl.minimum(chunk + 1, end - 1) * T + step  # the next tile is on its way
        next_x = _tile(u_row, t, c, is_c, length, group, height, width, u_c, u_t, MAPS, WIDE)
        next_raw = _tile(d_row, t, c, is_c, length, group, height, width, d_c, d_t, MAPS, WIDE)
        next_b = _tile(B_row, t, n, is_n, length, group, height, width, B_n, B_t, MAPS, WIDE)
        next_r = _tile(C_row, t, n, is_n, length, group, height, width, C_n, C_t, MAPS, WIDE)
        if SAVE:
            to = states + (sequence * (chunks - 1) + chunk - 1) * N * channels
            if chunk > 0:  # the first tile begins with 0
                tl.store(to + of_state, h, mask=is_nc)
        t = chunk * T + step
        is_tc = (t < length)[:, None] & is_c[None, :]
        dt, _slope = _steps(raw, shift, is_tc, SOFTPLUS)
        at = _place(tl.minimum(t, length - 1), group, height, width, MAPS, WIDE)[:, None]
        decay = tl.exp2(dt[:, None, :] * rate[None, :, :])
        drive = (dt * x)[:, None, :] * b[:, :, None]
        # what arrives enters with the first step: the products of all decays so far are then not needed
        drive += tl.where((step == 0)[:, None, None], decay * h[None, :, :], 0.0)
        _total, tile = tl.associative_scan((decay, drive), 0, _advance)
        out = tl.sum(tile * r[:, :, None], 1) + direct[None, :] * x
        tl.store(y_row + (at * y_t + c[None, :] * y_c), out, mask=is_tc)
        h = _one_step(tile, step, T - 1)


@_kernel
def summary_kernel(
    x, delta, A, M, bias, ends, spans,
    groups, channels, length, height, width, segment_chunks,
    x_b, x_g, x_c, x_t, d_b, d_g, d_c, d_t, M_b, M_g, M_n, M_t,
    N: tl.constexpr, N_PADDED: tl.constexpr, BLOCK: tl.constexpr, T: tl.constexpr,
    MAPS: tl.constexpr, WIDE: tl.constexpr, SOFTPLUS: tl.constexpr,
    HAS_BIAS: tl.constexpr, BACKWARD: tl.constexpr,
):  # fmt: skip
    """Σ Δ of each segment, and its state h after its last step with 0 before its first, from x = u and M = B.

    Backward: a·λ of its first step with 0 after its last, from x = the gradient of y and M = C.
    """
    sequence = tl.program_id(0).to(tl.int64)
    batch, group = (tl.program_id(0) // groups).to(tl.int64), tl.program_id(0) % groups
    segment = tl.program_id(2)
    c, n, is_c, is_n = _axes(tl.program_id(1), channels, N, N_PADDED, BLOCK, WIDE)
    step = tl.arange(0, T)
    is_nc = is_n[:, None] & is_c[None, :]
    row = group * channels + c
    rate = tl.load(A + row[None, :] * N + n[:, None], mask=is_nc, other=0.0) * LOG2E
    shift = _per_channel(bias, row, is_c, HAS_BIAS)
    h = tl.zeros((N_PADDED, BLOCK), tl.float32)
    span = tl.zeros((BLOCK,), tl.float32)
    x_row = x + (batch * x_b + group.to(tl.int64) * x_g)
    d_row = delta + (batch * d_b + group.to(tl.int64) * d_g)
    M_row = M + (batch * M_b + group.to(tl.int64) * M_g)
    first = segment * segment_chunks
    count = tl.minimum(segment_chunks, tl.cdiv(length, T) - first)
    t = first * T + step
    ahead = T
    if BACKWARD:  # from the last step to the first
        t = (first + count) * T - 1 - step
        ahead = -T
    next_x = _tile(x_row, t, c, is_c, length, group, height, width, x_c, x_t, MAPS, WIDE)
    next_raw = _tile(d_row, t, c, is_c, length, group, height, width, d_c, d_t, MAPS, WIDE)
    next_mix = _tile(M_row, t, n, is_n, length, group, height, width, M_n, M_t, MAPS, WIDE)
    for _i in range(0, count):
        source, raw, mix = next_x, next_raw, next_mix
        is_tc = (t < length)[:, None] & is_c[None, :]
        t = tl.maximum(t + ahead, 0)  # the next tile is on its way; past the last one, nothing is used
        next_x = _tile(x_row, t, c, is_c, length, group, height, width, x_c, x_t, MAPS, WIDE)
        next_raw = _tile(d_row, t, c, is_c, length, group, height, width, d_c, d_t, MAPS, WIDE)
        next_mix = _tile(M_row, t, n, is_n, length, group, height, width, M_n, M_t, MAPS, WIDE)
        dt, _slope = _steps(raw, shift, is_tc, SOFTPLUS)
        decay = tl.exp2(dt[:, None, :] * rate[None, :, :])
        if BACKWARD:
            drive = decay * (source[:, None, :] * mix[:, :, None])
        else:
            drive = (dt * source)[:, None, :] * mix[:, :, None]
        drive += tl.where((step == 0)[:, None, None], decay * h[None, :, :], 0.0)
        _total, tile = tl.associative_scan((decay, drive), 0, _advance)
        h = _one_step(tile, step, T - 1)
        span += tl.sum(dt, 0)
    to = sequence * tl.num_programs(2) + segment
    tl.store(ends + (to * N * channels + c[None, :] * N + n[:, None]), h, mask=is_nc)
    tl.store(spans + to * channels + c, span, mask=is_c)


@triton.jit
def _half(tile, which: tl.constexpr):
    """The first half of the steps of a tile, or the second, as :func:`_one_step` picks one."""
    T: tl.constexpr = tile.shape[0]
    halves = tl.reshape(tile.to(tl.int32, bitcast=True), (2, T // 2, tile.shape[1], tile.shape[2]))
    chosen = (tl.arange(0, 2) == which)[:, None, None, None]
    return tl.sum(tl.where(chosen, halves, 0), 0).to(tl.float32, bitcast=True)


@triton.jit
def _exchange(first, second, BIT: tl.constexpr):
    """Add two tiles [step, state, channel] over pairs of channels whose numbers differ by BIT.

    The channel without the bit gets the sum of the first, the one with it that of the second: one exchange
    between lanes serves two sums.
    """
    c = tl.broadcast_to(tl.arange(0, first.shape[2])[None, None, :], first.shape)
    high = (c & BIT) != 0
    return tl.where(high, second, first) + tl.gather(tl.where(high, first, second), c ^ BIT, 2)


@triton.jit
def _store_over_channels(
    to_first, to_second, first, second, begin, n, length, group, height, width, n_stride, t_stride,
    N: tl.constexpr, MAPS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Store the sums of two tiles [step, state, channel] over the channels.

    First the channels share out the two sums, then the steps, by halves; what is left is added up.
    """
    T: tl.constexpr = first.shape[0]
    PART: tl.constexpr = first.shape[1]
    BLOCK: tl.constexpr = first.shape[2]
    LEVELS: tl.constexpr = 2 if BLOCK >= 8 and T >= 4 else (1 if BLOCK >= 4 and T >= 2 else 0)
    LANES: tl.constexpr = 2 << LEVELS  # channels that hold different sums
    sums = _exchange(first, second, 1)
    if LEVELS >= 1:
        sums = _exchange(_half(sums, 0), _half(sums, 1), 2)
    if LEVELS >= 2:
        sums = _exchange(_half(sums, 0), _half(sums, 1), 4)
    if LANES < BLOCK:
        sums = tl.sum(tl.reshape(sums, (T >> LEVELS, PART, BLOCK // LANES, LANES)), 2)
    lane = tl.arange(0, LANES)[None, None, :]
    t = begin + tl.arange(0, T >> LEVELS)[:, None, None]
    if LEVELS >= 1:
        t += lane // 2 % 2 * (T // 2)
    if LEVELS >= 2:
        t += lane // 4 * (T // 4)
    there = (t < length) & (n < N)[None, :, None]
    at = _place(tl.minimum(t, length - 1), group, height, width, MAPS, WIDE) * t_stride
    to = tl.broadcast_to(at + n[None, :, None] * n_stride, sums.shape)
    tl.store(to_first + to, sums, mask=there & (lane % 2 == 0))
    tl.store(to_second + to, sums, mask=there & (lane % 2 == 1))


@triton.jit
def _states_back(
    coefficient, arriving, sum_A, x, grad, dt, states, B, C, dB, dC, n, c, is_c, t, chunk,
    channels, length, group, height, width, B_n, B_t, C_n, C_t, dB_n, dB_t,
    N: tl.constexpr, T: tl.constexpr, MAPS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """The states n of a tile: stores dB and dC; returns Σ λ b and Σ λ a h A over them, a·λ of the tile's
    first step, and ``sum_A`` with what the tile adds."""
    step = tl.arange(0, T)
    is_n = n < N
    h = tl.zeros(coefficient.shape, tl.float32)
    if chunk > 0:  # the first tile begins with 0
        of_state = n[:, None] * channels + c[None, :]
        h = tl.load(states + of_state, mask=is_n[:, None] & is_c[None, :], other=0.0)
    b = _tile(B, t, n, is_n, length, group, height, width, B_n, B_t, MAPS, WIDE)
    r = _tile(C, t, n, is_n, length, group, height, width, C_n, C_t, MAPS, WIDE)
    decay = tl.exp2(dt[:, None, :] * (coefficient * LOG2E)[None, :, :])
    drive = (dt * x)[:, None, :] * b[:, :, None]
    kept = tl.where((step == 0)[:, None, None], decay * h[None, :, :], 0.0)
    _, kept, _ = tl.associative_scan((decay, kept, drive), 0, _advance_keeping)  # a_t h_{t−1}
    adjoint = grad[:, None, :] * r[:, :, None]
    adjoint += tl.where((step == T - 1)[:, None, None], arriving[None, :, :], 0.0)
    adjoint = _walk_back(decay, adjoint, step, T, 1)  # λ_t = g_t C_t + a_{t+1} λ_{t+1}
    _store_over_channels(
        dB, dC, adjoint * (dt * x)[:, None, :], (kept + drive) * grad[:, None, :], chunk * T, n,
        length, group, height, width, dB_n, dB_t, N, MAPS, WIDE,
    )  # fmt: skip
    arriving = _one_step(decay * adjoint, step, 0)
    beta = tl.sum(adjoint * b[:, :, None], 1)
    adjoint *= kept
    pull = tl.sum(adjoint * coefficient[None, :, :], 1)
    return beta, pull, arriving, sum_A + tl.sum(adjoint * dt[:, None, :], 0)


@_kernel
def backward_kernel(
    u, delta, A, B, C, D, bias, g, states, ends, spans, du, ddelta, dA, dB, dC, dD, dbias,
    tasks, workers, groups, channels, length, height, width, segments, segment_chunks,
    u_b, u_g, u_c, u_t, d_b, d_g, d_c, d_t, B_b, B_g, B_n, B_t, C_b, C_g, C_n, C_t, g_b, g_g, g_c, g_t,
    du_b, du_g, du_c, du_t, dd_b, dd_g, dd_c, dd_t, dB_s, dB_b, dB_g, dB_n, dB_t,
    N: tl.constexpr, N_PADDED: tl.constexpr, BLOCK: tl.constexpr, T: tl.constexpr,
    MAPS: tl.constexpr, WIDE: tl.constexpr, SOFTPLUS: tl.constexpr,
    HAS_D: tl.constexpr, HAS_BIAS: tl.constexpr,
):  # fmt: skip
    """Gradients; a worker goes through every ``workers``-th segment of the batch and keeps its own sums.

    A tile is too much for the registers of a warp: the states take turns, one half after the other.
    """
    TURNS: tl.constexpr = 2 if N_PADDED >= 8 else 1
    PART: tl.constexpr = N_PADDED // TURNS
    worker, group = tl.program_id(0) // groups, tl.program_id(0) % groups
    block = tl.program_id(1).to(tl.int64)
    c, n, is_c, is_n = _axes(tl.program_id(1), channels, N, PART, BLOCK, WIDE)
    m = n + PART  # the states of the second half
    is_nc, is_mc = is_n[:, None] & is_c[None, :], (m < N)[:, None] & is_c[None, :]
    row = group * channels + c
    A_n = tl.load(A + row[None, :] * N + n[:, None], mask=is_nc, other=0.0)
    A_m = tl.load(A + row[None, :] * N + m[:, None], mask=is_mc, other=0.0)
    shift = _per_channel(bias, row, is_c, HAS_BIAS)
    direct = _per_channel(D, row, is_c, HAS_D)
    sum_n = tl.zeros((PART, BLOCK), tl.float32)
    sum_m = tl.zeros((PART, BLOCK), tl.float32)
    sum_D = tl.zeros((BLOCK,), tl.float32)
    sum_bias = tl.zeros((BLOCK,), tl.float32)
    chunks = tl.cdiv(length, T)
    for i in range(0, tl.cdiv(tasks - worker, workers)):
        task = worker + i * workers
        batch, segment = (task // segments).to(tl.int64), task % segments
        sequence = batch * groups + group
        behind = segments - 1 - segment
        # a·λ of the step after the tile
        arriving_n = _handed_on(
            ends, spans, A_n * LOG2E, sequence, segments, behind, n, c, channels, is_nc, is_c, N, True
        )
        arriving_m = tl.zeros((PART, BLOCK), tl.float32)
        if TURNS == 2:
            arriving_m = _handed_on(
                ends, spans, A_m * LOG2E, sequence, segments, behind, m, c, channels, is_mc, is_c, N, True
            )
        u_row, g_row = (
            u + (batch * u_b + group.to(tl.int64) * u_g),
            g + (batch * g_b + group.to(tl.int64) * g_g),
        )
        d_row = delta + (batch * d_b + group.to(tl.int64) * d_g)
        B_row, C_row = (
            B + (batch * B_b + group.to(tl.int64) * B_g),
            C + (batch * C_b + group.to(tl.int64) * C_g),
        )
        first = segment * segment_chunks
        count = tl.minimum(segment_chunks, chunks - first)
        for back in range(0, count):
            chunk = first + count - 1 - back
            t = chunk * T + tl.arange(0, T)
            x = _tile(u_row, t, c, is_c, length, group, height, width, u_c, u_t, MAPS, WIDE)
            grad = _tile(g_row, t, c, is_c, length, group, height, width, g_c, g_t, MAPS, WIDE)
            raw = _tile(d_row, t, c, is_c, length, group, height, width, d_c, d_t, MAPS, WIDE)
            is_tc = (t < length)[:, None] & is_c[None, :]
            dt, slope = _steps(raw, shift, is_tc, SOFTPLUS)
            saved = states + (sequence * (chunks - 1) + chunk - 1) * N * channels
            own = block * dB_s + batch * dB_b + group.to(tl.int64) * dB_g
            beta, pull, arriving_n, sum_n = _states_back(
                A_n, arriving_n, sum_n, x, grad, dt, saved, B_row, C_row, dB + own, dC + own, n,
                c, is_c, t, chunk, channels, length, group, height, width,
                B_n, B_t, C_n, C_t, dB_n, dB_t, N, T, MAPS, WIDE,
            )  # fmt: skip
            if TURNS == 2:
                beta_m, pull_m, arriving_m, sum_m = _states_back(
                    A_m, arriving_m, sum_m, x, grad, dt, saved, B_row, C_row, dB + own, dC + own, m,
                    c, is_c, t, chunk, channels, length, group, height, width,
                    B_n, B_t, C_n, C_t, dB_n, dB_t, N, T, MAPS, WIDE,
                )  # fmt: skip
                beta += beta_m
                pull += pull_m
            slope = tl.where(is_tc, slope * (pull + x * beta), 0.0)
            sum_D += tl.sum(grad * x, 0)
            sum_bias += tl.sum(slope, 0)
            at = _place(tl.minimum(t, length - 1), group, height, width, MAPS, WIDE)[:, None]
            du_at = du + (batch * du_b + group.to(tl.int64) * du_g) + (at * du_t + c[None, :] * du_c)
            dd_at = ddelta + (batch * dd_b + group.to(tl.int64) * dd_g) + (at * dd_t + c[None, :] * dd_c)
            tl.store(du_at, direct[None, :] * grad + dt * beta, mask=is_tc)
            tl.store(dd_at, slope, mask=is_tc)
    own = worker.to(tl.int64) * groups * channels + row
    tl.store(dA + own[None, :] * N + n[:, None], sum_n, mask=is_nc)
    if TURNS == 2:
        tl.store(dA + own[None, :] * N + m[:, None], sum_m, mask=is_mc)
    if HAS_D:
        tl.store(dD + own, sum_D, mask=is_c)
    if HAS_BIAS:
        tl.store(dbias + own, sum_bias, mask=is_c)


WIDTHS = (512, 64)  # elements to a program of sum_kernel: of wide sums, of deep ones


@triton.jit
def _add_up(source, target, count, slabs, program, DEPTH: tl.constexpr, WIDTH: tl.constexpr):
    """Sums (slabs, count) over the slabs if it is this program's turn; returns the turns that are left."""
    programs = tl.cdiv(count, WIDTH)
    if (program >= 0) & (program < programs):
        i = program.to(tl.int64) * WIDTH + tl.arange(0, WIDTH)
        total = tl.zeros((DEPTH, WIDTH), tl.float32)
        for first in range(0, slabs, DEPTH):
            slab = (first + tl.arange(0, DEPTH))[:, None]
            there = (slab < slabs) & (i < count)[None, :]
            total += tl.load(source + (slab.to(tl.int64) * count + i[None, :]), mask=there, other=0.0)
        tl.store(target + i, tl.sum(total, 0), mask=i < count)
    return program - programs


@_kernel
def sum_kernel(
    from0, to0, from1, to1, from2, to2, from3, to3, from4, to4, from5, to5,
    count0, count1, count2, count3, count4, count5, slabs0, slabs1, slabs2, slabs3, slabs4, slabs5,
    WIDE: tl.constexpr, DEEP: tl.constexpr,
):  # fmt: skip
    """All sums over slabs that a pass still needs: three wide ones of few slabs, then three small, deep ones.

    A count of 0 leaves one out.
    """
    program = _add_up(from0, to0, count0, slabs0, tl.program_id(0), 4, WIDE)
    program = _add_up(from1, to1, count1, slabs1, program, 4, WIDE)
    program = _add_up(from2, to2, count2, slabs2, program, 4, WIDE)
    program = _add_up(from3, to3, count3, slabs3, program, 32, DEEP)
    program = _add_up(from4, to4, count4, slabs4, program, 32, DEEP)
    _add_up(from5, to5, count5, slabs5, program, 32, DEEP)
