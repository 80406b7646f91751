"""The selective scan in PyTorch operations alone, with a hand-written backward pass.

States are laid out (group, state, channel, sequence): decay, drive and read-out then are element-wise
products whose innermost axes lie contiguous, and the sum over the states runs over an outer axis. A long
sequence is cut into chunks that run side by side as if they were sequences of their own; the state that
enters each of them follows from the chunks' ends and total decays (all factors ≤ 1, so nothing overflows),
and is put in before the outputs are formed. Time is also cut into segments, one after the other, so that the
memory for a backward pass is bounded.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .backend import Backend, ScanGradients, ScanInputs, ScanShape, compute_dtype, shape_of

# A loop over all steps where the sequence is that short, or where one step alone keeps the machine busy.
SHORT = 64
BUSY = 1 << 17
SEGMENT = 1 << 24  # elements of one (step, state) tensor that a backward pass may hold


def _segments(shape: ScanShape) -> list[tuple[int, int]]:
    """Time cut into pieces (begin, end) whose states all fit into SEGMENT elements."""
    per_step = max(shape.batch * shape.groups * shape.channels * shape.states, 1)
    size = max(SEGMENT // per_step, SHORT)
    return [(begin, min(begin + size, shape.length)) for begin in range(0, shape.length, size)]


def _chunk_steps(shape: ScanShape, length: int) -> int:
    """Steps to a chunk for a segment of this length; the whole segment where chunks do not pay."""
    per_step = shape.batch * shape.groups * shape.channels * shape.states
    if length <= SHORT or per_step >= BUSY:
        return length
    return max(32, 1 << (length.bit_length() // 2))


class _Segment(NamedTuple):
    """A stretch of time, packed: axes (step of the chunk, group, state or 1, channel or 1, batch, chunk)."""

    u: Tensor
    step: Tensor
    drive: Tensor  # Δ_t u_t
    B: Tensor
    C: Tensor
    A: Tensor  # (group, state, channel, 1, 1)

    def decay(self, t: int) -> Tensor:
        return (self.step[t] * self.A).exp_()


def _pack(x: Tensor, axis: int, steps: int) -> Tensor:
    """(batch, group, rows, length) → (steps, group, rows, batch, chunk), padded with 0; a 1 at ``axis``."""
    chunks = -(-x.shape[3] // steps)
    x = F.pad(x, (0, chunks * steps - x.shape[3])).unflatten(3, (chunks, steps))
    return x.permute(4, 1, 2, 0, 3).contiguous().unsqueeze(axis)


def _unpack(x: Tensor, length: int) -> Tensor:
    """(steps, group, rows, batch, chunk) → (batch, group, rows, length)."""
    return x.permute(3, 1, 2, 4, 0).flatten(3)[..., :length]


class _Problem:
    """The inputs in the compute dtype, and cut to segments."""

    def __init__(self, inputs: ScanInputs):
        self.shape = shape_of(inputs)
        dtype = compute_dtype(inputs)
        groups = (self.shape.groups, self.shape.channels)
        self.u = inputs.u.to(dtype).unflatten(1, groups)
        self.raw = inputs.delta.to(dtype)
        if inputs.delta_bias is not None:
            self.raw = self.raw + inputs.delta_bias.to(dtype)[:, None]
        self.step = (F.softplus(self.raw) if inputs.delta_softplus else self.raw).unflatten(1, groups)
        self.B, self.C = inputs.B.to(dtype), inputs.C.to(dtype)
        self.A = inputs.A.to(dtype).unflatten(0, groups).transpose(1, 2).contiguous()[..., None, None]

    def segment(self, begin: int, end: int) -> _Segment:
        steps = _chunk_steps(self.shape, end - begin)
        u, step = (_pack(x[..., begin:end], 2, steps) for x in (self.u, self.step))
        B, C = (_pack(x[..., begin:end], 3, steps) for x in (self.B, self.C))
        return _Segment(u, step, step * u, B, C, self.A)

    def zero_state(self) -> Tensor:
        batch, groups, channels, states, _ = self.shape
        return self.u.new_zeros(groups, states, channels, batch)


def _carry(ends: Tensor, totals: Tensor, state: Tensor, backwards: bool = False) -> tuple[Tensor, Tensor]:
    """From the chunks' own ends and decays: the state that enters every chunk, and the one after the last."""
    entering = torch.empty_like(ends)
    order = range(ends.shape[-1])
    for c in reversed(order) if backwards else order:
        entering[..., c] = state
        state = ends[..., c] + totals[..., c] * state
    return entering, state


def _entering_states(
    s: _Segment, state: Tensor, keep: list[Tensor] | None = None
) -> tuple[Tensor, Tensor | None]:
    """The state that enters each chunk of the segment and, with several chunks, the one that leaves the last.

    The decays of all steps are put into ``keep`` where it is given: a later pass needs no exponentials then.
    """
    chunks = s.step.shape[-1]
    if chunks == 1:
        return state.unsqueeze(-1), None
    h = torch.zeros_like(s.A * s.step[0])
    for t in range(s.step.shape[0]):
        decay = s.decay(t)
        h.mul_(decay).add_(s.drive[t] * s.B[t])
        if keep is not None:
            keep.append(decay)
    return _carry(h, (s.step.sum(0) * s.A).exp_(), state)


def _segment_forward(s: _Segment, state: Tensor) -> tuple[Tensor, Tensor]:
    """y without the part of D, (step, group, channel, batch, chunk), and the state after the segment."""
    decays: list[Tensor] = []
    h, after = _entering_states(s, state, decays)
    h = h.expand(*h.shape[:-1], s.step.shape[-1]).clone()
    y = torch.empty_like(s.u.squeeze(2))
    for t in range(s.step.shape[0]):
        h.mul_(decays[t] if decays else s.decay(t)).add_(s.drive[t] * s.B[t])
        torch.sum(h * s.C[t], 1, out=y[t])
    return y, h[..., -1] if after is None else after


