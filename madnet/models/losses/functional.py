"""Losses as pure functions on logits and masks.

Everywhere: ``logits`` (B, 1, H, W) of any real value; ``target`` (B, 1, H, W) in 0–1, soft values allowed;
``valid`` (B, 1, H, W), 1 where a pixel counts and 0 where it does not, None for all. The result is a scalar.
Everything is computed in float32 under mixed precision too: sums over 256² pixels overflow half precision.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from madnet.models.layers import gradient_magnitude


def _check_shapes(logits: Tensor, target: Tensor) -> None:
    if logits.shape != target.shape:
        raise ValueError(
            f'logits {tuple(logits.shape)} and target {tuple(target.shape)} must have one shape (B, 1, H, W)'
        )


def _masses(logits: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Probabilities and target (B, 1, H, W) as float32, zero where nothing counts."""
    _check_shapes(logits, target)
    prob, target = logits.float().sigmoid(), target.float()
    return (prob, target) if valid is None else (prob * valid, target * valid)


def _sum(x: Tensor, per_image: bool = True) -> Tensor:
    """(B, 1, H, W) → (B,), over each image, or (), over all."""
    return x.flatten(1).sum(dim=1) if per_image else x.sum()


def soft_iou_loss(
    logits: Tensor,
    target: Tensor,
    valid: Tensor | None = None,
    smooth: float = 1.0,
    per_image: bool = False,
) -> Tensor:
    """1 − (Σpg + s) / (Σp + Σg − Σpg + s) on probabilities p and target g.

    Args:
        smooth: s; 1 in the published code of ABC and MAD-Net.
        per_image: Average over images of the loss of each; by default, as published, the sums run over the
            batch, so that images with large targets weigh more.
    """
    prob, target = _masses(logits, target, valid)
    both, prob, target = (_sum(x, per_image) for x in (prob * target, prob, target))
    return (1 - (both + smooth) / (prob + target - both + smooth)).mean()


def soft_dice_loss(
    logits: Tensor,
    target: Tensor,
    valid: Tensor | None = None,
    smooth: float = 1.0,
    per_image: bool = False,
    squared: bool = False,
    smooth_numerator: bool = True,
) -> Tensor:
    """1 − (2Σpg + s) / (Σp + Σg + s) on probabilities p and target g (V-Net, 3DV 2016, which squares below
    and has no s).

    Args:
        smooth: s.
        per_image: Average over images of the loss of each, instead of sums over the batch.
        squared: Σp² + Σg² below, as in V-Net.
        smooth_numerator: Whether s also stands above. Without it an image without target has the loss 1
            whatever is predicted, and no gradient against false alarms. RepISD-Net was published so, with
            squares, per image, and s = 0.002.
    """
    prob, target = _masses(logits, target, valid)
    both = _sum(prob * target, per_image)
    total = sum(_sum(x**2 if squared else x, per_image) for x in (prob, target))
    return (1 - (2 * both + smooth * smooth_numerator) / (total + smooth)).mean()


def bce_loss(
    logits: Tensor,
    target: Tensor,
    valid: Tensor | None = None,
    pos_weight: float | None = None,
    smoothing: float = 0.0,
    gamma: float = 0.0,
) -> Tensor:
    """Binary cross entropy, averaged over the pixels that count; with ``gamma`` the focal loss.

    Args:
        pos_weight: Factor of the target's term; None for 1.
        smoothing: ε of label smoothing (Szegedy et al., CVPR 2016): the target becomes
            ``(1 - ε) · target + ε / 2``, so that no logit is driven to infinity.
        gamma: γ of the focal loss (Lin et al., ICCV 2017): each pixel's term is multiplied by
            ``|target - p| ** γ``, so that the many pixels that are right already weigh little. Its α is
            ``pos_weight``: α / (1 - α), and ``loss_weight`` 1 - α.
    """
    _check_shapes(logits, target)
    target = (1 - smoothing) * target.float() + smoothing / 2
    weight = None if pos_weight is None else logits.new_full((1,), pos_weight, dtype=torch.float32)
    loss = F.binary_cross_entropy_with_logits(logits.float(), target, pos_weight=weight, reduction='none')
    if gamma:
        # the clamp keeps the gradient of a root finite where a pixel is exactly right
        loss = loss * (target - logits.float().sigmoid()).abs().clamp(min=1e-6) ** gamma
    return loss.mean() if valid is None else (loss * valid).sum() / valid.sum().clamp(min=1)


