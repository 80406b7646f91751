"""The GPU backend: Triton kernels behind the common interface, fused over the four directions of a map."""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from madnet.ops.half_training import HAS_TRITON, why_no_launch

from .backend import Backend, ScanGradients, ScanInputs, ScanShape, pixel_stride, shape_of, shape_of_2d

INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'

STEPS = 16  # to a tile; also the distance of the states that are kept
CHANNELS = 8  # to a program
RESIDENT = 8  # programs that a multiprocessor has registers for at a time
LARGE = 2**31  # bytes of a tensor that 32 bits may be too few for


class Cut(NamedTuple):
    """When sequences are cut into segments, as many as run at a time; measured on an H200.

    Attributes:
        tiles: What a sequence has at least.
        programs: What a multiprocessor has at most if none is cut.
    """

    tiles: int
    programs: int


FORWARD, BACKWARD = Cut(tiles=5, programs=2), Cut(tiles=2, programs=4)


class TritonBackend(Backend):
    """Forward and backward for NVIDIA GPUs; half precision is read and written as it is, states are float32.

    Square maps of up to ``STEPS`` pixels take one launch forward and two backward, and other sequences as
    short also keep no states. Longer ones take one launch more forward where the four directions of a map
    have to be added up, and one more in each pass where batch, groups and channels leave the GPU idle: they
    are then cut into segments that run side by side, at the price of a second round of exponentials.

    How work is divided depends on the shapes and the number of multiprocessors, nothing is tried out, and
    sums are taken in a fixed order: two runs agree to the bit.

    With ``TRITON_INTERPRET=1`` set before the first import it also takes tensors on the CPU: slowly, for
    tests.
    """

    name = 'triton'

    def why_not(self, device: torch.device, dtype: torch.dtype) -> str | None:
        if not HAS_TRITON:
            return 'the triton package is not installed'
        if (device.type != 'cuda' or torch.version.hip is not None) and not INTERPRETED:
            return f'it takes tensors on an NVIDIA GPU, these are on {device}'
        # torch.compile would trace what asks the driver, and cannot; it needs Triton as well
        asks = device.type == 'cuda' and not torch.compiler.is_compiling()
        if asks and (reason := why_no_launch()):
            return reason
        if dtype == torch.float64:
            return 'it computes in float32, these tensors are float64'
        return None

    def serves_unasked(self, device: torch.device) -> bool:
        return device.type == 'cuda'  # and not in the interpreter

    def states_shape(self, shape: ScanShape) -> tuple[int, ...]:
        return _states_shape(shape)

    def forward(self, inputs: ScanInputs, save: bool) -> tuple[Tensor, Tensor]:
        return self._run(_Launch(inputs, maps=False).forward, inputs.u, save)

    def forward_2d(self, inputs: ScanInputs, save: bool) -> tuple[Tensor, Tensor]:
        return self._run(_Launch(inputs, maps=True).forward, inputs.u, save)

    def backward(self, grad: Tensor, inputs: ScanInputs, states: Tensor) -> ScanGradients:
        return self._run(_Launch(inputs, maps=False).backward, inputs.u, grad, states)

    def backward_2d(self, grad: Tensor, inputs: ScanInputs, states: Tensor) -> ScanGradients:
        grad = grad.contiguous() if pixel_stride(grad) is None else grad
        return self._run(_Launch(inputs, maps=True).backward, inputs.u, grad, states)

    def _run(self, method, like: Tensor, *args):
        if like.device.type != 'cuda' or like.device.index == torch.cuda.current_device():
            return method(*args)
        with torch.cuda.device(like.device):  # kernels start on the current device
            return method(*args)


