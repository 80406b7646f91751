"""How fast training steps are, beside a plain form of the published training loop on the same network."""

import itertools
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import torch
from mmengine.config import Config
from mmseg.registry import LOOPS
from torch.nn.functional import interpolate

from madnet.datasets.wrappers import inner_datasets, kind_of
from madnet.engine.building import build_model
from madnet.engine.captured_step import WARM_UP
from madnet.engine.cli import parse_options
from madnet.engine.loops import ResumableTrainLoop
from madnet.engine.random_state import preserved_random_state
from madnet.engine.runner import MadnetRunner, build_runner
from madnet.engine.train import heading, training_config
from madnet.models.losses import soft_iou_loss
from madnet.records import text_table
from madnet.text import counted

PARTS = ('data', 'forward', 'backward', 'optimiser')


@LOOPS.register_module()
class SteppedTrainLoop(ResumableTrainLoop):
    """The training loop, which takes a step when it is asked to, instead of running through the epochs."""

    def run(self):
        """Get ready as for an epoch; :meth:`~madnet.engine.loops.ResumableTrainLoop.run_iter` goes on."""
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()

    def batches(self) -> Iterator[dict]:
        """Batches of one epoch after the other; starting one does not touch the random state."""
        while True:
            with preserved_random_state():
                batches = iter(self.dataloader)
            yield from batches


class Step(ABC):
    """A training step that can be timed, as a whole or in its parts.

    Attributes:
        name: For the table.
        device: Where it runs.
        parts: Seconds of the parts of the last step that :meth:`time_parts` took.
    """

    name: str
    device: torch.device
    _reached: float | None = None  # when the last part ended; None: nobody wants the parts

    @abstractmethod
    def run(self) -> None:
        """One batch; :meth:`mark` is to be called at the end of every part."""

    def mark(self, part: str) -> None:
        """Note that a part of the step has ended."""
        if self._reached is not None:
            now = self._now()
            self.parts[part] = now - self._reached
            self._reached = now

    def time_parts(self) -> dict[str, float]:
        """Seconds of wall time of the parts of one step, each waited for."""
        self.parts: dict[str, float] = {}
        self._reached = self._now()
        self.run()
        self._reached = None
        return self.parts

    def time(self, number: int) -> tuple[float, float]:
        """Seconds of wall time and of this process's CPU time of a step, over ``number`` in a row."""
        wall, cpu = self._now(), time.process_time()
        for _ in range(number):
            self.run()
        return (self._now() - wall) / number, (time.process_time() - cpu) / number

    def _now(self) -> float:
        if self.device.type == 'cuda':
            torch.cuda.synchronize()
        return time.perf_counter()


class OurStep(Step):
    """What ``madnet train`` does for a batch: the runner's own step, with its loader and its hooks.

    Args:
        cfg: Of :func:`~madnet.engine.train.training_config`.

    Raises:
        UserError: There are fewer images than a batch holds.
    """

    name = 'this toolkit'

    def __init__(self, cfg: Config):
        cfg.train_cfg.type = SteppedTrainLoop.__name__
        # nothing to show, to save, or to catch Ctrl-C for
        for hook in ('progress', 'checkpoint', 'stop_signal'):
            del cfg.default_hooks[hook]
        cfg.visualizer.vis_backends = []
        self.runner = build_runner(cfg)
        self.heading = heading(self.runner, cfg)
        self.runner.train()
        self.loop = self.runner.train_loop
        self.device = next(self.runner.model.parameters()).device
        self.batches = self.loop.batches()
        wrapper = self.runner.optim_wrapper
        wrapper.backward = self._marked(wrapper.backward)

    def _marked(self, backward: Callable) -> Callable:
        def marked_backward(loss, **kwargs) -> None:
            self.mark('forward')
            backward(loss, **kwargs)
            self.mark('backward')

        return marked_backward

    def run(self) -> None:
        """One batch."""
        batch = next(self.batches)
        self.mark('data')
        self.loop.run_iter(self.loop.iter % len(self.loop.dataloader), batch)
        self.mark('optimiser')


class PlainStep(Step):
    """The published way: Pillow's augmentation of every file, losses over the batch one map after another,
    plain AdamW, and ``.item()`` for the progress bar. No cache, clipping, average or mixed precision, weights
    in PyTorch's own layout.

    Args:
        cfg: The same as of :class:`OurStep`: for its network, data set, batch size and size of crops.
    """

    name = 'published form'

    def __init__(self, cfg: Config):
        self.device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        self.model = build_model(cfg).to(self.device).train()
        self.model.init_weights()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, weight_decay=0.01)
        loader = MadnetRunner.build_dataloader(_published_loader(cfg))
        self.batches = itertools.chain.from_iterable(itertools.repeat(loader))
        self.total = 0.0

    def run(self) -> None:
        """One batch."""
        batch = next(self.batches)
        self.mark('data')
        batch = self.model.data_preprocessor(batch, True)
        masks = torch.stack([sample.gt_mask.data for sample in batch['data_samples']]) / 255
        maps = self.model.decode_head(self.model.extract_feat(batch['inputs']))
        loss: Any = 0
        for logits in maps if isinstance(maps, list) else [maps]:
            if logits.shape != masks.shape:
                logits = interpolate(logits, masks.shape[2:], mode='bilinear')
            loss = loss + soft_iou_loss(logits, masks)
        self.mark('forward')
        self.optimizer.zero_grad()
        loss.backward()
        self.mark('backward')
        self.optimizer.step()
        self.total += loss.item()
        self.mark('optimiser')