def edge_loss(
    logits: Tensor,
    target: Tensor,
    valid: Tensor | None = None,
    bce_weight: float = 10.0,
    smooth: float = 1.0,
    per_image: bool = False,
    published: bool = False,
) -> Tensor:
    """``bce_weight`` · :func:`bce_loss` + :func:`soft_iou_loss` of the edges' logits towards the gradient of
    the mask (ISNet, CVPR 2022).

    The edges of the mask are :func:`~madnet.models.layers.gradient_magnitude`, at most 1: as published they
    reach √2 at corners, beyond what a probability can, and nowhere fall below 0.001; and the published second
    term takes σ of the probability once more, which leaves it in 0.5 to 0.73.

    Args:
        smooth, per_image: Of the second term.
        published: Both of these as in the published code.
    """
    if published:
        edges, iou_logits = gradient_magnitude(target.float()), logits.float().sigmoid()
    else:
        edges, iou_logits = gradient_magnitude(target.float(), eps=0).clamp(max=1), logits
    iou = soft_iou_loss(iou_logits, edges, valid, smooth, per_image)
    return bce_weight * bce_loss(logits, edges, valid) + iou


def sls_loss(
    logits: Tensor,
    target: Tensor,
    valid: Tensor | None = None,
    warm: bool = False,
    with_shape: bool = True,
    published_empty: bool = False,
    eps: float = 1e-8,
) -> Tensor:
    """Scale- and location-sensitive loss of MSHNet (CVPR 2024), as in its published code.

    Per image, with A = Σp, T = Σg, I = Σpg and v = ((A − T) / 2)²::

        1 − α · I / (A + T − I) + location,   α = (min(A, T) + v) / (max(A, T) + v)

    An image without target has I = 0: the published quotient is then constant and gives no gradient against
    false alarms, and is 0/0 = NaN once every probability underflows. Here such an image has α = 1 and the
    quotient 1 / (1 + A) in its place; images with a target are as published.

    Args:
        warm: Plain 1 − IoU, without α and location (the paper's first epochs).
        with_shape: Whether the location term is added.
        published_empty: Treat images without target as the published code does, NaN and all.
        eps: Guards the location term's quotients.
    """
    prob, target = _masses(logits, target, valid)
    both, area, truth = _sum(prob * target), _sum(prob), _sum(target)
    empty = (truth == 0) & (not published_empty)
    # The dead branch of `where` must stay finite, or its gradient is NaN.
    union = torch.where(empty, 1 + area, area + truth - both)
    iou = torch.where(empty, torch.ones_like(both), both) / union
    if warm:
        return (1 - iou).mean()
    variance = ((area - truth) / 2) ** 2
    low, high = torch.minimum(area, truth) + variance, torch.maximum(area, truth) + variance
    scale = torch.where(empty, torch.ones_like(low), low / torch.where(empty, torch.ones_like(high), high))
    loss = (1 - scale * iou).mean()
    return loss + _location_loss(prob, target, eps).mean() if with_shape else loss


def _location_loss(prob: Tensor, target: Tensor, eps: float) -> Tensor:
    """Difference (B,) of the first moments of map and target in polar coordinates around the top left
    corner."""
    length_p, angle_p = _polar_moment(prob, eps)
    length_t, angle_t = _polar_moment(target, eps)
    lengths = torch.minimum(length_p, length_t) / (torch.maximum(length_p, length_t) + eps)
    return 1 - lengths + 4 / math.pi**2 * (angle_p - angle_t) ** 2


def _polar_moment(mass: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    height, width = mass.shape[-2:]
    x = torch.arange(width, device=mass.device, dtype=mass.dtype) / width
    y = torch.arange(height, device=mass.device, dtype=mass.dtype)[:, None] / height
    # Averaged over pixels, not over mass, as published: the moment grows with the target's area.
    x, y = (mass * x).flatten(1).mean(dim=1), (mass * y).flatten(1).mean(dim=1)
    return (x**2 + y**2 + eps).sqrt(), torch.atan(y / (x + eps))