def _states_shape(shape: ScanShape) -> tuple[int, ...]:
    """The shape of the states before the tiles but the first, which begins with 0."""
    return (shape.batch, shape.groups, -(-shape.length // STEPS) - 1, shape.states, shape.channels)


class _Launch:
    """What the kernels of one call are told, and how the work is divided among programs."""

    def __init__(self, inputs: ScanInputs, maps: bool):
        self.original, self.maps = inputs, maps
        self.inputs = inputs = _walkable(inputs, maps)
        self.shape = shape = shape_of_2d(inputs) if maps else shape_of(inputs)
        self.sequences = shape.batch * shape.groups
        self.blocks = -(-shape.channels // CHANNELS)
        self.tiles = -(-shape.length // STEPS)
        self.device, self.dtype = inputs.u.device, inputs.u.dtype

    def forward(self, save: bool) -> tuple[Tensor, Tensor]:
        """y, and the states before the tiles (empty where ``save`` is false)."""
        shape = self.shape
        y = torch.empty(self.original.u.shape, dtype=self.dtype, device=self.device)
        kept = _states_shape(shape) if save else (0,)
        states = self._floats(*kept)
        if not y.numel():
            return y, states
        if self.maps and self._side in (2, 4) and shape.length <= STEPS:
            self._square(y)
        else:
            self._tiles(y, states)
        return y, states

    @property
    def _side(self) -> int:
        """The side of square maps; 0 for others."""
        height, width = self.inputs.u.shape[1:3]
        return height if height == width else 0

    def _square(self, y: Tensor) -> None:
        from .triton_kernels import square_kernel

        u, delta, B, C = self._four_strides()
        square_kernel[(self.shape.batch, self.blocks)](
            *self._pointers(), y, self.shape.channels, u[0], *u[2:], *delta, *B, *C, y.stride(0), y.stride(2),
            **self._constants(self._needs_wide_offsets(y)), SIDE=self._side, **self._there(),
        )  # fmt: skip

    def _tiles(self, y: Tensor, states: Tensor) -> None:
        from .triton_kernels import forward_kernel

        out = self._directions() if self.maps else y
        wide = self._needs_wide_offsets(y)
        segments, segment_tiles = self._segments(FORWARD)
        u, delta, B, C = self._four_strides()
        ends, spans = self._summaries(
            segments, segment_tiles, self.inputs.u, u, self.inputs.B, B, wide, False
        )
        forward_kernel[(self.sequences, self.blocks, segments)](
            *self._pointers(), out, states, ends, spans, *self._sizes(), segment_tiles,
            *u, *delta, *B, *C, *self._out_strides(out),
            **self._tile(wide), **self._there(), SAVE=states.numel() > 0,
        )  # fmt: skip
        if self.maps:
            _sum([(out, y)])

    def backward(self, grad: Tensor, states: Tensor) -> ScanGradients:
        """Gradients for the gradient of y."""
        from .triton_kernels import backward_kernel

        inputs, original = self.inputs, self.original
        targets: list[Any] = [
            None if x is None else torch.empty(x.shape, dtype=x.dtype, device=self.device)
            for x in original[:7]
        ]
        du, ddelta, dA, dB, dC, dD, dbias = targets
        if not du.numel():
            return ScanGradients(*(x if x is None else x.zero_() for x in targets))
        du_out = self._directions() if self.maps else du
        direct = self.blocks == 1 and dB.dtype == dC.dtype == torch.float32
        dB_out, dC_out = (x if direct else self._floats(self.blocks, *x.shape) for x in (dB, dC))

        segments, segment_tiles = self._segments(BACKWARD)
        tasks = self.shape.batch * segments
        programs = RESIDENT * _multiprocessors(self.device)
        workers = max(min(tasks, programs // (self.shape.groups * self.blocks)), 1)
        parts: list[Any] = [
            None if x is None else self._floats(workers, *x.shape)
            for x in (inputs.A, inputs.D, inputs.delta_bias)
        ]
        there = [parts[0] if x is None else x for x in parts]
        wide = self._needs_wide_offsets(grad, du, ddelta, dB)
        u, delta, B, C = self._four_strides()
        g = self._strides(grad)
        ends, spans = self._summaries(segments, segment_tiles, grad, g, inputs.C, C, wide, True)
        backward_kernel[(workers * self.shape.groups, self.blocks)](
            *self._pointers(), grad, states, ends, spans,
            du_out, ddelta, there[0], dB_out, dC_out, *there[1:],
            tasks, workers, *self._sizes(), segments, segment_tiles,
            *u, *delta, *B, *C, *g, *self._out_strides(du_out), *self._strides(ddelta),
            dB.numel(), *self._mixed_strides(dB),
            **self._tile(wide), **self._there(),
        )  # fmt: skip
        wide_sums = [(du_out, du)] if self.maps else []
        _sum(
            wide_sums if direct else [*wide_sums, (dB_out, dB), (dC_out, dC)],
            [(p, t) for p, t in zip(parts, (dA, dD, dbias), strict=True) if t is not None],
        )
        return ScanGradients(*targets)

    def _segments(self, cut: Cut) -> tuple[int, int]:
        """How many segments a sequence is cut into, and the tiles of one."""
        programs, card = self.sequences * self.blocks, _multiprocessors(self.device)
        if self.tiles < cut.tiles or programs > cut.programs * card:
            return 1, self.tiles
        tiles = -(-self.tiles // max(RESIDENT * card // programs, 1))
        return -(-self.tiles // tiles), tiles

    def _summaries(
        self,
        segments: int,
        segment_tiles: int,
        x: Tensor,
        x_strides: tuple[int | None, ...],
        M: Tensor,
        M_strides: tuple[int | None, ...],
        wide: bool,
        backward: bool,
    ) -> tuple[Tensor, Tensor]:
        """What leaves each segment, and its Σ Δ; stand-ins where there is one segment."""
        from .triton_kernels import summary_kernel

        inputs, shape = self.inputs, self.shape
        if segments == 1:
            return inputs.A, inputs.A
        ends = self._floats(self.sequences, segments, shape.channels, shape.states)
        spans = self._floats(self.sequences, segments, shape.channels)
        bias = inputs.A if inputs.delta_bias is None else inputs.delta_bias
        summary_kernel[(self.sequences, self.blocks, segments)](
            x, inputs.delta, inputs.A, M, bias, ends, spans, *self._sizes(), segment_tiles,
            *x_strides, *self._strides(inputs.delta), *M_strides,
            **self._tile(wide), HAS_BIAS=inputs.delta_bias is not None, BACKWARD=backward,
        )  # fmt: skip
        return ends, spans

    def _needs_wide_offsets(self, *others: Tensor) -> bool:
        """Whether 32 bits are too few to count the elements of one item of the batch, in u, delta, B, C or
        one of the ``others`` that the kernel reads or writes."""
        u, delta, B, C = self.inputs.u, self.inputs.delta, self.inputs.B, self.inputs.C
        large = (x for x in (u, delta, B, C, *others) if x.untyped_storage().nbytes() >= LARGE)
        return any(_reach(x) >= 2**31 for x in large)

    def _floats(self, *size: int) -> Tensor:
        return torch.empty(size, dtype=torch.float32, device=self.device)

    def _directions(self) -> Tensor:
        """Room for what each direction adds to a map, before it is summed: (4, batch, H, W, d)."""
        return self._floats(4, *self.inputs.u.shape)

    def _pointers(self) -> tuple[Tensor, ...]:
        """A stands in where there is no D or bias, and is not read as such."""
        u, delta, A, B, C, D, bias, _ = self.inputs
        return u, delta, A, B, C, A if D is None else D, A if bias is None else bias

    def _sizes(self) -> tuple[int, ...]:
        height, width = self.inputs.u.shape[1:3] if self.maps else (1, 1)
        return self.shape.groups, self.shape.channels, self.shape.length, height, width

    def _four_strides(self) -> list[tuple[int | None, ...]]:
        """Strides of u, delta, B and C, four each."""
        u, delta, B, C = self.inputs.u, self.inputs.delta, self.inputs.B, self.inputs.C
        return [self._strides(u), self._strides(delta), self._mixed_strides(B), self._mixed_strides(C)]

    def _strides(self, x: Tensor) -> tuple[int | None, ...]:
        """(batch, group, channel, step) of (batch, K·d, L), (batch, H, W, d) or (batch, H, W, 4, d)."""
        stride = x.stride()
        if not self.maps:
            return stride[0], stride[1] * self.shape.channels, stride[1], stride[2]
        return stride[0], stride[3] if len(stride) == 5 else 0, stride[-1], pixel_stride(x)

    def _out_strides(self, out: Tensor) -> tuple[int | None, ...]:
        """Those of what each group writes: of :meth:`_directions`, or of (batch, K·d, L)."""
        if not self.maps:
            return self._strides(out)
        return out.stride(1), out.stride(0), 1, out.shape[-1]

    def _mixed_strides(self, x: Tensor) -> tuple[int | None, ...]:
        """(batch, group, state, step) of (batch, K, N, L) or (batch, H, W, 4, N)."""
        stride = x.stride()
        return (stride[0], stride[3], stride[4], pixel_stride(x)) if self.maps else stride

    def _constants(self, wide: bool) -> dict[str, int | bool]:
        return {
            'N': self.shape.states,
            'N_PADDED': 1 << (self.shape.states - 1).bit_length(),
            'BLOCK': CHANNELS,
            'WIDE': wide,
            'SOFTPLUS': self.inputs.delta_softplus,
            'num_warps': 1,
            'enable_fp_fusion': True,
        }

    def _tile(self, wide: bool) -> dict[str, int | bool]:
        return {**self._constants(wide), 'T': STEPS, 'MAPS': self.maps}

    def _there(self) -> dict[str, bool]:
        return {'HAS_D': self.inputs.D is not None, 'HAS_BIAS': self.inputs.delta_bias is not None}


def _sum(wide: Sequence[tuple[Tensor, Tensor]], deep: Sequence[tuple[Tensor, Tensor]] = ()) -> None:
    """Sum slabs into targets in one launch.

    Args:
        wide: Pairs (slabs, target) of few slabs, three at most.
        deep: Pairs of many slabs, three at most.
    """
    from .triton_kernels import WIDTHS, sum_kernel

    stand_in = (wide or deep)[0]
    pairs = [*wide, *[None] * (3 - len(wide)), *deep, *[None] * (3 - len(deep))]
    counts = [0 if p is None else p[1].numel() for p in pairs]
    slabs = [1 if p is None else p[0].shape[0] for p in pairs]
    programs = sum(-(-count // WIDTHS[i // 3]) for i, count in enumerate(counts))
    sum_kernel[(programs,)](
        *(x for p in pairs for x in p or stand_in), *counts, *slabs, WIDE=WIDTHS[0], DEEP=WIDTHS[1],
        num_warps=4, enable_fp_fusion=True,
    )  # fmt: skip


def _multiprocessors(device: torch.device) -> int:
    if device.type != 'cuda':  # in the interpreter
        return 132
    return torch.cuda.get_device_properties(device).multi_processor_count


def _reach(x: Tensor) -> int:
    """The farthest element of one item of the batch, counted from its first."""
    return sum((size - 1) * stride for size, stride in zip(x.shape[1:], x.stride()[1:], strict=True))


def _walkable(inputs: ScanInputs, maps: bool) -> ScanInputs:
    """Parameters packed in float32; over maps, pixels one stride apart."""
    u, delta, A, B, C, D, bias, softplus = inputs
    A, D, bias = (None if x is None else x.float().contiguous() for x in (A, D, bias))
    if maps:
        u, delta, B, C = (x.contiguous() if pixel_stride(x) is None else x for x in (u, delta, B, C))
    return ScanInputs(u, delta, A, B, C, D, bias, softplus)
