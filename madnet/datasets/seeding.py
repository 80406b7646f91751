"""Random numbers that depend on (seed, epoch, index) and on nothing else."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch
from mmengine.dist import get_rank


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


#: Instead of an epoch, until one is told.
_UNTOLD = -1


class SeededSamples:
    """Mix-in for mmengine datasets: the pipeline of a sample is seeded from (seed, epoch, index).

    So a run can be repeated with any number of workers, persistent or not, no two epochs show a sample alike,
    and the process's own random state is never touched. Where nobody calls :meth:`set_epoch`, as in other
    programs' training loops, each visit of a sample counts as an epoch of it. Stands before the dataset class
    among the bases.

    Attributes:
        seed: Of the augmentations; may be set until the data loader's workers start.
        repeat: Which time in this epoch (:class:`~madnet.datasets.repeat_dataset.RepeatDataset`).
    """

    repeat = 0

    def init_seeding(self, seed: int) -> None:
        """Call before the dataset's own ``__init__``."""
        self.seed = int(seed)
        # Shared, because persistent workers hold a copy of the dataset from before the first epoch.
        self._epoch = torch.full((), _UNTOLD, dtype=torch.int64).share_memory_()
        self._visits: torch.Tensor | None = None
        self._visit = 0
        self._rank = 0

    def full_init(self) -> None:
        """As mmengine's; what counts visits is shared as well, by number of the sample."""
        super().full_init()  # type: ignore[misc]
        if self._visits is None:
            self._visits = torch.zeros(len(self), dtype=torch.int64).share_memory_()  # type: ignore[arg-type]
            self._rank = get_rank()  # each process counts for itself

    @property
    def epoch(self) -> int:
        """The epoch that was told, as the workers see it; 0 until then."""
        return max(int(self._epoch), 0)

    @property
    def pass_number(self) -> int:
        """The epoch that was told; until then, how often the sample that is being read was read before."""
        return self._visit if self._epoch == _UNTOLD else int(self._epoch)

    def set_epoch(self, epoch: int, max_epochs: int | None = None) -> None:
        """Say which epoch begins (≥ 0), before the data loader is iterated; ``max_epochs`` plays no part."""
        self._epoch.fill_(int(epoch))

    def __getitem__(self, index: int) -> dict:
        index = int(index)
        place, more = index % len(self), self.repeat  # type: ignore[arg-type] # of a mix-in
        if self._epoch == _UNTOLD:
            assert self._visits is not None  # len() has filled the data set
            self._visit, more = int(self._visits[place]), self._rank
            self._visits[place] += 1
        with seeded(self.seed, self.pass_number, place, *([more] if more else [])):
            return super().__getitem__(index)  # type: ignore[misc]
