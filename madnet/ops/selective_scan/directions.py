"""The four directions over a map as index maps: step t of direction k visits one pixel (VMamba)."""

import torch
from torch import Tensor


def direction_index(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Which pixel every step visits.

    Directions: 0 along the rows, 1 along the columns, 2 and 3 the same from the last pixel to the first.

    Returns:
        (4, H·W) int64; entry (k, t) is the row-major index of the pixel.
    """
    rows = torch.arange(height * width, device=device)
    columns = rows.view(height, width).t().reshape(-1)
    return torch.stack([rows, columns, rows.flip(0), columns.flip(0)])


def to_sequences(maps: Tensor) -> Tensor:
    """Read (batch, H, W, 4, channels), one map for each direction, in the order of that direction.

    Returns:
        (batch, 4, channels, H·W).
    """
    height, width = maps.shape[1:3]
    index = direction_index(height, width, maps.device)
    pixels = maps.flatten(1, 2)
    return torch.stack([pixels[:, index[k], k] for k in range(4)], 1).transpose(2, 3)


def from_sequences(sequences: Tensor, height: int, width: int, total: bool = True) -> Tensor:
    """Put (batch, 4, channels, H·W) back onto the map; the inverse of :func:`to_sequences`.

    Returns:
        (batch, H, W, channels), the sum over the directions; with ``total=False`` each on its own,
        (batch, H, W, 4, channels).
    """
    index = direction_index(height, width, sequences.device)
    place = torch.empty_like(index)
    place.scatter_(1, index, torch.arange(height * width, device=index.device).expand(4, -1))
    maps = [sequences[:, k].index_select(2, place[k]).transpose(1, 2) for k in range(4)]
    if total:
        merged = maps[0] + maps[1] + maps[2] + maps[3]
    else:
        merged = torch.stack(maps, 2)
    # by numbers: the ONNX exporter freezes an unflatten
    return merged.reshape(merged.shape[0], height, width, *merged.shape[2:])
