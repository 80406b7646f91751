"""How fast the selective scan is: backends against the plain loop, and against what the machine can do.

The shapes are those of MiM-ISTD at an input of s × s pixels, stage i = 0..3 with n = (s / 8 / 2^i)²
sentences: an inner scan of n sequences of 16 words (4 · 8 · 2^i channels) and two outer ones over the
sentences (4 · 64 · 2^i channels), twelve scans to a forward pass.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from madnet.errors import UserError, nearest
from madnet.ops import selective_scan, selective_scan_2d, selective_scan_backends
from madnet.ops.selective_scan.backend import ScanInputs
from madnet.ops.selective_scan.cpu_backend import KERNELS
from madnet.ops.selective_scan.reference_backend import plain_scan

STATES, DIRECTIONS = 16, 4


class Shape(NamedTuple):
    """One scan of the network and how often a forward pass runs it."""

    name: str
    batch: int
    channels: int  # of one direction
    length: int
    times: int

    @property
    def exponentials(self) -> int:
        return self.batch * DIRECTIONS * self.channels * self.length * STATES

    @property
    def bytes_forward(self) -> int:
        """u, delta, y, B and C, each moved once."""
        return 4 * self.batch * DIRECTIONS * self.length * (3 * self.channels + 2 * STATES)


def shapes_at(size: int) -> list[Shape]:
    """The scans of MiM-ISTD for an input of size × size pixels."""
    shapes = []
    for stage in range(4):
        sentences = (size // 8 // 2**stage) ** 2
        shapes.append(Shape(f'inner {stage}', sentences, 8 * 2**stage, 16, 1))
        shapes.append(Shape(f'outer {stage}', 1, 64 * 2**stage, sentences, 2))
    return shapes


def make_inputs(shape: Shape, device: str) -> list[Tensor]:
    """u, delta, A, B, C, D, delta_bias as they are after Mamba's initialisation."""
    g = torch.Generator().manual_seed(0)
    rows = DIRECTIONS * shape.channels

    def draw(*size: int) -> Tensor:
        return torch.randn(*size, generator=g)

    tensors = [
        draw(shape.batch, rows, shape.length),
        0.5 * draw(shape.batch, rows, shape.length),
        -torch.arange(1.0, STATES + 1).repeat(rows, 1),
        draw(shape.batch, DIRECTIONS, STATES, shape.length),
        draw(shape.batch, DIRECTIONS, STATES, shape.length),
        torch.ones(rows),
        draw(rows) - 4,
    ]
    return [t.to(device) for t in tensors]


def why_skipped(backend: str, shape: Shape, backward: bool) -> str | None:
    """Why a measurement would not end, or not fit; ``None`` where it can be made."""
    if backend != 'plain':
        return None
    if backward and shape.exponentials * shape.length > 2e10:
        return 'the backward pass of the plain loop is quadratic in the length: minutes for one'
    needed = (3 + 3 * backward) * 4 * shape.exponentials
    if needed > 0.5 * _memory_of_the_machine():
        return f'the plain loop wants {needed / 2**30:.0f} GiB for its (batch, K·d, L, N) tensors'
    return None


def _memory_of_the_machine() -> float:
    try:
        return os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    except (AttributeError, ValueError, OSError):  # not on Windows
        return float('inf')


def seconds(function: Callable[[], object], device: str, budget: float = 1.0) -> float:
    """The shortest of several runs: CPU time of the process, or time between two events on a GPU."""
    best, spent, runs = float('inf'), 0.0, 0
    while runs < 2 or (spent < budget and runs < 60):
        if device == 'cuda':
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            function()
            end.record()
            torch.cuda.synchronize()
            took = start.elapsed_time(end) / 1000
        else:
            before = time.process_time()
            function()
            took = time.process_time() - before
        best, spent, runs = min(best, took), spent + took, runs + 1
        if took > 5 * budget:  # the plain loop's backward: once is enough
            break
    return best


