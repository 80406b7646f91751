"""The decoder of ISNet with its edge branch."""

import itertools
from collections.abc import Sequence

from mmseg.registry import MODELS
from mmseg.utils import SampleList
from torch import Tensor, nn

from madnet.errors import UserError
from madnet.models.heads.fcn_head import FCNSegHead
from madnet.models.layers import TaylorDifference, TwoOrientationAttention, residual_layer, resize_like


@MODELS.register_module()
class ISNetHead(FCNSegHead):
    """Decoder of ISNet (Zhang et al., CVPR 2022) over a full-resolution map of edges and a pyramid of n >= 2
    maps, each half as large as the one before.

    From the deepest map upward: transposed convolution ×2,
    :class:`~madnet.models.layers.TwoOrientationAttention` with the encoder's map, residual blocks. The edge
    branch widens the map of edges and sharpens it by one :class:`~madnet.models.layers.TaylorDifference` for
    each level, deepest first, under a 1×1 convolution of the decoder's map. The finest decoded map, resized
    to the map of edges and multiplied by 1 + its probability of an edge, gives the prediction.

    In training ``forward`` returns the logits ``[edge, out]``, otherwise ``out`` alone; all are as large as
    the map of edges. The edges are trained towards the gradient of the mask.

    Args:
        in_channels: Channels of the map of edges, then of the pyramid's maps, finest first.
        blocks: Residual blocks of each level.
        edge_channels: Channels of the edge branch, which is nearly all of the network's cost.
        modulated: Deformable convolutions of version 2 (the authors' network) instead of 1 (BasicIRSTD's).
        loss_edge: Loss of the edges; :class:`~madnet.models.losses.EdgeLoss` by default.
        kwargs: Further arguments of :class:`~madnet.models.heads.FCNSegHead`, such as ``loss_weights`` (of
            edge and out), ``dropout_ratio``, ``loss_decode`` and ``soft_targets``.

    Raises:
        UserError: Fewer than three maps.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        blocks: int = 4,
        edge_channels: int = 64,
        modulated: bool = False,
        loss_edge: dict | None = None,
        **kwargs,
    ):
        edges, *widths = in_channels
        if len(widths) < 2:
            raise UserError(
                f'{type(self).__name__}: in_channels={list(in_channels)} names {len(widths) + 1} map(s), '
                'expected at least 3: the edges and a pyramid of two'
            )
        super().__init__(
            in_channels=[edges, *widths],
            classified_channels=widths[0],
            side_names=['edge'],
            **kwargs,
        )
        self.loss_edge = MODELS.build(loss_edge or {'type': 'EdgeLoss'})
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(deep, fine, kernel_size=4, stride=2, padding=1)
            for fine, deep in itertools.pairwise(widths)
        )
        self.attentions = nn.ModuleList(TwoOrientationAttention(w, modulated) for w in widths[:-1])
        self.decoders = nn.ModuleList(residual_layer(w, w, blocks) for w in widths[:-1])
        self.edge_in = nn.Conv2d(edges, edge_channels, kernel_size=1)
        self.guides = nn.ModuleList(nn.Conv2d(w, 1, kernel_size=1) for w in widths)
        self.edge_blocks = nn.ModuleList(TaylorDifference(edge_channels) for _ in widths)
        self.edge_out = nn.Conv2d(edge_channels, 1, kernel_size=1, bias=False)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor | list[Tensor]:
        """Maps (B, C₀, H, W) and (B, Cᵢ, hᵢ, wᵢ), i = 1, …, n → logits (B, 1, H, W), or two of them
        in training."""
        edges, *skips = self._transform_inputs(inputs)
        decoded = self.decode(skips, self._join)
        edge = self._edge(edges, decoded)
        raised = resize_like(decoded[0], edges)
        out = self.classify(raised + raised * edge.sigmoid())
        return [edge, out] if self.gives_sides else out

    def _join(self, level: int, skip: Tensor, below: Tensor) -> Tensor:
        raised = self.ups[level](below)[..., : skip.shape[2], : skip.shape[3]]
        return self.decoders[level](self.attentions[level](raised, skip))

    def _edge(self, edges: Tensor, decoded: list[Tensor]) -> Tensor:
        """Logits of the edges (B, 1, H, W)."""
        sharpened = self.edge_in(edges)
        for features, guide, block in zip(
            reversed(decoded), reversed(self.guides), reversed(self.edge_blocks), strict=True
        ):
            side = resize_like(guide(features), edges, align_corners=True)
            sharpened = block(sharpened, side)
        return self.edge_out(sharpened)

    def loss_by_feat(
        self, seg_logits: Tensor | list[Tensor], batch_data_samples: SampleList
    ) -> dict[str, Tensor]:
        """Losses of the prediction, as in :class:`~madnet.models.heads.PyramidHead`, and in training
        ``loss_edge``."""
        if not isinstance(seg_logits, list):
            return super().loss_by_feat(seg_logits, batch_data_samples)
        edge, out = seg_logits
        losses = super().loss_by_feat(out, batch_data_samples)
        target = self._target(batch_data_samples)
        edge = self.to_image(edge, target.shape[1:])
        loss = self.loss_edge(edge, target, ignore_index=self.ignore_index)
        return {'loss_edge': self.loss_weights[0] * loss, **losses}
