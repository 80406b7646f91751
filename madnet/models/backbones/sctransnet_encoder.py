"""The encoder of SCTransNet."""

import itertools

from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.models.backbones.pooling_encoder import PoolingEncoder
from madnet.models.input_check import check_size
from madnet.models.layers import ResidualBlock


@MODELS.register_module()
class SCTransNetEncoder(PoolingEncoder):
    """Residual blocks with leaky ReLU and 2×2 max-pooling between them.

    The convolutional encoder of SCTransNet (Yuan et al., "SCTransNet: Spatial-Channel Cross Transformer
    Network for Infrared Small Target Detection", TGRS 2024), whose transformer is
    :class:`~madnet.models.necks.SCTransNetNeck`. It takes images whose sides are multiples of 2ⁿ⁻¹, n the
    number of maps; ``IRSTDSegmentor`` pads others.

    Args:
        in_channels: Channels of the image, 1 or 3.
        base_channels: C. The maps have C, 2C, 4C, … channels, the last as many as the one before.
        num_stages: n.

    Raises:
        InputError: In ``forward``, for an image with other channels, a side below 32 pixels, or sides that
            are no such multiples.
    """

    def __init__(
        self,
        in_channels: int = 1,
        base_channels: int = 32,
        num_stages: int = 5,
        init_cfg: dict | list[dict] | None = None,
    ):
        widths = [base_channels * 2 ** min(i, num_stages - 2) for i in range(num_stages)]
        stages = (
            ResidualBlock(a, b, bias=True, activation=nn.LeakyReLU)
            for a, b in itertools.pairwise([in_channels, *widths])
        )
        super().__init__(in_channels, widths, stages, init_cfg)

    @property
    def step(self) -> int:
        """What the sides of an image are multiples of, in pixels: the stride of the last map."""
        return 2 ** (len(self.stages) - 1)

    def padded_size(self, height: int, width: int) -> tuple[int, int]:
        """The smallest size that is accepted and holds an image of that one: (height, width) in pixels."""
        # Rounded up by positive numbers alone: ONNX divides towards zero.
        height, width = ((side + self.step - 1) // self.step * self.step for side in (height, width))
        return height, width

    def check(self, x: Tensor) -> None:
        super().check(x)
        fitting = self.padded_size(*x.shape[2:])
        check_size(x, fitting, type(self).__name__, f'sides that are multiples of {self.step}')
