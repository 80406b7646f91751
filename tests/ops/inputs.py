"""Random inputs and the measure of error that the tests of the scan share."""

import torch
from torch import Tensor


def sequences(
    batch: int = 2,
    groups: int = 2,
    channels: int = 3,
    states: int = 4,
    length: int = 7,
    dtype=torch.float64,
    seed: int = 0,
) -> list[Tensor]:
    """u, delta, A, B, C, D, delta_bias of a scan over sequences, ``channels`` to a group."""
    g = torch.Generator().manual_seed(seed)
    rows = groups * channels

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    u, delta = draw(batch, rows, length), 2 * draw(batch, rows, length)
    A = -(0.1 + 4 * torch.rand(rows, states, generator=g, dtype=torch.float64))
    B, C = draw(batch, groups, states, length), draw(batch, groups, states, length)
    return [x.to(dtype) for x in (u, delta, A, B, C, draw(rows), draw(rows) - 1)]


def maps(
    batch: int = 2,
    height: int = 3,
    width: int = 5,
    channels: int = 3,
    states: int = 4,
    dtype=torch.float64,
    seed: int = 0,
) -> list[Tensor]:
    """x, delta, A, B, C, D, delta_bias of a scan over maps."""
    u, delta, A, B, C, D, bias = sequences(batch, 4, channels, states, height * width, seed=seed)
    pixels = (height, width)
    x = u[:, :channels].transpose(1, 2).unflatten(1, pixels)
    delta = delta.unflatten(1, (4, channels)).permute(0, 3, 1, 2).unflatten(1, pixels)
    B, C = (t.permute(0, 3, 1, 2).unflatten(1, pixels) for t in (B, C))
    return [t.to(dtype).contiguous() for t in (x, delta, A, B, C, D, bias)]


def value_and_gradients(function, tensors: list[Tensor], weight: Tensor) -> list[Tensor]:
    """y of ``function(*tensors)``, then the gradient of Σ weight·y for each tensor."""
    leaves = [t.detach().clone().requires_grad_() for t in tensors]
    y = function(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, weight.to(y.dtype))]


def relative_error(found: Tensor, true: Tensor) -> float:
    """Norm of the difference over the norm of the truth."""
    true = true.double()
    return ((found.double() - true).norm() / true.norm().clamp_min(1e-30)).item()
