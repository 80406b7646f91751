"""A process's share of the runs of a comparison."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from madnet.errors import UserError

T = TypeVar('T')


@dataclass(frozen=True)
class Shard:
    """A share of the runs.

    Attributes:
        rank: From 0.
        count: Shares in all.
        local_rank: Number of this process on its machine, to choose a GPU by; None leaves the GPU alone.
        source: Where this is known from.
    """

    rank: int = 0
    count: int = 1
    local_rank: int | None = None
    source: str = ''

    def of(self, runs: Sequence[T]) -> list[T]:
        """Every ``count``-th run, so that slow networks and data sets are spread."""
        return list(runs[self.rank :: self.count])


def find_shard(text: str | None = None, environment: Mapping[str, str] = os.environ) -> Shard:
    """This process's share: from ``'r/n'`` (r from 1), or from torchrun's or srun's environment, or all.

    Raises:
        UserError: ``text`` is not of that form.
    """
    if text is not None:
        rank, _, count = text.partition('/')
        if not (rank.isdecimal() and count.isdecimal() and 1 <= int(rank) <= int(count)):
            raise UserError(f'--shard: found {text!r}, expected r/n with r from 1 to n, such as 1/4.')
        return Shard(int(rank) - 1, int(count), source='--shard')
    for source, rank, count, local in (
        ('torchrun', 'RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
        # a job step's own count: in a batch script without srun, SLURM_NTASKS may be greater than one as well
        ('srun', 'SLURM_PROCID', 'SLURM_STEP_NUM_TASKS', 'SLURM_LOCALID'),
    ):
        if rank in environment and int(environment.get(count, 1)) > 1:
            local_rank = int(environment.get(local, 0))
            return Shard(int(environment[rank]), int(environment[count]), local_rank, source)
    return Shard()
