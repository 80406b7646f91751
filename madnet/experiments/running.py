"""Doing the runs of a comparison, so that no run can end the others."""

import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from madnet.engine.cli import message_of
from madnet.engine.folder_lock import own_folder
from madnet.engine.training_stopped import TrainingStopped
from madnet.errors import UserError
from madnet.experiments.process import CONSOLE, do_in_processes, is_free
from madnet.experiments.run import Run
from madnet.experiments.shard import Shard
from madnet.experiments.state import (
    begins_with,
    outstanding_tests,
    read_metrics,
    read_record,
    record_or_new,
    start_sha256,
    state_of,
    weights_of,
)
from madnet.files import write_whole
from madnet.records import RunFile, as_text

_WORDS = {'new': 'begins', 'begun': 'goes on', 'trained': 'to be tested', 'failed': 'failed before, again'}


def run_all(runs: Sequence[Run], shard: Shard, in_process: bool = False, jobs: int = 1) -> None:
    """Do every run that is not done yet; a failure is reported and the next one begins.

    Args:
        runs: This process's share.
        shard: Where it comes from; chooses the GPU.
        in_process: Do them in this process: without the seconds that each new process takes to import, but a
            crash of the interpreter ends all.
        jobs: Processes at a time.

    Raises:
        UserError: A folder holds another run.
        TrainingStopped: A signal asked to stop; running the same again goes on.
    """
    states = {run: state_of(run) for run in runs}
    heads = {run: f'[{i}/{len(runs)}] {run.name}' for i, run in enumerate(runs, 1)}

    def is_due(run: Run) -> bool:
        """Asked anew at its turn: what it begins from may have been trained anew since."""
        try:
            states[run] = state_of(run)
        except UserError as e:
            print(f'{heads[run]}: failed: {e}', file=sys.stderr, flush=True)
            return False
        if states[run] == 'done':
            print(f'{heads[run]}: done before', flush=True)
        return states[run] != 'done' and is_free(run)

    for run, ended in _do_here(runs, is_due) if in_process else do_in_processes(runs, is_due, shard, jobs):
        if not ended:
            print(f'{heads[run]}: {_WORDS[states[run]]} …', flush=True)
            continue
        record, log = read_record(run.folder) or RunFile(), Path(run.folder, CONSOLE)
        if state_of(run) == 'done':
            print(f'{heads[run]}: {_headline(run)}, {record.minutes:.1f} min', flush=True)
        else:
            place = log if log.exists() else run.folder
            print(f'{heads[run]}: failed: {record.error} (see {place})', file=sys.stderr, flush=True)


def do_run(run: Run) -> None:
    """Train (or go on training) and test, by the functions of ``madnet train`` and ``madnet test``.

    Writes ``run.json`` beside what those write.

    Raises:
        UserError: As those tools.
        FolderInUse: Another process does it.
        TrainingStopped: A signal asked to stop; all is saved.
    """
    with own_folder(run.folder), _recording(run) as record:
        run.check_sets_to_test()  # that one is missing is said before the training
        if run.seed is not None and not record.trained:
            _train(run, record)
            record.trained = True
            record.write(Path(run.folder, RunFile.FILE))
        _test(run)


@contextmanager
def _recording(run: Run) -> Iterator[RunFile]:
    """Writes the beginning of a run into its ``run.json``, and how it ends."""
    record = replace(record_or_new(run), wanted=run.wanted(), state='running', error=None)
    start, file = time.time(), Path(run.folder, RunFile.FILE)
    record.write(file)
    try:
        yield record
        record.state = 'done'
    except (TrainingStopped, KeyboardInterrupt):
        record.state = 'stopped'
        raise
    except BaseException as e:
        record.state, record.error = 'failed', ' '.join(f'{type(e).__name__}: {message_of(e)}'.split())[:300]
        raise
    finally:
        record.minutes += (time.time() - start) / 60
        record.write(file)


def _train(run: Run, record: RunFile) -> None:
    from madnet.engine.checkpoint import LAST, PREVIOUS
    from madnet.engine.train import train

    _check_start(run)
    resume = any((Path(run.folder) / name).exists() for name in (LAST, PREVIOUS))
    if not resume:
        record.begins_sha256, record.load_from_sha256 = start_sha256(run) or None, None
        record.write(Path(run.folder, RunFile.FILE))
    train(
        run.config,
        work_dir=run.folder,
        resume=resume,
        amp=run.amp,
        seed=run.seed,
        options=run.options,
    )


def _check_start(run: Run) -> None:
    """Refuse the weights of another run of a comparison while that one still trains."""
    for key, file in begins_with(run).items():
        record = read_record(file.resolve().parent)
        if record and not record.trained:
            raise UserError(
                f'{run.name}: {key} {file}: found a training that has not ended ({record.state}); run the '
                'same command again when it has.'
            )


def _test(run: Run) -> None:
    from madnet.engine.test import run_test

    weights = run.checkpoint or weights_of(run)
    for views, folder in outstanding_tests(run).items():
        run_test(
            run.config,
            str(weights) if weights else None,
            protocols=run.protocols,
            out=str(folder),
            options=run.options,
            views=views,
            save_scores=run.save_scores,
            dataset=','.join(run.test_on) or None,
        )


def _do_here(runs: Iterable[Run], due: Callable[[Run], bool]) -> Iterator[tuple[Run, bool]]:
    """:func:`do_in_processes`, in this process."""
    for run in filter(due, runs):
        yield run, False
        try:
            do_run(run)
        except (TrainingStopped, KeyboardInterrupt):
            raise
        except Exception as e:
            text = f'error: {message_of(e)}\n' if isinstance(e, UserError) else traceback.format_exc()
            write_whole(Path(run.folder) / CONSOLE, text)
        yield run, True


def _headline(run: Run) -> str:
    protocol = run.protocols.split(',')[0]
    parts = []
    for views, report in read_metrics(run).items():
        # of several sets that which the run is named after, not all of them mixed
        first = next(iter(report.sets.values())) if report.sets and run.test_on else report
        numbers = first.results[protocol]
        known = [f'{k} {as_text(k, numbers[k])}' for k in ('IoU', 'nIoU', 'Pd') if numbers.get(k) is not None]
        parts.append(f'{protocol}{with_views(views)} {", ".join(known)}')
    return '; '.join(parts)


def with_views(views: int | None) -> str:
    """What a name is followed by where several views are averaged."""
    return '' if views in (None, 1) else f', {views} views'
