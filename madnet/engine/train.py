"""Training, from a config file to ``best.pth`` and ``last.pth``."""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop

from madnet.config_files import config_names, find_config_file
from madnet.datasets.image_pipeline import channels_of
from madnet.datasets.sirst_dataset import SIRSTDataset
from madnet.datasets.wrappers import inner_datasets, validation_split
from madnet.engine.bare_model import bare
from madnet.engine.checkpoint import BEST, LAST, PREVIOUS, meta_of
from madnet.engine.checkpoint_file import find_checkpoint, is_registered, read_checkpoint
from madnet.engine.cli import parse_options
from madnet.engine.config import load_config, require_parts
from madnet.engine.config.static_config import leaves
from madnet.engine.folder_lock import own_folder
from madnet.engine.half_weights import half_type
from madnet.engine.hooks import SafeCheckpointHook
from madnet.engine.runner import MadnetRunner, build_runner
from madnet.engine.training_free import is_training_free
from madnet.errors import UserError
from madnet.images.values import ValueRange
from madnet.models.losses import check_logits, check_losses
from madnet.records import MAPS, PICTURES, MetricsFile, NegativesFile, RunFile, metrics_text
from madnet.text import counted

#: What NumPy's and torch's generators take.
_SEEDS = range(2**32)

#: Steps below which a training has hardly begun.
FEW_STEPS = 30


def train(
    config: str,
    work_dir: str | None = None,
    resume: bool | str = False,
    trust_checkpoint: bool = False,
    began: float | None = None,
    **how: Any,
) -> MadnetRunner:
    """Train the network of a config.

    Args:
        config, work_dir, resume: As of :func:`training_config`.
        trust_checkpoint: Whether checkpoints may hold pickled objects.
        began: When the ``minutes`` began to run, of ``time.monotonic()``; None for now.
        how: Further arguments of :func:`training_config`.

    Returns:
        The runner, after training.

    Raises:
        UserError: The config, a checkpoint or the data are not as they should be, or another training runs in
            the work folder.
        RunFailed: A loss or gradient is not finite.
        TrainingStopped: A signal asked to stop; all is saved.
    """
    start = time.monotonic()
    cfg = training_config(config, work_dir, resume, **how)
    if cfg.resume and not resume:  # as mmengine takes it
        resume = cfg.get('load_from') or True
    _check_launcher(cfg.launcher)
    seed = how.get('seed')
    if seed is None:
        seed = parse_options(how.get('options')).get('randomness.seed')
    with own_folder(cfg.work_dir) if _is_first_process(cfg.launcher) else nullcontext(False) as inside:
        return _train(cfg, resume, trust_checkpoint, start if began is None else began, seed, inside)


def _train(
    cfg: Config,
    resume: bool | str,
    trust_checkpoint: bool,
    began: float,
    seed: int | None,
    of_comparison: bool,
) -> MadnetRunner:
    # its record says what it began from: one that resumes would train nothing again
    cfg.resume = False
    if isinstance(resume, str):
        cfg.load_from = None
    runner = build_runner(cfg, trust_checkpoint)
    if resume:
        runner.goes_on_from(resume, seed)
    if runner.train_loop.budget is not None:
        runner.train_loop.budget.begin(began)
    check_losses(bare(runner.model))
    check_logits(bare(runner.model), channels_of(cfg))
    _refuse_no_targets(runner)
    start = time.time()
    first_line = heading(runner, cfg)
    elsewhere = isinstance(resume, str) and (
        find_checkpoint(resume).resolve().parent != Path(cfg.work_dir).resolve()
    )
    runner.register_hook(_TakeFolder(elsewhere, of_comparison))
    if is_main_process():
        print(first_line, flush=True)
        loops = [runner.train_loop, *([runner.val_loop] if cfg.get('val_cfg') else [])]
        for loop in loops:
            for dataset in _looked_at(loop):
                print(f'{dataset.dataset_name}, {dataset.split}: {dataset.facts}', flush=True)
    runner.train()
    if is_main_process():
        print(_summary(runner, time.time() - start), flush=True)
    return runner