def forward_of(backend: str, tensors: list[Tensor]) -> Callable[[], Tensor]:
    """A forward pass; ``plain`` is the loop over precomputed (batch, K·d, L, N) tensors, as usual."""
    if backend == 'plain':
        return lambda: plain_scan(ScanInputs(*tensors, True))
    return lambda: selective_scan(*tensors, delta_softplus=True, backend=backend)


def with_backward(backend: str, tensors: list[Tensor]) -> Callable[[], None]:
    """A forward and a backward pass to all inputs."""
    leaves = [t.clone().requires_grad_() for t in tensors]
    forward = forward_of(backend, leaves)

    def run() -> None:
        y = forward()
        torch.autograd.grad(y, leaves, torch.ones_like(y))

    return run


def machine_limits(device: str) -> dict[str, float]:
    """Exponentials and bytes per second of one thread, or of the GPU, measured now."""
    if device == 'cuda':
        x = torch.rand(1 << 26, device=device)
        copy = seconds(lambda: x.clone(), device)
        return {'bytes': 2 * 4 * x.numel() / copy}
    x = torch.rand(1 << 24)
    y = torch.empty_like(x)
    limits = {'bytes': 2 * 4 * x.numel() / seconds(lambda: y.copy_(x), device)}
    if KERNELS is not None:
        count = 50_000_000
        limits['exponentials'] = count / seconds(lambda: KERNELS.exponentials(count), device)
    return limits


def thread_scaling(size: int, threads: int = 2, repeats: int = 15) -> dict[str, float]:
    """Wall seconds of the forward scans of ``cpu`` on one thread and on several, the least of ``repeats``."""
    totals = {'1': 0.0, str(threads): 0.0}
    before = torch.get_num_threads()
    try:
        for shape in shapes_at(size):
            forward = forward_of('cpu', make_inputs(shape, 'cpu'))
            for count in totals:
                torch.set_num_threads(int(count))
                forward()
                best = float('inf')
                for _ in range(repeats):
                    begin = time.perf_counter()
                    forward()
                    best = min(best, time.perf_counter() - begin)
                totals[count] += shape.times * best
    finally:
        torch.set_num_threads(before)
    return totals


def _why_not_by_the_wall() -> str | None:
    """Why wall time would say nothing of several threads here; ``None`` where it would."""
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0] if hasattr(os, 'getloadavg') else 0.0
    if cores < 2:
        return 'this machine has one core'
    if load > 0.75 * cores:
        return f'other work takes the {cores} cores (load {load:.1f}), and threads are compared by wall time'
    return None


def fused_against_unfused(size: int, device: str, backend: str) -> dict[str, float]:
    """The outer scans of all stages over maps: fused, and by index maps around the same backend's scan."""
    from madnet.ops.selective_scan.backend import Backend
    from madnet.ops.selective_scan.custom_op import BACKENDS

    totals = {'fused': 0.0, 'unfused': 0.0}
    for shape in (s for s in shapes_at(size) if s.name.startswith('outer')):
        side = size // 8 // 2 ** int(shape.name[-1])
        u, delta, A, B, C, D, bias = make_inputs(shape, device)
        x = u[:, : shape.channels].transpose(1, 2).reshape(1, side, side, shape.channels).contiguous()
        delta = delta.view(1, 4, shape.channels, side, side).permute(0, 3, 4, 1, 2).contiguous()
        B, C = (t.view(1, 4, STATES, side, side).permute(0, 3, 4, 1, 2).contiguous() for t in (B, C))
        inputs = ScanInputs(x, delta, A, B, C, D, bias, True)
        fused = seconds(lambda i=inputs: selective_scan_2d(*i, backend=backend), device, 0.3)
        # What a backend without a fused form inherits, around this backend's scan over sequences.
        unfused = seconds(lambda i=inputs: Backend.forward_2d(BACKENDS[backend], i, False), device, 0.3)
        totals['fused'] += shape.times * fused
        totals['unfused'] += shape.times * unfused
    return totals


