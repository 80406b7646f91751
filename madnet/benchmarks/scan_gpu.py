"""The scans of MiM-ISTD on a GPU: kernel time and time that passes, beside the same in torch and mamba_ssm.

Inputs lie as the network has them, maps with the channels last. ``mamba_ssm`` gets sequences that are laid
out already; ``mamba_ssm with copies`` makes the four sequences of each map first and sums their results, as
the published network does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from itertools import product

import torch
from torch import Tensor

from madnet.benchmarks.scan import DIRECTIONS, STATES, Shape, machine_limits, make_inputs, shapes_at
from madnet.engine.cuda_graph import CUDAGraph
from madnet.ops import selective_scan_2d
from madnet.ops.selective_scan.directions import from_sequences, to_sequences

#: Ways to compute a scan: the function, and what it takes.
_Ways = dict[str, tuple[Callable[..., Tensor], list[Tensor]]]

#: Exponentials to a clock and multiprocessor of NVIDIA's cards from sm_80 to sm_100.
EXPONENTIALS_TO_A_CLOCK = 16
SIZES, BATCHES = (256, 512, 1024, 2048), (1, 16)
#: Seconds after which a measurement is not repeated.
_LONG = 0.3
#: Exponentials above which ``torch``, which keeps them all, is not captured.
_LARGE = 1e8


def measure_scan(
    sizes: Sequence[int] = SIZES,
    batches: Sequence[int] = BATCHES,
    device: str = 'cuda',
    repeats: int = 20,
    until: float = math.inf,
    write: Callable[[dict], object] = lambda report: None,
) -> dict:
    """Measure every scan of the network's forward pass, with and without its backward pass.

    Args:
        sizes: Sides of the input image in pixels, multiples of 64.
        batches: Images at a time.
        device: ``cuda``, or ``cpu`` for a try: there is no kernel time then.
        repeats: Runs of each measurement, of which the shortest counts; fewer where they take long.
        until: ``time.monotonic()`` after which no further scan is begun.
        write: Called with the report whenever a scan is done.

    Returns:
        ``card``, ``dtype``, ``limits`` (bytes and exponentials a second), ``whole`` (whether all is there;
        ``torch``, which comes last, aside) and ``scans``, one entry for each size, batch and scan: ``size``,
        ``batch``, ``scan``, ``shape``, ``times`` (how often a forward pass runs it), ``bound`` (seconds of
        one forward by bytes and by exponentials) and ``measured``: for each way to compute it ``forward``,
        ``with_backward``, each with ``kernel`` (seconds of a replayed CUDA graph; None where none could be
        captured, and of large scans in ``torch``) and ``wall``, or ``failed``, one line.
    """
    report: dict = {
        'card': torch.cuda.get_device_name() if device == 'cuda' else 'CPU',
        'dtype': 'float32',
        'limits': _limits(device),
        'whole': False,
        'scans': [],
    }
    shapes = []
    for size, batch in product(sizes, batches):
        for shape in shapes_at(size):
            if time.monotonic() > until:
                return report
            shape = shape._replace(batch=batch * shape.batch)
            shapes.append(shape)
            bound = {
                'bytes': bytes_over_maps(shape) / report['limits']['bytes'],
                'exponentials': shape.exponentials / report['limits']['exponentials'],
            }
            about = {'scan': shape.name, 'shape': list(shape[1:4]), 'times': shape.times}
            found = _measure(shape, device, repeats)
            report['scans'].append({'size': size, 'batch': batch, 'bound': bound, **about, 'measured': found})
            write(report)
    report['whole'] = True
    for shape, scan in zip(shapes, report['scans'], strict=True):
        write(report)
        if time.monotonic() > until:
            return report
        way = {'torch': (_ours('torch'), _over_maps(shape, device))}
        scan['measured'] |= _measured(way, device, repeats, captured=shape.exponentials < _LARGE)
    write(report)
    return report


def bytes_over_maps(shape: Shape) -> int:
    """The least that a forward pass over maps of float32 moves: u, delta, B, C and y, each once."""
    values = shape.channels + DIRECTIONS * (shape.channels + 2 * STATES) + shape.channels
    return 4 * shape.batch * shape.length * values


def _limits(device: str) -> dict[str, float]:
    limits = machine_limits(device)
    if device == 'cuda':
        card = torch.cuda.get_device_properties(0)
        # torch tells the clock in kHz; a release that does not is taken for the slowest of these cards
        clock = 1e3 * getattr(card, 'clock_rate', 1.4e6)
        limits['exponentials'] = EXPONENTIALS_TO_A_CLOCK * card.multi_processor_count * clock
    return {'exponentials': math.inf, **limits}


def _measure(shape: Shape, device: str, repeats: int) -> dict:
    """Of a shape by all ways but ``torch``."""
    tensors = _over_maps(shape, device)
    found: dict = {}
    ways: _Ways = {'triton': (_ours('triton'), tensors)} if device == 'cuda' else {}
    try:
        theirs = import_module('mamba_ssm.ops.selective_scan_interface').selective_scan_fn
    except Exception as e:  # packages with kernels of their own fail in many ways where they do not fit
        found['mamba_ssm'] = {'failed': f'cannot be imported ({type(e).__name__}: {e})'[:200]}
    else:
        side = tensors[0].shape[1:3]
        sequences = make_inputs(shape, device)
        ways['mamba_ssm'] = (lambda *t: theirs(*t[:6], None, t[6], True), sequences)
        ways['mamba_ssm with copies'] = (lambda *t: _published(theirs, side, *t), tensors)
    return found | _measured(ways, device, repeats)


def _measured(ways: _Ways, device: str, repeats: int, captured: bool = True) -> dict:
    found: dict = {}
    for name, (scan, inputs) in ways.items():
        try:
            found[name] = {
                'forward': _times(partial(scan, *inputs), device, repeats, captured),
                'with_backward': _times(_with_backward(scan, inputs), device, repeats, captured),
            }
        except (RuntimeError, ValueError) as e:  # out of memory, a launch that fails: the others still count
            found[name] = {'failed': str(e).strip().splitlines()[0][:200]}
    return found


def _over_maps(shape: Shape, device: str) -> list[Tensor]:
    """x (batch, H, W, d), delta, A, B, C, D, delta_bias; B and C are slices, as from one projection."""
    side = math.isqrt(shape.length)
    u, delta, A, B, C, D, bias = make_inputs(shape, device)
    pixels = (shape.batch, DIRECTIONS, -1, side, side)
    x = u[:, : shape.channels].view(shape.batch, -1, side, side).permute(0, 2, 3, 1).contiguous()
    delta = delta.view(pixels).permute(0, 3, 4, 1, 2).contiguous()
    mixed = torch.cat([t.view(pixels).permute(0, 3, 4, 1, 2) for t in (B, C)], -1)
    return [x, delta, A, mixed[..., :STATES], mixed[..., STATES:], D, bias]


def _ours(backend: str) -> Callable[..., Tensor]:
    return lambda u, delta, A, B, C, D, bias: selective_scan_2d(u, delta, A, B, C, D, bias, True, backend)


def _published(theirs, side: Sequence[int], x, delta, A, B, C, D, bias) -> Tensor:
    u = to_sequences(x.unsqueeze(3).expand(-1, -1, -1, DIRECTIONS, -1)).flatten(1, 2)
    y = theirs(u, to_sequences(delta).flatten(1, 2), A, to_sequences(B), to_sequences(C), D, None, bias, True)
    height, width = side
    return from_sequences(y.unflatten(1, (DIRECTIONS, -1)), height, width)


def _with_backward(scan: Callable[..., Tensor], tensors: list[Tensor]) -> Callable[[], object]:
    leaves = [t.detach().requires_grad_() for t in tensors]
    weight = torch.ones_like(scan(*tensors))
    return lambda: torch.autograd.grad(scan(*leaves), leaves, weight)


def _times(run: Callable[[], object], device: str, repeats: int, captured: bool) -> dict[str, float | None]:
    """Seconds of one run: ``kernel``, as a graph, and ``wall``, started from Python and waited for."""
    if device == 'cpu':
        return {'kernel': None, 'wall': _shortest(partial(_passing, run, lambda: None), repeats)}
    passing = partial(_passing, run, torch.cuda.synchronize)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # where graphs are captured, warm-up belongs as well
        _shortest(passing, 3)
    torch.cuda.current_stream().wait_stream(stream)
    wall = _shortest(passing, repeats)
    return {'kernel': _in_a_graph(run, repeats) if captured else None, 'wall': wall}


def _shortest(measure: Callable[[], float], repeats: int) -> float:
    """Of some measurements; of fewer where they take long, but of one at least."""
    end = time.monotonic() + _LONG
    times = [measure()]
    while len(times) < repeats and time.monotonic() < end:
        times.append(measure())
    return min(times)


def _passing(run: Callable[[], object], wait: Callable[[], object]) -> float:
    wait()
    begin = time.perf_counter()
    run()
    wait()
    return time.perf_counter() - begin


def _in_a_graph(run: Callable[[], object], repeats: int) -> float | None:
    """Seconds of a replay, of the shortest of up to ``repeats`` series; None where it cannot be captured."""
    try:
        graph = CUDAGraph(run)
    except RuntimeError:
        return None
    series = 10

    def replays() -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(series):
            graph.replay()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3 / series

    return _shortest(replays, repeats)