def _looked_at(loop: BaseLoop) -> list[SIRSTDataset]:
    """The data sets of a loop whose files were looked at when they were opened."""
    return [d for d in inner_datasets(loop.dataloader.dataset) if isinstance(d, SIRSTDataset)]


def _refuse_no_targets(runner: MadnetRunner) -> None:
    if names := _without_targets(runner.train_loop):
        raise UserError(
            f'{names}: no target in any mask of the training images; a network would learn to find '
            'nothing. Look at the masks (madnet dataset check), or add a set with targets '
            '(--dataset THIS,OTHER).'
        )
    chosen_by = next((h.save_best for h in runner.hooks if isinstance(h, SafeCheckpointHook)), None)
    # whoever predicts nothing is perfect there
    if chosen_by and runner.val_loop is not None and (names := _without_targets(runner.val_loop)):
        raise UserError(
            f'{names}: no target in any mask of the validation images, so that no epoch can be chosen by '
            f'{chosen_by}. Keep the last one (--cfg-options selection=last), or add a set with targets '
            '(--dataset THIS,OTHER).'
        )


def _without_targets(loop: BaseLoop) -> str:
    """The data sets of a loop if not one of all their masks holds a target; else nothing."""
    seen = _looked_at(loop)
    if len(seen) < len(inner_datasets(loop.dataloader.dataset)) or any(d.facts.targets for d in seen):
        return ''
    return ', '.join(f'{d.dataset_name}, {d.split}' for d in seen)


def training_config(
    config: str,
    work_dir: str | None = None,
    resume: bool | str = False,
    load_from: str | None = None,
    amp: str | None = None,
    seed: int | None = None,
    launcher: str = 'none',
    options: Sequence[str] | Mapping[str, Any] | None = None,
    dataset: str | None = None,
    skip_nonfinite: int = 0,
    minutes: float | None = None,
    value_range: ValueRange = None,
    mask_values: Sequence[int] | None = None,
) -> Config:
    """The whole config that :func:`train` trains by.

    Args:
        config: A config file or its name.
        work_dir: Where checkpoints and logs go; default ``work_dirs/<name of the config>_<data set>``.
        resume: True goes on from the newest whole checkpoint in ``work_dir``; a path from that file.
        load_from: Start from these weights; overrides the config's.
        amp: None, ``'fp16'``, ``'bf16'``, or ``'auto'`` (bf16, except on GPUs that lack it).
        seed: Overrides the config's.
        launcher: ``'none'``, ``'pytorch'`` (torchrun) or ``'slurm'``.
        options: ``KEY=VALUE`` pairs that override the config, or a dict of dotted keys and values.
        dataset: As of :func:`~madnet.engine.config.load_config`.
        skip_nonfinite: Number of steps with an infinite loss or gradient, or NaN, that may be left out.
        minutes: Train for this long, all included, with the schedules of the config laid over the time;
            resuming, what earlier processes have spent counts.
        value_range, mask_values: As of :class:`SIRSTDataset`, for every set of the config; they win over what
            the config says of it, and may not meet a range in a step that loads.

    Raises:
        UserError: The config is not as it should be, or the arguments exclude each other.
    """
    if is_registered(config) and config not in config_names():
        raise UserError(
            f'config {config}: shipped weights, for prediction and tests. To train from them, take the '
            f'config of their network and --load-from {config}.'
        )
    reading = {'value_range': value_range, 'mask_values': mask_values}
    cfg = load_config(find_config_file(config), parse_options(options, **reading), dataset)
    require_parts(cfg, ('model',), config, 'a training')
    if is_training_free(cfg):
        raise UserError(
            f'config {config}: a classical detector has nothing to train. Score it: madnet test {config}'
        )
    require_parts(cfg, ('train_dataloader', 'train_cfg', 'optim_wrapper'), config, 'a training')
    _refuse_other_loops(cfg, config)
    _refuse_half_a_validation(cfg, config)
    cfg.launcher = launcher
    if work_dir is not None:
        cfg.work_dir = work_dir
    if seed is not None:
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': seed}
    seed = cfg.get('randomness', {}).get('seed')
    # a range looks for anything but an int in each of its numbers, and finds True
    if seed is not None and not (type(seed) is int and seed in _SEEDS):
        raise UserError(f'randomness.seed: found {seed!r}, expected a whole number below 2³².')
    if amp is not None:
        set_amp(cfg, amp)
    if skip_nonfinite:
        cfg.default_hooks.finite = dict(type='NonFiniteHook', skip=skip_nonfinite)
    if minutes is not None:
        cfg.train_cfg.minutes = minutes
    if cfg.train_cfg.get('minutes') is not None:
        cfg.default_hooks.param_scheduler = dict(type='TimedScheduleHook')
    if not isinstance(cfg.get('resume', False), bool):
        raise UserError(f'resume: found {cfg.resume!r}, expected True or False.')
    cfg.resume = bool(resume) or (cfg.get('resume', False) and not load_from)
    if resume and load_from:
        raise UserError(
            '--resume and --load-from exclude each other: the first goes on, the second starts anew.'
        )
    if resume == '':
        raise UserError(
            "--resume '': expected a checkpoint, or --resume alone for the newest of the work folder."
        )
    if resume and resume is not True:  # the whole state of a run, over which no other weights may come
        cfg.load_from = str(resume)
    elif load_from:
        cfg.load_from = load_from
    return cfg


