"""Memory attention: a channel gate for a window, looked up in a learnt bank."""

import torch
from torch import Tensor, nn


class MemoryAttention(nn.Module):
    """Gates the channels of a window by what a learnable memory bank answers to the window's mean.

    With window tokens w (L, C), bank M (K, slots), K = C // reduction::

        ℓ = Linear(mean(w));  a = softmax(ℓ M / √K);  g = σ(Linear(a Mᵀ));  y = Linear(w ⊙ g)

    The bank is a parameter, learnt by gradient, and serves as key and value. As published with MAD-Net
    (IEEE document 10777476), whose figure shows a sigmoid similarity and neither the last gate's sigmoid nor
    the output projection.

    Args:
        channels: C of the tokens.
        slots: Columns of the bank.
        reduction: C // K.
    """

    def __init__(self, channels: int, slots: int = 128, reduction: int = 8):
        super().__init__()
        width = max(1, channels // reduction)
        self.scale = width**-0.5
        self.bank = nn.Parameter(torch.randn(width, slots))
        self.bank._no_weight_decay = True
        self.proj = nn.Linear(channels, channels)
        self.reduce = nn.Linear(channels, width)
        self.expand = nn.Linear(width, channels)

    def forward(self, windows: Tensor, valid: Tensor | None = None) -> Tensor:
        """
        Args:
            windows: Tokens (N, L, C) of N windows.
            valid: Number of real tokens of each window, (N, 1), where the others are zeros; None: all are
                real.

        Returns:
            Tokens (N, L, C).
        """
        mean = windows.mean(dim=1) if valid is None else windows.sum(dim=1) / valid
        address = torch.softmax(self.reduce(mean) @ self.bank * self.scale, dim=-1)
        gate = torch.sigmoid(self.expand(address @ self.bank.t()))
        return self.proj(windows * gate.unsqueeze(1))
