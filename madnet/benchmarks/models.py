"""What networks cost: parameters, multiply-adds, time and memory of a forward pass and of a training step."""

import ctypes
import gc
import time
import warnings
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from madnet.config_files import find_config_file
from madnet.datasets.image_pipeline import channels_of
from madnet.engine.building import build_model
from madnet.engine.cli import parse_options
from madnet.engine.config import load_config
from madnet.errors import UserError, in_brief
from madnet.images.notices import say_once
from madnet.models.layers import SS2D
from madnet.records import text_table
from madnet.text import counted

_TORCHS_OWN = ('aten', 'prim', 'prims', 'profiler')


def build(config: str | Path, options: Sequence[str] = ()) -> tuple[nn.Module, int]:
    """The network of a config, without its weights, and the channels of its images.

    Raises:
        UserError: The config can't be read, or has no model that can be built.
    """
    cfg = load_config(find_config_file(config), parse_options(options))
    return build_model(cfg), channels_of(cfg)


def _scan_flops(u: torch.Size, delta: torch.Size, A: torch.Size, B: torch.Size, *args, **kwargs) -> int:
    """Twice the products of a scan: Δ·A, Δu·B, a·h and C·h for each channel, step and state."""
    steps = B[0] * (B[-1] if len(B) == 4 else B[1] * B[2])
    return 2 * 4 * steps * A[0] * A[1]


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *args, **kwargs) -> int:
    return sdpa_flop_count(query, key, value)


def multiply_adds(model: nn.Module, images: Tensor) -> dict[str, int]:
    """Those of a forward pass: ``dense``, convolutions, matrix products and attention, without what is made
    of weights alone, and ``scan``, selective scans. Operators that are not torch's own and whose cost is not
    known are named in one line."""
    scan_op = torch.ops.madnet.selective_scan
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    known = {scan_op: _scan_flops, attention: _attention_flops}
    counter = FlopCounterMode(display=False, custom_mapping=known)
    foreign = _Foreign(counter.flop_registry)
    with _countable(model), torch.no_grad(), foreign, counter:
        model(images)
    if foreign.found:
        say_once(
            f'multiply-adds: without those in {", ".join(sorted(foreign.found))}, of whose cost nothing is '
            'known; a method make_countable of the layer says how it is counted.'
        )
    counts = counter.get_flop_counts().get('Global', {})
    scan = counts.get(scan_op, 0)
    return {'dense': (counter.get_total_flops() - scan) // 2, 'scan': scan // 2}


class _Foreign(TorchDispatchMode):
    """Notes operators that are none of torch's own and that a counter does not know."""

    def __init__(self, known: Container):
        super().__init__()
        self.known = known
        self.found: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace not in _TORCHS_OWN and func.overloadpacket not in self.known:
            self.found.add(str(func.overloadpacket))
        return func(*args, **(kwargs or {}))


@contextmanager
def _countable(model: nn.Module) -> Iterator[None]:
    """Let a network do the same by operators of which the counter knows the cost: torch's attention and
    recurrent layers without their fused ones, and layers that usually run by others as their method
    ``make_countable`` changes them, in place. Afterwards all attributes and weights are as before."""
    layers = list(model.modules())
    # with their parameters, layers and hooks, in the very dicts, to which handles of hooks refer
    held = [d for each in map(vars, layers) for d in (each, *each.values()) if isinstance(d, dict)]
    contents = [dict(d) for d in held]
    changing = [layer for layer in layers if hasattr(layer, 'make_countable')]
    weights = [*model.parameters(), *model.buffers()] if changing else []
    values = [weight.detach().clone() for weight in weights]
    fused = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        for layer in changing:
            layer.make_countable()
        with _recurrence_written_out() if any(isinstance(m, nn.RNNBase) for m in layers) else nullcontext():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
        for d, content in zip(held, contents, strict=True):
            d.clear()
            d.update(content)
        with torch.no_grad():
            for weight, value in zip(weights, values, strict=True):
                weight.copy_(value)


@contextmanager
def _recurrence_written_out() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of Intel's GPUs, whose flag oneDNN's brings along
        with torch.backends.mkldnn.flags(enabled=False), torch.backends.cudnn.flags(enabled=False):
            yield


def measure(function: Callable[[], object], device: str, budget: float) -> dict[str, float | int | None]:
    """The shortest of several runs: ``cpu`` and ``wall`` seconds, and ``bytes`` that the first one took.

    Bytes are those at the peak beyond what was held before, on the GPU or in the process; ``None`` where the
    system does not tell.
    """
    memory = _peak_bytes(function, device)
    best = {'cpu': float('inf'), 'wall': float('inf')}
    begin, runs = time.perf_counter(), 0
    while runs < 2 or (time.perf_counter() - begin < budget and runs < 50):
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        if device == 'cuda':
            torch.cuda.synchronize()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        best, runs = {'cpu': min(best['cpu'], cpu), 'wall': min(best['wall'], wall)}, runs + 1
    return {**best, 'runs': runs, 'bytes': memory}


def _peak_bytes(function: Callable[[], object], device: str) -> int | None:
    gc.collect()
    if device == 'cuda':
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - held
    try:
        # What the allocator kept of earlier tensors would be taken again without showing.
        ctypes.CDLL('libc.so.6').malloc_trim(0)
        Path('/proc/self/clear_refs').write_text('5')  # sets the peak back to what is held now
        held = _status('VmRSS')
    except (OSError, AttributeError):
        function()
        return None
    function()
    return max(_status('VmHWM') - held, 0)


def _status(key: str) -> int:
    """Bytes of an entry of Linux's process status."""
    lines = Path('/proc/self/status').read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(key)).split()[1])


