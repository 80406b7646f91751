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
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from mmengine.registry import init_default_scope

from madnet.benchmarks.scan import forward_of, make_inputs, shapes_at
from madnet.benchmarks.scan_gpu import measure_scan
from madnet.benchmarks.train import OurStep, PlainStep, Step
from madnet.datasets.locate import locate
from madnet.datasets.scenes import synth_scene
from madnet.engine.test import run_test
from madnet.engine.train import train, training_config
from madnet.errors import UserError
from madnet.files import read_json, write_json, write_whole
from madnet.images import encode_png
from madnet.inference import Predictor
from madnet.inference.command import predict_files
from madnet.ops import selective_scan_backends
from madnet.records import markdown_table

#: Takes what a part has found so far.
Write = Callable[[dict], object]

#: Forms of a training step → options of the config; the published form is another program.
FORMS: dict[str, dict[str, Any] | None] = {
    'published': None,
    'eager, loader': {'capture_step': False, 'device_cache': False},
    'eager, device': {'capture_step': False, 'device_cache': True},
    'captured': {'capture_step': True, 'device_cache': True},
    'captured, compiled': {'capture_step': True, 'device_cache': True, 'compile.disable': False},
}
#: Without a card: the same logic without a graph.
CPU_FORMS = {
    'published': None,
    'eager, loader': {'capture_step': False, 'device_cache': False},
    'emulated': {'capture_step': 'emulate', 'device_cache': True},
}
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
        kind: Which function of this module measures it.
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
        why = _no_data(dataset) or needs
        found.append(Part(f'test, {dataset}', 'test', 1, {'dataset': dataset}, why))
    found.append(Part('predict', 'predict', 1))
    found.append(Part('whole training', 'whole_training', 1, {}, needs))
    return found


def _no_data(name: str) -> str | None:
    try:
        locate(None, name)
    except UserError as e:
        return str(e)
    return None


def step(config: str, width: int | None, form: str, until: float, write: Write) -> None:
    """Milliseconds of a training step of 16 crops of 256², images a second, memory, and the share of the time
    that the GPU was busy; written as it goes."""
    on_gpu = torch.cuda.is_available()
    options = (FORMS if on_gpu else CPU_FORMS)[form]
    batch, size = (16, 256) if on_gpu else (2, 64)
    options = {
        'selection': 'last',
        'train_dataloader.batch_size': batch,
        'train_dataloader.num_workers': min(8, (os.cpu_count() or 1) - 1) if on_gpu else 0,
        'train_dataloader.persistent_workers': on_gpu and (os.cpu_count() or 1) > 1,
        'train_cfg.max_epochs': 1000,
        **(options or {}),
    }
    if width is not None:
        options |= {'model.backbone.base_channels': width, 'replace_steps.RandomTargetCrop.size': size}
    with tempfile.TemporaryDirectory() as scratch:
        data = _images(Path(scratch, 'data'), size)
        # the published form is float32, as it was
        amp = 'bf16' if on_gpu and form != 'published' else None
        cfg = training_config(config, str(Path(scratch, 'run')), amp=amp, options=options, dataset=data)
        init_default_scope(cfg.default_scope)
        began = time.monotonic()
        measured: Step = PlainStep(cfg) if form == 'published' else OurStep(cfg)
        measured.time(6 if on_gpu else 4)  # tuning, compiling, capturing
        record = {
            'batch': batch,
            'size': size,
            'amp': amp,
            'seconds before the first': time.monotonic() - began,
        }
        if isinstance(measured, OurStep):
            record['captured'] = measured.loop.step.replays
        walls: list[float] = []
        while len(walls) < 5 or (time.monotonic() < until - 10 and len(walls) < 30):
            walls.append(measured.time(10 if on_gpu else 1)[0])
            record |= {'ms': 1e3 * median(walls), 'ms, shortest': 1e3 * min(walls)}
            record['images/s'] = batch / median(walls)
            write(record)
            if time.monotonic() > until:
                break
        if on_gpu:
            record['peak MiB'] = torch.cuda.max_memory_allocated() / 2**20
            write(record)
            record |= _busy(partial(measured.time, 5), steps=5)
        write(record)


