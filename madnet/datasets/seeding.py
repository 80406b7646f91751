"""Random numbers that depend on (seed, epoch, index) and on nothing else."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def seeded(*key: int) -> Iterator[None]:
    """NumPy's, Python's and torch's CPU generators run from ``key``, and afterwards go on as if never used.

    The global generators are seeded, not a private one, so that any transform of mmcv or mmseg obeys too.

    Args:
        key: Non-negative integers; every different key gives an independent stream.
    """
    states = np.random.get_state(), random.getstate(), torch.get_rng_state()
    words = np.random.SeedSequence(key).generate_state(8)
    np.random.seed(words[:4])
    random.seed(int.from_bytes(words[4:6].tobytes(), 'little'))
    # torch.manual_seed would also reseed the GPUs, whose state is the model's business.
    torch.default_generator.manual_seed(int.from_bytes(words[6:8].tobytes(), 'little'))
    try:
        yield
    finally:
        np.random.set_state(states[0])
        random.setstate(states[1])
        torch.set_rng_state(states[2])


class SeededSamples:
    """Mix-in for mmengine datasets: the pipeline of a sample is seeded from (seed, epoch, index).

    So a run can be repeated with any number of workers, persistent or not, no two epochs show a sample alike,
    and the process's own random state is never touched. Stands before the dataset class among the bases.

    Attributes:
        seed: Of the augmentations; may be set until the data loader's workers start.
    """

    def init_seeding(self, seed: int) -> None:
        """Call before the dataset's own ``__init__``."""
        self.seed = int(seed)
        # Shared, because persistent workers hold a copy of the dataset from before the first epoch.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def epoch(self) -> int:
        """The epoch from which augmentations are drawn, as the workers see it."""
        return int(self._epoch)

    def set_epoch(self, epoch: int, max_epochs: int | None = None) -> None:
        """Say which epoch begins (≥ 0), before the data loader is iterated; ``max_epochs`` plays no part."""
        self._epoch.fill_(int(epoch))

    def __getitem__(self, index: int) -> dict:
        index = int(index)
        with seeded(self.seed, self.epoch, index % len(self)):  # type: ignore[arg-type] # of a mix-in
            return super().__getitem__(index)  # type: ignore[misc]
