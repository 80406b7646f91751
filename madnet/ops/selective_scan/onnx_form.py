"""The scan in ONNX: standard operators around one ``Scan`` node, for sequences of any length.

:func:`torch.onnx.export` meets the custom op when it follows a trace (``dynamo=False``) and writes a node
that stands for it; :func:`inline_scans` then puts the operators in the place of every such node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from .backend import ScanInputs, compute_dtype, sequences_of
from .directions import from_sequences

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17
_DOMAIN = 'madnet'

# u, rate (B, K·d, L), A (K·d, N), B and C (B, K, N, L) → y (B, K·d, L); h is (B, K, d, N).
_FUNCTION = f"""
<domain: "{_DOMAIN}", opset_import: ["" : {OPSET}]>
SelectiveScan (u, rate, A, B, C) => (y)
{{
    zero = Constant <value_ints = [0]> ()
    one = Constant <value_ints = [1]> ()
    two = Constant <value_ints = [2]> ()
    three = Constant <value_ints = [3]> ()
    rest = Constant <value_ints = [-1]> ()
    shape_u = Shape (u)
    shape_B = Shape (B)
    batch = Slice (shape_u, zero, one)
    length = Slice (shape_u, two, three)
    groups = Slice (shape_B, one, two)
    states = Slice (shape_B, two, three)
    sequence_shape = Concat <axis = 0> (batch, groups, rest, length)
    A_shape = Concat <axis = 0> (groups, rest, states)
    rates = Reshape (rate, sequence_shape)
    drive = Mul (rate, u)
    drives = Reshape (drive, sequence_shape)
    A3 = Reshape (A, A_shape)
    shape_A3 = Shape (A3)
    channels = Slice (shape_A3, one, two)
    state_shape = Concat <axis = 0> (batch, groups, channels, states)
    start = ConstantOfShape (state_shape)
    last, last_A, ys = Scan <num_scan_inputs = 4, scan_input_axes = [3, 3, 3, 3], scan_output_axes = [3],
        body = one_step (float[batch, groups, channels, states] h, float[groups, channels, states] A_t,
                         float[batch, groups, channels] rate_t,
                         float[batch, groups, channels] drive_t, float[batch, groups, states] b_t,
                         float[batch, groups, states] c_t)
            => (float[batch, groups, channels, states] h_next, float[groups, channels, states] A_next,
                float[batch, groups, channels] y_t)
        {{
            at_end = Constant <value_ints = [-1]> ()
            before_end = Constant <value_ints = [-2]> ()
            rate_n = Unsqueeze (rate_t, at_end)
            exponent = Mul (rate_n, A_t)
            A_next = Identity (A_t)
            decay = Exp (exponent)
            kept = Mul (decay, h)
            drive_n = Unsqueeze (drive_t, at_end)
            b_n = Unsqueeze (b_t, before_end)
            added = Mul (drive_n, b_n)
            h_next = Add (kept, added)
            c_n = Unsqueeze (c_t, at_end)
            y_n = MatMul (h_next, c_n)
            y_t = Squeeze (y_n, at_end)
        }}> (start, A3, rates, drives, B, C)
    y = Reshape (ys, shape_u)
}}
"""


def register_symbolic() -> None:
    """Tell :func:`torch.onnx.export` what to write for the scan's custom op."""
    torch.onnx.register_custom_op_symbolic('madnet::selective_scan', _symbolic, OPSET)


def _symbolic(g, u, rate, A, B, C, *rest):
    y = g.op(f'{_DOMAIN}::SelectiveScan', u, rate, A, B, C)
    y.setType(u.type())
    return y, g.op('Constant', value_t=torch.zeros(0))  # the states, which nothing asks for


def scan_in_trace(inputs: ScanInputs, maps: bool) -> Tensor:
    """:func:`madnet.ops.selective_scan`, or with ``maps`` :func:`madnet.ops.selective_scan_2d`, as one call
    of the custom op that the exporter knows, everything around it in operations of torch."""
    from .custom_op import scan

    height, width = inputs.u.shape[1:3]
    if maps:
        inputs = sequences_of(inputs)
    u, rate, A, B, C = (x.to(compute_dtype(inputs)) for x in inputs[:5])
    if inputs.delta_bias is not None:
        rate = rate + inputs.delta_bias[:, None]
    if inputs.delta_softplus:
        rate = F.softplus(rate)
    y = scan(u, rate, A, B, C, None, None, False, False, 'torch', False)[0]
    if inputs.D is not None:
        y = y + inputs.D[:, None] * u
    if not maps:
        return y
    batch, channels, length = y.shape
    return from_sequences(y.reshape(batch, 4, channels // 4, length), height, width)


def inline_scans(model: ModelProto) -> ModelProto:
    """The model with every scan in standard operators.

    Raises:
        ImportError: The package onnx is missing.
    """
    import onnx.inliner
    import onnx.parser

    if not any(node.domain == _DOMAIN for node in model.graph.node):
        return model
    model.functions.append(onnx.parser.parse_function(_FUNCTION))
    return onnx.inliner.inline_local_functions(model)
