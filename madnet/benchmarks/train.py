"""How fast training steps are, beside a plain form of the published training loop on the same network."""

from __future__ import annotations

import copy
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS, MODELS
from PIL import Image, ImageFilter, ImageOps
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from madnet.datasets import SIRSTDataset, synth_scene
from madnet.engine.cli import parse_options
from madnet.engine.compiling import compile_parts
from madnet.engine.config import load_config
from madnet.engine.speed import make_fast
from madnet.engine.train import set_amp
from madnet.errors import UserError
from madnet.files import write_whole
from madnet.images import encode_png
from madnet.records import text_table

PARTS = ('data', 'forward', 'backward', 'optimiser')


class OurStep:
    """What ``tools/train.py`` does for a batch: cached images, the config's pipeline, clipping, optimiser,
    moving average; nothing is read off the device.

    Args:
        cfg: An experiment; its model, optimiser, EMA hook and pipeline are used.
        model: Built from it.
        dataset: The training images, with the config's pipeline.
        options: ``batch``, ``workers``, ``device``; ``compile``: arguments of ``torch.compile`` or None.
    """

    name = 'this toolkit'

    def __init__(self, cfg, model: nn.Module, dataset: Dataset, options: dict):
        self.device = options['device']
        if cfg.get('channels_last', False):
            model = model.to(memory_format=torch.channels_last)
        make_fast(model)
        self.model = model.to(self.device).train()
        with DefaultScope.overwrite_default_scope('mmseg'):
            self.wrapper = build_optim_wrapper(self.model, copy.deepcopy(cfg.optim_wrapper))
        ema = next((h for h in cfg.get('custom_hooks') or [] if h['type'] == 'EMAHook'), None)
        self.average = None
        if ema is not None:
            kind = {k: v for k, v in ema.items() if k not in ('type', 'ema_type')}
            self.average = MODELS.build({'type': ema['ema_type'], 'model': self.model, **kind})
        if options['compile'] is not None:
            compile_parts(self.model, options['compile'])
        self.batches = _endless(_loader(dataset, options, collate=pseudo_collate))

    def load(self) -> dict:
        """The next batch."""
        return next(self.batches)

    def forward(self, batch: dict) -> Tensor:
        """Batch → the loss."""
        with self.wrapper.optim_context(self.model):
            batch = self.model.data_preprocessor(batch, True)
            loss, _ = self.model.parse_losses(self.model(**batch, mode='loss'))
        return loss

    def backward(self, loss: Tensor) -> None:
        """Gradients."""
        self.wrapper.backward(loss)

    def update(self, loss: Tensor) -> None:
        """Clip, move the weights and their average."""
        self.wrapper.step()
        self.wrapper.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.model)


