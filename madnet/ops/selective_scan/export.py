"""The scan in the form that exporters understand: torch's higher-order scan, one ``Scan`` node in ONNX."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .backend import ScanInputs, compute_dtype, sequences_of
from .directions import from_sequences


def exportable_scan(inputs: ScanInputs) -> Tensor:
    """:func:`madnet.ops.selective_scan` as a graph whose length stays dynamic; forward only."""
    from torch._higher_order_ops.scan import scan as higher_order_scan

    dtype = compute_dtype(inputs)
    batch, groups, states, _ = inputs.B.shape
    u = inputs.u.to(dtype)
    step = inputs.delta.to(dtype)
    if inputs.delta_bias is not None:
        step = step + inputs.delta_bias.to(dtype)[:, None]
    if inputs.delta_softplus:
        step = F.softplus(step)
    A = inputs.A.to(dtype).unflatten(0, (groups, -1))  # (K, d, N)

    def one_step(h: Tensor, now: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        x, d, b, c = now
        h = torch.exp(d.unsqueeze(3) * A) * h + (d * x).unsqueeze(3) * b.unsqueeze(2)
        return h, (h * c.unsqueeze(2)).sum(3)

    over = tuple(
        x.permute(3, 0, 1, 2).contiguous()
        for x in (
            u.unflatten(1, (groups, -1)),
            step.unflatten(1, (groups, -1)),
            inputs.B.to(dtype),
            inputs.C.to(dtype),
        )
    )
    start = u.new_zeros(batch, groups, u.shape[1] // groups, states)
    _, y = higher_order_scan(one_step, start, over, dim=0)  # (L, batch, K, d)
    y = y.permute(1, 2, 3, 0).flatten(1, 2)
    if inputs.D is not None:
        y = y + inputs.D.to(dtype)[:, None] * u
    return y.to(inputs.u.dtype)


def exportable_scan_2d(inputs: ScanInputs) -> Tensor:
    """:func:`madnet.ops.selective_scan_2d` likewise."""
    height, width = inputs.u.shape[1:3]
    return from_sequences(exportable_scan(sequences_of(inputs)).unflatten(1, (4, -1)), height, width)
