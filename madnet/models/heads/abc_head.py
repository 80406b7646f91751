"""The decoder of ABC with its deep supervision."""

from collections.abc import Sequence

from mmseg.registry import MODELS

from madnet.models.heads.unet_head import UNetHead
from madnet.models.layers import UCDC


@MODELS.register_module()
class ABCHead(UNetHead):
    """Decoder of ABC (Pan et al., "ABC: Attention with Bilinear Correlation for Infrared Small Target
    Detection", ICME 2023, fig. 2) over a pyramid of n >= 2 maps, each half as large as the one before: a
    :class:`~madnet.models.heads.UNetHead` with UCDC on its deepest step.

    Args:
        deep_supervision: Whether the maps s1 … sn exist and are supervised.
        kwargs: Further arguments of :class:`~madnet.models.heads.PyramidHead`, such as ``loss_decode`` (by
            default ``SoftIoULoss``, as published) and ``loss_weights`` (all 1, as published).
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        deep_supervision: bool = True,
        **kwargs,
    ):
        super().__init__(in_channels, deepest=UCDC, deep_supervision=deep_supervision, **kwargs)
