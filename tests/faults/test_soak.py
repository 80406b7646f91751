"""A training that goes on and on needs no more memory, handles or disk than after its first minutes."""

import os
import statistics
import time
from pathlib import Path

import pytest
from killing import Life
from test_kills import SMALL

from madnet.engine.checkpoint import LAST
from madnet.engine.cli import STOPPED

#: How long; MADNET_SOAK=20 is what docs/reliability.md tells of.
MINUTES = float(os.environ.get('MADNET_SOAK', '3'))
_COLUMNS = (
    'minute',
    'epoch',
    'RSS MB',
    'workers MB',
    'handles',
    'threads',
    '/dev/shm MB',
    'weights MB',
    'logs MB',
)


def _megabytes(pid: int) -> float:
    try:
        return int(Path(f'/proc/{pid}/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6
    except OSError:  # a loading process that has just ended
        return 0.0


def _size(files) -> float:
    return sum(path.stat().st_size for path in files if path.is_file()) / 1e6


def _sample(life: Life, folder: Path, begun: float) -> tuple[float, ...]:
    [pid] = [process.pid for process in life.processes]
    workers = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    memory = os.statvfs('/dev/shm')
    return (
        (time.monotonic() - begun) / 60,
        life.said[0].count('\nepoch '),
        _megabytes(pid),
        max((_megabytes(int(worker)) for worker in workers), default=0.0),
        len(os.listdir(f'/proc/{pid}/fd')),
        len(os.listdir(f'/proc/{pid}/task')),
        (memory.f_blocks - memory.f_bfree) * memory.f_frsize / 1e6,
        _size(folder.glob('[!.]*.pth')),
        _size(path for path in folder.rglob('*') if path.suffix != '.pth'),
    )


@pytest.mark.slow
def test_a_long_training_stays_as_large_as_it_is(tmp_path, repository):
    """Two loading processes, begun anew in every epoch; a validation and two checkpoints an epoch."""
    config, folder = tmp_path / 'small.py', tmp_path / 'run'
    config.write_text(SMALL.format(configs=repository / 'configs', epochs=100_000, length=8))
    life = Life(config, folder, tmp_path / 'said')
    life.wait_until((folder / LAST).exists)
    samples, begun = [], time.monotonic()
    while time.monotonic() < begun + 60 * MINUTES:
        assert life.alive, life.said
        samples.append(_sample(life, folder, begun))
        time.sleep(MINUTES)
    life.processes[0].terminate()
    assert life.join() == [STOPPED], life.said
    assert not [line for line in life.said[0].splitlines() if 'Traceback' in line]

    print('\n|' + '|'.join(_COLUMNS) + '|\n' + '|---' * len(_COLUMNS) + '|')
    for row in samples[:: max(1, len(samples) // 10)]:
        print('|' + '|'.join(f'{value:.1f}' for value in row) + '|')
    columns = dict(zip(_COLUMNS, zip(*samples, strict=True), strict=True))
    quarter = len(samples) // 4

    def growth(name: str) -> float:
        """From the second quarter of the time, when all is loaded, to the last."""
        values = [value for value in columns[name] if value]  # between two epochs there are no workers
        quarter = len(values) // 4
        return statistics.median(values[-quarter:]) - statistics.median(values[quarter : 2 * quarter])

    assert growth('RSS MB') < 10
    assert growth('workers MB') < 10
    for name in ('handles', 'threads'):  # what loading processes take comes and goes
        assert min(columns[name][-quarter:]) <= min(columns[name][quarter : 2 * quarter]) + 2, name
    # a thousand steps of each curve are kept
    assert growth('weights MB') < 2
    epochs = columns['epoch'][-1] - columns['epoch'][0]
    assert columns['logs MB'][-1] - columns['logs MB'][0] < 0.1 * epochs
