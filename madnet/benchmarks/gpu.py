"""What a graphics card does with the toolkit: one command, parts that cannot end each other, a report.

Every part runs in a process and with a time limit of its own, and writes what it has found as it goes; a part
that hangs, crashes or runs out of memory loses nothing but its own rest. Without a card the parts that can do
something run on the CPU, small, and the others say why they do not.
"""

import os
import platform
import re
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from madnet.benchmarks import gpu_parts
from madnet.benchmarks.gpu_parts import CPU_FORMS
from madnet.benchmarks.gpu_report import write_report
from madnet.errors import UserError
from madnet.files import read_json, write_json, write_whole
from madnet.starting import module_command

#: Networks whose steps are measured: config and width; goals are set for the first three.
NETWORKS: dict[str, tuple[str, int | None]] = {
    'width 16': ('configs/madnet/madnet_nano.py', 16),
    'width 4': ('configs/madnet/madnet_nano.py', 4),
    'MiM': ('configs/mim/mim_published.py', None),
    'width 8': ('configs/madnet/madnet_nano.py', 8),
    'width 32': ('configs/madnet/madnet_nano.py', 32),
    'MiM nano': ('configs/mim/mim_nano.py', None),
    'MiM small': ('configs/mim/mim_small.py', None),
}


@dataclass(frozen=True)
class Part:
    """Something to measure.

    Attributes:
        name: In the report.
        kind: Which function of ``gpu_parts`` measures it.
        share: Of the time, relative to other parts.
        arguments: Of that function.
        why_not: Why it is left out here.
    """

    name: str
    kind: str
    share: float
    arguments: dict = field(default_factory=dict)
    why_not: str | None = None


def parts(on_gpu: bool) -> list[Part]:
    """All parts, in the order in which they are begun, as time may be over before the last: what has a goal,
    then the rest, and what takes long to compile last."""
    needs = None if on_gpu else 'needs a GPU'
    goals, rest = list(NETWORKS)[:3], list(NETWORKS)[3:]
    recipe = {'config': 'configs/madnet_nudt.py', 'width': None, 'forms': ('captured',), 'batch': 8}
    return [
        Part('scan, correctness', 'scan_values', 1),
        Part('scan, speed', 'scan_speed', 8),
        *([] if on_gpu else [_steps('width 4', tuple(CPU_FORMS))]),
        *(_steps(name, ('published', 'captured'), needs) for name in goals),
        Part('same losses', 'same_losses', 2),
        Part('step, published recipe on NUDT-SIRST', 'step', 1, recipe, needs),
        *(Part(f'test, {name}', 'test', 1, {'dataset': name}, needs) for name in ('nuaa', 'nudt')),
        Part('whole training', 'whole_training', 3, {}, needs),
        *(_steps(name, ('published', 'captured'), needs) for name in rest),
        Part('predict', 'predict', 1),
        *(_steps(name, ('eager, loader', 'eager, device'), needs) for name in [*goals, *rest[:2]]),
        *(_steps(name, ('captured, compiled',), needs) for name in NETWORKS),
    ]


def _steps(network: str, forms: tuple[str, ...], why_not: str | None = None) -> Part:
    config, width = NETWORKS[network]
    name = f'step, {network}: {" and ".join(form.replace(", ", " ") for form in forms)}'
    share = 2 if 'captured, compiled' in forms else len(forms)
    return Part(name, 'step', share, {'config': config, 'width': width, 'forms': forms}, why_not)


def benchmark(minutes: float, out: str) -> dict:
    """Measure everything, and write ``report.json``, ``report.md`` and ``steps.png``.

    Args:
        minutes: For all of it; every part has its share as a limit. When they are over, no part is begun, and
            one that still runs has twenty seconds to end.
        out: Where to.

    Returns:
        What ``report.json`` holds.

    Raises:
        UserError: ``minutes`` is not a positive number.
    """
    if not 0 < minutes < float('inf'):
        raise UserError(f'--minutes {minutes}: expected a number above 0.')
    folder = Path(out)
    everything = parts(torch.cuda.is_available())
    to_do = [part for part in everything if part.why_not is None]
    whole = sum(part.share for part in to_do)
    end = time.monotonic() + 60 * minutes
    report: dict[str, Any] = {'machine': machine(), 'minutes': minutes, 'parts': {}}
    for part in everything:
        if part.why_not is not None:
            report['parts'][part.name] = {'state': f'left out: {part.why_not}'}
            continue
        now = time.monotonic()
        if now > end:
            print(f'{part.name} left out: the time is over')
            report['parts'][part.name] = {'state': 'left out: the time is over'}
            continue
        seconds = max(5.0, (end - now) * part.share / whole)
        whole -= part.share
        print(f'{part.name} (at most {seconds:.0f} s) …', flush=True)
        # what cannot look at the clock, such as compiling, may take some more
        timeout = min(1.5 * seconds + 60, end + 20 - now)
        report['parts'] |= _in_process(part, seconds, timeout, folder / 'parts')
        write_report(report, folder)
    write_report(report, folder)
    print(f'written {folder / "report.md"}')
    return report


def _in_process(part: Part, seconds: float, timeout: float, folder: Path) -> dict[str, dict]:
    """What a part has found, and how it ended: of steps, by form.

    Args:
        seconds: After which the part stops by itself, the start of Python counted.
        timeout: Seconds after which it is ended.
    """
    file = folder / f'{re.sub("[^0-9A-Za-z]+", "_", part.name)}.json'
    write_json(file, {})
    write_json(file.with_suffix('.part'), {'kind': part.kind, 'arguments': part.arguments})
    command = module_command(gpu_parts.__name__, str(file), str(time.time() + seconds))
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        said, _ = process.communicate(timeout=timeout)
        state = 'done' if process.returncode == 0 else f'failed: {_last_line(said)}'
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        state = 'ended after its time'
    write_whole(file.with_suffix('.txt'), said)
    found = read_json(file)
    if 'forms' not in part.arguments:
        return {part.name: {'state': state, **found}}
    network = part.name.split(':')[0]
    return {f'{network}, {form}': {'state': state, **found.get(form, {})} for form in part.arguments['forms']}


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else 'nothing said'


def machine() -> dict[str, Any]:
    """The card, and what runs on it."""
    found: dict[str, Any] = {
        'torch': torch.__version__,
        'Python': platform.python_version(),
        'CPU cores': os.cpu_count(),
    }
    if torch.cuda.is_available():
        about = torch.cuda.get_device_properties(0)
        found |= {'GPU': about.name, 'memory GiB': about.total_memory / 2**30, 'CUDA': torch.version.cuda}
    return found
