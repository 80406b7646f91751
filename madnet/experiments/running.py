"""Doing the runs of a comparison, one after the other, so that no run can end the others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from madnet.engine.cli import STOPPED, message_of
from madnet.engine.training_stopped import TrainingStopped
from madnet.errors import UserError
from madnet.experiments.plan import Run, Shard
from madnet.files import write_json

RECORD, METRICS, CONSOLE = 'run.json', 'metrics.json', 'console.log'

#: What tells a process that it is one of several: a run trains in one, whoever started the comparison.
_LAUNCHER_VARIABLES = ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'LOCAL_WORLD_SIZE', 'GROUP_RANK', 'ROLE_RANK')
_LAUNCHER_PREFIXES = ('SLURM_', 'TORCHELASTIC_', 'MASTER_')


def read_record(run: Run) -> dict:
    """What ``run.json`` tells: ``wanted``, ``state``, ``trained``, ``minutes``, ``error``; {} if none."""
    return read_json(Path(run.folder) / RECORD)


def read_metrics(run: Run) -> dict[int | None, dict]:
    """Number of views (None: the config's) → ``metrics.json``, of those of a run's tests that are done.

    A test of other weights than the run's, such as those of an earlier epoch, is none; where the weights are
    gone, any will do.
    """
    record = read_record(run)
    if run.seed is not None and record and not record.get('trained'):
        return {}
    weights = weights_of(run)
    digest = _digest(str(weights), weights.stat().st_mtime_ns) if weights and weights.is_file() else None
    reports = {views: read_json(folder / METRICS) for views, folder in run.tests().items()}
    wanted = set(run.protocols.split(','))
    return {
        views: report
        for views, report in reports.items()
        if wanted <= set(report.get('results') or {})
        and views in (None, report.get('views'))
        and digest in (None, (report.get('checkpoint') or {}).get('sha256'))
    }


def weights_of(run: Run) -> Path | None:
    """The file of weights that a run tests; None where there is nothing to train."""
    from madnet.engine.checkpoint import BEST, LAST

    if run.seed is None:
        return run.checkpoint and Path(run.checkpoint)
    best, last = (Path(run.folder) / name for name in (BEST, LAST))
    return best if best.exists() else last


@lru_cache
def _digest(path: str, changed: int) -> str:
    from madnet.engine.checkpoint import sha256_of

    return sha256_of(path)


def with_views(views: int | None) -> str:
    """What a name is followed by where several views are averaged."""
    return '' if views in (None, 1) else f', {views} views'


def read_json(path: Path) -> dict:
    """The object in a JSON file; {} where there is none, or half of one."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def state_of(run: Run) -> str:
    """``'done'``, ``'trained'`` (to be tested), ``'begun'``, ``'failed'`` or ``'new'``.

    Raises:
        UserError: The folder holds a run of another config, seed or options.
    """
    record, wanted = read_record(run), run.wanted()
    if record and record.get('wanted') != wanted:
        found = record.get('wanted') or {}
        differing = ', '.join(
            f'{k} {found.get(k)!r}, wanted {wanted[k]!r}' for k in wanted if found.get(k) != wanted[k]
        )
        raise UserError(f'{run.folder}: holds a run of {differing}. Remove it, or choose another --work-dir.')
    if read_metrics(run).keys() == run.tests().keys():
        return 'done'
    if record.get('state') == 'failed':
        return 'failed'
    if record.get('trained'):
        return 'trained'
    return 'begun' if record else 'new'


def do_run(run: Run) -> None:
    """Train (or go on training) and test, by the functions of ``tools/train.py`` and ``tools/test.py``.

    Writes ``run.json`` beside what those write.

    Raises:
        UserError: As those tools.
        TrainingStopped: A signal asked to stop; all is saved.
    """
    from madnet.engine.checkpoint import LAST, PREVIOUS
    from madnet.engine.test import run_test
    from madnet.engine.train import train

    folder = Path(run.folder)
    former = read_record(run)
    record = {
        'wanted': run.wanted(),
        'trained': former.get('trained', False),
        'minutes': former.get('minutes', 0.0),
    }
    start = time.time()

    def note(state: str, **more) -> None:
        minutes = record['minutes'] + (time.time() - start) / 60
        write_json(folder / RECORD, {**record, 'minutes': minutes, 'state': state, **more})

    note('running')
    try:
        if run.seed is not None and not record['trained']:
            _check_start(run)
            begun = any((folder / name).exists() for name in (LAST, PREVIOUS))
            train(
                run.config,
                work_dir=run.folder,
                resume=begun,
                amp=run.amp,
                seed=run.seed,
                options=list(run.options),
            )
            record['trained'] = True
            note('running')
        weights, done = weights_of(run), read_metrics(run)
        for views, out in run.tests().items():
            if views not in done:
                run_test(
                    run.config,
                    weights and str(weights),
                    protocols=run.protocols,
                    out=str(out),
                    options=list(run.options),
                    views=views,
                )
    except (TrainingStopped, KeyboardInterrupt):
        note('stopped')
        raise
    except BaseException as e:
        note('failed', error=' '.join(f'{type(e).__name__}: {message_of(e)}'.split())[:300])
        raise
    note('done')


def _check_start(run: Run) -> None:
    """Refuse the weights of another run of a comparison while that one still trains."""
    start = next((o.partition('=')[2] for o in run.options if o.startswith('load_from=')), '')
    record = read_json(Path(start).parent / RECORD)
    if record and not record.get('trained'):
        raise UserError(
            f'{run.name}: load_from {start}: found a training that has not ended '
            f'({record.get("state")}); the same command tries again, when it has.'
        )


def run_all(runs: Sequence[Run], shard: Shard, in_process: bool = False) -> None:
    """Do every run that is not done yet; a failure is told and the next one begins.

    Args:
        runs: This process's share.
        shard: Where it comes from; chooses the GPU.
        in_process: Do them in this process: without the seconds that each new process takes to import, but a
            crash of the interpreter ends all.

    Raises:
        UserError: A folder holds another run.
        TrainingStopped: A signal asked to stop; running the same again goes on.
    """
    states = [state_of(run) for run in runs]
    for i, (run, state) in enumerate(zip(runs, states, strict=True), 1):
        head = f'[{i}/{len(runs)}] {run.name}'
        if state == 'done':
            print(f'{head}: done before', flush=True)
            continue
        print(f'{head}: {_WORDS[state]} …', flush=True)
        if in_process:
            _do_here(run)
        else:
            _do_in_a_process(run, shard)
        record = read_record(run)
        if state_of(run) == 'done':
            print(f'{head}: {_headline(run)}, {record["minutes"]:.1f} min', flush=True)
        else:
            print(f'{head}: failed: {record.get("error")} ({_log_of(run)})', file=sys.stderr, flush=True)


_WORDS = {
    'new': 'begins',
    'begun': 'goes on',
    'trained': 'to be tested',
    'failed': 'failed before, again',
}


def _headline(run: Run) -> str:
    protocol = run.protocols.split(',')[0]
    told = []
    for views, report in read_metrics(run).items():
        numbers = report['results'][protocol]
        known = [f'{k} {100 * numbers[k]:.2f}' for k in ('IoU', 'nIoU', 'Pd') if numbers.get(k) is not None]
        told.append(f'{protocol}{with_views(views)} {", ".join(known)}')
    return '; '.join(told)


def _log_of(run: Run) -> str:
    log = Path(run.folder) / CONSOLE
    return f'see {log}' if log.exists() else f'see {run.folder}'


def _do_here(run: Run) -> None:
    try:
        do_run(run)
    except (TrainingStopped, KeyboardInterrupt):
        raise
    except Exception as e:
        (Path(run.folder) / CONSOLE).write_text(
            f'error: {e}\n' if isinstance(e, UserError) else traceback.format_exc(), encoding='utf-8'
        )


def _do_in_a_process(run: Run, shard: Shard) -> None:
    folder = Path(run.folder)
    folder.mkdir(parents=True, exist_ok=True)
    # one process at a terminal shows its progress there; several would write over each other
    shown = sys.stderr.isatty() and shard.count == 1
    with open(os.devnull if shown else folder / CONSOLE, 'w', encoding='utf-8') as log:
        child = subprocess.Popen(
            [sys.executable, '-m', 'madnet.experiments.worker', json.dumps(asdict(run))],
            # the worker stops, and saves, when this pipe closes: also when this process is killed
            stdin=subprocess.PIPE,
            stdout=None if shown else log,
            stderr=None if shown else subprocess.STDOUT,
            env=_environment(shard),
            start_new_session=True,
        )
        with _forwarding_signals(child) as received:
            code = child.wait()
        child.stdin.close()
    if code == STOPPED or (received and code != 0):
        raise TrainingStopped(f'stopped in {run.name}; the same command goes on.')
    record = read_record(run)
    if code != 0 and record.get('state') != 'failed':
        told = f'killed by {signal.Signals(-code).name}' if code < 0 else f'exit code {code}'
        record = {**record, 'wanted': run.wanted(), 'state': 'failed', 'error': f'the process ended: {told}'}
        write_json(folder / RECORD, record)


def _environment(shard: Shard) -> dict[str, str]:
    environment = {
        k: v
        for k, v in os.environ.items()
        if k not in _LAUNCHER_VARIABLES and not k.startswith(_LAUNCHER_PREFIXES)
    }
    if shard.local_rank is not None:
        visible = _visible_gpus()
        if visible:
            environment['CUDA_VISIBLE_DEVICES'] = visible[shard.local_rank % len(visible)]
    return environment


def _visible_gpus() -> list[str]:
    named = os.environ.get('CUDA_VISIBLE_DEVICES')
    if named is not None:
        return [g for g in named.split(',') if g]
    import torch

    return [str(g) for g in range(torch.cuda.device_count())]


@contextmanager
def _forwarding_signals(child: subprocess.Popen) -> Iterator[list[int]]:
    received = []

    def forward(number, frame) -> None:
        received.append(number)
        if child.poll() is None:
            child.send_signal(number)

    former = {n: signal.signal(n, forward) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
