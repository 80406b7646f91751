"""Where kernels of our own serve: training in half precision on a GPU."""

import importlib.util
from functools import cache

import torch
from torch import Tensor

HAS_TRITON = importlib.util.find_spec('triton') is not None


@cache
def why_no_launch() -> str | None:
    """Why Triton cannot launch a kernel on a GPU here; None where it can.

    It compiles its launcher when it is first used, which takes a C compiler and Python's headers.
    """
    if not HAS_TRITON:
        return 'the triton package is not installed'
    try:
        from triton.runtime.driver import driver

        driver.active.get_current_target()
    except Exception as e:  # its own, the compiler's, the driver's
        return f'triton cannot launch kernels ({" ".join(str(e).split())[:200]})'
    return None


def has_kernels(x: Tensor, kind: torch.dtype) -> bool:
    """Whether there are kernels for products of ``kind`` with a tensor, and a training to use them in."""
    return (
        kind in (torch.float16, torch.bfloat16)
        and torch.is_grad_enabled()
        and x.is_cuda
        and not torch.compiler.is_compiling()
        and torch.version.hip is None
        and torch.cuda.get_device_capability(x.device) >= (8, 0)
        and why_no_launch() is None
    )
