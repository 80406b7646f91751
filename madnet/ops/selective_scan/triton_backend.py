"""The GPU backend: Triton kernels behind the common interface, fused over the four directions of a map."""

import importlib.util
import os

import torch
from torch import Tensor

from .backend import Backend, ScanGradients, ScanInputs, ScanShape, pixel_stride, shape_of, shape_of_2d

HAS_TRITON = importlib.util.find_spec('triton') is not None
INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'

STEPS = 16  # to a tile; also the distance of the checkpoints
CHANNELS = 8  # to a program
WARPS = {'forward': 1, 'backward': 2}  # a tile then fits the registers: none is spilled for sm_80 and sm_90
ENOUGH = 1024  # programs that keep a GPU busy; where there are fewer, sequences are cut into segments
SEGMENT = 8  # tiles that a segment has at least
WORKERS = (
    256  # programs that share batch and segments in the backward pass, each with its own sums for A, D, bias
)


class TritonBackend(Backend):
    """Forward and backward for NVIDIA GPUs; half precision is read and written as it is, states are float32.

    Where batch, groups and channels leave the GPU idle, sequences are cut into segments that run side by
    side, at the price of a second round of exponentials. How work is divided depends on the shapes alone, and
    sums are taken in a fixed order: two runs agree to the bit.

    With ``TRITON_INTERPRET=1`` set before the first import it also takes tensors on the CPU: slowly, for
    tests.
    """

    name = 'triton'

    def why_not(self, device: torch.device, dtype: torch.dtype) -> str | None:
        if not HAS_TRITON:
            return 'the triton package is not installed'
        if device.type != 'cuda' and not INTERPRETED:
            return f'it takes tensors on an NVIDIA GPU, these are on {device}'
        if dtype == torch.float64:
            return 'it computes in float32, these tensors are float64'
        return None

    def serves_unasked(self, device: torch.device) -> bool:
        return device.type == 'cuda'  # and not in the interpreter

    def states_shape(self, shape: ScanShape) -> tuple[int, ...]:
        return (shape.batch, shape.groups, -(-shape.length // STEPS), shape.states, shape.channels)

    def forward(self, inputs: ScanInputs, save: bool) -> tuple[Tensor, Tensor]:
        y = torch.empty(inputs.u.shape, dtype=inputs.u.dtype, device=inputs.u.device)
        return y, self._forward(_Launch(inputs, maps=False), y, save)

    def forward_2d(self, inputs: ScanInputs, save: bool) -> tuple[Tensor, Tensor]:
        batch, height, width, channels = inputs.u.shape
        y = torch.empty(batch, height, width, 4, channels, dtype=torch.float32, device=inputs.u.device)
        states = self._forward(_Launch(inputs, maps=True), y, save)
        return y.sum(3).to(inputs.u.dtype), states

    def backward(self, grad: Tensor, inputs: ScanInputs, states: Tensor) -> ScanGradients:
        du = torch.empty(inputs.u.shape, dtype=inputs.u.dtype, device=inputs.u.device)
        return self._backward(_Launch(inputs, maps=False), grad, states, du)

    def backward_2d(self, grad: Tensor, inputs: ScanInputs, states: Tensor) -> ScanGradients:
        du = torch.empty(inputs.delta.shape, dtype=torch.float32, device=inputs.u.device)
        g = self._backward(_Launch(inputs, maps=True), grad, states, du)
        return g._replace(u=du.sum(3).to(inputs.u.dtype))

    def _forward(self, launch: '_Launch', y: Tensor, save: bool) -> Tensor:
        from .triton_kernels import forward_kernel

        shape = launch.shape
        states = torch.empty(self.states_shape(shape) if save else 0, dtype=torch.float32, device=y.device)
        if not y.numel():
            return states
        wide, (u, delta, B, C) = launch.needs_wide_offsets(y), launch.input_strides()
        with _on_device_of(y):
            entering = launch.entering(u, B, wide, backward=False)
            forward_kernel[(launch.sequences, launch.blocks, launch.segments)](
                *launch.pointers(), y, states, entering, *launch.sizes(), launch.segment_tiles,
                *u, *delta, *B, *C, *launch.strides(y),
                **launch.constants(wide), **launch.parameters_there(), SAVE=save, SPLIT=launch.segments > 1,
                num_warps=WARPS['forward'], enable_fp_fusion=True,
            )  # fmt: skip
        return states

    def _backward(self, launch: '_Launch', grad: Tensor, states: Tensor, du: Tensor) -> ScanGradients:
        from .triton_kernels import backward_kernel

        inputs, shape, maps = launch.inputs, launch.shape, launch.maps
        tasks = shape.batch * launch.segments
        workers = max(min(tasks, WORKERS), 1)
        empty = torch.empty if du.numel() else torch.zeros

        def parts(like: Tensor | None, count: int) -> Tensor | None:
            return None if like is None else empty(count, *like.shape, device=du.device)

        ddelta = torch.empty(inputs.delta.shape, dtype=inputs.delta.dtype, device=du.device)
        dA, dD, dbias = (parts(x, workers) for x in (inputs.A, inputs.D, inputs.delta_bias))
        dB, dC = parts(inputs.B, launch.blocks), parts(inputs.C, launch.blocks)
        if du.numel():
            grad = grad.contiguous() if maps and pixel_stride(grad) is None else grad
            wide = launch.needs_wide_offsets(grad, du, ddelta, dB[0])
            u, delta, B, C = launch.input_strides()
            g = launch.strides(grad)
            with _on_device_of(du):
                entering = launch.entering(g, C, wide, backward=True, gradient=grad)
                backward_kernel[(workers * shape.groups, launch.blocks)](
                    *launch.pointers(), grad, states, entering, du, ddelta, dA, dB, dC,
                    dA if dD is None else dD, dA if dbias is None else dbias,
                    tasks, workers, *launch.sizes(), launch.segments, launch.segment_tiles,
                    *u, *delta, *B, *C, *g, *launch.strides(du), *launch.strides(ddelta),
                    dB.stride(0), *launch.strides_mixed(dB[0]),
                    **launch.constants(wide), **launch.parameters_there(), SPLIT=launch.segments > 1,
                    num_warps=WARPS['backward'], enable_fp_fusion=True,
                )  # fmt: skip
        sums = (x if x is None else x.sum(0) for x in (dA, dB, dC, dD, dbias))
        return ScanGradients(
            du,
            ddelta,
            *(x if x is None else x.to(o.dtype) for x, o in zip(sums, launch.original[2:7], strict=True)),
        )


class _Launch:
    """What the kernels of one call are told, and how the work is divided among programs."""

    def __init__(self, inputs: ScanInputs, maps: bool):
        self.original, self.maps = inputs, maps
        self.inputs = inputs = _walkable(inputs, maps)
        self.shape = shape = shape_of_2d(inputs) if maps else shape_of(inputs)
        self.sequences = shape.batch * shape.groups
        self.blocks = -(-shape.channels // CHANNELS)
        tiles = -(-shape.length // STEPS)
        wanted = -(-ENOUGH // max(self.sequences * self.blocks, 1))
        self.segment_tiles = max(-(-tiles // wanted), min(SEGMENT, tiles))
        self.segments = -(-tiles // self.segment_tiles)

    def needs_wide_offsets(self, *others: Tensor) -> bool:
        """Whether 32 bits are too few to count the elements of one item of the batch, in u, delta, B, C or
        one of the ``others`` that the kernel reads or writes."""
        u, delta, B, C = self.inputs.u, self.inputs.delta, self.inputs.B, self.inputs.C
        return any(_reach(x) >= 2**31 for x in (u, delta, B, C, *others))

    def input_strides(self) -> list[tuple[int, int, int, int]]:
        """Strides of u, delta, B and C, four each."""
        u, delta, B, C = self.inputs.u, self.inputs.delta, self.inputs.B, self.inputs.C
        return [self.strides(u), self.strides(delta), self.strides_mixed(B), self.strides_mixed(C)]

    def entering(
        self,
        x: tuple[int, ...],
        M: tuple[int, ...],
        wide: bool,
        backward: bool,
        gradient: Tensor | None = None,
    ) -> Tensor:
        """What enters each segment: states, or backwards a·λ; a stand-in where there is one segment."""
        from .triton_kernels import carry_kernel, summary_kernel

        inputs, shape = self.inputs, self.shape
        if self.segments == 1:
            return inputs.A
        device = inputs.u.device
        ends = torch.empty(self.sequences, self.segments, shape.states, shape.channels, device=device)
        spans = torch.empty(self.sequences, self.segments, shape.channels, device=device)
        constants = self.constants(wide)
        bias = inputs.A if inputs.delta_bias is None else inputs.delta_bias
        source, mixed = (gradient, inputs.C) if backward else (inputs.u, inputs.B)
        summary_kernel[(self.sequences, self.blocks, self.segments)](
            source, inputs.delta, inputs.A, mixed, bias, ends, spans, *self.sizes(), self.segment_tiles,
            *x, *self.strides(inputs.delta), *M,
            **constants, HAS_BIAS=inputs.delta_bias is not None, BACKWARD=backward,
            num_warps=WARPS['forward'], enable_fp_fusion=True,
        )  # fmt: skip
        few = {name: constants[name] for name in ('N', 'N_PADDED', 'BLOCK')}
        carry_kernel[(self.sequences, self.blocks)](
            inputs.A, ends, spans, shape.groups, shape.channels, self.segments,
            **few, BACKWARD=backward, num_warps=1, enable_fp_fusion=True,
        )  # fmt: skip
        return ends

    def pointers(self) -> tuple[Tensor, ...]:
        """A stands in where there is no D or bias, and is not read as such."""
        u, delta, A, B, C, D, bias, _ = self.inputs
        return u, delta, A, B, C, A if D is None else D, A if bias is None else bias

    def sizes(self) -> tuple[int, ...]:
        height, width = self.inputs.u.shape[1:3] if self.maps else (1, 1)
        return self.shape.groups, self.shape.channels, self.shape.length, height, width

    def strides(self, x: Tensor) -> tuple[int, int, int, int]:
        """Of (batch, K·d, L), (batch, H, W, d) or (batch, H, W, 4, d): (batch, group, channel, step)."""
        if self.maps:
            return x.stride(0), x.stride(3) if x.dim() == 5 else 0, x.stride(-1), pixel_stride(x)
        return x.stride(0), x.stride(1) * self.shape.channels, x.stride(1), x.stride(2)

    def strides_mixed(self, x: Tensor) -> tuple[int, int, int, int]:
        """Of (batch, K, N, L) or (batch, H, W, 4, N): (batch, group, state, step)."""
        return (x.stride(0), x.stride(3), x.stride(4), pixel_stride(x)) if self.maps else x.stride()

    def constants(self, wide: bool) -> dict[str, int | bool]:
        return {
            'N': self.shape.states,
            'N_PADDED': 1 << (self.shape.states - 1).bit_length(),
            'BLOCK': CHANNELS,
            'T': STEPS,
            'MAPS': self.maps,
            'WIDE': wide,
            'SOFTPLUS': self.inputs.delta_softplus,
        }

    def parameters_there(self) -> dict[str, bool]:
        return {'HAS_D': self.inputs.D is not None, 'HAS_BIAS': self.inputs.delta_bias is not None}


def _reach(x: Tensor) -> int:
    """The farthest element of one item of the batch, counted from its first."""
    return sum((size - 1) * stride for size, stride in zip(x.shape[1:], x.stride()[1:], strict=True))


def _walkable(inputs: ScanInputs, maps: bool) -> ScanInputs:
    """Parameters packed in float32; over maps, pixels one stride apart."""
    small = {
        n: None if x is None else x.float().contiguous() for n, x in inputs._asdict().items() if n in _PACKED
    }
    if maps:
        large = {n: getattr(inputs, n) for n in ('u', 'delta', 'B', 'C')}
        small.update({n: x.contiguous() if pixel_stride(x) is None else x for n, x in large.items()})
    return inputs._replace(**small)


_PACKED = ('A', 'D', 'delta_bias')


def _on_device_of(x: Tensor) -> torch.cuda.device:
    """Kernels start on the current device, which need not be the tensors'; does nothing for the CPU."""
    return torch.cuda.device(x.device if x.device.type == 'cuda' else -1)
