"""The parts of the measurements of a card: ``python -m madnet.benchmarks.gpu_parts FILE END``."""

import gc
import math
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from mmengine.registry import init_default_scope

from madnet.benchmarks.scan import forward_of, make_inputs, shapes_at
from madnet.benchmarks.scan_gpu import BATCHES, SIZES, measure_scan
from madnet.benchmarks.train import OurStep, PlainStep, Step
from madnet.datasets.locate import locate
from madnet.datasets.scenes import Scene, synth_scene
from madnet.engine.checkpoint import PREVIOUS
from madnet.engine.optim.schedulers import _FactorScheduler
from madnet.engine.step_checks import in_one_line
from madnet.engine.test import run_test
from madnet.engine.train import train, training_config
from madnet.errors import UserError
from madnet.files import read_json, write_json, write_whole
from madnet.images import encode_png
from madnet.inference import Predictor
from madnet.inference.command import predict_files
from madnet.ops.selective_scan.custom_op import BACKENDS

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


def no_data(name: str) -> str | None:
    """Why a data set cannot be measured on here; None where it is at hand."""
    try:
        locate(None, name)
    except UserError as e:
        return str(e)
    return None


def step(
    config: str, width: int | None, forms: Sequence[str], until: float, write: Write, batch: int = 16
) -> None:
    """Milliseconds of a training step of crops of 256² in each of some forms, images a second, memory, and
    the share of the time that the GPU was busy; written as it goes. One that fails does not end another."""
    found: dict[str, dict] = {}
    for k, form in enumerate(forms):
        now = time.monotonic()
        found[form] = {}
        keep = partial(write, found)
        try:
            _step(config, width, form, batch, now + (until - now) / (len(forms) - k), found[form], keep)
            found[form]['state'] = 'done'
        except Exception as e:
            traceback.print_exc()
            found[form]['state'] = f'failed: {in_one_line(e)}'
        keep()
        gc.collect()  # runners hold themselves
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def _step(
    config: str,
    width: int | None,
    form: str,
    batch: int,
    until: float,
    record: dict,
    keep: Callable[[], object],
) -> None:
    on_gpu = torch.cuda.is_available()
    batch, size = (batch, 256) if on_gpu else (2, 64)
    options: dict[str, Any] = {
        'selection': 'last',
        'train_dataloader.batch_size': batch,
        'train_dataloader.num_workers': min(8, (os.cpu_count() or 1) - 1) if on_gpu else 0,
        'train_dataloader.persistent_workers': on_gpu and (os.cpu_count() or 1) > 1,
        'train_cfg.max_epochs': 1000,
        **((FORMS if on_gpu else CPU_FORMS)[form] or {}),
    }
    if width is not None:
        options |= {'model.backbone.base_channels': width, 'replace_steps.RandomTargetCrop.size': size}
    else:  # published recipes crop to the data set's size, which no folder says
        options['train_dataloader.dataset.base_size'] = size
    with tempfile.TemporaryDirectory() as scratch:
        data = _images(Path(scratch, 'data'), size)
        # the published form is float32, as it was
        amp = 'bf16' if on_gpu and form != 'published' else None
        cfg = training_config(config, str(Path(scratch, 'run')), amp=amp, options=options, dataset=data)
        init_default_scope(cfg.default_scope)
        began = time.monotonic()
        measured: Step = PlainStep(cfg) if form == 'published' else OurStep(cfg)
        measured.time(6 if on_gpu else 4)  # tuning, compiling, capturing
        record |= {
            'batch': batch,
            'size': size,
            'amp': amp,
            'data': 'NUDT-SIRST' if data == 'nudt' else 'synthetic scenes',
            'seconds before the first': time.monotonic() - began,
        }
        if isinstance(measured, OurStep):
            record['captured'] = measured.loop.step.replays
        walls: list[float] = []
        while len(walls) < 5 or (time.monotonic() < until - 10 and len(walls) < 30):
            walls.append(measured.time(10 if on_gpu else 1)[0])
            record |= {'ms': 1e3 * median(walls), 'ms, shortest': 1e3 * min(walls)}
            record['images/s'] = batch / median(walls)
            keep()
            if time.monotonic() > until:
                break
        if on_gpu:
            record['peak MiB'] = torch.cuda.max_memory_allocated() / 2**20
            keep()
            record |= _busy(partial(measured.time, 5), steps=5)


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
    """NUDT-SIRST where it is at hand, else synthetic scenes in files: on a GPU forty batches of 16, as an
    epoch of a few steps is mostly what comes between epochs."""
    if not torch.cuda.is_available():
        return _synthetic(folder, size)
    return _synthetic(folder, size, copies=14) if no_data('nudt') else 'nudt'


def _synthetic(folder: Path, size: int, number: int = 48, copies: int = 1) -> str:
    for i in range(number):
        scene = synth_scene(0, i, (max(size, 96),) * 2)
        _write_scene(folder / 'trainval', [f'{i:04d}_{copy:02d}' for copy in range(copies)], scene)
    return str(folder)


