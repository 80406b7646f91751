"""The encoder of ABC."""

from mmseg.registry import MODELS
from torch import Tensor

from madnet.errors import UserError
from madnet.models.backbones.pooling_encoder import PoolingEncoder
from madnet.models.input_check import check_size
from madnet.models.layers import CLFT, UCDC, DoubleConv

STRIDE = 16
"""Stride of the deepest map, in pixels."""


@MODELS.register_module()
class ABCEncoder(PoolingEncoder):
    """Encoder of ABC (Pan et al., "ABC: Attention with Bilinear Correlation for Infrared Small Target
    Detection", ICME 2023, fig. 2): two convolutions, three stages of
    :class:`~madnet.models.layers.CLFT`, one of :class:`~madnet.models.layers.UCDC`, with 2×2 max-pooling
    between them.

    The attention's linear layers see every pixel at its place, so that a network serves images of one square
    size only, and weights of one side cannot be used at another. ``IRSTDSegmentor`` pads smaller images to
    it; larger ones are to be resized by the pipeline, as published, or tested by tiles of this size.

    Args:
        in_channels: Channels of the image, 1 or 3.
        base_channels: d, even; the maps have d, 2d, 4d, 8d, 16d channels. 16, 32, 64 are the published ABC-S,
            -B, -L.
        side: Height and width of the image in pixels, a multiple of 16 of at least 32; published are 256 and
            512. The attention alone has about 0.29 · side³ parameters.

    Raises:
        UserError: A side or width that makes no network.
        InputError: In ``forward``, for an image with other channels or of another size.
    """

    def __init__(
        self,
        in_channels: int = 3,
        base_channels: int = 16,
        side: int = 256,
        init_cfg: dict | list[dict] | None = None,
    ):
        if side < 2 * STRIDE or side % STRIDE:
            raise UserError(
                f'ABCEncoder: side={side}, expected a multiple of {STRIDE} of at least {2 * STRIDE}'
            )
        if base_channels < 2 or base_channels % 2:
            raise UserError(f'ABCEncoder: base_channels={base_channels}, expected an even number')
        widths = [base_channels * 2**i for i in range(5)]
        stages = [
            DoubleConv(in_channels, widths[0]),
            *(CLFT(widths[i - 1], widths[i], side >> i) for i in (1, 2, 3)),
            UCDC(widths[3], widths[4]),
        ]
        super().__init__(in_channels, widths, stages, init_cfg)
        self.largest_side = side

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """The size (side, side) to which an image of ``height`` × ``width`` pixels is padded.

        Raises:
            UserError: The image is larger; the message says what to do.
        """
        side = self.largest_side
        if max(height, width) > side:
            step = side * 3 // 4
            raise UserError(
                f'ABCEncoder has side={side} and takes no image of {height}×{width} pixels (height×width): '
                f'resize images in the pipeline, or test by tiles with model.test_cfg=dict(mode="slide", '
                f'crop_size=({side}, {side}), stride=({step}, {step})), or train one with a larger side'
            )
        return side, side

    def check(self, x: Tensor) -> None:
        super().check(x)
        size = self.padded_size(*x.shape[2:])
        check_size(x, size, type(self).__name__, f'one of its side={self.largest_side}')