_MEMORY_PROBE = """
import sys
import torch
from madnet.benchmarks import scan
backend, name, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
shape = next(s for s in scan.shapes_at(size) if s.name == name)
small = scan.make_inputs(shape._replace(length=min(shape.length, 16), batch=1), 'cpu')
scan.forward_of(backend, small)()  # what is loaded at the first call does not count
tensors = scan.make_inputs(shape, 'cpu')
with open('/proc/self/clear_refs', 'w') as f: f.write('5')
status = lambda key: int(next(l for l in open('/proc/self/status') if l.startswith(key)).split()[1])
held = status('VmRSS:')
y = scan.forward_of(backend, tensors)()
print((status('VmHWM:') - held) * 1024, y.numel() * y.element_size())
"""


def peak_memory(backend: str, shape: Shape, size: int, device: str) -> tuple[int, int] | None:
    """Bytes that a forward pass takes beyond its inputs, and those of its output; ``None`` if unknown."""
    if device == 'cuda':
        tensors = make_inputs(shape, device)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        y = forward_of(backend, tensors)()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - held, y.numel() * y.element_size()
    done = subprocess.run(
        [sys.executable, '-c', _MEMORY_PROBE, backend, shape.name, str(size)], capture_output=True, text=True
    )
    if done.returncode:
        return None
    taken, output = done.stdout.split()[-2:]
    return int(taken), int(output)


def benchmark(
    sizes: list[int], backends: list[str] | None, forward_only: bool, threads: int, device: str
) -> dict:
    """Measure, print one table for each size, and return all figures.

    Times are seconds of CPU time (of all threads together), or of the GPU.

    Raises:
        UserError: A backend or device that is not there, a size that the network's stages do not divide.
    """
    works = ['plain', *(n for n in selective_scan_backends() if n != 'reference')]
    for name in backends or []:
        if name not in works:
            raise UserError(f'--backends {name}: not among {", ".join(works)}.{nearest(name, works)}')
    if device == 'cuda' and not torch.cuda.is_available():
        raise UserError('--device cuda: torch sees no GPU here')
    for size in sizes:
        if size < 64 or size % 64:
            raise UserError(f'--sizes {size}: the four stages need a multiple of 64')
    torch.set_num_threads(threads)
    report: dict = {'device': device, 'threads': threads, 'sizes': {}}
    for size in sizes:
        entry = _measure(size, backends or works, forward_only, device)
        report['sizes'][str(size)] = entry
        _print_table(size, entry)
    return report


def _measure(size: int, names: list[str], forward_only: bool, device: str) -> dict:
    shapes = shapes_at(size)
    limits = machine_limits(device)
    kinds = ('forward',) if forward_only else ('forward', 'with_backward')
    entry: dict = {'scans': [], 'skipped': []}
    for shape in shapes:
        tensors = make_inputs(shape, device)
        row: dict = {
            'scan': shape.name,
            'shape': [shape.batch, DIRECTIONS * shape.channels, shape.length],
            'times': shape.times,
        }
        for name in names:
            row[name] = {}
            for kind, make in zip(kinds, (forward_of, with_backward), strict=False):
                if note := why_skipped(name, shape, kind == 'with_backward'):
                    entry['skipped'].append({'backend': name, 'scan': shape.name, 'kind': kind, 'why': note})
                else:
                    row[name][kind] = seconds(make(name, tensors), device)
            gc.collect()
        entry['scans'].append(row)
    # A loaded machine makes a probe slow, never fast: the better of before and after is nearer the limit.
    entry['limits'] = limits = {k: max(v, limits[k]) for k, v in machine_limits(device).items()}
    entry['bounds'] = {'memory': sum(s.times * s.bytes_forward for s in shapes) / limits['bytes']}
    if 'exponentials' in limits:
        work = sum(s.times * s.exponentials for s in shapes)
        entry['bounds']['exponentials'] = work / limits['exponentials']
    entry['totals'] = {name: {k: _total(entry['scans'], name, k) for k in kinds} for name in names}
    if 'plain' in names:
        for name in names:
            entry['totals'][name]['plain_over_this'] = {k: _ratio(entry['scans'], name, k) for k in kinds}
    largest = max(shapes, key=lambda s: s.exponentials)
    for name in names:
        if why_skipped(name, largest, False):
            continue
        memory = peak_memory(name, largest, size, device)
        if memory is not None:
            entry['totals'][name]['peak_bytes'], entry['totals'][name]['output_bytes'] = memory
    for name in names:
        if name in ('cpu', 'triton'):
            entry.setdefault('four_directions', {})[name] = fused_against_unfused(size, device, name)
    if 'cpu' in names and device == 'cpu' and KERNELS.parallel:
        if reason := _why_not_by_the_wall():
            entry['skipped'].append({'backend': 'cpu', 'scan': 'all', 'kind': '2 threads', 'why': reason})
        else:
            entry['wall_by_threads'] = thread_scaling(size)
    return entry


