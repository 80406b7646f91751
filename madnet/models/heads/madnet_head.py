"""The decoder of MAD-Net with its deep supervision."""

from collections.abc import Sequence
from functools import partial

from mmseg.registry import MODELS

from madnet.models.heads.unet_head import UNetHead
from madnet.models.layers import MemA2M


@MODELS.register_module()
class MADNetHead(UNetHead):
    """Decoder of MAD-Net (IEEE document 10777476) over a pyramid of n >= 2 maps, each half as large as the
    one before: a :class:`~madnet.models.heads.UNetHead` with MemA²M on its deepest step.

    Args:
        deep_supervision: Whether the maps s1 … sn exist and are supervised.
        mema2m: Further arguments of ``MemA2M``; ``slots``, the columns of its bank, come from a MemA2MNeck
            before it unless they are given.
        kwargs: Further arguments of :class:`~madnet.models.heads.PyramidHead`, such as ``loss_decode`` (by
            default ``SoftIoULoss``, as published), ``loss_weights`` (all 1, as published) and
            ``soft_targets`` (as published: True).
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        deep_supervision: bool = True,
        mema2m: dict | None = None,
        **kwargs,
    ):
        super().__init__(
            in_channels,
            deepest=partial(MemA2M, **(mema2m or {})),
            deep_supervision=deep_supervision,
            **kwargs,
        )
        # beside the deepest, which is MemA²M, the step with the largest numbers
        for decoder in self.decoders[-2:-1]:
            decoder.keeps_norms = True
