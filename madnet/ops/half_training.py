"""Where kernels of our own serve: training in half precision on a GPU."""

import importlib.util

import torch
from torch import Tensor

HAS_TRITON = importlib.util.find_spec('triton') is not None


def has_kernels(x: Tensor, kind: torch.dtype) -> bool:
    """Whether there are kernels for products of ``kind`` with a tensor, and a training to use them in."""
    return (
        kind in (torch.float16, torch.bfloat16)
        and torch.is_grad_enabled()
        and HAS_TRITON
        and not torch.compiler.is_compiling()
        and x.is_cuda
        and torch.cuda.get_device_capability(x.device) >= (8, 0)
    )
