"""The head of RDIAN."""

from collections.abc import Sequence

from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import Tensor

from madnet.errors import UserError
from madnet.models.heads.fcn_head import FCNSegHead
from madnet.models.layers import ConvBNLeakyReLU


@MODELS.register_module()
class RDIANHead(FCNSegHead):
    """Head of RDIAN (Sun et al., TGRS 2023) over two maps: the coarse one at the size of the fine one, plus a
    Conv1×1 → BN → leaky ReLU of that, ReLU, then Conv3×3 → BN → ReLU → dropout → Conv1×1.

    The coarse map is resized straight to the size of the fine one (bilinear, half-pixel centres), as
    published, whether or not that is twice its own.

    Args:
        in_channels: Channels of the two maps, the finer first.
        kwargs: Further arguments of :class:`~madnet.models.heads.FCNSegHead`, such as ``dropout_ratio``,
            ``loss_decode`` and ``soft_targets``.
    """

    def __init__(self, in_channels: Sequence[int], **kwargs):
        widths = list(in_channels)
        if len(widths) != 2:
            raise UserError(
                f'{type(self).__name__}: in_channels={widths} names {len(widths)} map(s), expected 2; '
                'choose two of the maps with in_channels and in_index'
            )
        super().__init__(in_channels=widths, classified_channels=widths[1], **kwargs)
        self.skip = ConvBNLeakyReLU(widths[0], widths[1], kernel_size=1)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps (B, C₀, H, W) and (B, C₁, h, w) → logits (B, 1, H, W)."""
        fine, coarse = self._transform_inputs(inputs)
        raised = resize(coarse, size=fine.shape[2:], mode='bilinear', align_corners=False)
        return self.classify((raised + self.skip(fine)).relu())
