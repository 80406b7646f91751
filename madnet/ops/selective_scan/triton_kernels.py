"""Triton kernels of the selective scan; imported only where triton is used.

One program takes one group (a direction, over maps), a block of channels and a segment of time, T steps at a
go. A tile is [step, state, channel]: channels lie across the lanes of a warp, where neighbours share cache
lines, and all steps of a state lie in one thread, so that the associative scan over them needs no exchange
and the sum over the states little of it. From tile to tile the state stays in registers. Tensors are read
through strides (batch, group, channel or state, step), so plain sequences and maps share the kernels; over
maps the pixel of a step comes from index arithmetic.

A sequence may be cut into segments that run side by side: ``summary_kernel`` takes each from a state of 0 to
its end, ``carry_kernel`` hands the states on, and the main kernels start from what arrives.
"""

import triton
import triton.language as tl

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
def _retreat(decay1, total1, drive1, decay2, total2, drive2):
    """Two stretches of μ → λ = total·μ + drive as one, the later first; between them μ = decay·λ."""
    through = total2 * decay1
    return decay2, through * total1, through * drive1 + drive2


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
def _steps(delta, offsets, shift, live, SOFTPLUS: tl.constexpr):
    """Δ and its slope; 0 (the identity of the scan) where there is no step."""
    raw = tl.load(delta + offsets, mask=live, other=0.0).to(tl.float32) + shift[None, :]
    if SOFTPLUS:
        step, slope = _softplus(raw)
    else:
        step, slope = raw, tl.full(raw.shape, 1.0, tl.float32)
    return tl.where(live, step, 0.0), slope


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
    """The slice [state, channel] of a tile."""
    return tl.sum(tl.where((step == which)[:, None, None], tile, 0.0), 0)


@triton.jit
def forward_kernel(
    u, delta, A, B, C, D, bias, y, checkpoints, entering,
    groups, channels, length, height, width, segment_chunks,
    u_b, u_g, u_c, u_t, d_b, d_g, d_c, d_t, B_b, B_g, B_n, B_t, C_b, C_g, C_n, C_t, y_b, y_g, y_c, y_t,
    N: tl.constexpr, N_PADDED: tl.constexpr, BLOCK: tl.constexpr, T: tl.constexpr,
    MAPS: tl.constexpr, WIDE: tl.constexpr, SOFTPLUS: tl.constexpr,
    HAS_D: tl.constexpr, HAS_BIAS: tl.constexpr, SAVE: tl.constexpr, SPLIT: tl.constexpr,
):  # fmt: skip
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
    h = tl.zeros((N_PADDED, BLOCK), tl.float32)
    if SPLIT:
        at_state = (sequence * tl.num_programs(2) + segment) * N * channels + of_state
        h = tl.load(entering + at_state, mask=is_nc, other=0.0)
    u_row = u + (batch * u_b + group * u_g)
    d_row = delta + (batch * d_b + group * d_g)
    y_row = y + (batch * y_b + group * y_g)
    B_row = B + (batch * B_b + group * B_g)
    C_row = C + (batch * C_b + group * C_g)
    chunks = tl.cdiv(length, T)
    for chunk in range(segment * segment_chunks, tl.minimum((segment + 1) * segment_chunks, chunks)):
        t = chunk * T + step
        live = t < length
        at = _place(tl.minimum(t, length - 1), group, height, width, MAPS, WIDE)[:, None]
        is_tc, is_tn = live[:, None] & is_c[None, :], live[:, None] & is_n[None, :]
        if SAVE:
            to = checkpoints + (sequence * chunks + chunk) * N * channels
            tl.store(to + of_state, h, mask=is_nc)
        x = tl.load(u_row + (at * u_t + c[None, :] * u_c), mask=is_tc, other=0.0).to(tl.float32)
        b = tl.load(B_row + (at * B_t + n[None, :] * B_n), mask=is_tn, other=0.0).to(tl.float32)
        r = tl.load(C_row + (at * C_t + n[None, :] * C_n), mask=is_tn, other=0.0).to(tl.float32)
        dt, _ = _steps(d_row, at * d_t + c[None, :] * d_c, shift, is_tc, SOFTPLUS)
        decay = tl.exp2(dt[:, None, :] * rate[None, :, :])
        drive = (dt * x)[:, None, :] * b[:, :, None]
        # what arrives enters with the first step: the products of all decays so far are then not needed
        drive += tl.where((step == 0)[:, None, None], decay * h[None, :, :], 0.0)
        _, states = tl.associative_scan((decay, drive), 0, _advance)
        out = tl.sum(states * r[:, :, None], 1) + direct[None, :] * x
        tl.store(y_row + (at * y_t + c[None, :] * y_c), out, mask=is_tc)
        h = _one_step(states, step, T - 1)


