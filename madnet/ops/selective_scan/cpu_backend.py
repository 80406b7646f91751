"""The compiled backend: C kernels (csrc/) behind ctypes, so one build serves every Python and torch."""

import ctypes
import functools
import os
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .backend import Backend, ScanGradients, ScanInputs, ScanShape, pixel_stride, shape_of, shape_of_2d


class _View(ctypes.Structure):
    """ScanView of csrc/scan.h."""

    _fields_ = [('data', ctypes.c_void_p), *((n, ctypes.c_int64) for n in ('batch', 'group', 'lane', 'step'))]


class _Problem(ctypes.Structure):
    """ScanProblem of csrc/scan.h."""

    _fields_ = [
        *(
            (n, ctypes.c_int64)
            for n in ('batch', 'groups', 'channels', 'states', 'length', 'height', 'width')
        ),
        ('splits', ctypes.c_int64),
        ('softplus', ctypes.c_int32),
        ('threads', ctypes.c_int32),
        *((n, _View) for n in ('u', 'delta', 'B', 'C')),
        *((n, ctypes.c_void_p) for n in ('A', 'D', 'bias')),
        ('y', _View),
        ('checkpoints', ctypes.c_void_p),
        *((n, _View) for n in ('grad', 'du', 'ddelta', 'dB', 'dC')),
        *((n, ctypes.c_void_p) for n in ('dA', 'dD', 'dbias')),
    ]


class Kernels:
    """The kernels of one instruction set."""

    def __init__(self, library: ctypes.CDLL, variant: str):
        self.variant = variant
        self.lanes = getattr(library, f'scan_lanes_{variant}')()
        self.chunk = library.scan_chunk()
        self.parallel = bool(library.scan_has_openmp())
        self._forward = getattr(library, f'scan_forward_{variant}')
        self._backward = getattr(library, f'scan_backward_{variant}')
        self._probe = getattr(library, f'scan_exp_probe_{variant}')
        self._probe.restype, self._probe.argtypes = ctypes.c_double, [ctypes.c_int64]

    def run(self, problem: _Problem, backward: bool = False) -> None:
        """Raises MemoryError where the kernels could not have their buffers."""
        if (self._backward if backward else self._forward)(ctypes.byref(problem)):
            raise MemoryError('selective_scan: no memory left for the buffers of the cpu backend')

    def exponentials(self, count: int) -> float:
        """Compute this many exponentials from registers in one thread: a bound of the scan, in benchmarks."""
        return self._probe(count)


@functools.cache
def load_kernels() -> Kernels | None:
    """The kernels for this processor; ``None`` where they were not built.

    ``MADNET_SCAN_ISA=baseline`` asks for the build without AVX2.
    """
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name('_kernels' + suffix)
        if path.is_file():
            break
    else:
        return None
    try:
        library = ctypes.CDLL(str(path))
        avx2 = library.scan_has_avx2() and os.environ.get('MADNET_SCAN_ISA') != 'baseline'
        return Kernels(library, 'avx2' if avx2 else 'baseline')
    except (OSError, AttributeError):  # built for another system or by another release
        return None


# Looked up here and not at the first call, so that torch.compile need not trace the search.
KERNELS: Any = load_kernels()  # None where there are none, which why_not tells


