from .functional import bce_loss, sls_loss, soft_dice_loss, soft_iou_loss
from .losses import MaskBCELoss, MaskLoss, SLSLoss, SoftDiceLoss, SoftIoULoss

__all__ = [
    'MaskBCELoss',
    'MaskLoss',
    'SLSLoss',
    'SoftDiceLoss',
    'SoftIoULoss',
    'bce_loss',
    'sls_loss',
    'soft_dice_loss',
    'soft_iou_loss',
]
