"""The attention of ABC: the correlation of two descriptions of the whole map."""

import torch
from torch import Tensor, nn


class BilinearCorrelation(nn.Module):
    """Attention between the rows of a square map, from the correlation of two linear summaries of it.

    Bilinear attention module of ABC (Pan et al., "ABC: Attention with Bilinear Correlation for Infrared Small
    Target Detection", ICME 2023, fig. 3). Two branches bring the map to one channel by a 1×1 convolution and
    its n² pixels to n numbers by a linear layer, a and b; the scores of channel c are w_c · a bᵀ, and a
    softmax over the last axis makes them weights. The scores are of rank one and not scaled, as in the
    published code.

    The linear layers see every pixel at its place: a module serves one side only, and its parameters grow
    with the cube of it. The published convolution of w also has a bias, which the softmax cancels; here it
    has none.

    Args:
        channels: C.
        side: n, height and width of the map in pixels.
    """

    def __init__(self, channels: int, side: int):
        super().__init__()
        self.query = nn.Conv2d(channels, 1, kernel_size=1)
        self.key = nn.Conv2d(channels, 1, kernel_size=1)
        self.query_line = nn.Linear(side * side, side)
        self.key_line = nn.Linear(side * side, side)
        self.expand = nn.Conv2d(1, channels, kernel_size=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, n, n) → weights (B, C, n, n) in 0–1, which sum to one along the last axis."""
        a = self.query_line(self.query(x).flatten(1))
        b = self.key_line(self.key(x).flatten(1))
        scores = a[:, None, :, None] * b[:, None, None, :]
        return torch.softmax(self.expand(scores), dim=-1)
