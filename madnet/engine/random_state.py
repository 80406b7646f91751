"""The state of every random number generator that training draws from."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import torch


def get_random_state() -> dict:
    """The states of Python's, NumPy's and torch's generators, as tensors and plain values."""
    name, keys, position, has_gauss, cached = cast(tuple, np.random.get_state(legacy=True))
    state = {
        'python': random.getstate(),
        'numpy': [name, torch.as_tensor(keys.astype(np.int64)), position, has_gauss, cached],
        'torch': torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state['cuda'] = torch.cuda.get_rng_state_all()
    return state


def set_random_state(state: dict) -> None:
    """Put back what :func:`get_random_state` took."""
    version, internal, gauss = state['python']
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state['numpy']
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state['torch'].cpu())
    if 'cuda' in state and torch.cuda.is_available() and len(state['cuda']) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([s.cpu() for s in state['cuda']])


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Whatever is drawn inside leaves the generators as they were."""
    state = get_random_state()
    try:
        yield
    finally:
        set_random_state(state)