def _refuse_other_loops(cfg: Config, config: str) -> None:
    loop = (cfg.get('train_cfg') or {}).get('type', 'none')
    saver = ((cfg.get('default_hooks') or {}).get('checkpoint') or {}).get('type', 'none')
    if loop != 'ResumableTrainLoop' or saver != 'SafeCheckpointHook':
        raise UserError(
            f'config {config}: found train_cfg of type {loop} and checkpoints by {saver}, expected '
            'ResumableTrainLoop and SafeCheckpointHook, as in configs/_base_/; train a config of mmseg by '
            "mmseg's own tools/train.py, where our components work after custom_imports of 'madnet'."
        )


def _refuse_half_a_validation(cfg: Config, config: str) -> None:
    parts = ('val_dataloader', 'val_cfg', 'val_evaluator')
    missing = [key for key in parts if cfg.get(key) is None]
    if missing and len(missing) < len(parts):
        raise UserError(
            f'config {config}: has no {" and no ".join(missing)}; a validation needs {", ".join(parts)}. '
            'A training without validation has none of these.'
        )


def set_amp(cfg: Config, amp: str) -> None:
    """Let a config train in mixed precision; ``amp`` is that of :func:`training_config`."""
    gpu = torch.cuda.is_available()
    if amp == 'auto':  # without a scaler of gradients where the card can: a fifth faster on an H200
        amp = 'bf16' if half_type('cuda' if gpu else 'cpu') == torch.bfloat16 else 'fp16'
    cfg.optim_wrapper.pop('dtype', None)
    scale = cfg.optim_wrapper.get('loss_scale')
    if not gpu or (isinstance(scale, Mapping) and not scale.get('enabled', True)):  # of another --amp
        cfg.optim_wrapper.pop('loss_scale', None)
    if gpu:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.dtype = {'fp16': 'float16', 'bf16': 'bfloat16'}[amp]
        if amp == 'bf16':  # has float32's range
            cfg.optim_wrapper.loss_scale = dict(enabled=False)
    elif amp == 'bf16':
        cfg.optim_wrapper.type = 'CPUAmpOptimWrapper'
    else:
        raise UserError('--amp fp16: needs a GPU, none is found. On a CPU, --amp bf16 works.')


#: What training and testing leave in a folder; logs are in folders named by the time.
_OF_A_RUN = (
    *(LAST, PREVIOUS, BEST, '*.calibration.json', MetricsFile.FILE, 'per_image.csv', 'detections.csv'),
    *(NegativesFile.FILE, MAPS, PICTURES, 'views[0-9]*', '[0-9]' * 8 + '_' + '[0-9]' * 6),
)