def _published_loader(cfg: Config) -> dict:
    """The training loader of a config with the published augmentation of the same size, without a cache."""
    loader = cfg.train_dataloader.to_dict()
    for dataset in inner_datasets(loader['dataset']):
        steps = dataset['pipeline']
        size = next((step['size'] for step in steps if 'Crop' in kind_of(step) and 'size' in step), None)
        dataset.pop('cache', None)
        dataset['pipeline'] = [
            *(step for step in steps if kind_of(step).startswith('Load')),
            dict(type='PublishedFlip'),
            dict(type='PublishedRandomScale', base_size=size),
            dict(type='PublishedRandomCrop', size=size),
            dict(type='PublishedBlur'),
            dict(type='PackSIRSTInputs'),
        ]
    return loader


def benchmark(
    config: str = 'madnet_nano',
    dataset: str | None = None,
    cfg_options: Sequence[str] | Mapping[str, Any] | None = None,
    amp: str | None = None,
    steps: int = 3,
    repeats: int = 5,
    threads: int = 1,
) -> dict:
    """Measure both in turn, print a table, and return all figures.

    Without loading processes, as by default, the time that loading takes is part of a step's CPU time.

    Args:
        config, dataset, cfg_options, amp: As of :func:`~madnet.engine.train.train`; the plain form takes the
            network, the data set, the batch size and the size of crops.
        steps: Steps that are timed in a row.
        repeats: Rounds, in each of which both have their turn.
        threads: CPU threads.

    Returns:
        ``ours`` and ``published``: ``wall`` and ``cpu``, seconds of a step in every round, ``parts``, the
        median seconds of each (None of those that a captured step does as one), and ``images_per_second``;
        ``ratio``: of the shortest steps, of the median ones, and the median of the rounds' ratios.

    Raises:
        UserError: The config can't be trained, or there are too few images for a batch.
    """
    torch.set_num_threads(threads)
    options = {'selection': 'last', 'train_dataloader.num_workers': 0, **parse_options(cfg_options)}
    with tempfile.TemporaryDirectory() as scratch:
        cfg = training_config(config, scratch, amp=amp, options=options, dataset=dataset)
        ours = OurStep(cfg)
        print(f'{ours.heading}; {counted(threads, "thread")}; milliseconds a step')
        report = {
            'config': config,
            'options': options,
            'amp': amp,
            'threads': threads,
            'torch': torch.__version__,
            **_measure({'ours': ours, 'published': PlainStep(cfg)}, steps, repeats),
        }
    for form in ('ours', 'published'):
        report[form]['images_per_second'] = cfg.train_dataloader.batch_size / median(report[form]['wall'])
    _print(report)
    return report


def _measure(forms: Mapping[str, Step], steps: int, repeats: int) -> dict:
    for step in forms.values():
        # caches, the allocator, the compiler; on a GPU the step is captured by then
        step.time(WARM_UP + 1 if step.device.type == 'cuda' else 2)
    report: dict[str, Any] = {
        name: {'wall': [], 'cpu': [], 'parts': {part: [] for part in PARTS}} for name in forms
    }
    for _ in range(repeats):
        for name, step in forms.items():
            for kind, seconds in zip(('wall', 'cpu'), step.time(steps), strict=True):
                report[name][kind].append(seconds)
            for part, seconds in step.time_parts().items():
                report[name]['parts'][part].append(seconds)
    for name in forms:
        # a captured step has no parts but its loading, and what comes after
        report[name]['parts'] = {
            part: median(seconds) if seconds else None for part, seconds in report[name]['parts'].items()
        }
    ours, plain = report.values()
    report['ratio'] = {
        'shortest': min(plain['wall']) / min(ours['wall']),
        'median': median(plain['wall']) / median(ours['wall']),
        'of_rounds': median(p / o for p, o in zip(plain['wall'], ours['wall'], strict=True)),
        'cpu_median': median(plain['cpu']) / median(ours['cpu']),
    }
    return report


def _print(report: dict) -> None:
    rows = [['', 'CPU time', 'shortest', 'median', *PARTS, 'images/s']]
    for form, name in (('ours', OurStep.name), ('published', PlainStep.name)):
        found = report[form]
        figures = [median(found['cpu']), min(found['wall']), median(found['wall']), *found['parts'].values()]
        shown = ('–' if s is None else f'{1e3 * s:.1f}' for s in figures)
        rows.append([name, *shown, f'{found["images_per_second"]:.2f}'])
    print(text_table(rows))
    ratio = report['ratio']
    print(
        f'{ratio["cpu_median"]:.2f} times as fast by CPU time, {ratio["median"]:.2f} by the medians, '
        f'{ratio["shortest"]:.2f} by the shortest steps; median of the rounds {ratio["of_rounds"]:.2f}.'
    )