def _segment_backward(s: _Segment, g: Tensor, state: Tensor, arriving: Tensor) -> tuple[Tensor, ...]:
    """β, Σ λ A p, dA, dB, dC of a segment, and the adjoint that leaves it at its start.

    Args:
        g: Gradient of y, packed like u.
        state: What enters the segment, (group, state, channel, batch).
        arriving: a·λ of the step after the segment, in the same axes.
    """
    steps, chunks = s.step.shape[0], s.step.shape[-1]
    decays: list[Tensor] = []
    h, _ = _entering_states(s, state, decays)
    decays = decays or [s.decay(t) for t in range(steps)]
    kept = []  # a_t h_{t−1}
    for t in range(steps):
        kept.append(decays[t] * h)
        h = torch.addcmul(kept[t], s.drive[t], s.B[t])

    leaving = None
    if chunks > 1:
        local = torch.zeros_like(h)
        for t in reversed(range(steps)):
            local.add_(g[t] * s.C[t]).mul_(decays[t])
        arriving, leaving = _carry(local, (s.step.sum(0) * s.A).exp_(), arriving, backwards=True)
    else:
        arriving = arriving.unsqueeze(-1)

    beta, through = torch.empty_like(s.u.squeeze(2)), torch.empty_like(s.u.squeeze(2))
    dB, dC = torch.empty_like(s.B.squeeze(3)), torch.empty_like(s.C.squeeze(3))
    dA = torch.zeros_like(h)
    for t in reversed(range(steps)):
        adjoint = torch.addcmul(arriving, g[t], s.C[t])
        torch.sum(adjoint * s.drive[t], 2, out=dB[t])
        torch.sum(g[t] * torch.addcmul(kept[t], s.drive[t], s.B[t]), 2, out=dC[t])
        torch.sum(adjoint * s.B[t], 1, out=beta[t])
        product = kept[t].mul_(adjoint)
        torch.sum(product * s.A, 1, out=through[t])
        dA.addcmul_(product, s.step[t])
        arriving = decays[t].mul_(adjoint)
    return beta, through, dA.sum((3, 4)), dB, dC, arriving[..., 0] if leaving is None else leaving


class TorchBackend(Backend):
    """Loop over time for short sequences and wide steps, chunks side by side for long ones."""

    name = 'torch'

    def why_not(self, device: torch.device, dtype: torch.dtype) -> str | None:
        return None

    def states_shape(self, shape: ScanShape) -> tuple[int, ...]:
        return (len(_segments(shape)) - 1, shape.groups, shape.states, shape.channels, shape.batch)

    def forward(self, inputs: ScanInputs, save: bool) -> tuple[Tensor, Tensor]:
        problem, shape = _Problem(inputs), shape_of(inputs)
        y = torch.empty_like(problem.u)
        state, saved = problem.zero_state(), []
        for begin, end in _segments(shape):
            if save and begin:
                saved.append(state)
            segment_y, state = _segment_forward(problem.segment(begin, end), state)
            y[..., begin:end] = _unpack(segment_y, end - begin)
        if inputs.D is not None:
            y.addcmul_(inputs.D.to(y.dtype).view(shape.groups, shape.channels, 1), problem.u)
        states = torch.stack(saved) if saved else y.new_empty(self.states_shape(shape) if save else 0)
        return y.flatten(1, 2).to(inputs.u.dtype), states

    def backward(self, grad: Tensor, inputs: ScanInputs, states: Tensor) -> ScanGradients:
        problem, shape = _Problem(inputs), shape_of(inputs)
        g = grad.to(problem.u.dtype).unflatten(1, (shape.groups, shape.channels))
        u, step = problem.u, problem.step
        beta, through = torch.empty_like(u), torch.empty_like(u)
        dA = torch.zeros_like(problem.A[..., 0, 0])
        dB, dC = torch.empty_like(problem.B), torch.empty_like(problem.C)
        arriving = problem.zero_state()
        for i, (begin, end) in reversed(list(enumerate(_segments(shape)))):
            s = problem.segment(begin, end)
            packed = _pack(g[..., begin:end], 2, s.step.shape[0])
            state = states[i - 1] if i else problem.zero_state()
            *parts, part_A, part_B, part_C, arriving = _segment_backward(s, packed, state, arriving)
            beta[..., begin:end], through[..., begin:end] = (_unpack(x, end - begin) for x in parts)
            dB[..., begin:end], dC[..., begin:end] = (_unpack(x, end - begin) for x in (part_B, part_C))
            dA += part_A
        du = step * beta
        if inputs.D is not None:
            du.addcmul_(inputs.D.to(du.dtype).view(shape.groups, shape.channels, 1), g)
        ddelta = torch.addcmul(through, u, beta).flatten(1, 2)
        if inputs.delta_softplus:
            ddelta = ddelta * torch.sigmoid(problem.raw)
        return ScanGradients(
            du.flatten(1, 2).to(inputs.u.dtype),
            ddelta.to(inputs.delta.dtype),
            dA.transpose(1, 2).flatten(0, 1).to(inputs.A.dtype),
            dB.to(inputs.B.dtype),
            dC.to(inputs.C.dtype),
            None if inputs.D is None else (g * u).sum((0, 3)).flatten().to(inputs.D.dtype),
            None if inputs.delta_bias is None else ddelta.sum((0, 2)).to(inputs.delta_bias.dtype),
        )