class _TakeFolder(Hook):
    """Writes the config, once all is built and read: what is refused leaves the folder's as it is.

    Args:
        elsewhere: The run of another folder goes on in this one.
        of_comparison: It is a run of a comparison, whose record stays.

    Unless the run of this folder goes on, what an earlier one has left here is put aside first: nothing of it
    is taken for the new one's. Where weights lie then that the new run starts from is recorded. Of a run that
    goes on from an earlier checkpoint, a best epoch that it has not come to is put aside alike.
    """

    priority = 'HIGHEST'

    def __init__(self, elsewhere: bool, of_comparison: bool):
        self.elsewhere, self.of_comparison = elsewhere, of_comparison

    def before_train(self, runner) -> None:
        goes_on = runner.train_loop.validation_due or runner.train_loop.goes_on()
        if runner._resume:
            self._look_for_best(runner, goes_on)
        if not goes_on:  # resumed from a whole run: nothing new comes
            runner.ended_in = find_checkpoint(str(runner._load_from)).parent if self.elsewhere else None
            return
        if self.elsewhere or not runner._resume:  # nothing may have been found to resume
            self._put_aside(runner)
        runner.dump_config()

    def _look_for_best(self, runner: MadnetRunner, goes_on: bool) -> None:
        """Let the best epoch so far be the one whose weights are there, or none."""
        checkpoint, hub = find_checkpoint(str(runner._load_from)), runner.message_hub
        # not where a link leads: other runs may have theirs there
        best = (checkpoint.parent if self.elsewhere else Path(runner.work_dir)) / BEST
        epoch = hub.get_info('best_epoch')
        with suppress(UserError):  # missing or damaged
            if meta_of(read_checkpoint(best)).get('epoch') == epoch:
                return
        if epoch is not None:
            runner.logger.warning(
                f'{checkpoint}: {best} does not hold epoch {epoch}, the best up to there'
                + (': it is chosen from the epochs to come.' if goes_on else '.')
            )
            for key in ('best_score', 'best_epoch', 'best_metrics'):
                hub.pop_info(key)
        if goes_on and not self.elsewhere:
            _move_aside(runner, [best] if best.is_file() else [])

    def _put_aside(self, runner: MadnetRunner) -> None:
        work_dir = Path(runner.work_dir)
        texts = [text for _, text in leaves(runner.cfg) if isinstance(text, str)]
        read = {Path(text).resolve() for text in texts if text.endswith(NegativesFile.FILE)}
        found = [p for name in _OF_A_RUN for p in work_dir.glob(name) if p.name != runner.timestamp]
        old = [p for p in found if p.resolve() not in read] + _configs_of_runs(work_dir, runner.timestamp)
        if not self.of_comparison:  # which would take the new weights for its own
            old += work_dir.glob(RunFile.FILE)
        start = find_checkpoint(runner._load_from).resolve() if runner._load_from else None
        went_on = any(path.name in (LAST, PREVIOUS) for path in old)
        moves = [path for path in old if path.resolve() == start]
        aside = _move_aside(runner, old, ' (--resume would have gone on with it)' if went_on else '')
        for path in moves:
            runner._load_from = runner.cfg.load_from = str(aside / path.name)


def _move_aside(runner: MadnetRunner, old: Sequence[Path], hint: str = '') -> Path:
    """Move files of an earlier run out of the way, and say so; returns the folder of this run for such."""
    work_dir = Path(runner.work_dir)
    aside = work_dir / f'before_{runner.timestamp}'
    while aside.exists():  # of another run in the same second
        aside = aside.with_name(f'{aside.name}_')
    barrier()  # all processes have looked
    if old and is_main_process():
        aside.mkdir()
        for path in old:
            path.rename(aside / path.name)
        print(f'{work_dir} held an earlier run{hint}; what it left is kept in {aside}')
    barrier()
    return aside


def _configs_of_runs(work_dir: Path, now: str) -> list[Path]:
    """The configs that earlier runs wrote into their folder, which the logs of all but the one of ``now``
    hold too; any other is the user's own."""

    def lines(path: Path) -> list[bytes]:
        # where the weights are that a run began from may have been written down later
        return [line for line in path.read_bytes().splitlines() if not line.startswith(b'load_from = ')]

    logged = [lines(p) for p in work_dir.glob('*/vis_data/config.py') if p.parents[1].name != now]
    return [p for p in work_dir.glob('*.py') if p.is_file() and lines(p) in logged]


