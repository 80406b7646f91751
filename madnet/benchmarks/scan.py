"""How fast the selective scan is: backends against the plain loop, and against what the machine can do.

The shapes are those of MiM-ISTD at an input of s × s pixels, stage i = 0..3 with n = (s / 8 / 2^i)²
sentences: an inner scan of n sequences of 16 words (4 · 8 · 2^i channels) and two outer ones over the
sentences (4 · 64 · 2^i channels), twelve scans to a forward pass.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from madnet.benchmarks.models import measure
from madnet.errors import UserError, nearest
from madnet.ops import selective_scan, selective_scan_2d, selective_scan_backends
from madnet.ops.selective_scan.backend import ScanInputs
from madnet.ops.selective_scan.cpu_backend import KERNELS
from madnet.ops.selective_scan.reference_backend import plain_scan
from madnet.records import text_table

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
    g = torch.Generator(device).manual_seed(0)  # a card draws as fast as it writes
    rows = DIRECTIONS * shape.channels

    def draw(*size: int) -> Tensor:
        return torch.randn(*size, generator=g, device=device)

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
    """Why a measurement would not end, or not fit into this machine; ``None`` where it can be made."""
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


def forward_of(backend: str, tensors: list[Tensor]) -> Callable[[], Tensor]:
    """A forward pass; ``plain`` is the loop over precomputed (batch, K·d, L, N) tensors, as usual."""
    u, delta, A, B, C, D, bias = tensors
    inputs = ScanInputs(u, delta, A, B, C, D, bias, True)
    return (
        partial(plain_scan, inputs)
        if backend == 'plain'
        else partial(selective_scan, *inputs, backend=backend)
    )


def with_backward(backend: str, tensors: list[Tensor]) -> Callable[[], None]:
    """A forward and a backward pass to all inputs."""
    leaves = [t.clone().requires_grad_() for t in tensors]
    forward = forward_of(backend, leaves)

    def run() -> None:
        y = forward()
        torch.autograd.grad(y, leaves, torch.ones_like(y))

    return run


def machine_limits(device: str) -> dict[str, float]:
    """Exponentials and bytes per second of one thread, or bytes per second of the GPU, measured now."""
    x = torch.rand(1 << 24, device=device)
    y = torch.empty_like(x)
    limits = {'bytes': 2 * 4 * x.numel() / seconds(lambda: y.copy_(x), device)}
    if KERNELS is not None and device == 'cpu':
        count = 50_000_000
        limits['exponentials'] = count / seconds(lambda: KERNELS.exponentials(count), device)
    return limits


def seconds(function: Callable[[], object], device: str, budget: float = 1.0) -> float:
    """CPU seconds of the shortest of several runs, of all threads together; on a GPU, those that pass."""
    found = measure(function, device, budget)['cpu' if device == 'cpu' else 'wall']
    assert found is not None
    return found


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
        fused = seconds(partial(selective_scan_2d, *inputs, backend=backend), device, 0.3)
        # What a backend without a fused form inherits, around this backend's scan over sequences.
        unfused = seconds(partial(Backend.forward_2d, BACKENDS[backend], inputs, False), device, 0.3)
        totals['fused'] += shape.times * fused
        totals['unfused'] += shape.times * unfused
    return totals


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
    for size in dict.fromkeys(sizes):
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
        rows = [shape.batch, DIRECTIONS * shape.channels, shape.length]
        row: dict = {'scan': shape.name, 'shape': rows, 'times': shape.times}
        for name in names:
            row[name] = {}
            for kind, make in zip(kinds, (forward_of, with_backward), strict=False):
                if note := why_skipped(name, shape, kind == 'with_backward'):
                    entry['skipped'].append({'backend': name, 'scan': shape.name, 'kind': kind, 'why': note})
                else:
                    row[name][kind] = seconds(make(name, tensors), device)
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
    fused = [name for name in names if name in ('cpu', 'triton')]
    entry['four_directions'] = {name: fused_against_unfused(size, device, name) for name in fused}
    return entry


def _total(rows: list[dict], name: str, kind: str) -> float | None:
    """The time of all twelve scans; ``None`` where one of them is missing."""
    if any(kind not in row[name] for row in rows):
        return None
    return sum(row['times'] * row[name][kind] for row in rows)


def _ratio(rows: list[dict], name: str, kind: str) -> float | None:
    """The plain loop's time over a backend's, over those scans for which both are there."""
    both = [row for row in rows if kind in row['plain'] and kind in row[name]]
    plain, this = (sum(row['times'] * row[n][kind] for row in both) for n in ('plain', name))
    return plain / this if both else None


def _print_table(size: int, entry: dict) -> None:
    totals, bounds = entry['totals'], entry['bounds']
    print(f'\nthe twelve scans of MiM-ISTD at {size}×{size}, milliseconds (forward / with backward)')
    table = [['scan', 'shape', *totals]]
    table += [[row['scan'], str(row['shape']), *(_pair(row[n]) for n in totals)] for row in entry['scans']]
    table.append(['all', '', *map(_pair, totals.values())])
    if 'plain' in totals:
        ratios = [[r for r in t['plain_over_this'].values() if r] for t in totals.values()]
        table.append(
            ['plain loop / this', '', *(' / '.join(f'{r:.1f}×' for r in several) for several in ratios)]
        )
    for bound, value in bounds.items():
        shares = [f'{value / t["forward"]:.1%}' if t['forward'] else '–' for t in totals.values()]
        table.append([f'share of {bound} bound', '', *shares])
    print(text_table(table))
    for name, pair in entry['four_directions'].items():
        ratio = pair['unfused'] / pair['fused']
        print(f'four directions, {name}: fused {1e3 * pair["fused"]:.1f} ms, by index maps {ratio:.2f}×')
    rates = ', '.join(f'{v / 1e9:.2f} G {k}/s' for k, v in entry['limits'].items())
    bound_text = ', '.join(f'{k} {1e3 * v:.1f} ms' for k, v in bounds.items())
    print(f'bounds of a forward pass: {bound_text} (measured now: {rates})')
    for skip in entry['skipped']:
        print(f'left out: {skip["backend"]} {skip["scan"]} {skip["kind"]}: {skip["why"]}')


def _pair(figures: dict[str, float]) -> str:
    times = [figures[k] for k in ('forward', 'with_backward') if figures.get(k)]
    return ' / '.join(f'{1e3 * t:.2f}' for t in times) or '–'
