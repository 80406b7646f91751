"""How the work of a scan is divided among a GPU's programs: measured once for a card and a kind of shape.

What was found is kept in the user's cache. Divisions differ in the order of sums, so results of two divisions
agree to rounding, and those of one to the bit; with ``torch.use_deterministic_algorithms(True)`` nothing is
measured, and the defaults serve.
"""

import functools
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import torch

from madnet.errors import UserError
from madnet.files import read_json, write_json


class Division(NamedTuple):
    """Attributes:
    programs: So many keep the GPU busy: sequences are cut into segments until there are as many.
    warps: To a program.
    """

    programs: int
    warps: int

    @classmethod
    def default(cls, kernel: str) -> 'Division':
        """The division where nothing was measured."""
        return CANDIDATES[kernel][0]


# The first of each is the default.
CANDIDATES = {
    'loop': (Division(1, 1), Division(1, 2), Division(1, 4)),
    'forward': tuple(Division(programs, 1) for programs in (1024, 512, 2048, 4096)),
    'backward': tuple(Division(programs, warps) for programs in (1024, 2048, 512) for warps in (2, 4)),
}


def division_for(kernel: str, work: tuple, device: torch.device, run: Callable[[Division], None]) -> Division:
    """The fastest division known for a kernel; measured now where none is.

    Args:
        kernel: A key of :data:`CANDIDATES`.
        work: What the division depends on: texts, and sizes, of which the power of two counts.
        device: A GPU.
        run: Starts the kernels, as often as it is called, with a division.
    """
    key = ' '.join([kernel, *(x if isinstance(x, str) else str(1 << (x - 1).bit_length()) for x in work)])
    known = _known(device.index or 0)
    if key not in known:
        if torch.cuda.is_current_stream_capturing() or torch.are_deterministic_algorithms_enabled():
            return Division.default(kernel)
        known[key] = min(CANDIDATES[kernel], key=lambda division: _seconds(run, division))
        with suppress(UserError):  # a cache that can't be written costs time, nothing else
            write_json(cache_path(torch.cuda.get_device_name(device)), known)
    return known[key]


@functools.cache
def _known(index: int) -> dict[str, Division]:
    return read_divisions(cache_path(torch.cuda.get_device_name(index)))


def read_divisions(path: Path) -> dict[str, Division]:
    """The divisions in a file of the cache; without those that no candidate is, as in a damaged file."""
    try:
        found = read_json(path)
    except UserError:
        return {}
    found = found if isinstance(found, dict) else {}
    return {
        key: Division(*value)
        for key, value in found.items()
        if isinstance(value, list) and tuple(value) in CANDIDATES.get(key.split(' ')[0], ())
    }


def cache_path(card: str) -> Path:
    """Where the divisions for a card are kept, under ``~/.cache/madnet`` (``$XDG_CACHE_HOME/madnet``)."""
    import triton

    home = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    name = re.sub(r'\W+', '_', f'{card}_triton_{triton.__version__}')
    return home / 'madnet' / 'scan' / f'{name}.json'


def _seconds(run: Callable[[Division], None], division: Division) -> float:
    """The shortest of several runs, after one that compiles."""
    run(division)
    times = []
    for _ in range(5):
        torch.cuda._sleep(1_000_000)  # meanwhile Python gets ahead: its own time is not to be measured
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run(division)
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return min(times)