_RANK = {'pytorch': 'RANK', 'slurm': 'SLURM_PROCID'}


def _is_first_process(launcher: str) -> bool:
    """Whether this is the process that writes; asked before the processes have met."""
    return launcher not in _RANK or os.environ[_RANK[launcher]] == '0'


def _check_launcher(launcher: str) -> None:
    variable = _RANK.get(launcher)
    if variable is not None and variable not in os.environ:
        starter = {'pytorch': 'torchrun --nproc-per-node N', 'slurm': 'srun python'}[launcher]
        raise UserError(
            f'--launcher {launcher}: ${variable} is not set. Start with: {starter} -m madnet train …'
        )
    cards = torch.cuda.device_count() if torch.cuda.is_available() else None
    if cards is not None and launcher == 'pytorch' and int(os.environ.get('LOCAL_RANK', 0)) >= cards:
        raise UserError(
            f'--launcher pytorch: found process {os.environ["LOCAL_RANK"]} (from 0) and {cards} GPUs, '
            f'expected one for each. Start with: torchrun --nproc-per-node {cards} -m madnet train …'
        )


def heading(runner: MadnetRunner, cfg: Config) -> str:
    """What a training is about to do, in one line.

    Raises:
        UserError: There are fewer images than a batch holds.
    """
    images, batches = len(runner.train_dataloader.dataset), len(runner.train_dataloader)
    if batches == 0:
        raise UserError(
            f'train_dataloader.batch_size: found {runner.train_dataloader.batch_size}, expected at most '
            f'{images}, the number of images that it trains on (selection=val keeps some of the training '
            'images to choose the best epoch by): no whole batch is left. '
            f'Add --cfg-options train_dataloader.batch_size={images}'
        )
    parameters = sum(p.numel() for p in bare(runner.model).parameters() if p.requires_grad)
    minutes = cfg.train_cfg.get('minutes')
    length = f'{cfg.train_cfg.max_epochs} epochs' if minutes is None else f'{minutes:g} min, in epochs'
    return (
        f'{runner.experiment_name.rsplit("_", 2)[0]}: {parameters:,} parameters, '
        f'{images} training images, {length} of {batches} batches, '
        f'on {next(bare(runner.model).parameters()).device}'
    )


def _summary(runner: MadnetRunner, seconds: float) -> str:
    info = runner.message_hub.runtime_info
    folder = Path(runner.ended_in or runner.work_dir)
    lines = [f'trained to epoch {runner.epoch} in {seconds / 60:.1f} min']
    budget = runner.train_loop.budget
    if stopped := runner.train_loop.stopped_early:
        lines = [f'stopped early by a hook {stopped}; this took {seconds / 60:.1f} min']
    elif budget is not None:
        epochs = runner.iter / len(runner.train_dataloader)
        lines = [
            f'{budget.minutes:g} min came to {epochs:.1f} epochs, {runner.iter} steps, by the schedule of '
            f'{runner.train_loop.planned_epochs} epochs, fitted to it'
        ]
        if seconds > 1.2 * 60 * budget.minutes:
            lines.append(
                f'warning: it took {seconds / 60:.1f} min: a step or a validation is longer than that'
            )
    if runner.iter < FEW_STEPS:
        lines.append(
            f'warning: {counted(runner.iter, "step")} cannot teach a network anything; give it more time'
        )
    if 'best_metrics' in info:
        chosen_on = validation_split(inner_datasets(runner.val_dataloader.dataset))
        rows = {f'best on {chosen_on!r} (epoch {info["best_epoch"]})': info['best_metrics']}
        lines += [metrics_text(rows, 'validation, native')]
        elsewhere = f'{BEST} of the run that this one went on from, in its folder'
        lines.append(f'best epoch  {folder / BEST if (folder / BEST).exists() else elsewhere}')
    if (folder / LAST).exists():
        lines.append(f'last epoch  {folder / LAST}')
    lines.append(f'log, curves {runner.log_dir}')
    return '\n'.join(lines)
