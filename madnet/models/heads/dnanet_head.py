"""The nested decoder of DNANet with its deep supervision."""

from collections.abc import Sequence

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.models.heads.level_depths import level_depths
from madnet.models.heads.pyramid_head import PyramidHead
from madnet.models.layers import CBAMBlock, cbam_stage, resize_like


@MODELS.register_module()
class DNANetHead(PyramidHead):
    """Decoder of DNANet (Li et al., "Dense Nested Attention Network for Infrared Small Target Detection",
    TIP 2023) over a pyramid of n >= 2 maps, finest first: a triangular grid, then the fusion of its diagonal.

    The pyramid is column 0 of the grid (paper, fig. 2). A node X(i, k) of level i (0 is the finest) and
    column k >= 1 is a stage of residual CBAM blocks on the concatenation of

    - all nodes of its level to the left, X(i, 0) … X(i, k − 1),
    - X(i + 1, k − 1), one level deeper, enlarged,
    - X(i − 1, k), one level finer, made smaller (where i >= 1): this the paper's dense nesting adds to
      U-Net++.

    The last nodes of the deeper levels pass a 1×1 convolution and are enlarged, and one more block fuses
    them with the finest one's (the paper's feature pyramid fusion). Maps are made to fit each other by
    bilinear resizing with aligned corners, smaller ones too, as in the published code, so that maps of any
    size will do.

    In training with deep supervision ``forward`` returns the logits of the finest level's nodes and of the
    fused map, ``[x1, …, x(n − 2), out]``, all at the size of the finest map; otherwise ``out`` alone. (The
    last node of the finest level has no logits of its own.) The published loss is the mean over them:
    ``loss_weights`` of 1 / (n − 1) each.

    Args:
        depths: Blocks of the nodes of each level except the deepest, which has none beyond column 0; by
            default 1 on the finest level and 2 on the others, as published.
        deep_supervision: Whether the maps x1 … exist and are supervised.

    Raises:
        UserError: ``depths`` is not one value, at least 1, for each level except the deepest.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        depths: Sequence[int] | None = None,
        deep_supervision: bool = True,
        **kwargs,
    ):
        widths = list(in_channels)
        deepest = len(widths) - 1
        sides = [f'x{k}' for k in range(1, deepest)] if deep_supervision else []
        super().__init__(
            in_channels=widths,
            side_names=sides,
            **kwargs,
        )
        depths = level_depths(depths, widths, type(self).__name__)
        # columns[k - 1][i] is node X(i, k).
        self.columns = nn.ModuleList(
            nn.ModuleList(
                cbam_stage(k * widths[i] + widths[i + 1] + (widths[i - 1] if i else 0), widths[i], depths[i])
                for i in range(deepest + 1 - k)
            )
            for k in range(1, deepest + 1)
        )
        self.reduce = nn.ModuleList(nn.Conv2d(width, widths[0], kernel_size=1) for width in widths[1:])
        self.fuse = CBAMBlock(len(widths) * widths[0], widths[0])
        if deep_supervision:
            self.sides = nn.ModuleList(nn.Conv2d(widths[0], self.out_channels, kernel_size=1) for _ in sides)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """Maps (B, Cᵢ, Hᵢ, Wᵢ) → logits (B, 1, H₀, W₀) or, in training, several."""
        grid = [[x] for x in self._transform_inputs(inputs)]  # grid[i][k] is X(i, k)
        for column in self.columns:
            for i, node in enumerate(column):
                level = grid[i]
                around = [*level, resize_like(grid[i + 1][len(level) - 1], level[0], align_corners=True)]
                if i:
                    around.append(resize_like(grid[i - 1][len(level)], level[0], align_corners=True))
                level.append(node(torch.cat(around, dim=1)))
        finest = grid[0]
        deeper = [
            resize_like(reduce(level[-1]), finest[0], align_corners=True)
            for reduce, level in zip(self.reduce, grid[1:], strict=True)
        ]
        out = self.cls_seg(self.fuse(torch.cat([*reversed(deeper), finest[-1]], dim=1)))
        if not self.gives_sides:
            return out
        return [*(side(x) for side, x in zip(self.sides, finest[1:-1], strict=True)), out]
