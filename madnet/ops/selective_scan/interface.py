"""The selective scan as users call it: arguments are checked here, and the backend is chosen."""

import functools
import warnings

import torch
from torch import Tensor

from .backend import ScanInputs, compute_dtype
from .custom_op import BACKENDS, scan
from .export import exportable_scan, exportable_scan_2d
from .onnx_form import scan_in_trace


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    backend: str = 'auto',
) -> Tensor:
    """Selective scan of K groups of d channels with N states each (S6; Gu and Dao, Mamba, 2023, algorithm 2).

    For every channel, with k the group it belongs to::

        Δ_t = softplus(delta_t + bias)        (or delta_t + bias)
        h_t = exp(Δ_t A) h_{t−1} + Δ_t u_t B_t ,  h_{−1} = 0
        y_t = ⟨C_t, h_t⟩ + D u_t

    States are float32 (float64 if any tensor is), whatever the dtype of the tensors, which may differ.

    Args:
        u: Input (batch, K·d, L), L ≥ 1.
        delta: Step sizes before bias and softplus (batch, K·d, L).
        A: (K·d, N), negative for a state that decays.
        B: Input weights (batch, K, N, L).
        C: Output weights (batch, K, N, L).
        D: Weight of the direct path (K·d,).
        delta_bias: (K·d,).
        delta_softplus: Whether the steps go through softplus.
        backend: ``'auto'``, the best of :func:`selective_scan_backends` that takes these tensors, or one by
            name.

    Returns:
        y (batch, K·d, L), in the dtype of u. Differentiable once in every tensor.

    Raises:
        ValueError: Shapes or devices that do not go together, an unknown backend.
        RuntimeError: A backend asked for by name that cannot serve here.
    """
    inputs = ScanInputs(u, delta, A, B, C, D, delta_bias, delta_softplus)
    if u.dim() != 3 or B.dim() != 4 or A.dim() != 2:
        _refuse('selective_scan', inputs, 'u (batch, K·d, L), A (K·d, N), B (batch, K, N, L)')
    batch, channels, length = u.shape
    groups, states = B.shape[1], A.shape[1]
    _check(
        'selective_scan', inputs, channels, groups, (batch, channels, length), (batch, groups, states, length)
    )
    if backend == 'auto' and torch.onnx.is_in_onnx_export():
        return scan_in_trace(inputs, maps=False)
    if backend == 'auto' and torch.compiler.is_exporting():
        return exportable_scan(inputs)
    return scan(*inputs, False, choose_backend(inputs, backend), _wants_gradient(inputs))[0]


def selective_scan_2d(
    x: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    backend: str = 'auto',
) -> Tensor:
    """Selective scan over maps in four directions, summed (Liu et al., VMamba, 2024, SS2D).

    Direction k is group k of a :func:`selective_scan` whose step t visits the pixel of row-major index t
    (k = 0), (t mod H)·W + t div H (k = 1), or what directions 0 and 1 visit at L − 1 − t (k = 2, 3). All
    tensors are in pixel order with the channels last; the backends ``triton`` and ``cpu`` make no copies in
    the order of a direction.

    Args:
        x: Input (batch, H, W, d), the same for all directions.
        delta: Step sizes before bias and softplus (batch, H, W, 4, d).
        A: (4·d, N).
        B: (batch, H, W, 4, N).
        C: (batch, H, W, 4, N).
        D: (4·d,).
        delta_bias: (4·d,).
        delta_softplus: Whether the steps go through softplus.
        backend: As for :func:`selective_scan`.

    Returns:
        y (batch, H, W, d), in the dtype of x. Differentiable once in every tensor.

    Raises:
        ValueError: Shapes or devices that do not go together, an unknown backend.
        RuntimeError: A backend asked for by name that cannot serve here.
    """
    inputs = ScanInputs(x, delta, A, B, C, D, delta_bias, delta_softplus)
    if x.dim() != 4 or B.dim() != 5 or A.dim() != 2:
        _refuse('selective_scan_2d', inputs, 'x (batch, H, W, d), A (4·d, N), B (batch, H, W, 4, N)')
    *pixels, channels = x.shape
    _check('selective_scan_2d', inputs, 4 * channels, 4, (*pixels, 4, channels), (*pixels, 4, A.shape[1]))
    if backend == 'auto' and torch.onnx.is_in_onnx_export():
        return scan_in_trace(inputs, maps=True)
    if backend == 'auto' and torch.compiler.is_exporting():
        return exportable_scan_2d(inputs)
    return scan(*inputs, True, choose_backend(inputs, backend), _wants_gradient(inputs))[0]


