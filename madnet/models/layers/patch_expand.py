"""Enlargement by two by spreading channels."""

from torch import Tensor, nn


class PatchExpand(nn.Module):
    """Linear (no bias) to the channels of 2×2 pixels, spread over these, LayerNorm: the way up in MiM-ISTD's
    decoder (as in Swin-Unet, Cao et al., 2022).

    Shape:
        (B, in_channels, H, W) → (B, out_channels, 2H, 2W).
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.expand = nn.Linear(in_channels, 4 * out_channels, bias=False)
        self.norm = nn.LayerNorm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.expand(x.permute(0, 2, 3, 1)).unflatten(-1, (2, 2, -1))  # (B, H, W, row, column, C)
        x = x.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)
        return self.norm(x).permute(0, 3, 1, 2)