def training_step(model: nn.Module, images: Tensor) -> Callable[[], None]:
    """A function that does losses, backward pass and a step of SGD on random masks."""
    height, width = images.shape[2:]
    g = torch.Generator().manual_seed(0)
    samples = []
    for _ in images:
        mask = (torch.rand(1, height, width, generator=g) > 0.999).to(images.device)
        sample = SegDataSample(metainfo={'img_shape': (height, width), 'ori_shape': (height, width)})
        sample.set_data(
            {
                'gt_sem_seg': PixelData(data=mask.long()),
                'gt_mask': PixelData(data=255 * mask.to(torch.uint8)),
            }
        )
        samples.append(sample)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)

    def step() -> None:
        loss, _ = model.parse_losses(model.loss(images, samples))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def measure_network(
    config: str, options: Sequence[str], sizes: Sequence[int], device: str, batch: int, budget: float
) -> dict:
    """All figures of one network; see :func:`benchmark`.

    Raises:
        UserError: As :func:`build`; or the network fails on such images.
    """
    model, channels = build(config, options)
    model.to(device)
    parameters = sum(p.numel() for p in model.parameters())
    entry: dict[str, Any] = {
        'name': Path(config).stem,
        'config': str(config),
        'channels': channels,
        'parameters': parameters,
        'sizes': {},
    }
    scans = [m for m in model.modules() if isinstance(m, SS2D)]
    for size in dict.fromkeys(sizes):
        images = torch.rand(1, channels, size, size, device=device)
        try:
            row: dict[str, Any] = {'MACs': multiply_adds(model.eval(), images)}
        except RuntimeError as e:  # torch's, of shapes that do not fit
            raise UserError(
                f'{config}: the network fails on an image of {counted(channels, "channel")} and '
                f'{size}×{size} pixels ({in_brief(e)}); set replace_steps.LoadSIRSTImage.channels to what it '
                'takes, or give other --sizes.'
            ) from e
        with torch.inference_mode():
            entry['sizes'][str(size)] = row
            row['forward'] = measure(partial(model, images), device, budget)
            if scans and size <= 256:
                row['plain_loop'] = _with_plain_loop(scans, partial(model, images), device)
        if batch and any(p.requires_grad for p in model.parameters()):
            several = images.expand(batch, -1, -1, -1).contiguous()
            row['training_step'] = measure(training_step(model.train(), several), device, budget)
            model.zero_grad()
    return entry


def _with_plain_loop(scans: Sequence[SS2D], forward: Callable[[], object], device: str) -> dict:
    """The same network whose scans are the loop over precomputed tensors, one step at a time."""
    with _backend(scans, 'reference'):
        return measure(forward, device, 0)


@contextmanager
def _backend(layers: Sequence[nn.Module], name: str) -> Iterator[None]:
    chosen = [layer.backend for layer in layers]
    try:
        for layer in layers:
            layer.backend = name
        yield
    finally:
        for layer, backend in zip(layers, chosen, strict=True):
            layer.backend = backend


def benchmark(
    configs: Sequence[str],
    cfg_options: Sequence[str] = (),
    sizes: Sequence[int] = (256, 512),
    batch: int = 2,
    threads: int = 1,
    device: str = 'cpu',
    budget: float = 2.0,
) -> dict:
    """Measure networks, print a table, and return all figures.

    Args:
        configs: Config files.
        cfg_options: ``key.sub=value`` pairs that override each of them.
        sizes: Sides of the square images in pixels; each is taken once.
        batch: Images of a training step; 0 leaves it out. Forward passes take one image.
        threads: CPU threads.
        device: ``'cpu'`` or ``'cuda'``.
        budget: Seconds to repeat each measurement for.

    Returns:
        ``networks``: for each its ``parameters`` and by size ``MACs`` (``dense`` and ``scan`` apart),
        ``forward``, ``training_step`` and, for networks with selective scans up to 256 pixels,
        ``plain_loop``: seconds of CPU and wall time, the least of several runs, and bytes.

    Raises:
        UserError: A config that can't be built, no such device, a network that fails on such images.
    """
    if device == 'cuda' and not torch.cuda.is_available():
        raise UserError('--device cuda: torch sees no GPU here')
    for config in configs:
        # a mistake is reported before minutes of measuring
        load_config(find_config_file(config), parse_options(cfg_options))
    torch.set_num_threads(threads)
    networks = [measure_network(c, cfg_options, sizes, device, batch, budget) for c in configs]
    print(
        f'{device}, {counted(threads, "thread")}; forward pass of 1 image, training step of {batch}; '
        'ms CPU (wall)'
    )
    head = ['network', 'parameters', 'size', 'GMACs', '+ scan', 'forward', 'MiB', 'training step', 'MiB']
    rows = [[*head, 'plain loop']]
    for entry in networks:
        for size, row in entry['sizes'].items():
            macs = [f'{count / 1e9:.3f}' for count in row['MACs'].values()]
            plain = row.get('plain_loop')
            ratio = f'{plain["cpu"] / row["forward"]["cpu"]:.1f}×' if plain else '–'
            costs = [*_cells(row['forward']), *_cells(row.get('training_step'))]
            rows.append([entry['name'], f'{entry["parameters"]:,}', size, *macs, *costs, ratio])
    print(text_table(rows))
    return {'device': device, 'threads': threads, 'batch': batch, 'networks': networks}


def _cells(figures: dict | None) -> list[str]:
    if figures is None:
        return ['–', '–']
    memory = '–' if figures['bytes'] is None else f'{figures["bytes"] / 2**20:.0f}'
    return [f'{1e3 * figures["cpu"]:.1f} ({1e3 * figures["wall"]:.1f})', memory]
