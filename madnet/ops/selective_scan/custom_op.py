"""The scan as torch.compile, autograd, AMP and DDP see it: one custom op and its backward, for
sequences and for maps.

They take the name of a backend, chosen already: the shape of the saved states depends on it.
"""

import torch
from torch import Tensor

from .backend import Backend, ScanGradients, ScanInputs, compute_dtype, shape_of, shape_of_2d
from .cpu_backend import CpuBackend
from .reference_backend import ReferenceBackend
from .torch_backend import TorchBackend
from .triton_backend import TritonBackend

# Best first; the reference is for tests, not for speed.
BACKENDS: dict[str, Backend] = {
    b.name: b for b in (TritonBackend(), CpuBackend(), TorchBackend(), ReferenceBackend())
}


def _gradients(g: ScanGradients, inputs: ScanInputs) -> list[Tensor]:
    """As an op may return them: none is missing, all are contiguous, none shares memory with another."""
    return [inputs.u.new_empty(0) if x is None else x.contiguous() for x in g]


@torch.library.custom_op('madnet::selective_scan', mutates_args=())
def scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    maps: bool,
    backend: str,
    save: bool,
) -> tuple[Tensor, Tensor]:
    """The scan, and the states that its backward pass wants.

    Args:
        u, delta, A, B, C, D, delta_bias, delta_softplus: As :func:`madnet.ops.selective_scan` takes them, or
            with ``maps`` as :func:`madnet.ops.selective_scan_2d` does.
        maps: Whether to scan over maps in four directions instead of over sequences.
        backend: A key of :data:`BACKENDS`.
        save: Whether the states are returned; if not, the second result is empty.

    Returns:
        y, shaped as u, and the states in the backend's own shape.
    """
    inputs, chosen = ScanInputs(u, delta, A, B, C, D, delta_bias, delta_softplus), BACKENDS[backend]
    y, states = (chosen.forward_2d if maps else chosen.forward)(inputs, save)
    return y.contiguous(), states


@scan.register_fake
def _(u, delta, A, B, C, D, delta_bias, delta_softplus, maps, backend, save):
    inputs, chosen = ScanInputs(u, delta, A, B, C, D, delta_bias, delta_softplus), BACKENDS[backend]
    if not save:
        shape: tuple[int, ...] = (0,)
    else:
        shape = chosen.states_shape_2d(shape_of_2d(inputs)) if maps else chosen.states_shape(shape_of(inputs))
    return u.new_empty(u.shape), u.new_empty(shape, dtype=compute_dtype(inputs))


@torch.library.custom_op('madnet::selective_scan_backward', mutates_args=())
def scan_backward(
    grad: Tensor,
    states: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    maps: bool,
    backend: str,
) -> list[Tensor]:
    """The gradients of the seven tensors; an empty tensor stands for those of a missing D or bias."""
    inputs, chosen = ScanInputs(u, delta, A, B, C, D, delta_bias, delta_softplus), BACKENDS[backend]
    return _gradients((chosen.backward_2d if maps else chosen.backward)(grad, inputs, states), inputs)


@scan_backward.register_fake
def _(grad, states, u, delta, A, B, C, D, delta_bias, delta_softplus, maps, backend):
    return [u.new_empty(0) if x is None else x.new_empty(x.shape) for x in (u, delta, A, B, C, D, delta_bias)]


def _setup_context(ctx, inputs, output):
    *tensors, softplus, maps, backend, save = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1], *tensors)
    ctx.options, ctx.saved = (softplus, maps, backend), save


def _run_backward(ctx, grad, _):
    states, *tensors = ctx.saved_tensors
    if not ctx.saved:  # the scan ran where gradients seemed not to be wanted: run it again
        states = scan(*tensors, *ctx.options, True)[1]
    gradients = scan_backward(grad, states, *tensors, *ctx.options)
    present = [None if x is None else g for x, g in zip(tensors, gradients, strict=True)]
    return (*present, None, None, None, None)


scan.register_autograd(_run_backward, setup_context=_setup_context)
