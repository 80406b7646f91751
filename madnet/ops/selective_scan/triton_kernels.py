"""Triton kernels of the selective scan; imported only where triton is used.

One program takes one group (a direction, over maps) and a block of channels through time, T steps at a go. A
tile is [step, channel, state]; inside it the recurrence is an associative scan, from tile to tile the state
stays in registers. Tensors are read through strides (batch, group, channel or state, step), so plain
sequences and maps share the kernels; over maps the pixel of a step comes from index arithmetic.
"""

import triton
import triton.language as tl


@triton.jit
def _compose(decay1, drive1, decay2, drive2):
    return decay1 * decay2, drive1 * decay2 + drive2


@triton.jit
def _place(t, group, height, width, MAPS: tl.constexpr):
    """Where step t of a group lies, in units of the step stride."""
    if MAPS:
        s = tl.where(group >= 2, height * width - 1 - t, t)
        t = tl.where(group % 2 == 1, (s % height) * width + s // height, s)
    return t.to(tl.int64)


@triton.jit
def _softplus(x):
    return tl.where(x > 20.0, x, tl.maximum(x, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(x))))


@triton.jit
def _steps(raw, live, SOFTPLUS: tl.constexpr):
    """Δ, and 0 (the identity of the scan) where there is no step."""
    if SOFTPLUS:
        raw = _softplus(raw)
    return tl.where(live, raw, 0.0)


@triton.jit
def forward_kernel(
    u, delta, A, B, C, D, bias, y, checkpoints,
    groups, channels, length, height, width,
    u_b, u_g, u_c, u_t, d_b, d_g, d_c, d_t, B_b, B_g, B_n, B_t, C_b, C_g, C_n, C_t, y_b, y_g, y_c, y_t,
    N: tl.constexpr, N_PADDED: tl.constexpr, BLOCK: tl.constexpr, T: tl.constexpr,
    MAPS: tl.constexpr, SOFTPLUS: tl.constexpr, HAS_D: tl.constexpr, HAS_BIAS: tl.constexpr,
    SAVE: tl.constexpr,
):  # fmt: skip
    batch = (tl.program_id(0) // groups).to(tl.int64)
    group = tl.program_id(0) % groups
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, N_PADDED)
    step = tl.arange(0, T)
    is_c, is_n = c < channels, n < N
    is_cn = is_c[:, None] & is_n[None, :]
    row = group * channels + c
    rate = tl.load(A + row[:, None] * N + n[None, :], mask=is_cn, other=0.0) * 1.4426950408889634
    shift = tl.zeros((BLOCK,), tl.float32)
    direct = tl.zeros((BLOCK,), tl.float32)
    if HAS_BIAS:
        shift += tl.load(bias + row, mask=is_c, other=0.0)
    if HAS_D:
        direct += tl.load(D + row, mask=is_c, other=0.0)
    h = tl.zeros((BLOCK, N_PADDED), tl.float32)
    chunks = tl.cdiv(length, T)
    for chunk in range(0, chunks):
        t = chunk * T + step
        live = t < length
        at = _place(tl.minimum(t, length - 1), group, height, width, MAPS)
        tc, tn = live[:, None] & is_c[None, :], live[:, None] & is_n[None, :]
        if SAVE:
            to = ((tl.program_id(0).to(tl.int64) * chunks + chunk) * channels + c[:, None]) * N + n[None, :]
            tl.store(checkpoints + to, h, mask=is_cn)
        u_at = u + batch * u_b + group * u_g + at[:, None] * u_t + c[None, :] * u_c
        d_at = delta + batch * d_b + group * d_g + at[:, None] * d_t + c[None, :] * d_c
        B_at = B + batch * B_b + group * B_g + at[:, None] * B_t + n[None, :] * B_n
        C_at = C + batch * C_b + group * C_g + at[:, None] * C_t + n[None, :] * C_n
        x = tl.load(u_at, mask=tc, other=0.0).to(tl.float32)
        raw = tl.load(d_at, mask=tc, other=0.0).to(tl.float32) + shift[None, :]
        b = tl.load(B_at, mask=tn, other=0.0).to(tl.float32)
        r = tl.load(C_at, mask=tn, other=0.0).to(tl.float32)
        dt = _steps(raw, tc, SOFTPLUS)
        decay = tl.exp2(dt[:, :, None] * rate[None, :, :])
        drive = (dt * x)[:, :, None] * b[:, None, :]
        total, local = tl.associative_scan((decay, drive), 0, _compose)
        states = local + total * h[None, :, :]
        out = tl.sum(states * r[:, None, :], 2) + direct[None, :] * x
        tl.store(y + batch * y_b + group * y_g + at[:, None] * y_t + c[None, :] * y_c, out, mask=tc)
        h = tl.sum(tl.where((step == T - 1)[:, None, None], states, 0.0), 0)