def _float32(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.to(torch.float32).contiguous()


def _pointer(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()


class _Layout:
    """How the tensors of a scan lie in memory, for sequences (the default) or for maps."""

    def __init__(self, inputs: ScanInputs, maps: bool):
        self.maps = maps
        self.shape = shape_of_2d(inputs) if maps else shape_of(inputs)
        self.tensors: list[Tensor] = []  # kept alive until the kernel is done

    def view(self, x: Tensor, grouped: bool) -> _View:
        """(batch, K·d, L) or (batch, K, N, L); for maps (batch, H, W, d), (batch, H, W, K, d or N)."""
        if self.maps:
            group = x.stride(3) if grouped else 0
            return _View(x.data_ptr(), x.stride(0), group, x.stride(-1), pixel_stride(x))
        if grouped:
            return _View(x.data_ptr(), *x.stride())
        return _View(x.data_ptr(), x.stride(0), x.stride(1) * self.shape.channels, x.stride(1), x.stride(2))

    def read(self, x: Tensor, grouped: bool) -> _View:
        """A float32 view of an input, copied only where the kernels cannot walk through it."""
        x = x.to(torch.float32)
        if self.maps:
            if x.stride(-1) != 1 or pixel_stride(x) is None:
                x = x.contiguous()
        elif x.stride(-1) != 1 and x.stride(1) != 1 and (not grouped or x.stride(2) != 1):
            x = x.contiguous()
        self.tensors.append(x)
        return self.view(x, grouped)


# Updates of a state; starting and joining a thread costs about as much as a third of them.
WORTH_A_THREAD = 1 << 16


class CpuBackend(Backend):
    """AVX2 (or what the compiler's baseline has), OpenMP, states in registers, checkpoints every few steps.

    As many threads as ``torch.get_num_threads()`` says, fewer where there is little to do. Results do not
    depend on timing; gradients of A, B, C, D and the bias are summed in an order that depends on the number
    of threads.
    """

    name = 'cpu'

    def why_not(self, device: torch.device, dtype: torch.dtype) -> str | None:
        if KERNELS is None:
            return 'its kernels were not built: install a C compiler and install madnet again'
        if device.type != 'cpu':
            return f'it takes tensors on the CPU, these are on {device}'
        if dtype == torch.float64:
            return 'it computes in float32, these tensors are float64'
        return None

    def states_shape(self, shape: ScanShape) -> tuple[int, ...]:
        assert KERNELS is not None
        blocks = -(-shape.channels // KERNELS.lanes)
        chunks = -(-shape.length // KERNELS.chunk)
        return (shape.batch, shape.groups, blocks, chunks - 1, shape.states, KERNELS.lanes)

    def forward(self, inputs: ScanInputs, save: bool) -> tuple[Tensor, Tensor]:
        return self._forward(inputs, save, maps=False)

    def backward(self, grad: Tensor, inputs: ScanInputs, states: Tensor) -> ScanGradients:
        return self._backward(grad, inputs, states, maps=False)

    def forward_2d(self, inputs: ScanInputs, save: bool) -> tuple[Tensor, Tensor]:
        return self._forward(inputs, save, maps=True)

    def backward_2d(self, grad: Tensor, inputs: ScanInputs, states: Tensor) -> ScanGradients:
        return self._backward(grad, inputs, states, maps=True)

    def _problem(self, inputs: ScanInputs, layout: _Layout) -> _Problem:
        shape = layout.shape
        threads = torch.get_num_threads() if KERNELS.parallel else 1
        work = shape.batch * shape.groups * shape.channels * shape.states * shape.length
        threads = max(min(threads, work // WORTH_A_THREAD), 1)
        # Enough tasks for the threads, but no more partial sums of dB and dC than that takes.
        tasks = max(shape.batch * (1 if layout.maps else shape.groups), 1)
        wanted = 1 if threads == 1 else -(-2 * threads // tasks)
        A, D, bias = map(_float32, (inputs.A, inputs.D, inputs.delta_bias))
        layout.tensors += [x for x in (A, D, bias) if x is not None]
        return _Problem(
            batch=shape.batch,
            groups=shape.groups,
            channels=shape.channels,
            states=shape.states,
            length=shape.length,
            height=inputs.u.shape[1] if layout.maps else 0,
            width=inputs.u.shape[2] if layout.maps else 0,
            splits=min(wanted, -(-shape.channels // KERNELS.lanes)),
            softplus=inputs.delta_softplus,
            threads=threads,
            u=layout.read(inputs.u, grouped=False),
            delta=layout.read(inputs.delta, grouped=layout.maps),
            B=layout.read(inputs.B, grouped=True),
            C=layout.read(inputs.C, grouped=True),
            A=_pointer(A),
            D=_pointer(D),
            bias=_pointer(bias),
        )

    def _forward(self, inputs: ScanInputs, save: bool, maps: bool) -> tuple[Tensor, Tensor]:
        layout = _Layout(inputs, maps)
        problem = self._problem(inputs, layout)
        y = torch.empty(inputs.u.shape, dtype=torch.float32)
        states = torch.empty(self.states_shape(layout.shape) if save else 0, dtype=torch.float32)
        problem.y = layout.view(y, grouped=False)
        problem.checkpoints = _pointer(states) if states.numel() else None
        KERNELS.run(problem)
        return y.to(inputs.u.dtype), states

    def _backward(self, grad: Tensor, inputs: ScanInputs, states: Tensor, maps: bool) -> ScanGradients:
        layout = _Layout(inputs, maps)
        problem = self._problem(inputs, layout)
        splits = problem.splits

        def empty(like: Tensor, *first: int) -> Tensor:
            return torch.empty(*first, *like.shape, dtype=torch.float32)

        du, ddelta, dA = empty(inputs.u), empty(inputs.delta), empty(inputs.A)
        dB, dC = empty(inputs.B, splits), empty(inputs.C, splits)
        dD = None if inputs.D is None else empty(inputs.D)
        dbias = None if inputs.delta_bias is None else empty(inputs.delta_bias)
        problem.grad = layout.read(grad, grouped=False)
        problem.du, problem.ddelta = layout.view(du, grouped=False), layout.view(ddelta, grouped=maps)
        problem.dB, problem.dC = layout.view(dB.flatten(0, 1), True), layout.view(dC.flatten(0, 1), True)
        problem.dA, problem.dD, problem.dbias = _pointer(dA), _pointer(dD), _pointer(dbias)
        problem.checkpoints = _pointer(states) if states.numel() else None
        KERNELS.run(problem, backward=True)
        dB, dC = (x[0] if splits == 1 else x.sum(0) for x in (dB, dC))
        gradients = (du, ddelta, dA, dB, dC, dD, dbias)
        return ScanGradients(
            *(g if g is None else g.to(x.dtype) for g, x in zip(gradients, inputs, strict=False))
        )