class PlainStep:
    """The published way, written out: Pillow on every file, six losses over the batch one after another,
    plain AdamW, and ``.item()`` for the progress bar. No cache, clipping, average or mixed precision, weights
    in PyTorch's own layout.

    Args:
        cfg, model, options: As of :class:`OurStep`.
        dataset: The same images.
        size: Side of the crops.
    """

    name = 'published form'

    def __init__(self, cfg, model: nn.Module, dataset: SIRSTDataset, options: dict, size: int):
        self.device = options['device']
        self.model = model.to(self.device).train()
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)
        mean, std = (cfg.model.data_preprocessor[key] for key in ('mean', 'std'))
        files = [(d['img_path'], d['seg_map_path']) for d in map(dataset.get_data_info, range(len(dataset)))]
        plain = PillowImages(files, size, np.divide(mean, 255), np.divide(std, 255))
        self.batches = _endless(_loader(plain, options))
        self.total = 0.0

    def load(self) -> tuple[Tensor, Tensor]:
        """The next batch."""
        return next(self.batches)

    def forward(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Batch → the loss."""
        images, masks = (part.to(self.device) for part in batch)
        maps = self.model.decode_head(self.model.extract_feat(images))
        loss = 0
        for logits in maps if isinstance(maps, list) else [maps]:
            if logits.shape != masks.shape:
                logits = nn.functional.interpolate(logits, masks.shape[2:], mode='bilinear')
            loss = loss + batch_soft_iou(logits, masks)
        return loss

    def backward(self, loss: Tensor) -> None:
        """Gradients."""
        self.optimizer.zero_grad()
        loss.backward()

    def update(self, loss: Tensor) -> None:
        """Move the weights, and add up the loss."""
        self.optimizer.step()
        self.total += loss.item()


def batch_soft_iou(logits: Tensor, masks: Tensor) -> Tensor:
    """1 − (Σpg + 1) / (Σp + Σg − Σpg + 1), the sums over the batch; all (B, 1, H, W)."""
    prob = torch.sigmoid(logits)
    both = (prob * masks).sum()
    return 1 - (both + 1) / (prob.sum() + masks.sum() - both + 1)


class PillowImages(Dataset):
    """The published augmentation as it was written: flip, scale, pad, crop, blur, all in Pillow.

    Args:
        files: Paths of image and mask.
        size: Side of the crops, and of what scales are relative to.
        mean, std: By channel, of values in 0–1; one channel loads images as grey.
    """

    def __init__(self, files: Sequence[tuple[str, str]], size: int, mean: np.ndarray, std: np.ndarray):
        self.files, self.size = files, size
        self.mean, self.std = (torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (mean, std))
        self.mode = 'L' if len(mean) == 1 else 'RGB'

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image, mask = (Image.open(path) for path in self.files[index])
        image, mask = image.convert(self.mode), mask.convert('L')
        if np.random.rand() < 0.5:
            image, mask = (part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for part in (image, mask))
        long_side = np.random.randint(self.size // 2, 2 * self.size + 1)
        factor = long_side / max(image.size)
        scaled = tuple(max(1, int(n * factor + 0.5)) for n in image.size)
        image = image.resize(scaled, Image.Resampling.BILINEAR)
        mask = mask.resize(scaled, Image.Resampling.NEAREST)
        right, bottom = (max(0, self.size - n) for n in scaled)
        if right or bottom:
            image, mask = (ImageOps.expand(part, (0, 0, right, bottom), fill=0) for part in (image, mask))
        x, y = (np.random.randint(n - self.size + 1) for n in image.size)
        image, mask = (part.crop((x, y, x + self.size, y + self.size)) for part in (image, mask))
        if np.random.rand() < 0.5:
            image = image.filter(ImageFilter.GaussianBlur(np.random.rand()))
        values = torch.from_numpy(np.array(image, dtype=np.float32) / 255)
        values = values[None] if values.ndim == 2 else values.permute(2, 0, 1)
        truth = torch.from_numpy(np.array(mask, dtype=np.float32) / 255)[None]
        return (values - self.mean) / self.std, truth


def _loader(dataset: Dataset, options: dict, collate=None) -> DataLoader:
    return DataLoader(
        dataset,
        batch_size=options['batch'],
        shuffle=True,
        drop_last=True,
        num_workers=options['workers'],
        persistent_workers=options['workers'] > 0,
        pin_memory=options['device'] == 'cuda',
        collate_fn=collate,
    )


def _endless(loader: DataLoader) -> Iterator:
    return itertools.chain.from_iterable(itertools.repeat(loader))


def run_step(step: OurStep | PlainStep) -> None:
    """One batch."""
    loss = step.forward(step.load())
    step.backward(loss)
    step.update(loss)


def time_steps(step: OurStep | PlainStep, number: int) -> tuple[float, float]:
    """Seconds of wall time and of this process's CPU time of a step, over so many in a row."""
    _wait(step.device)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(number):
        run_step(step)
    _wait(step.device)
    return (time.perf_counter() - wall) / number, (time.process_time() - cpu) / number


def time_parts(step: OurStep | PlainStep) -> dict[str, float]:
    """Seconds of wall time of the parts of a step, each waited for."""
    marks = [_now(step.device)]
    batch = step.load()
    marks.append(_now(step.device))
    loss = step.forward(batch)
    marks.append(_now(step.device))
    step.backward(loss)
    marks.append(_now(step.device))
    step.update(loss)
    marks.append(_now(step.device))
    return {part: b - a for part, (a, b) in zip(PARTS, itertools.pairwise(marks), strict=True)}


def _now(device: str) -> float:
    _wait(device)
    return time.perf_counter()


def _wait(device: str) -> None:
    if device == 'cuda':
        torch.cuda.synchronize()


def write_scenes(folder: Path, number: int, size: int) -> None:
    """Synthetic scenes as files, ``images/`` and ``masks/``."""
    for i in range(number):
        scene = synth_scene(0, i, (size, size))
        write_whole(folder / 'images' / f'{i:04d}.png', encode_png(scene.image))
        write_whole(folder / 'masks' / f'{i:04d}.png', encode_png(scene.mask))


def benchmark(
    config: str = 'configs/madnet/madnet_nano.py',
    cfg_options: Sequence[str] = (),
    data: str | None = None,
    batch: int = 8,
    size: int = 256,
    steps: int = 3,
    repeats: int = 5,
    threads: int = 1,
    workers: int = 0,
    device: str = 'cpu',
    amp: str | None = None,
    compile_mode: str | None = None,
) -> dict:
    """Measure both in turn, print a table, and return all figures.

    Args:
        config: An experiment with this toolkit's recipe; the plain form takes its network.
        cfg_options: ``key.sub=value`` pairs that override it.
        data: A data set or its folder; None for the config's; ``'synthetic'`` for 64 scenes written to files.
        batch: Images of a step.
        size: Side of the crops in pixels.
        steps: Steps that are timed in a row.
        repeats: Rounds, in each of which both have their turn.
        threads: CPU threads.
        workers: Processes that load, for each; 0 loads in this process, so that its time is seen.
        device: ``'cpu'`` or ``'cuda'``.
        amp: Mixed precision of our step: None, ``'fp16'``, ``'bf16'`` or ``'auto'``.
        compile_mode: Compiles our network in this mode of ``torch.compile``, such as ``'default'`` or
            ``'reduce-overhead'`` (CUDA graphs).

    Returns:
        ``ours`` and ``published``: ``wall`` and ``cpu``, seconds of a step in every round, ``parts``, the
        median seconds of each, and ``images_per_second``; ``ratio``: of the shortest steps, of the median
        ones, and the median of the rounds' ratios.

    Raises:
        UserError: No such device, config or data set; too few images for a batch.
    """
    if device == 'cuda' and not torch.cuda.is_available():
        raise UserError('--device cuda: torch sees no GPU here')
    if min(batch, steps, repeats) < 1 or size < 64 or size % 32:
        raise UserError(
            f'--batch {batch} --size {size} --steps {steps} --repeats {repeats}: expected 1 or more, and a '
            'size of 64 or more that is a multiple of 32'
        )
    MMLogger.get_current_instance().setLevel('WARNING')  # else a line for every parameter
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True
    compiling = {'mode': compile_mode} if compile_mode else None
    options = {'batch': batch, 'workers': workers, 'device': device, 'compile': compiling}
    with tempfile.TemporaryDirectory() as scratch:
        if data == 'synthetic':
            data = str(Path(scratch, 'synthetic'))
            write_scenes(Path(data, 'trainval'), 64, max(size, 256))
        cfg = load_config(config, parse_options(cfg_options), dataset=data)
        if amp is not None:
            set_amp(cfg, amp)
        wanted = cfg.train_dataloader.dataset
        wanted.pipeline = [{**t, 'size': size} if 'Crop' in t['type'] else t for t in wanted.pipeline]
        dataset = DATASETS.build(wanted)
        if len(dataset) < batch:
            raise UserError(f'--batch {batch}: {dataset.dataset_name} has {len(dataset)} training images')
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
        if isinstance(model, BaseModule):
            model.init_weights()
        contenders = [
            OurStep(cfg, copy.deepcopy(model), dataset, options),
            PlainStep(cfg, model, dataset, options, size),
        ]
        report = {
            'config': str(config),
            'parameters': sum(p.numel() for p in model.parameters()),
            'data': dataset.dataset_name,
            **options,
            'size': size,
            'threads': threads,
            'amp': amp,
            'torch': torch.__version__,
            **_measure(contenders, steps, repeats, batch),
        }
    _print(report)
    return report


def _measure(contenders: Sequence[OurStep | PlainStep], steps: int, repeats: int, batch: int) -> dict:
    for step in contenders:
        for _ in range(2):  # caches, the allocator, the compiler
            run_step(step)
    times: list[list[tuple[float, float]]] = [[], []]
    parts: list[list[dict[str, float]]] = [[], []]
    for _ in range(repeats):
        for k, step in enumerate(contenders):
            times[k].append(time_steps(step, steps))
            parts[k].append(time_parts(step))
    report = {}
    for key, seconds, several in zip(('ours', 'published'), times, parts, strict=True):
        wall, cpu = ([s[i] for s in seconds] for i in (0, 1))
        report[key] = {
            'wall': wall,
            'cpu': cpu,
            'parts': {p: statistics.median(row[p] for row in several) for p in PARTS},
            'images_per_second': batch / statistics.median(wall),
        }
    ours, plain = report['ours'], report['published']
    report['ratio'] = {
        'shortest': min(plain['wall']) / min(ours['wall']),
        'median': statistics.median(plain['wall']) / statistics.median(ours['wall']),
        'of_rounds': statistics.median(p / o for p, o in zip(plain['wall'], ours['wall'], strict=True)),
        'cpu_median': statistics.median(plain['cpu']) / statistics.median(ours['cpu']),
    }
    return report


def _print(report: dict) -> None:
    print(
        f'{Path(report["config"]).stem}, {report["parameters"]:,} parameters, {report["data"]}: '
        f'{report["batch"]} crops of {report["size"]}², {report["device"]}, {report["threads"]} thread(s), '
        f'{report["workers"]} worker(s), precision {report["amp"] or "of the config"}, '
        f'{"compiled" if report["compile"] else "not compiled"}; milliseconds a step'
    )
    rows = [['', 'shortest', 'median', 'CPU time', *PARTS, 'images/s']]
    for key, name in (('ours', OurStep.name), ('published', PlainStep.name)):
        found = report[key]
        figures = [min(found['wall']), statistics.median(found['wall']), statistics.median(found['cpu'])]
        figures += found['parts'].values()
        rows.append([name, *(f'{1e3 * s:.1f}' for s in figures), f'{found["images_per_second"]:.2f}'])
    print(text_table(rows))
    ratio = report['ratio']
    print(
        f'{ratio["median"]:.2f} times as fast by the medians, {ratio["shortest"]:.2f} by the shortest steps, '
        f'{ratio["cpu_median"]:.2f} by CPU time; median of the rounds {ratio["of_rounds"]:.2f}.'
    )
