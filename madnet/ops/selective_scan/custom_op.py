"""The scan as torch.compile, autograd, AMP and DDP see it: one custom op for each form, with its backward.

The ops take the name of a backend, chosen already: the shapes of the saved states depend on it.
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


def _states_like(inputs: ScanInputs, backend: str, save: bool, maps: bool) -> Tensor:
    chosen = BACKENDS[backend]
    if not save:
        shape: tuple[int, ...] = (0,)
    elif maps:
        shape = chosen.states_shape_2d(shape_of_2d(inputs))
    else:
        shape = chosen.states_shape(shape_of(inputs))
    return inputs.u.new_empty(shape, dtype=compute_dtype(inputs))


def _gradients(g: ScanGradients, inputs: ScanInputs) -> list[Tensor]:
    """As an op may return them: none is missing, all are contiguous, none shares memory with another."""
    return [inputs.u.new_empty(0) if x is None else x.contiguous() for x in g]


def _gradients_like(inputs: ScanInputs) -> list[Tensor]:
    tensors = (inputs.u, inputs.delta, inputs.A, inputs.B, inputs.C, inputs.D, inputs.delta_bias)
    return [inputs.u.new_empty(0) if x is None else x.new_empty(x.shape) for x in tensors]


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
    backend: str,
    save: bool,
) -> tuple[Tensor, Tensor]:
    """Scan over sequences: y, and the states that the backward pass wants (empty unless ``save``)."""
    y, states = BACKENDS[backend].forward(ScanInputs(u, delta, A, B, C, D, delta_bias, delta_softplus), save)
    return y.contiguous(), states


@scan.register_fake
def _(u, delta, A, B, C, D, delta_bias, delta_softplus, backend, save):
    inputs = ScanInputs(u, delta, A, B, C, D, delta_bias, delta_softplus)
    return u.new_empty(u.shape), _states_like(inputs, backend, save, maps=False)


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
    backend: str,
) -> list[Tensor]:
    """The gradients of the seven tensors; an empty tensor stands for those of a missing D or bias."""
    inputs = ScanInputs(u, delta, A, B, C, D, delta_bias, delta_softplus)
    return _gradients(BACKENDS[backend].backward(grad, inputs, states), inputs)


@scan_backward.register_fake
def _(grad, states, u, delta, A, B, C, D, delta_bias, delta_softplus, backend):
    return _gradients_like(ScanInputs(u, delta, A, B, C, D, delta_bias, delta_softplus))


@torch.library.custom_op('madnet::selective_scan_2d', mutates_args=())
def scan_2d(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    backend: str,
    save: bool,
) -> tuple[Tensor, Tensor]:
    """Scan over maps in four directions: their sum, and the states that the backward pass wants."""
    y, states = BACKENDS[backend].forward_2d(
        ScanInputs(u, delta, A, B, C, D, delta_bias, delta_softplus), save
    )
    return y.contiguous(), states


@scan_2d.register_fake
def _(u, delta, A, B, C, D, delta_bias, delta_softplus, backend, save):
    inputs = ScanInputs(u, delta, A, B, C, D, delta_bias, delta_softplus)
    return u.new_empty(u.shape), _states_like(inputs, backend, save, maps=True)


@torch.library.custom_op('madnet::selective_scan_2d_backward', mutates_args=())
def scan_2d_backward(
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
    backend: str,
) -> list[Tensor]:
    """The gradients of the seven tensors; an empty tensor stands for those of a missing D or bias."""
    inputs = ScanInputs(u, delta, A, B, C, D, delta_bias, delta_softplus)
    return _gradients(BACKENDS[backend].backward_2d(grad, inputs, states), inputs)


@scan_2d_backward.register_fake
def _(grad, states, u, delta, A, B, C, D, delta_bias, delta_softplus, backend):
    return _gradients_like(ScanInputs(u, delta, A, B, C, D, delta_bias, delta_softplus))


def _make_autograd(forward, backward):
    """Autograd for a pair of ops; a forward pass that saved nothing is run again when gradients are asked."""

    def setup_context(ctx, inputs, output):
        *tensors, softplus, backend, save = inputs
        states = output[1]
        ctx.mark_non_differentiable(states)
        ctx.save_for_backward(states, *tensors)
        ctx.options = softplus, backend, save

    def run_backward(ctx, grad, _):
        states, *tensors = ctx.saved_tensors
        softplus, backend, saved = ctx.options
        if not saved:
            states = forward(*tensors, softplus, backend, True)[1]
        gradients = backward(grad, states, *tensors, softplus, backend)
        present = [None if x is None else g for x, g in zip(tensors, gradients, strict=True)]
        return (*present, None, None, None)

    forward.register_autograd(run_backward, setup_context=setup_context)


_make_autograd(scan, scan_backward)
_make_autograd(scan_2d, scan_2d_backward)
