"""The scan as torch.compile, autograd, AMP and DDP see it: one custom op and its backward, for
sequences and for maps.

They take the name of a backend, chosen already: the shape of the saved states depends on it. They are
defined in a :class:`torch.library.Library` and not by ``torch.library.custom_op``, whose layers of Python
take several times as long as the start of a kernel.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

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


_ARGUMENTS = (
    'Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? delta_bias,'
    ' bool delta_softplus, bool maps, str backend'
)
_LIBRARY = torch.library.Library('madnet', 'FRAGMENT')
_LIBRARY.define(f'selective_scan({_ARGUMENTS}, bool save) -> (Tensor, Tensor)')
_LIBRARY.define(f'selective_scan_backward(Tensor grad, Tensor states, {_ARGUMENTS}) -> Tensor[]')
scan = torch.ops.madnet.selective_scan.default
scan_backward = torch.ops.madnet.selective_scan_backward.default


def _scan(u, delta, A, B, C, D, delta_bias, delta_softplus, maps, backend, save) -> tuple[Tensor, Tensor]:
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


def _fake_scan(u, delta, A, B, C, D, delta_bias, delta_softplus, maps, backend, save):
    inputs, chosen = ScanInputs(u, delta, A, B, C, D, delta_bias, delta_softplus), BACKENDS[backend]
    if not save:
        shape: tuple[int, ...] = (0,)
    else:
        shape = chosen.states_shape_2d(shape_of_2d(inputs)) if maps else chosen.states_shape(shape_of(inputs))
    return u.new_empty(u.shape), u.new_empty(shape, dtype=compute_dtype(inputs))


def _scan_backward(grad, states, u, delta, A, B, C, D, delta_bias, delta_softplus, maps, backend):
    """The gradients of the seven tensors; an empty tensor stands for those of a missing D or bias."""
    inputs, chosen = ScanInputs(u, delta, A, B, C, D, delta_bias, delta_softplus), BACKENDS[backend]
    return _gradients((chosen.backward_2d if maps else chosen.backward)(grad, inputs, states), inputs)


def _fake_backward(grad, states, u, delta, A, B, C, D, delta_bias, delta_softplus, maps, backend):
    return [u.new_empty(0) if x is None else x.new_empty(x.shape) for x in (u, delta, A, B, C, D, delta_bias)]


class _DifferentiableScan(torch.autograd.Function):
    """The op as autograd runs it: the op below autograd, and the op of its backward."""

    @staticmethod
    def forward(ctx, *arguments):
        with torch._C._AutoDispatchBelowAutograd():
            y, states = scan(*arguments)
        *tensors, softplus, maps, backend, save = arguments
        ctx.mark_non_differentiable(states)
        ctx.save_for_backward(states, *tensors)
        ctx.options, ctx.saved = (softplus, maps, backend), save
        return y, states

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, _):
        states, *tensors = ctx.saved_tensors
        if not ctx.saved:  # the scan ran where gradients seemed not to be wanted: run it again
            states = scan(*tensors, *ctx.options, True)[1]
        gradients = scan_backward(grad, states, *tensors, *ctx.options)
        present = [None if x is None else g for x, g in zip(tensors, gradients, strict=True)]
        return (*present, None, None, None, None)


_LIBRARY.impl('selective_scan', _scan, 'CompositeExplicitAutograd')
_LIBRARY.impl('selective_scan', lambda *arguments: _DifferentiableScan.apply(*arguments), 'Autograd')
_LIBRARY.impl('selective_scan_backward', _scan_backward, 'CompositeExplicitAutograd')
torch.library.register_fake('madnet::selective_scan', _fake_scan, lib=_LIBRARY)
torch.library.register_fake('madnet::selective_scan_backward', _fake_backward, lib=_LIBRARY)
