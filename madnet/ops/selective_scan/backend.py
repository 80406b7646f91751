"""What every backend of the selective scan offers, and a form over maps that any of them can fall back on."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from .directions import from_sequences, to_sequences


class ScanInputs(NamedTuple):
    """The tensors of one scan; axes as in :func:`madnet.ops.selective_scan` or ``selective_scan_2d``."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    delta_bias: Tensor | None
    delta_softplus: bool


class ScanGradients(NamedTuple):
    """One gradient for each tensor of :class:`ScanInputs`, in its shape; ``None`` where the tensor is."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    delta_bias: Tensor | None


class ScanShape(NamedTuple):
    """The sizes of one scan."""

    batch: int
    groups: int
    channels: int  # of one group
    states: int
    length: int


def shape_of(inputs: ScanInputs) -> ScanShape:
    """The sizes of a scan over sequences."""
    batch, groups, states, length = inputs.B.shape
    return ScanShape(batch, groups, inputs.u.shape[1] // groups, states, length)


def shape_of_2d(inputs: ScanInputs) -> ScanShape:
    """The sizes of a scan over maps."""
    batch, height, width, groups, states = inputs.B.shape
    return ScanShape(batch, groups, inputs.u.shape[3], states, height * width)


def pixel_stride(maps: Tensor) -> int | None:
    """How far pixels that follow each other lie apart in (batch, H, W, …); ``None`` where that changes.

    An axis of size 1 may have any stride, also in a contiguous tensor.
    """
    height, width = maps.shape[1:3]
    row, pixel = maps.stride()[1:3]
    if width == 1:
        return row
    return pixel if height == 1 or row == width * pixel else None


def compute_dtype(inputs: ScanInputs) -> torch.dtype:
    """float64 where any tensor is; float32 otherwise, also for half precision: states need it."""
    tensors = (t for t in inputs if isinstance(t, Tensor))
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32


class Backend(ABC):
    """One way to compute the scan, forward and backward.

    ``forward`` returns y and whatever ``backward`` wants to find again (``states``, of ``states_shape`` and
    in ``compute_dtype``; empty where ``save`` is false). Implementations take every dtype, any strides and
    an empty batch.
    """

    name: str

    @abstractmethod
    def why_not(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Why this backend cannot serve tensors of this device and compute dtype; ``None`` where it can."""

    def serves_unasked(self, device: torch.device) -> bool:
        """Whether ``backend='auto'`` may choose it for tensors of this device."""
        return True

    @abstractmethod
    def states_shape(self, shape: ScanShape) -> tuple[int, ...]:
        """The shape of what ``forward`` saves."""

    @abstractmethod
    def forward(self, inputs: ScanInputs, save: bool) -> tuple[Tensor, Tensor]:
        """y (batch, K·d, L) in the dtype of u, and the saved states."""

    @abstractmethod
    def backward(self, grad: Tensor, inputs: ScanInputs, states: Tensor) -> ScanGradients:
        """Gradients for the gradient of y."""

    def states_shape_2d(self, shape: ScanShape) -> tuple[int, ...]:
        """The shape of what ``forward_2d`` saves."""
        return self.states_shape(shape)

    def forward_2d(self, inputs: ScanInputs, save: bool) -> tuple[Tensor, Tensor]:
        """y (batch, H, W, d), the sum over the four directions, and the saved states."""
        y, states = self.forward(sequences_of(inputs), save)
        return from_sequences(y.unflatten(1, (4, -1)), *inputs.u.shape[1:3]), states

    def backward_2d(self, grad: Tensor, inputs: ScanInputs, states: Tensor) -> ScanGradients:
        """Gradients for the gradient of the map y."""
        height, width, channels = inputs.u.shape[1:]
        over = to_sequences(grad.unsqueeze(3).expand(-1, -1, -1, 4, -1)).flatten(1, 2)
        g = self.backward(over, sequences_of(inputs), states)
        du = from_sequences(g.u.unflatten(1, (4, channels)), height, width)
        ddelta = from_sequences(g.delta.unflatten(1, (4, channels)), height, width, total=False)
        dB, dC = (from_sequences(t, height, width, total=False) for t in (g.B, g.C))
        return ScanGradients(du, ddelta, g.A, dB, dC, g.D, g.delta_bias)


def sequences_of(inputs: ScanInputs) -> ScanInputs:
    """The four directions over a map as the four groups of a scan over sequences."""
    u = to_sequences(inputs.u.unsqueeze(3).expand(-1, -1, -1, 4, -1)).flatten(1, 2)
    delta = to_sequences(inputs.delta).flatten(1, 2)
    return inputs._replace(u=u, delta=delta, B=to_sequences(inputs.B), C=to_sequences(inputs.C))