@triton.jit
def backward_kernel(
    u, delta, A, B, C, D, bias, g, checkpoints, du, ddelta, dA, dB, dC, dD, dbias,
    batches, workers, groups, channels, length, height, width,
    u_b, u_g, u_c, u_t, d_b, d_g, d_c, d_t, B_b, B_g, B_n, B_t, C_b, C_g, C_n, C_t, g_b, g_g, g_c, g_t,
    du_b, du_g, du_c, du_t, dd_b, dd_g, dd_c, dd_t, dB_s, dB_b, dB_g, dB_n, dB_t,
    N: tl.constexpr, N_PADDED: tl.constexpr, BLOCK: tl.constexpr, T: tl.constexpr,
    MAPS: tl.constexpr, SOFTPLUS: tl.constexpr, HAS_D: tl.constexpr, HAS_BIAS: tl.constexpr,
):  # fmt: skip
    worker = tl.program_id(0) // groups
    group = tl.program_id(0) % groups
    block = tl.program_id(1)
    c = block * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, N_PADDED)
    step = tl.arange(0, T)
    is_c, is_n = c < channels, n < N
    is_cn = is_c[:, None] & is_n[None, :]
    row = group * channels + c
    coefficient = tl.load(A + row[:, None] * N + n[None, :], mask=is_cn, other=0.0)
    rate = coefficient * 1.4426950408889634
    shift = tl.zeros((BLOCK,), tl.float32)
    direct = tl.zeros((BLOCK,), tl.float32)
    if HAS_BIAS:
        shift += tl.load(bias + row, mask=is_c, other=0.0)
    if HAS_D:
        direct += tl.load(D + row, mask=is_c, other=0.0)
    sum_A = tl.zeros((BLOCK, N_PADDED), tl.float32)
    sum_D = tl.zeros((BLOCK,), tl.float32)
    sum_bias = tl.zeros((BLOCK,), tl.float32)
    chunks = tl.cdiv(length, T)
    for sequence in range(worker, batches, workers):
        batch = (sequence + 0).to(tl.int64)
        arriving = tl.zeros((BLOCK, N_PADDED), tl.float32)  # λ of the step after the chunk
        for back in range(0, chunks):
            chunk = chunks - 1 - back
            t = chunk * T + step
            live, follows = t < length, t + 1 < length
            at = _place(tl.minimum(t, length - 1), group, height, width, MAPS)
            after = _place(tl.minimum(t + 1, length - 1), group, height, width, MAPS)
            tc, tn = live[:, None] & is_c[None, :], live[:, None] & is_n[None, :]
            tc_after = follows[:, None] & is_c[None, :]
            kept_at = (((batch * groups + group) * chunks + chunk) * channels + c[:, None]) * N + n[None, :]
            h = tl.load(checkpoints + kept_at, mask=is_cn, other=0.0)
            d_row = delta + batch * d_b + group * d_g + c[None, :] * d_c
            u_at = u + batch * u_b + group * u_g + at[:, None] * u_t + c[None, :] * u_c
            g_at = g + batch * g_b + group * g_g + at[:, None] * g_t + c[None, :] * g_c
            B_at = B + batch * B_b + group * B_g + at[:, None] * B_t + n[None, :] * B_n
            C_at = C + batch * C_b + group * C_g + at[:, None] * C_t + n[None, :] * C_n
            x = tl.load(u_at, mask=tc, other=0.0).to(tl.float32)
            grad = tl.load(g_at, mask=tc, other=0.0).to(tl.float32)
            raw = tl.load(d_row + at[:, None] * d_t, mask=tc, other=0.0).to(tl.float32) + shift[None, :]
            raw_after = (
                tl.load(d_row + after[:, None] * d_t, mask=tc_after, other=0.0).to(tl.float32)
                + shift[None, :]
            )
            b = tl.load(B_at, mask=tn, other=0.0).to(tl.float32)
            r = tl.load(C_at, mask=tn, other=0.0).to(tl.float32)
            dt = _steps(raw, tc, SOFTPLUS)
            dt_after = _steps(raw_after, tc_after, SOFTPLUS)

            decay = tl.exp2(dt[:, :, None] * rate[None, :, :])
            drive = (dt * x)[:, :, None] * b[:, None, :]
            total, local = tl.associative_scan((decay, drive), 0, _compose)
            states = local + total * h[None, :, :]
            kept = states - drive  # a_t h_{t−1}
            decay_after = tl.exp2(dt_after[:, :, None] * rate[None, :, :])
            total, local = tl.associative_scan(
                (decay_after, grad[:, :, None] * r[:, None, :]), 0, _compose, reverse=True
            )
            adjoint = local + total * arriving[None, :, :]
            arriving = tl.sum(tl.where((step == 0)[:, None, None], adjoint, 0.0), 0)

            beta = tl.sum(adjoint * b[:, None, :], 2)
            slope = tl.sum(adjoint * kept * coefficient[None, :, :], 2) + x * beta
            if SOFTPLUS:
                slope *= tl.where(raw > 20.0, 1.0, 1.0 / (1.0 + tl.exp(-raw)))
            slope = tl.where(tc, slope, 0.0)
            sum_A += tl.sum(adjoint * kept * dt[:, :, None], 0)
            sum_D += tl.sum(grad * x, 0)
            sum_bias += tl.sum(slope, 0)
            mixed = (
                block.to(tl.int64) * dB_s
                + batch * dB_b
                + group * dB_g
                + at[:, None] * dB_t
                + n[None, :] * dB_n
            )
            tl.store(dB + mixed, tl.sum(adjoint * (dt * x)[:, :, None], 1), mask=tn)
            tl.store(dC + mixed, tl.sum(states * grad[:, :, None], 1), mask=tn)
            du_at = du + batch * du_b + group * du_g + at[:, None] * du_t + c[None, :] * du_c
            dd_at = ddelta + batch * dd_b + group * dd_g + at[:, None] * dd_t + c[None, :] * dd_c
            tl.store(du_at, direct[None, :] * grad + dt * beta, mask=tc)
            tl.store(dd_at, slope, mask=tc)
    own = worker.to(tl.int64) * groups * channels + row
    tl.store(dA + own[:, None] * N + n[None, :], sum_A, mask=is_cn)
    if HAS_D:
        tl.store(dD + own, sum_D, mask=is_c)
    if HAS_BIAS:
        tl.store(dbias + own, sum_bias, mask=is_c)