@triton.jit
def summary_kernel(
    x, delta, A, M, bias, ends, spans,
    groups, channels, length, height, width, segment_chunks,
    x_b, x_g, x_c, x_t, d_b, d_g, d_c, d_t, M_b, M_g, M_n, M_t,
    N: tl.constexpr, N_PADDED: tl.constexpr, BLOCK: tl.constexpr, T: tl.constexpr,
    MAPS: tl.constexpr, WIDE: tl.constexpr, SOFTPLUS: tl.constexpr,
    HAS_BIAS: tl.constexpr, BACKWARD: tl.constexpr,
):  # fmt: skip
    """Σ Δ of each segment, and its state h after its last step with 0 before its first, from x = u and M = B.

    Backward: a·λ of its first step with 0 after its last, from x = the gradient of y and M = C. Every step
    decays by exp(A ΣΔ) over the steps that follow (precede, in backward), which needs no scan.
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
    state = tl.zeros((N_PADDED, BLOCK), tl.float32)
    span = tl.zeros((BLOCK,), tl.float32)
    x_row = x + (batch * x_b + group * x_g)
    d_row = delta + (batch * d_b + group * d_g)
    M_row = M + (batch * M_b + group * M_g)
    first = segment * segment_chunks
    count = tl.minimum(segment_chunks, tl.cdiv(length, T) - first)
    for i in range(0, count):
        if BACKWARD:
            chunk = first + count - 1 - i
            t = chunk * T + step
        else:
            chunk = first + i
            t = chunk * T + T - 1 - step
        live = t < length
        at = _place(tl.minimum(t, length - 1), group, height, width, MAPS, WIDE)[:, None]
        is_tc, is_tn = live[:, None] & is_c[None, :], live[:, None] & is_n[None, :]
        source = tl.load(x_row + (at * x_t + c[None, :] * x_c), mask=is_tc, other=0.0).to(tl.float32)
        mix = tl.load(M_row + (at * M_t + n[None, :] * M_n), mask=is_tn, other=0.0).to(tl.float32)
        dt, _ = _steps(d_row, at * d_t + c[None, :] * d_c, shift, is_tc, SOFTPLUS)
        if BACKWARD:
            reach = tl.cumsum(dt, 0)
        else:
            source *= dt
            follows = (t + 1 < length) & (step > 0)
            after = _place(tl.minimum(t + 1, length - 1), group, height, width, MAPS, WIDE)[:, None]
            following, _ = _steps(
                d_row, after * d_t + c[None, :] * d_c, shift, follows[:, None] & is_c[None, :], SOFTPLUS
            )
            reach = tl.cumsum(following, 0)
        whole = tl.sum(dt, 0)
        arriving = tl.exp2(reach[:, None, :] * rate[None, :, :]) * (source[:, None, :] * mix[:, :, None])
        state = tl.sum(arriving, 0) + tl.exp2(whole[None, :] * rate) * state
        span += whole
    to = sequence * tl.num_programs(2) + segment
    tl.store(ends + to * N * channels + n[:, None] * channels + c[None, :], state, mask=is_nc)
    tl.store(spans + to * channels + c, span, mask=is_c)


@triton.jit
def carry_kernel(
    A, ends, spans, groups, channels, segments,
    N: tl.constexpr, N_PADDED: tl.constexpr, BLOCK: tl.constexpr, BACKWARD: tl.constexpr,
):  # fmt: skip
    """Replaces what leaves each segment by what enters it."""
    sequence = tl.program_id(0).to(tl.int64)
    c, n, is_c, is_n = _axes(tl.program_id(1), channels, N, N_PADDED, BLOCK, False)
    is_nc = is_n[:, None] & is_c[None, :]
    row = (tl.program_id(0) % groups) * channels + c
    rate = tl.load(A + row[None, :] * N + n[:, None], mask=is_nc, other=0.0) * LOG2E
    state = tl.zeros((N_PADDED, BLOCK), tl.float32)
    for i in range(0, segments):
        at = sequence * segments + i
        if BACKWARD:
            at = sequence * segments + segments - 1 - i
        place = ends + at * N * channels + n[:, None] * channels + c[None, :]
        end = tl.load(place, mask=is_nc, other=0.0)
        span = tl.load(spans + at * channels + c, mask=is_c, other=0.0)
        tl.store(place, state, mask=is_nc)
        state = end + tl.exp2(span[None, :] * rate) * state


@triton.jit
def backward_kernel(
    u, delta, A, B, C, D, bias, g, checkpoints, entering, du, ddelta, dA, dB, dC, dD, dbias,
    tasks, workers, groups, channels, length, height, width, segments, segment_chunks,
    u_b, u_g, u_c, u_t, d_b, d_g, d_c, d_t, B_b, B_g, B_n, B_t, C_b, C_g, C_n, C_t, g_b, g_g, g_c, g_t,
    du_b, du_g, du_c, du_t, dd_b, dd_g, dd_c, dd_t, dB_s, dB_b, dB_g, dB_n, dB_t,
    N: tl.constexpr, N_PADDED: tl.constexpr, BLOCK: tl.constexpr, T: tl.constexpr,
    MAPS: tl.constexpr, WIDE: tl.constexpr, SOFTPLUS: tl.constexpr,
    HAS_D: tl.constexpr, HAS_BIAS: tl.constexpr, SPLIT: tl.constexpr,
):  # fmt: skip
    """Gradients; a worker goes through every ``workers``-th segment of the batch and keeps its own sums."""
    worker, group = tl.program_id(0) // groups, tl.program_id(0) % groups
    block = tl.program_id(1).to(tl.int64)
    c, n, is_c, is_n = _axes(tl.program_id(1), channels, N, N_PADDED, BLOCK, WIDE)
    step = tl.arange(0, T)
    is_nc = is_n[:, None] & is_c[None, :]
    row = group * channels + c
    coefficient = tl.load(A + row[None, :] * N + n[:, None], mask=is_nc, other=0.0)
    rate = coefficient * LOG2E
    shift = _per_channel(bias, row, is_c, HAS_BIAS)
    direct = _per_channel(D, row, is_c, HAS_D)
    of_state = n[:, None] * channels + c[None, :]
    sum_A = tl.zeros((N_PADDED, BLOCK), tl.float32)
    sum_D = tl.zeros((BLOCK,), tl.float32)
    sum_bias = tl.zeros((BLOCK,), tl.float32)
    chunks = tl.cdiv(length, T)
    for i in range(0, tl.cdiv(tasks - worker, workers)):
        task = worker + i * workers
        batch, segment = (task // segments).to(tl.int64), task % segments
        sequence = batch * groups + group
        arriving = tl.zeros((N_PADDED, BLOCK), tl.float32)  # a·λ of the step after the chunk
        if SPLIT:
            at_state = (sequence * segments + segment) * N * channels + of_state
            arriving = tl.load(entering + at_state, mask=is_nc, other=0.0)
        first = segment * segment_chunks
        count = tl.minimum(segment_chunks, chunks - first)
        for back in range(0, count):
            chunk = first + count - 1 - back
            t = chunk * T + step
            live = t < length
            at = _place(tl.minimum(t, length - 1), group, height, width, MAPS, WIDE)[:, None]
            is_tc, is_tn = live[:, None] & is_c[None, :], live[:, None] & is_n[None, :]
            saved = checkpoints + (sequence * chunks + chunk) * N * channels
            h = tl.load(saved + of_state, mask=is_nc, other=0.0)
            u_at = u + (batch * u_b + group * u_g) + (at * u_t + c[None, :] * u_c)
            g_at = g + (batch * g_b + group * g_g) + (at * g_t + c[None, :] * g_c)
            B_at = B + (batch * B_b + group * B_g) + (at * B_t + n[None, :] * B_n)
            C_at = C + (batch * C_b + group * C_g) + (at * C_t + n[None, :] * C_n)
            x = tl.load(u_at, mask=is_tc, other=0.0).to(tl.float32)
            grad = tl.load(g_at, mask=is_tc, other=0.0).to(tl.float32)
            b = tl.load(B_at, mask=is_tn, other=0.0).to(tl.float32)
            r = tl.load(C_at, mask=is_tn, other=0.0).to(tl.float32)
            d_row = delta + (batch * d_b + group * d_g)
            dt, slope = _steps(d_row, at * d_t + c[None, :] * d_c, shift, is_tc, SOFTPLUS)

            decay = tl.exp2(dt[:, None, :] * rate[None, :, :])
            drive = (dt * x)[:, None, :] * b[:, :, None]
            kept = tl.where((step == 0)[:, None, None], decay * h[None, :, :], 0.0)
            _, kept, _ = tl.associative_scan((decay, kept, drive), 0, _advance_keeping)  # a_t h_{t−1}
            adjoint = grad[:, None, :] * r[:, :, None]
            adjoint += tl.where((step == T - 1)[:, None, None], arriving[None, :, :], 0.0)
            one = tl.full(decay.shape, 1.0, tl.float32)
            _, _, adjoint = tl.associative_scan((decay, one, adjoint), 0, _retreat, reverse=True)
            arriving = _one_step(decay * adjoint, step, 0)

            base = block * dB_s + batch * dB_b + group * dB_g
            mixed = at * dB_t + n[None, :] * dB_n
            tl.store(dB + base + mixed, tl.sum(adjoint * (dt * x)[:, None, :], 2), mask=is_tn)
            tl.store(dC + base + mixed, tl.sum((kept + drive) * grad[:, None, :], 2), mask=is_tn)
            beta = tl.sum(adjoint * b[:, :, None], 1)
            adjoint *= kept
            slope *= tl.sum(adjoint * coefficient[None, :, :], 1) + x * beta
            slope = tl.where(is_tc, slope, 0.0)
            sum_A += tl.sum(adjoint * dt[:, None, :], 0)
            sum_D += tl.sum(grad * x, 0)
            sum_bias += tl.sum(slope, 0)
            du_at = du + (batch * du_b + group * du_g) + (at * du_t + c[None, :] * du_c)
            dd_at = ddelta + (batch * dd_b + group * dd_g) + (at * dd_t + c[None, :] * dd_c)
            tl.store(du_at, direct[None, :] * grad + dt * beta, mask=is_tc)
            tl.store(dd_at, slope, mask=is_tc)
    own = worker.to(tl.int64) * groups * channels + row
    tl.store(dA + own[None, :] * N + n[:, None], sum_A, mask=is_nc)
    if HAS_D:
        tl.store(dD + own, sum_D, mask=is_c)
    if HAS_BIAS:
        tl.store(dbias + own, sum_bias, mask=is_c)