def selective_scan_backends() -> list[str]:
    """The backends that work here, best first; each may be named in ``backend=``.

    ``triton`` needs a GPU (or ``TRITON_INTERPRET=1``) and the triton package, ``cpu`` the kernels that are
    compiled at install time where there is a C compiler; ``torch`` and ``reference`` are always there.
    """
    devices = [torch.device('cpu')] + ([torch.device('cuda')] if torch.cuda.is_available() else [])
    return [name for name, b in BACKENDS.items() if any(b.why_not(d, torch.float32) is None for d in devices)]


def choose_backend(inputs: ScanInputs, backend: str = 'auto') -> str:
    """The name of the backend that serves these tensors.

    Raises:
        ValueError: An unknown name.
        RuntimeError: The named backend cannot serve these tensors.
    """
    device, dtype = inputs.u.device, compute_dtype(inputs)
    if backend == 'auto':
        name = next(
            name
            for name, b in BACKENDS.items()
            if b.why_not(device, dtype) is None and b.serves_unasked(device)
        )
        if (
            name == 'torch'
            and device.type == 'cpu'
            and dtype == torch.float32
            and not torch.compiler.is_compiling()
        ):
            _warn_of_slow_fallback()
        return name
    if backend not in BACKENDS:
        known = ', '.join(['auto', *BACKENDS])
        raise ValueError(f'selective_scan: no backend is called {backend!r}; choose one of: {known}')
    if reason := BACKENDS[backend].why_not(device, dtype):
        raise RuntimeError(f"selective_scan: backend '{backend}' cannot be used: {reason}")
    return backend


@functools.cache
def _warn_of_slow_fallback() -> None:
    warnings.warn(
        'selective_scan: the compiled CPU kernels are missing, so the PyTorch form serves, several times '
        'slower; install a C compiler and install madnet again',
        stacklevel=4,
    )


def _wants_gradient(inputs: ScanInputs) -> bool:
    return torch.is_grad_enabled() and any(isinstance(t, Tensor) and t.requires_grad for t in inputs)


def _check(
    name: str,
    inputs: ScanInputs,
    channels: int,
    groups: int,
    step_shape: tuple[int, ...],
    mixed: tuple[int, ...],
) -> None:
    """One line with all shapes for what does not fit: ``step_shape`` of delta, ``mixed`` of B and C."""
    states = inputs.A.shape[1]
    expected = {'delta': step_shape, 'A': (channels, states), 'B': mixed, 'C': mixed}
    expected.update({n: (channels,) for n in ('D', 'delta_bias') if getattr(inputs, n) is not None})
    wrong = [n for n, shape in expected.items() if tuple(getattr(inputs, n).shape) != shape]
    if wrong:
        _refuse(name, inputs, ', '.join(f'{n} {tuple(expected[n])}' for n in wrong))
    if groups < 1 or channels % groups or states < 1 or min(inputs.u.shape[1:]) < 1:
        _refuse(name, inputs, 'at least one group, channel, state and step, and channels in equal groups')
    tensors = {n: t for n, t in inputs._asdict().items() if isinstance(t, Tensor)}
    if len({t.device for t in tensors.values()}) > 1:
        found = ', '.join(f'{n} {t.device}' for n, t in tensors.items())
        raise ValueError(f'{name}: all tensors must be on one device, found {found}')
    if integers := [f'{n} {t.dtype}' for n, t in tensors.items() if not t.dtype.is_floating_point]:
        raise ValueError(f'{name}: all tensors must be floating point, found {", ".join(integers)}')


def _refuse(name: str, inputs: ScanInputs, expected: str) -> None:
    tensors = {'x' if n == 'u' and name.endswith('2d') else n: t for n, t in inputs._asdict().items()}
    found = ', '.join(f'{n} {tuple(t.shape)}' for n, t in tensors.items() if isinstance(t, Tensor))
    raise ValueError(f'{name}: expected {expected}; found {found}')