def _write_scene(folder: Path, names: Sequence[str], scene: Scene) -> None:
    for kind, values in (('images', scene.image), ('masks', scene.mask)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        content = encode_png(values)
        for name in names:  # not waited for, as with files that are to be kept
            (folder / kind / f'{name}.png').write_bytes(content)


def _as_many_sizes(folder: Path, dataset: str) -> str:
    """Scenes to test on in a data set's place: NUAA-SIRST's 86 of as many sizes, NUDT-SIRST's 664 of one."""
    rng = np.random.default_rng(0)
    for i in range(86):
        size = rng.integers(96, 513, 2).tolist() if dataset == 'nuaa' else (256, 256)
        scene = synth_scene(0, i, tuple(size))
        copies = range(1 if dataset == 'nuaa' else 8)
        _write_scene(folder / 'test', [f'{i:04d}_{copy}' for copy in copies], scene)
    return str(folder)


def scan_values(until: float, write: Write) -> None:
    """The largest relative difference of a backend's values and gradients from the plain loop's, by shape."""
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    record: dict[str, Any] = {'device': device, 'whole': False, 'differences': {}}
    # of those that work here some are for the CPU alone
    backends = [
        name
        for name, backend in BACKENDS.items()
        if name != 'reference' and backend.why_not(torch.device(device), torch.float32) is None
    ]
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
                apart = [(a - b).abs().max() / b.abs().max().clamp(min=1e-12) for a, b in pairs]
                worst = torch.stack(apart).max().item()  # NaN where one is, which Python's max may pass over
                record['differences'][f'{shape.name}, {backend}'] = (
                    worst if math.isfinite(worst) else 'not finite'  # JSON has no NaN
                )
        write(record)
    record['whole'] = True
    write(record)


def scan_speed(until: float, write: Write) -> None:
    """Kernel and wall time of the scan, against mamba_ssm's where it is installed."""
    on_gpu = torch.cuda.is_available()
    measure_scan(
        sizes=SIZES if on_gpu else [64],
        batches=BATCHES if on_gpu else [1],
        device='cuda' if on_gpu else 'cpu',
        until=until,
        write=write,
    )


def same_losses(until: float, write: Write) -> None:
    """How far losses of fifty steps are apart, eager and captured, from the same weights and batches; and
    whether a captured run that goes on from the middle ends with the same weights, to the bit."""
    on_gpu = torch.cuda.is_available()
    steps = 50 if on_gpu else 12
    epochs = -(-steps // 6)
    plain_rates = _FactorScheduler._get_value
    # cuDNN may add up in another order in each run, which fifty steps amplify
    torch.backends.cudnn.deterministic = True
    # a graph keeps rates as float32, and fifty steps amplify what that rounds, too
    rounded = patch.object(
        _FactorScheduler, '_get_value', lambda self: [float(np.float32(rate)) for rate in plain_rates(self)]
    )
    with rounded, tempfile.TemporaryDirectory() as scratch:
        options = {
            'selection': 'last',
            'env_cfg.cudnn_benchmark': False,
            'val_cfg': None,
            'val_dataloader': None,
            'val_evaluator': None,
            'model.backbone.base_channels': 4,
            'replace_steps.RandomTargetCrop.size': 64,
            'train_dataloader.batch_size': 4,
            'train_dataloader.num_workers': 0,
            'train_dataloader.persistent_workers': False,
            'train_cfg.max_epochs': epochs,
            'default_hooks.checkpoint.interval': -(-epochs // 2),
            'device_cache': True,
        }
        data = _synthetic(Path(scratch, 'data'), 64, number=24)
        run = partial(train, 'configs/madnet/madnet_nano.py', dataset=data)
        plain = run(str(Path(scratch, 'eager')), options={**options, 'capture_step': False})
        options['capture_step'] = True if on_gpu else 'emulate'
        folder = Path(scratch, 'captured')
        ours = run(str(folder), options=options)
        eager, captured = (r.message_hub.get_scalar('train/loss').data[0][:steps] for r in (plain, ours))
        record: dict[str, Any] = {
            'steps': len(captured),
            'captured': ours.train_loop.step.replays,
            'largest relative difference': float((abs(eager - captured) / abs(eager)).max()),
        }
        write(record)
        weights = [p.detach().clone() for p in ours.model.parameters()]
        resumed = run(str(folder), options=options, resume=str(folder / PREVIOUS))
        pairs = zip(weights, resumed.model.parameters(), strict=True)
        record['resumed to the bit'] = all(torch.equal(a, b) for a, b in pairs)
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
        if no_data(dataset):
            dataset = _as_many_sizes(Path(scratch, 'data'), dataset)
            record['data'] = 'synthetic scenes of as many sizes'
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
        data = _images(Path(scratch, 'data'), 256)
        runner = train(
            'configs/madnet/madnet_small.py',
            str(Path(scratch, 'run')),
            amp='bf16',
            options=options,
            dataset=data,
            minutes=min(minutes, 1.0),
        )
        times = runner.message_hub.get_scalar('train/time').data[0]
        write(
            {
                'steps': runner.iter,
                'data': 'NUDT-SIRST' if data == 'nudt' else 'synthetic scenes',
                'ms': 1e3 * float(times[len(times) // 4 :].mean()),
                'captured': runner.train_loop.step.replays,
            }
        )


def _measure_here(arguments: Sequence[str]) -> None:
    """One part, in a process of its own: its file says which, and takes what is found."""
    file, end = Path(arguments[0]), float(arguments[1])  # of time.time(), which all processes share
    part = read_json(file.with_suffix('.part'))
    kinds = (step, scan_values, scan_speed, same_losses, test, predict, whole_training)
    measure = {kind.__name__: kind for kind in kinds}[part['kind']]
    measure(**part['arguments'], until=time.monotonic() + end - time.time(), write=partial(write_json, file))


if __name__ == '__main__':
    _measure_here(sys.argv[1:])
