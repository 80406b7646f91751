"""Triton kernels of :func:`madnet.ops.memory_gate`: one mean after the other, all its channels at once."""

import triton
import triton.language as tl


@triton.jit
def _matrix(source, row, column, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Where the values of a matrix (ROWS, COLUMNS) lie, which are there, and the values, 0 beyond."""
    place = row[:, None] * COLUMNS + column[None, :]
    there = (row < ROWS)[:, None] & (column < COLUMNS)[None, :]
    return place, there, tl.load(source + place, mask=there, other=0.0).to(tl.float32)


@triton.jit
def _vector(source, at, SIZE: tl.constexpr):
    return tl.load(source + at, mask=at < SIZE, other=0.0).to(tl.float32)


@triton.jit
def _gate(
    mean, reduce, reduce_bias, bank, expand, expand_bias, slot, K: tl.constexpr, S: tl.constexpr
):  # fmt: skip
    """What a mean asks for (K,), the share of each slot in the answer (S,), the answer (K,), gate (C,)."""
    asked = tl.sum(reduce * mean[None, :], 1) + reduce_bias
    score = tl.sum(bank * asked[:, None], 0) / tl.sqrt(K * 1.0)
    score = tl.where(slot < S, score, float('-inf'))
    share = tl.exp(score - tl.max(score, 0))
    share = share / tl.sum(share, 0)
    answer = tl.sum(bank * share[None, :], 1)
    return asked, share, answer, tl.sigmoid(tl.sum(expand * answer[None, :], 1) + expand_bias)


@triton.jit
def gate_kernel(
    mean, reduce, reduce_bias, bank, expand, expand_bias, gate,
    C: tl.constexpr, K: tl.constexpr, S: tl.constexpr,
    C_PADDED: tl.constexpr, K_PADDED: tl.constexpr, S_PADDED: tl.constexpr,
):  # fmt: skip
    """The gate of one mean."""
    c, k, s = tl.arange(0, C_PADDED), tl.arange(0, K_PADDED), tl.arange(0, S_PADDED)
    at = tl.program_id(0) * C
    _, _, reducing = _matrix(reduce, k, c, K, C)
    _, _, memory = _matrix(bank, k, s, K, S)
    _, _, expanding = _matrix(expand, c, k, C, K)
    _, _, _, value = _gate(
        _vector(mean + at, c, C), reducing, _vector(reduce_bias, k, K), memory, expanding,
        _vector(expand_bias, c, C), s, K, S,
    )  # fmt: skip
    tl.store(gate + at + c, value.to(gate.dtype.element_ty), mask=c < C)


@triton.jit
def _add(parts, place, there, value, goes_on):
    """To what a program has added up so far, nothing at first."""
    before = tl.load(parts + place, mask=there, other=0.0)
    tl.store(parts + place, tl.where(goes_on, before, 0.0) + value, mask=there)


@triton.jit
def gradient_kernel(
    mean, reduce, reduce_bias, bank, expand, expand_bias, grad, of_mean, parts, rows,
    C: tl.constexpr, K: tl.constexpr, S: tl.constexpr,
    C_PADDED: tl.constexpr, K_PADDED: tl.constexpr, S_PADDED: tl.constexpr,
):  # fmt: skip
    """The gradient of every n-th mean, and sums for the weights over them: a row of ``parts``
    (programs, K · C + K + K · S + C · K + C)."""
    c, k, s = tl.arange(0, C_PADDED), tl.arange(0, K_PADDED), tl.arange(0, S_PADDED)
    at_kc, is_kc, reducing = _matrix(reduce, k, c, K, C)
    at_ks, is_ks, memory = _matrix(bank, k, s, K, S)
    at_ck, is_ck, expanding = _matrix(expand, c, k, C, K)
    biases = _vector(reduce_bias, k, K), _vector(expand_bias, c, C)
    part = parts + tl.program_id(0) * (2 * K * C + K + K * S + C)
    for row in range(tl.program_id(0), rows, tl.num_programs(0)):
        goes_on = row > tl.program_id(0)
        given = _vector(mean + row * C, c, C)
        asked, share, answer, gate = _gate(given, reducing, biases[0], memory, expanding, biases[1], s, K, S)
        slope = _vector(grad + row * C, c, C) * gate * (1.0 - gate)
        of_answer = tl.sum(expanding * slope[:, None], 0)
        of_share = tl.sum(memory * of_answer[:, None], 0)
        of_score = share * (of_share - tl.sum(share * of_share, 0)) / tl.sqrt(K * 1.0)
        of_asked = tl.sum(memory * of_score[None, :], 1)
        of_given = tl.sum(reducing * of_asked[:, None], 0)
        tl.store(of_mean + row * C + c, of_given.to(of_mean.dtype.element_ty), mask=c < C)
        _add(part, at_kc, is_kc, of_asked[:, None] * given[None, :], goes_on)
        _add(part + K * C, k, k < K, of_asked, goes_on)
        of_bank = of_answer[:, None] * share[None, :] + asked[:, None] * of_score[None, :]
        _add(part + K * C + K, at_ks, is_ks, of_bank, goes_on)
        _add(part + K * C + K + K * S, at_ck, is_ck, slope[:, None] * answer[None, :], goes_on)
        _add(part + 2 * K * C + K + K * S, c, c < C, slope, goes_on)
        tl.debug_barrier()  # another thread may go on with a sum