def _busy(work: Callable[[], object], steps: int = 1) -> dict:
    """Kernels of each of ``steps`` steps of some work, and the share of its time that one of them ran."""
    from torch.profiler import ProfilerActivity, profile

    began = time.perf_counter()
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        work()
        torch.cuda.synchronize()
        wall = time.perf_counter() - began
    events = [e for e in profiler.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    busy = sum(e.time_range.elapsed_us() for e in events) * 1e-6
    return {'kernels': len(events) / steps, 'GPU busy': min(1.0, busy / wall)}


def _images(folder: Path, size: int) -> str:
    """NUDT-SIRST where it is at hand, else synthetic scenes in files."""
    return 'nudt' if _no_data('nudt') is None and torch.cuda.is_available() else _synthetic(folder, size)


def _synthetic(folder: Path, size: int, number: int = 48) -> str:
    for i in range(number):
        scene = synth_scene(0, i, (max(size, 96),) * 2)
        write_whole(folder / 'trainval' / 'images' / f'{i:04d}.png', encode_png(scene.image))
        write_whole(folder / 'trainval' / 'masks' / f'{i:04d}.png', encode_png(scene.mask))
    return str(folder)


def scan_values(until: float, write: Write) -> None:
    """The largest relative difference of a backend's values and gradients from the plain loop's, by shape."""
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    record: dict[str, Any] = {'device': device, 'differences': {}}
    backends = [name for name in selective_scan_backends() if name != 'reference']
    for shape in shapes_at(128 if device == 'cuda' else 64):
        inputs = [t.requires_grad_() for t in make_inputs(shape, device)]
        outcome = {}
        for backend in ['reference', *backends]:
            try:
                y = forward_of(backend, inputs)()
                gradients = torch.autograd.grad(y.square().mean(), inputs)
            except (UserError, RuntimeError, TypeError) as e:
                record['differences'][f'{shape.name}, {backend}'] = str(e).splitlines()[0][:120]
                continue
            outcome[backend] = [y.detach(), *gradients]
        for backend in backends:
            if backend in outcome and 'reference' in outcome:
                pairs = zip(outcome[backend], outcome['reference'], strict=True)
                worst = max(((a - b).abs().max() / b.abs().max().clamp(min=1e-12)).item() for a, b in pairs)
                record['differences'][f'{shape.name}, {backend}'] = worst
        write(record)
        if time.monotonic() > until:
            return


def scan_speed(until: float, write: Write) -> None:
    """Kernel and wall time of the scan, against mamba_ssm's where it is installed."""
    on_gpu = torch.cuda.is_available()
    measure_scan(
        sizes=[256, 512, 1024, 2048] if on_gpu else [64],
        batches=[1, 16] if on_gpu else [1],
        device='cuda' if on_gpu else 'cpu',
        until=until,
        write=write,
    )


def same_losses(until: float, write: Write) -> None:
    """How far losses of fifty steps are apart, eager and captured, from the same weights and batches."""
    on_gpu = torch.cuda.is_available()
    steps = 50 if on_gpu else 6
    record: dict[str, Any] = {'steps': steps}
    with tempfile.TemporaryDirectory() as scratch:
        data = _synthetic(Path(scratch, 'data'), 64, number=24)
        histories = {}
        for name, capture in (('eager', False), ('captured', True if on_gpu else 'emulate')):
            options = {
                'selection': 'last',
                'val_cfg': None,
                'val_dataloader': None,
                'val_evaluator': None,
                'model.backbone.base_channels': 4,
                'replace_steps.RandomTargetCrop.size': 64,
                'train_dataloader.batch_size': 4,
                'train_dataloader.num_workers': 0,
                'train_dataloader.persistent_workers': False,
                'train_cfg.max_epochs': max(1, steps // 6),
                'device_cache': True,
                'capture_step': capture,
            }
            runner = train(
                'configs/madnet/madnet_nano.py', str(Path(scratch, name)), options=options, dataset=data
            )
            histories[name] = runner.message_hub.get_scalar('train/loss').data[0]
        eager, captured = histories['eager'], histories['captured']
        record['largest relative difference'] = float((abs(eager - captured) / abs(eager)).max())
        record['of the first ten'] = float((abs(eager - captured) / abs(eager))[:10].max())
        write(record)


def test(dataset: str, until: float, write: Write) -> None:
    """Seconds that ``madnet test madnet_nano`` takes, without the start of Python: plainly, in half
    precision, with eight views, image by image; and the share of the first that the GPU was busy."""
    record: dict[str, Any] = {}
    ways: dict[str, dict[str, Any]] = {
        'fp32': {},
        'half': {'test_cfg.fp16': True},
        'eight views': {'model.test_cfg.views': 8},
        'image by image': {'model.test_cfg.together': False},
    }

    with tempfile.TemporaryDirectory() as scratch:
        for name, options in ways.items():
            began = time.monotonic()
            result = run_test('madnet_nano', dataset=dataset, out=scratch, options=options)
            seconds = time.monotonic() - began
            record[f'seconds, {name}'] = seconds
            record[f'images/s, {name}'] = (result.dataset.images or 0) / seconds
            record[f'nIoU, {name}'] = result.results['native']['nIoU']
            write(record)
            if time.monotonic() > until:
                return
        if torch.cuda.is_available():
            record |= _busy(partial(run_test, 'madnet_nano', dataset=dataset, out=scratch))
            write(record)


def predict(until: float, write: Write) -> None:
    """Images of 256² a second that ``madnet predict madnet_nano`` turns into maps and tables, and that the
    predictor alone takes in; and the share of time that the GPU was busy."""
    on_gpu = torch.cuda.is_available()
    number = 256 if on_gpu else 4
    with tempfile.TemporaryDirectory() as scratch:
        for i in range(number):
            image = synth_scene(0, i, (256, 256)).image
            write_whole(Path(scratch, 'images', f'{i:04d}.png'), encode_png(image))
        record: dict[str, Any] = {'images': number}
        images = str(Path(scratch, 'images'))
        began = time.monotonic()
        predict_files('madnet_nano', [images], out=Path(scratch, 'out'))
        record['images/s, with files'] = number / (time.monotonic() - began)
        write(record)
        predictor = Predictor('madnet_nano')
        next(predictor.stream(images))  # tuning
        began = time.monotonic()
        for _ in predictor.stream(images):
            pass
        record['images/s, maps alone'] = number / (time.monotonic() - began)
        write(record)
        if on_gpu and time.monotonic() < until:
            record |= _busy(lambda: list(predictor.stream(images)))
            write(record)


def whole_training(until: float, write: Write) -> None:
    """Milliseconds a step of a training with all its hooks, as ``madnet train`` runs it, width 16."""
    with tempfile.TemporaryDirectory() as scratch:
        options = {
            'selection': 'last',
            'train_dataloader.batch_size': 16,
            'val_cfg': None,
            'val_dataloader': None,
            'val_evaluator': None,
        }
        minutes = max(0.3, (until - time.monotonic() - 20) / 60)
        runner = train(
            'configs/madnet/madnet_small.py',
            str(Path(scratch, 'run')),
            amp='bf16',
            options=options,
            dataset=_images(Path(scratch, 'data'), 256),
            minutes=min(minutes, 1.0),
        )
        times = runner.message_hub.get_scalar('train/time').data[0]
        write({'steps': runner.iter, 'ms': 1e3 * float(times[len(times) // 4 :].mean())})


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
        _write(report, folder)
    _write(report, folder)
    print(f'written {folder / "report.md"}')
    return report


def _in_process(part: Part, seconds: float, folder: Path) -> dict:
    """What a part has found, and how it ended."""
    file = folder / f'{part.name.replace(", ", "_").replace(" ", "_")}.json'
    write_json(file, {})
    write_json(file.with_suffix('.part'), {'kind': part.kind, 'arguments': part.arguments})
    command = [sys.executable, '-m', __name__, str(file), str(seconds)]
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


@dataclass(frozen=True)
class Goal:
    """Something that is to be reached.

    Attributes:
        name: What.
        least: The value to reach.
        found: The value in the figures of the parts; raises KeyError where it was not measured.
    """

    name: str
    least: float
    found: Callable[[Mapping[str, dict]], float]


def _faster(what: str) -> Callable[[Mapping[str, dict]], float]:
    def ratio(figures: Mapping[str, dict]) -> float:
        ours = [
            figures[f'step, {what}, {form}'].get('ms', float('inf')) for form in FORMS if 'captured' in form
        ]
        return figures[f'step, {what}, published']['ms'] / min(ours)

    return ratio


def _against_mamba(which: str) -> Callable[[Mapping[str, dict]], float]:
    """Kernel time of mamba_ssm's scan over ours, the worst of scans whose name begins with ``which``."""

    def ratio(figures: Mapping[str, dict]) -> float:
        ratios = []
        for scan in figures['scan, speed']['scans']:
            ours, theirs = (scan['measured'][name] for name in ('triton', 'mamba_ssm'))
            if scan['scan'].startswith(which):
                ratios += [theirs[k]['kernel'] / ours[k]['kernel'] for k in ('forward', 'with_backward')]
        return min(ratios)

    return ratio


def _share_of_the_bound(figures: Mapping[str, dict]) -> float:
    """The least time possible over that of the forward scans at 1024², all taken together."""
    scans = [scan for scan in figures['scan, speed']['scans'] if scan['size'] == 1024]
    least = sum(scan['times'] * max(scan['bound'].values()) for scan in scans)
    return least / sum(scan['times'] * scan['measured']['triton']['forward']['kernel'] for scan in scans)


GOALS = (
    Goal('scan: times as fast as mamba_ssm, worst shape', 1, _against_mamba('')),
    Goal('scan, inner: times as fast as mamba_ssm, worst shape', 2, _against_mamba('inner')),
    Goal('scan at 1024²: share of the binding limit', 0.5, _share_of_the_bound),
    Goal('width 16: times as fast as the published form', 5, _faster('width 16')),
    Goal('width 16: crops a second', 1500, lambda f: f['step, width 16, captured']['images/s']),
    Goal('width 4: crops a second', 6000, lambda f: f['step, width 4, captured']['images/s']),
    Goal('MiM: times as fast as the published form', 3, _faster('MiM')),
    Goal(
        'share of the bare step in a step of the whole tool',
        0.9,
        lambda f: f['step, width 16, captured']['ms'] / f['whole training']['ms'],
    ),
    Goal(
        'digits that eager and captured losses share, first ten steps',
        5,
        lambda f: -torch.tensor(max(f['same losses']['of the first ten'], 1e-12)).log10().item(),
    ),
    Goal('NUAA-SIRST: tests in a quarter of a minute', 1, lambda f: 15 / f['test, nuaa']['seconds, fp32']),
)


def judge(figures: Mapping[str, dict]) -> list[tuple[str, float, float | None]]:
    """Goal, value to reach, and value found, None where it was not measured."""
    rows: list[tuple[str, float, float | None]] = []
    for goal in GOALS:
        try:
            rows.append((goal.name, goal.least, goal.found(figures)))
        except (KeyError, TypeError, ValueError, ZeroDivisionError):  # a part that left some of it out
            rows.append((goal.name, goal.least, None))
    return rows


def _write(report: dict, folder: Path) -> None:
    goals = judge(report['parts'])
    report['goals'] = [{'goal': name, 'least': least, 'found': found} for name, least, found in goals]
    write_json(folder / 'report.json', report)
    write_whole(folder / 'report.md', as_markdown(report))
    _plot(report['parts'], folder / 'steps.png')


def as_markdown(report: dict) -> str:
    """The report as a page."""
    machine = ', '.join(f'{key} {value:.4g}' if isinstance(value, float) else f'{key} {value}'
                        for key, value in report['machine'].items())  # fmt: skip
    goals = [
        (g['goal'], f'{g["least"]:g}', *_verdict(g['found'], g['least'])) for g in report['goals']
    ]  # fmt: skip
    figures = [(name, *_in_short(content)) for name, content in report['parts'].items()]
    return (
        f'# What this machine does with madnet\n\n{machine}; at most {report["minutes"]:g} minutes.\n\n'
        + markdown_table(['goal', 'least', 'found', 'met'], goals, right=(1, 2))
        + '\n'
        + markdown_table(['part', 'state', 'figures'], figures)
        + '\nEach part’s output is in `parts/`; all figures are in `report.json`.\n'
    )


def _verdict(found: float | None, least: float) -> tuple[str, str]:
    if found is None:
        return '–', 'not measured'
    return f'{found:.4g}', 'yes' if found >= least else 'no'


def _in_short(content: dict) -> tuple[str, str]:
    numbers = (
        f'{key} {value:.4g}' if isinstance(value, float) else f'{key} {value}'
        for key, value in content.items()
        if key != 'state' and isinstance(value, int | float | str)
    )
    return content['state'].replace('|', '/'), ', '.join(numbers)


def _plot(figures: Mapping[str, dict], path: Path) -> None:
    """Milliseconds of a step, by network and form."""
    from matplotlib.figure import Figure

    from madnet.visualization.figure import save_picture

    steps = {
        name: content['ms']
        for name, content in figures.items()
        if name.startswith('step') and 'ms' in content
    }
    if not steps:
        return
    figure = Figure(figsize=(6, 0.6 + 0.25 * len(steps)), layout='constrained')
    axes = figure.subplots()
    axes.barh([name.removeprefix('step, ') for name in steps], list(steps.values()))
    axes.invert_yaxis()
    axes.set_xlabel('ms a step')
    save_picture(figure, path, dpi=150)


def _measure_here(arguments: Sequence[str]) -> None:
    """One part, in a process of its own: its file says which, and takes what is found."""
    file, seconds = Path(arguments[0]), float(arguments[1])
    part = read_json(file.with_suffix('.part'))
    kinds = (step, scan_values, scan_speed, same_losses, test, predict, whole_training)
    measure = {kind.__name__: kind for kind in kinds}[part['kind']]
    measure(**part['arguments'], until=time.monotonic() + seconds, write=partial(write_json, file))


if __name__ == '__main__':
    _measure_here(sys.argv[1:])
