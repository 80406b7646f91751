"""The decoder of MiM-ISTD."""

from collections.abc import Sequence

from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.models.heads.fcn_head import FCNSegHead
from madnet.models.layers import PatchExpand, ResidualBlock


@MODELS.register_module()
class MiMHead(FCNSegHead):
    """Decoder of MiM-ISTD (Chen et al., TGRS 2024) over a pyramid of n >= 2 maps, each half as large as
    the one before.

    From the deepest map upward: :class:`~madnet.models.layers.PatchExpand`, added to the encoder's map, then
    residual blocks; at the finest level Conv3×3 → BN → ReLU → dropout → Conv1×1. (The figure also has
    residual blocks at the deepest level; the published code has none.)

    The published head gives one logit map. With deep supervision ``forward`` in training returns ``[s2, …,
    sn, out]``: a 1×1 convolution on each coarser level, s2 the finest of them, then the prediction, each at
    its own size. Otherwise ``out`` alone, at the size of the finest map; ``predict`` and ``loss`` bring
    logits to the size of image and mask.

    Args:
        blocks: Residual blocks of each level.
        dropout_ratio: Probability in 0–1 that an element before the last convolution is dropped in training.
        deep_supervision: Whether the maps s2 … sn exist and are supervised.
        kwargs: Further arguments of :class:`~madnet.models.heads.FCNSegHead`, such as ``loss_decode`` and
            ``soft_targets``.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        blocks: int = 2,
        dropout_ratio: float = 0.1,
        deep_supervision: bool = False,
        **kwargs,
    ):
        widths = list(in_channels)
        levels = len(widths)
        super().__init__(
            in_channels=widths,
            side_names=[f's{i + 1}' for i in range(1, levels)] if deep_supervision else (),
            dropout_ratio=dropout_ratio,
            **kwargs,
        )
        self.ups = nn.ModuleList(PatchExpand(widths[i + 1], widths[i]) for i in range(levels - 1))
        self.decoders = nn.ModuleList(
            nn.Sequential(*(ResidualBlock(widths[i]) for _ in range(blocks))) for i in range(levels - 1)
        )
        if deep_supervision:
            self.sides = nn.ModuleList(nn.Conv2d(width, self.out_channels, 1) for width in widths[1:])

    def forward(self, inputs: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """Maps (B, Cᵢ, ceil(H / 2ⁱ), ceil(W / 2ⁱ)) → logits (B, 1, H, W) or, in training, several."""
        decoded = self.decode(self._transform_inputs(inputs), self._join)
        out = self.classify(decoded[0])
        if not self.gives_sides:
            return out
        return [*(side(features) for side, features in zip(self.sides, decoded[1:], strict=True)), out]

    def _join(self, level: int, skip: Tensor, below: Tensor) -> Tensor:
        raised = self.ups[level](below)[..., : skip.shape[2], : skip.shape[3]]
        return self.decoders[level](raised + skip)
