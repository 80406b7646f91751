"""The definition of the selective scan, step by step: what every other backend is tested against."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .backend import Backend, ScanGradients, ScanInputs, ScanShape, compute_dtype, shape_of


def plain_scan(inputs: ScanInputs) -> Tensor:
    """The forward recurrence in differentiable torch operations, one step at a time (Mamba, algorithm 2).

    With A_dn negative, group k(d) of channel d, and s_t = delta_t + bias:
    Δ_t = softplus(s_t) ;  h_tn = exp(Δ_t A_dn) h_{t−1,n} + Δ_t u_t B_tn ;  y_t = Σ_n C_tn h_tn + D_d u_t.

    Returns:
        y (batch, K·d, L) in the compute dtype.
    """
    shape, dtype = shape_of(inputs), compute_dtype(inputs)
    u, step, A = inputs.u.to(dtype), _steps(inputs), inputs.A.to(dtype)
    B, C = (
        t.to(dtype).repeat_interleave(shape.channels, 1) for t in (inputs.B, inputs.C)
    )  # (batch, K·d, N, L)
    decay = torch.exp(step.unsqueeze(3) * A[None, :, None])  # (batch, K·d, L, N)
    drive = (step * u).unsqueeze(3) * B.transpose(2, 3)
    h = drive.new_zeros(shape.batch, shape.groups * shape.channels, shape.states)
    y = []
    for t in range(shape.length):
        h = decay[:, :, t] * h + drive[:, :, t]
        y.append((h * C[..., t]).sum(2))
    y = torch.stack(y, 2)
    return y if inputs.D is None else y + inputs.D.to(dtype)[:, None] * u


def _steps(inputs: ScanInputs) -> Tensor:
    """Δ (batch, K·d, L)."""
    step = inputs.delta.to(compute_dtype(inputs))
    if inputs.delta_bias is not None:
        step = step + inputs.delta_bias.to(step.dtype)[:, None]
    return F.softplus(step) if inputs.delta_softplus else step


class ReferenceBackend(Backend):
    """Sequential, in plain torch operations; saves nothing and builds whole (batch, K·d, L, N) tensors."""

    name = 'reference'

    def why_not(self, device: torch.device, dtype: torch.dtype) -> str | None:
        return None

    def states_shape(self, shape: ScanShape) -> tuple[int, ...]:
        return (0,)

    def forward(self, inputs: ScanInputs, save: bool) -> tuple[Tensor, Tensor]:
        return plain_scan(inputs).to(inputs.u.dtype), inputs.u.new_empty(0, dtype=compute_dtype(inputs))

    def backward(self, grad: Tensor, inputs: ScanInputs, states: Tensor) -> ScanGradients:
        """Right to left: λ_tn = g_t C_tn + a_{t+1,n} λ_{t+1,n}, from which every gradient follows."""
        shape, dtype = shape_of(inputs), compute_dtype(inputs)
        grouped = (shape.batch, shape.groups, shape.channels)
        u, g, step, A = inputs.u.to(dtype), grad.to(dtype), _steps(inputs), inputs.A.to(dtype)
        B, C = (t.to(dtype).repeat_interleave(shape.channels, 1) for t in (inputs.B, inputs.C))
        decay = torch.exp(step.unsqueeze(3) * A[None, :, None])
        h = [torch.zeros_like(decay[:, :, 0])]  # h[t + 1] is the state after step t
        for t in range(shape.length):
            h.append(decay[:, :, t] * h[t] + (step * u)[:, :, t, None] * B[..., t])
        du, dstep = torch.empty_like(u), torch.empty_like(u)
        dA, dB, dC = torch.zeros_like(A), torch.empty_like(B), torch.empty_like(C)
        arriving = torch.zeros_like(h[0])  # a_{t+1} λ_{t+1}
        for t in reversed(range(shape.length)):
            adjoint = g[:, :, t, None] * C[..., t] + arriving
            kept = decay[:, :, t] * h[t]  # what the step keeps of the state before
            beta = (adjoint * B[..., t]).sum(2)
            du[:, :, t] = step[:, :, t] * beta
            dstep[:, :, t] = u[:, :, t] * beta + (adjoint * A * kept).sum(2)
            dA += (adjoint * kept * step[:, :, t, None]).sum(0)
            dB[..., t] = adjoint * (step * u)[:, :, t, None]
            dC[..., t] = g[:, :, t, None] * h[t + 1]
            arriving = decay[:, :, t] * adjoint
        ddelta = dstep
        if inputs.delta_softplus:
            # The slope of softplus, sigmoid(s), from Δ itself: 1 − exp(−Δ).
            ddelta = dstep * -torch.expm1(-step)
        if inputs.D is not None:
            du += inputs.D.to(dtype)[:, None] * g
        return ScanGradients(
            du.to(inputs.u.dtype),
            ddelta.to(inputs.delta.dtype),
            dA.to(inputs.A.dtype),
            dB.unflatten(1, grouped[1:]).sum(2).to(inputs.B.dtype),
            dC.unflatten(1, grouped[1:]).sum(2).to(inputs.C.dtype),
            None if inputs.D is None else (g * u).sum((0, 2)).to(inputs.D.dtype),
            None if inputs.delta_bias is None else ddelta.sum((0, 2)).to(inputs.delta_bias.dtype),
        )
