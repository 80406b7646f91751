"""``tools/benchmark.py zoo``: many networks, data sets and seeds, trained and tested alike, in one table."""

from __future__ import annotations

import sys
from pathlib import Path

from madnet.benchmarks.zoo.plan import find_shard, read_plan

__all__ = ['benchmark']


def benchmark(
    plan: str | None = None,
    shard: str | None = None,
    dry_run: bool = False,
    table: bool = False,
    in_process: bool = False,
    cost: bool = True,
    **given,
) -> dict:
    """Do what a plan says, or this process's share of it; the process that ends last makes the table.

    Args:
        plan: A YAML file with the keys of :class:`~madnet.benchmarks.zoo.plan.Plan`.
        shard: ``'r/n'``; default from torchrun's or srun's environment.
        dry_run: Only list what would be done.
        table: Do no run; make the table of what is there.
        in_process: See :func:`~madnet.benchmarks.zoo.running.run_all`.
        cost: Whether to measure parameters, MACs and latency.
        given: Keys of the plan that win over the file's.

    Returns:
        The content of ``zoo.json``, so far.

    Raises:
        UserError: The plan, a network or a data set is not as it should be.
        SystemExit: Runs failed; the others are done.
    """
    from madnet.benchmarks.zoo.cost import measure_costs
    from madnet.benchmarks.zoo.running import run_all, state_of
    from madnet.benchmarks.zoo.summary import summarise, write_summary

    wanted = read_plan(plan, **given)
    runs = wanted.runs()
    mine = find_shard(shard)
    share = mine.of(runs)
    if mine.count > 1:
        print(f'share {mine.rank + 1} of {mine.count} ({mine.source}): {len(share)} of {len(runs)} runs')
    if dry_run:
        for run in share:
            print(f'{state_of(run):8} {run.name}: {run.config} → {run.folder}')
        return summarise(wanted, runs)
    if not table:
        run_all(share, mine, in_process)
    states = [state_of(run) for run in runs]
    failed = states.count('failed')
    outstanding = len(runs) - states.count('done') - failed
    if outstanding and not table:
        print(f'{outstanding} of {len(runs)} runs are left to others; the last to end makes the table')
        if mine.source == '--shard' and any(state_of(run) == 'failed' for run in share):
            # not under torchrun, which ends all processes when one of them fails
            raise SystemExit('some runs failed; the same command tries them again')
        return summarise(wanted, runs)
    if cost:
        measure_costs(runs, wanted.size)
    summary = summarise(wanted, runs)
    page, listing = write_summary(summary, Path(wanted.work_dir))
    print(page.read_text(encoding='utf-8'))
    print(f'tables  {page.parent / "tables"}\nplot    {page.parent / "figures"}\nnumbers {listing}')
    if failed:
        print(f'{failed} of {len(runs)} runs failed; the same command tries them again', file=sys.stderr)
        raise SystemExit(1)
    return summary