def _total(rows: list[dict], name: str, kind: str) -> float | None:
    """Of all twelve scans; ``None`` where one of them is missing."""
    if any(kind not in row[name] for row in rows):
        return None
    return sum(row['times'] * row[name][kind] for row in rows)


def _ratio(rows: list[dict], name: str, kind: str) -> float | None:
    """The plain loop's time over a backend's, over those scans for which both are there."""
    both = [row for row in rows if kind in row['plain'] and kind in row[name]]
    if not both:
        return None
    plain, this = (sum(row['times'] * row[n][kind] for row in both) for n in ('plain', name))
    return plain / this


def _print_table(size: int, entry: dict) -> None:
    totals, bounds = entry['totals'], entry['bounds']
    print(f'\nthe twelve scans of MiM-ISTD at {size}×{size}, milliseconds (forward / with backward)')
    width = 22
    print('scan     shape' + ' ' * 14 + ''.join(f'{n:>{width}}' for n in totals))
    for row in entry['scans']:
        cells = ''.join(f'{_pair(row[n]):>{width}}' for n in totals)
        print(f'{row["scan"]:8} {row["shape"]!s:18} {cells}')
    print(f'{"all":27} ' + ''.join(f'{_pair(t):>{width}}' for t in totals.values()))
    if 'plain' in totals:
        ratios = [
            ' / '.join(f'{r:.1f}×' for r in t['plain_over_this'].values() if r is not None)
            for t in totals.values()
        ]
        print(f'{"plain loop / this":27} ' + ''.join(f'{r:>{width}}' for r in ratios))
    for bound, value in bounds.items():
        forward = [t['forward'] for t in totals.values()]
        shares = ''.join(f'{f"{value / f:.1%}" if f else "–":>{width}}' for f in forward)
        print(f'{f"share of {bound} bound":27} {shares}')
    taken = [f'{t["peak_bytes"] / 2**20:.1f} MiB' if 'peak_bytes' in t else '–' for t in totals.values()]
    print(f'{"memory, largest scan":27} ' + ''.join(f'{m:>{width}}' for m in taken))
    for name, pair in entry.get('four_directions', {}).items():
        ratio = pair['unfused'] / pair['fused']
        print(f'four directions, {name}: fused {1e3 * pair["fused"]:.1f} ms, by index maps {ratio:.2f}×')
    if walls := entry.get('wall_by_threads'):
        (_, one), (count, several) = walls.items()
        print(f'{count} threads, cpu: {1e3 * several:.1f} ms of wall time, one: {one / several:.2f}×')
    rates = ', '.join(f'{v / 1e9:.2f} G {k}/s' for k, v in entry['limits'].items())
    bound_text = ', '.join(f'{k} {1e3 * v:.1f} ms' for k, v in bounds.items())
    print(f'bounds of a forward pass: {bound_text} (measured now: {rates})')
    for why in dict.fromkeys(skip['why'] for skip in entry['skipped']):
        what = ', '.join(f'{s["scan"]} {s["kind"]}' for s in entry['skipped'] if s['why'] == why)
        print(f'left out: {what}: {why}')


def _pair(figures: dict[str, float]) -> str:
    times = [figures[k] for k in ('forward', 'with_backward') if figures.get(k)]
    return ' / '.join(f'{1e3 * t:.2f}' for t in times) or '–'
