"""What a graphics card does with the toolkit: one command, parts that cannot end each other, a report.

Every part runs in a process and with a time limit of its own, and writes what it has found as it goes; a part
that hangs, crashes or runs out of memory loses nothing but its own rest. Without a card the parts that can do
something run on the CPU, small, and the others say why they do not.
"""

import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from madnet.benchmarks import gpu_parts
from madnet.benchmarks.gpu_parts import CPU_FORMS, FORMS, no_data
from madnet.benchmarks.gpu_report import write_report
from madnet.errors import UserError
from madnet.files import read_json, write_json, write_whole

WIDTHS = (4, 8, 16, 32)
#: Forms of MiM-ISTD's steps, by config.
MIM = {
    'mim_published': FORMS,
    'mim_nano': ('published', 'captured', 'captured, compiled'),
    'mim_small': ('published', 'captured', 'captured, compiled'),
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
    """All parts, in order."""
    needs = None if on_gpu else 'needs a GPU'
    found = [
        Part('scan, correctness', 'scan_values', 1),
        Part('scan, speed', 'scan_speed', 4),
    ]
    widths, forms = (WIDTHS, FORMS) if on_gpu else (WIDTHS[:1], CPU_FORMS)
    for width in widths:
        for form in forms:
            about = {'config': 'configs/madnet/madnet_nano.py', 'width': width, 'form': form}
            found.append(Part(f'step, width {width}, {form}', 'step', 2 if 'compiled' in form else 1, about))
    for name, mim_forms in MIM.items():
        for form in mim_forms:
            about = {'config': f'configs/mim/{name}.py', 'width': None, 'form': form}
            label = {'mim_published': 'MiM'}.get(name, name.replace('mim_', 'MiM '))
            found.append(Part(f'step, {label}, {form}', 'step', 2 if 'compiled' in form else 1, about, needs))
    found.append(Part('same losses', 'same_losses', 1))
    for dataset in ('nuaa', 'nudt'):
        why = no_data(dataset) or needs
        found.append(Part(f'test, {dataset}', 'test', 1, {'dataset': dataset}, why))
    found.append(Part('predict', 'predict', 1))
    found.append(Part('whole training', 'whole_training', 1, {}, needs))
    return found


def benchmark(minutes: float, out: str) -> dict:
    """Measure everything, and write ``report.json``, ``report.md`` and ``steps.png``.

    Args:
        minutes: For all of it; every part has its share as a limit.
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
        seconds = max(5.0, (end - time.monotonic()) * part.share / whole)
        whole -= part.share
        print(f'{part.name} (at most {seconds:.0f} s) …', flush=True)
        report['parts'][part.name] = _in_process(part, seconds, folder / 'parts')
        write_report(report, folder)
    write_report(report, folder)
    print(f'written {folder / "report.md"}')
    return report


def _in_process(part: Part, seconds: float, folder: Path) -> dict:
    """What a part has found, and how it ended."""
    file = folder / f'{part.name.replace(", ", "_").replace(" ", "_")}.json'
    write_json(file, {})
    write_json(file.with_suffix('.part'), {'kind': part.kind, 'arguments': part.arguments})
    command = [sys.executable, '-m', gpu_parts.__name__, str(file), str(seconds)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        # importing takes some seconds; a part stops by itself when its time is over
        said, _ = process.communicate(timeout=1.5 * seconds + 60)
        state = 'done' if process.returncode == 0 else f'failed: {_last_line(said)}'
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        state = 'ended after its time'
    write_whole(file.with_suffix('.txt'), said)
    return {'state': state, **read_json(file)}


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
