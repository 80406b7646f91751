from .functional import bce_loss, edge_loss, sls_loss, soft_dice_loss, soft_iou_loss
from .losses import EdgeLoss, MaskBCELoss, MaskLoss, SLSLoss, SoftDiceLoss, SoftIoULoss
from .probe import check_logits, check_losses

__all__ = [
    'EdgeLoss', 'MaskBCELoss', 'MaskLoss', 'SLSLoss', 'SoftDiceLoss', 'SoftIoULoss', 'bce_loss',
    'check_logits', 'check_losses', 'edge_loss', 'sls_loss', 'soft_dice_loss', 'soft_iou_loss',
]  # fmt: skip
