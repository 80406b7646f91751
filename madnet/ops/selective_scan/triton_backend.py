"""The GPU backend: Triton kernels behind the common interface, fused over the four directions of a map."""

import importlib.util
import os

import torch
from torch import Tensor

from .backend import Backend, ScanGradients, ScanInputs, ScanShape, shape_of, shape_of_2d

HAS_TRITON = importlib.util.find_spec('triton') is not None
INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'

STEPS = 16  # to a tile; also the distance of the checkpoints
CHANNELS = 8  # to a program
WORKERS = 256  # programs that share the batch in the backward pass, each with its own sums for A, D and bias


class TritonBackend(Backend):
    """Forward and backward for NVIDIA GPUs; half precision is read and written as it is, states are float32.

    With ``TRITON_INTERPRET=1`` set before the first import it also takes tensors on the CPU: slowly, for
    tests. Gradients are summed in a fixed order: two runs agree to the bit.
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
        return (shape.batch, shape.groups, -(-shape.length // STEPS), shape.channels, shape.states)

    def forward(self, inputs: ScanInputs, save: bool) -> tuple[Tensor, Tensor]:
        y = torch.empty(inputs.u.shape, dtype=inputs.u.dtype, device=inputs.u.device)
        return y, self._forward(inputs, shape_of(inputs), y, save, maps=False)

    def forward_2d(self, inputs: ScanInputs, save: bool) -> tuple[Tensor, Tensor]:
        batch, height, width, channels = inputs.u.shape
        y = torch.empty(batch, height, width, 4, channels, dtype=torch.float32, device=inputs.u.device)
        states = self._forward(inputs, shape_of_2d(inputs), y, save, maps=True)
        return y.sum(3).to(inputs.u.dtype), states

    def backward(self, grad: Tensor, inputs: ScanInputs, states: Tensor) -> ScanGradients:
        du = torch.empty(inputs.u.shape, dtype=inputs.u.dtype, device=inputs.u.device)
        return self._backward(grad, inputs, states, shape_of(inputs), du, maps=False)

    def backward_2d(self, grad: Tensor, inputs: ScanInputs, states: Tensor) -> ScanGradients:
        du = torch.empty(inputs.delta.shape, dtype=torch.float32, device=inputs.u.device)
        g = self._backward(grad, inputs, states, shape_of_2d(inputs), du, maps=True)
        return g._replace(u=du.sum(3).to(inputs.u.dtype))

    def _forward(self, inputs: ScanInputs, shape: ScanShape, y: Tensor, save: bool, maps: bool) -> Tensor:
        from .triton_kernels import forward_kernel

        states = torch.empty(self.states_shape(shape) if save else 0, dtype=torch.float32, device=y.device)
        if not y.numel():
            return states
        inputs = _walkable(inputs, maps)
        grid = (shape.batch * shape.groups, -(-shape.channels // CHANNELS))
        with _on_device_of(y):
            forward_kernel[grid](
                *_tensors(inputs), y, states, *_sizes(inputs, shape, maps),
                *_strides(inputs.u, shape, maps), *_strides(inputs.delta, shape, maps),
                *_strides_mixed(inputs.B, maps), *_strides_mixed(inputs.C, maps), *_strides(y, shape, maps),
                **_constants(inputs, shape, maps), SAVE=save,
            )  # fmt: skip
        return states

    def _backward(
        self, grad: Tensor, inputs: ScanInputs, states: Tensor, shape: ScanShape, du: Tensor, maps: bool
    ) -> ScanGradients:
        from .triton_kernels import backward_kernel

        original, inputs = inputs, _walkable(inputs, maps)
        blocks, workers = -(-shape.channels // CHANNELS), max(min(shape.batch, WORKERS), 1)

        def zeros(like: Tensor, *first: int) -> Tensor:
            return torch.zeros(*first, *like.shape, dtype=torch.float32, device=du.device)

        ddelta = torch.empty(inputs.delta.shape, dtype=inputs.delta.dtype, device=du.device)
        dA, dB, dC = zeros(inputs.A, workers), zeros(inputs.B, blocks), zeros(inputs.C, blocks)
        dD = None if inputs.D is None else zeros(inputs.D, workers)
        dbias = None if inputs.delta_bias is None else zeros(inputs.delta_bias, workers)
        if du.numel():
            grad = grad if not maps or _one_pixel_stride(grad) else grad.contiguous()
            with _on_device_of(du):
                backward_kernel[(workers * shape.groups, blocks)](
                    *_tensors(inputs), grad, states, du, ddelta, dA, dB, dC,
                    dA if dD is None else dD, dA if dbias is None else dbias,
                    shape.batch, workers, *_sizes(inputs, shape, maps),
                    *_strides(inputs.u, shape, maps), *_strides(inputs.delta, shape, maps),
                    *_strides_mixed(inputs.B, maps), *_strides_mixed(inputs.C, maps),
                    *_strides(grad, shape, maps), *_strides(du, shape, maps), *_strides(ddelta, shape, maps),
                    dB.stride(0), *_strides_mixed(dB[0], maps),
                    **_constants(inputs, shape, maps),
                )  # fmt: skip
        sums = (x if x is None else x.sum(0) for x in (dA, dB, dC, dD, dbias))
        return ScanGradients(
            du, ddelta, *(x if x is None else x.to(o.dtype) for x, o in zip(sums, original[2:7], strict=True))
        )


def _one_pixel_stride(x: Tensor) -> bool:
    return x.shape[1] == 1 or x.stride(1) == x.shape[2] * x.stride(2)


def _walkable(inputs: ScanInputs, maps: bool) -> ScanInputs:
    """Parameters packed in float32; over maps, pixels one stride apart."""
    small = {
        n: None if x is None else x.float().contiguous() for n, x in inputs._asdict().items() if n in _PACKED
    }
    if maps:
        large = {n: getattr(inputs, n) for n in ('u', 'delta', 'B', 'C')}
        small.update({n: x if _one_pixel_stride(x) else x.contiguous() for n, x in large.items()})
    return inputs._replace(**small)


_PACKED = ('A', 'D', 'delta_bias')


def _tensors(inputs: ScanInputs) -> tuple[Tensor, ...]:
    """The pointers of the kernels; A stands in where there is no D or bias, and is not read as such."""
    D, bias = (inputs.A if x is None else x for x in (inputs.D, inputs.delta_bias))
    return inputs.u, inputs.delta, inputs.A, inputs.B, inputs.C, D, bias


def _sizes(inputs: ScanInputs, shape: ScanShape, maps: bool) -> tuple[int, ...]:
    height, width = inputs.u.shape[1:3] if maps else (1, 1)
    return shape.groups, shape.channels, shape.length, height, width


def _strides(x: Tensor, shape: ScanShape, maps: bool) -> tuple[int, int, int, int]:
    """Of (batch, K·d, L), (batch, H, W, d) or (batch, H, W, 4, d): (batch, group, channel, step)."""
    if maps:
        return x.stride(0), x.stride(3) if x.dim() == 5 else 0, x.stride(-1), x.stride(2)
    return x.stride(0), x.stride(1) * shape.channels, x.stride(1), x.stride(2)


def _strides_mixed(x: Tensor, maps: bool) -> tuple[int, int, int, int]:
    """Of (batch, K, N, L) or (batch, H, W, 4, N): (batch, group, state, step)."""
    return (x.stride(0), x.stride(3), x.stride(4), x.stride(2)) if maps else x.stride()


def _constants(inputs: ScanInputs, shape: ScanShape, maps: bool) -> dict[str, int | bool]:
    return {
        'N': shape.states,
        'N_PADDED': 1 << (shape.states - 1).bit_length(),
        'BLOCK': CHANNELS,
        'T': STEPS,
        'MAPS': maps,
        'SOFTPLUS': inputs.delta_softplus,
        'HAS_D': inputs.D is not None,
        'HAS_BIAS': inputs.delta_bias is not None,
    }


def _on_device_of(x: Tensor) -> torch.cuda.device:
    """Kernels start on the current device, which need not be the tensors'; does nothing for the CPU."""
    return torch.cuda.device(x.device if x.device.type == 'cuda' else -1)
