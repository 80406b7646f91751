"""``madnet compare``: many networks, data sets and seeds, trained and tested alike, in one table."""

from collections.abc import Sequence
from pathlib import Path

from madnet.errors import UserError
from madnet.experiments.plan import Plan, read_plan
from madnet.experiments.run import Run
from madnet.experiments.shard import find_shard
from madnet.files import expect_writable
from madnet.records import Comparison


def compare(
    plan: str | None = None,
    shard: str | None = None,
    dry_run: bool = False,
    table: bool = False,
    in_process: bool = False,
    jobs: int = 1,
    background: bool = False,
    cost: bool = True,
    json: str | None = None,
    **given,
) -> Comparison:
    """Do what a plan says, or this process's share of it; the process that ends last makes the table.

    Args:
        plan: A YAML file with the keys of :class:`~madnet.experiments.plan.Plan`.
        shard: ``'r/n'``; default from torchrun's or srun's environment.
        dry_run: Only list what would be done.
        table: Do no run; make the table of what is there.
        in_process, jobs: See :func:`~madnet.experiments.running.run_all`.
        background: Only start the command anew without this, in a process that outlives the terminal.
        cost: Whether to measure parameters, MACs and latency.
        json: A file that gets the numbers too.
        given: Keys of the plan that win over the file's.

    Returns:
        What ``comparison.json`` holds, so far.

    Raises:
        UserError: The plan, a network or a data set is not as it should be, or the tables cannot be written.
        SystemExit: Runs failed; the others are done.
    """
    from madnet.experiments.background import start
    from madnet.experiments.changed_data import warn_of_changed_data
    from madnet.experiments.running import run_all
    from madnet.experiments.state import state_of
    from madnet.experiments.summary import summarise

    if jobs < 1 or (jobs > 1 and in_process):
        raise UserError(f'--jobs: found {jobs}, expected 1 or more, and 1 with --in-process.')
    wanted = read_plan(plan, **given)
    runs = wanted.runs()
    mine = find_shard(shard)
    share = mine.of(runs)
    if mine.count > 1:
        print(f'share {mine.rank + 1} of {mine.count} ({mine.source}): {len(share)} of {len(runs)} runs')
    expect_writable(*([] if dry_run else [Path(wanted.work_dir, Comparison.FILE)]), *([json] if json else []))
    warn_of_changed_data(share)
    if dry_run or background:
        for run in share:
            print(f'{state_of(run):8} {run.name}: {run.config} → {run.folder}')
    elif not table:
        run_all(share, mine, in_process, jobs)
    if background:
        # shares of one plan may run beside each other
        part = f'share_{mine.rank + 1}_of_{mine.count}' if mine.count > 1 else ''
        start(Path(wanted.work_dir, part))
        return summarise(wanted, runs)
    failed, outstanding = _unfinished(runs)
    last = not dry_run and (table or not outstanding)
    if last and cost:
        from madnet.experiments.cost import measure_costs

        measure_costs(runs, wanted.size)
    summary = summarise(wanted, runs)
    if last:
        _show(wanted, summary)
    if json:
        print(f'written {summary.write(json)}')
    if last:
        if failed:
            raise SystemExit(f'{len(failed)} of {len(runs)} runs failed; the same command tries them again')
    elif not dry_run:
        print(f'{outstanding} of {len(runs)} runs are left to others; the last to finish writes the table')
        if mine.source == '--shard' and set(failed) & set(share):
            # not under torchrun, which ends all processes when one of them fails
            raise SystemExit('some runs failed; the same command tries them again')
    return summary


def _unfinished(runs: Sequence[Run]) -> tuple[list[Run], int]:
    """The runs that failed, and the number of those that are still to do."""
    from madnet.experiments.state import state_of

    states = {run: state_of(run) for run in runs}
    failed = [run for run, state in states.items() if state == 'failed']
    return failed, sum(state not in ('done', 'failed') for state in states.values())


def _show(plan: Plan, summary: Comparison) -> None:
    from madnet.experiments.summary import write_summary

    written = write_summary(summary, Path(plan.work_dir))
    print(written.pop('page').read_text(encoding='utf-8'))
    print(*(f'{what:7} {path}' for what, path in written.items()), sep='\n')
