"""What a memory answers to the mean of a window, in one launch each way."""

import torch
from torch import Tensor

PROGRAMS = 64  # each with sums of its own of the gradients of weights


def memory_gate(
    mean: Tensor,
    reduce_weight: Tensor,
    reduce_bias: Tensor,
    bank: Tensor,
    expand_weight: Tensor,
    expand_bias: Tensor,
) -> Tensor:
    """σ(We · M softmax(Mᵀ (Wr · mean + br) / √K) + be) for each mean, on a GPU.

    These are a dozen products and sums over some hundred values; all is taken in float32.

    Args:
        mean: (…, C).
        reduce_weight, reduce_bias: Wr (K, C) and br (K,).
        bank: M (K, S).
        expand_weight, expand_bias: We (C, K) and be (C,).

    Returns:
        Gates (…, C).
    """
    return _Gate.apply(mean, reduce_weight, reduce_bias, bank, expand_weight, expand_bias)


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, mean: Tensor, *weights: Tensor) -> Tensor:
        from .memory_gate_kernels import gate_kernel

        mean = mean.contiguous()
        ctx.save_for_backward(mean, *weights)
        gate = torch.empty_like(mean)
        gate_kernel[(_rows(mean),)](mean, *weights, gate, **_shape(*weights))
        return gate

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad: Tensor):
        from .memory_gate_kernels import gradient_kernel

        mean, *weights = ctx.saved_tensors
        of_mean = torch.empty_like(mean)
        sizes = [w.numel() for w in weights]
        programs = min(PROGRAMS, _rows(mean))
        parts = mean.new_empty(programs, sum(sizes), dtype=torch.float32)
        gradient_kernel[(programs,)](
            mean, *weights, grad.contiguous(), of_mean, parts, _rows(mean), **_shape(*weights)
        )
        sums = parts.sum(0).split(sizes)
        return of_mean, *(s.view(w.shape) for s, w in zip(sums, weights, strict=True))


def _rows(mean: Tensor) -> int:
    return mean.numel() // mean.shape[-1]


def _shape(weight: Tensor, bias: Tensor, bank: Tensor, *others: Tensor) -> dict[str, int]:
    """Channels C, width K, slots S of the bank, each brought to a power of two, and warps that hold them."""
    sizes = {'C': weight.shape[1], 'K': weight.shape[0], 'S': bank.shape[1]}
    padded = {f'{k}_PADDED': 1 << max(1, (n - 1).bit_length()) for k, n in sizes.items()}
    return {**sizes, **padded, 'num_warps': 8}
