"""The losses as registered modules, usable in our heads and in mmseg's one-channel heads."""

from collections.abc import Callable

from mmseg.registry import MODELS
from torch import Tensor, nn

from madnet.errors import UserError, expect_number, expect_whole

from .functional import bce_loss, edge_loss, sls_loss, soft_dice_loss, soft_iou_loss


class MaskLoss(nn.Module):
    """Shell around a loss function: weight, name, and which pixels count.

    Args:
        loss_weight: Factor of the loss.
        loss_name: Name in the log; it must contain ``loss`` to take part in the gradient, as mmengine has it.
        settings: Further arguments of the function.

    Raises:
        UserError: ``loss_weight`` is below 0, which would train on the inverse, or the name is another.

    Attributes:
        function: ``(logits, target, valid, **settings)`` → scalar; all tensors (B, 1, H, W).
    """

    function: Callable[..., Tensor]

    def __init__(self, loss_weight: float, loss_name: str, **settings):
        super().__init__()
        if 'loss' not in loss_name:
            # mmengine adds up what is called so and only logs the rest
            raise UserError(
                f"loss_name: found {loss_name!r}, expected a name with 'loss' in it, or it is not trained."
            )
        self.loss_weight = expect_number(loss_weight, f'{type(self).__name__}.loss_weight', least=0)
        self.loss_name = loss_name
        self.settings = settings

    def forward(
        self,
        logits: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        ignore_index: int | None = 255,
        **kwargs,
    ) -> Tensor:
        """
        Args:
            logits: (B, 1, H, W).
            target: (B, H, W) or (B, 1, H, W), 0/1 or soft values in 0–1.
            weight: Shaped like ``target``, 1 where a pixel counts and 0 where it does not; None for all.
            ignore_index: Value of ``target`` that marks pixels that do not count; None for none.

        Returns:
            Scalar.
        """
        target, valid = _what_counts(target.reshape(logits.shape), weight, ignore_index)
        return self.loss_weight * self.compute(logits, target, valid, **kwargs)

    def compute(self, logits: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
        """The loss function proper, all (B, 1, H, W) → scalar."""
        return self.function(logits, target, valid, **self.settings)


def _what_counts(
    target: Tensor, weight: Tensor | None, ignore_index: int | None
) -> tuple[Tensor, Tensor | None]:
    """Target without the mark of ignored pixels, and which pixels count, (B, 1, H, W) both."""
    valid = None if weight is None else weight.reshape(target.shape)
    if ignore_index is None:
        return target, valid
    ignored = target == ignore_index
    counts = (~ignored).float()
    return target.masked_fill(ignored, 0), counts if valid is None else valid * counts


@MODELS.register_module()
class SoftIoULoss(MaskLoss):
    """Module of :func:`~madnet.models.losses.soft_iou_loss`."""

    function = staticmethod(soft_iou_loss)

    def __init__(
        self,
        smooth: float = 1.0,
        per_image: bool = False,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_soft_iou',
    ):
        expect_number(smooth, 'SoftIoULoss.smooth', least=0)
        super().__init__(loss_weight, loss_name, smooth=smooth, per_image=per_image)


@MODELS.register_module()
class SoftDiceLoss(MaskLoss):
    """Module of :func:`~madnet.models.losses.soft_dice_loss`."""

    function = staticmethod(soft_dice_loss)

    def __init__(
        self,
        smooth: float = 1.0,
        per_image: bool = False,
        squared: bool = False,
        smooth_numerator: bool = True,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_dice',
    ):
        expect_number(smooth, 'SoftDiceLoss.smooth', least=0)
        how = dict(smooth=smooth, per_image=per_image, squared=squared, smooth_numerator=smooth_numerator)
        super().__init__(loss_weight, loss_name, **how)


@MODELS.register_module()
class MaskBCELoss(MaskLoss):
    """Module of :func:`~madnet.models.losses.bce_loss`, added once a share of the training is done.

    Its gradient does not vanish on a map that has fallen to black, so it revives such maps; but from the
    first step on it drives all probabilities to zero before an IoU loss has found a target.

    Args:
        pos_weight: Factor of the target pixels' terms; None for 1.
        begin: Share of the epochs, in 0–1, before which the loss is 0; the last epoch has it all the same,
            unless this is 1. Of a training by minutes that ends in its first epoch nobody knows that this is
            the last.
        smoothing: Of labels, in 0–1, for scores that are not all 0 or 1.
        gamma: Above 0 the focal loss with this exponent, usually 2, for which pixels that are right already
            weigh little.

    Attributes:
        active: Set by :meth:`set_epoch`; before its first call as in epoch 0.

    Raises:
        UserError: ``pos_weight`` is not above 0, ``begin`` or ``smoothing`` not in 0–1, or ``gamma`` below 0.
    """

    function = staticmethod(bce_loss)

    def __init__(
        self,
        pos_weight: float | None = None,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_bce',
        begin: float = 0.0,
        smoothing: float = 0.0,
        gamma: float = 0.0,
    ):
        super().__init__(loss_weight, loss_name, pos_weight=pos_weight, smoothing=smoothing, gamma=gamma)
        if pos_weight is not None:
            expect_number(pos_weight, 'MaskBCELoss.pos_weight', above=0)
        expect_number(begin, 'MaskBCELoss.begin', least=0, most=1)
        expect_number(smoothing, 'MaskBCELoss.smoothing', least=0, below=1)
        expect_number(gamma, 'MaskBCELoss.gamma', least=0)
        self.begin = begin
        self.active = begin == 0

    def set_epoch(self, epoch: int, max_epochs: int) -> None:
        """Say which epoch begins, counted from 0 (:class:`madnet.engine.hooks.EpochHook` does)."""
        first = round(self.begin * max_epochs)
        # or it would never act in a run of an epoch or two
        self.active = epoch >= (first if self.begin == 1 else min(first, max_epochs - 1))

    def compute(self, logits: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
        return super().compute(logits, target, valid) if self.active else logits.new_zeros(())


@MODELS.register_module()
class EdgeLoss(MaskLoss):
    """Module of :func:`~madnet.models.losses.edge_loss`."""

    function = staticmethod(edge_loss)

    def __init__(
        self,
        bce_weight: float = 10.0,
        smooth: float = 1.0,
        per_image: bool = False,
        published: bool = False,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_edge',
    ):
        expect_number(bce_weight, 'EdgeLoss.bce_weight', least=0)
        expect_number(smooth, 'EdgeLoss.smooth', least=0)
        how = dict(bce_weight=bce_weight, smooth=smooth, per_image=per_image, published=published)
        super().__init__(loss_weight, loss_name, **how)


@MODELS.register_module()
class SLSLoss(MaskLoss):
    """Module of :func:`~madnet.models.losses.sls_loss`, whose first epochs in training are a warm-up.

    Args:
        warm_epoch: Last epoch, counted from 0, of plain 1 − IoU; −1 for none. In a head with a warm-up of its
            own, as MSHNet's, the head's holds.
        with_shape: Whether the location term is added afterwards.
        published_empty: Treat images without target as the published code does, NaN and all.

    Attributes:
        warming_up: Set by :meth:`set_epoch`; False before its first call.
    """

    function = staticmethod(sls_loss)

    def __init__(
        self,
        warm_epoch: int = 5,
        with_shape: bool = True,
        published_empty: bool = False,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_sls',
    ):
        super().__init__(loss_weight, loss_name, with_shape=with_shape, published_empty=published_empty)
        self.warm_epoch = expect_whole(warm_epoch, 'SLSLoss.warm_epoch', least=-1)
        self.warming_up = False

    def set_epoch(self, epoch: int, max_epochs: int) -> None:
        """Say which epoch begins, counted from 0 (:class:`madnet.engine.hooks.EpochHook` does)."""
        self.warming_up = epoch <= self.warm_epoch

    def compute(self, logits: Tensor, target: Tensor, valid: Tensor | None) -> Tensor:
        return self.function(logits, target, valid, warm=self.warming_up, **self.settings)
