"""Testing, from a config and its checkpoint, if it needs one, to a table, ``metrics.json`` and pictures."""

import copy
import platform
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mmengine
import mmseg
import torch
from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from mmseg.registry import METRICS

import madnet
from madnet.datasets.wrappers import inner_datasets
from madnet.engine.checkpoint import load_weights, read_checkpoint, sha256_of
from madnet.engine.cli import parse_options
from madnet.engine.config import load_config
from madnet.engine.irstd_metric import IRSTDMetric
from madnet.engine.runner import MadnetRunner, build_runner
from madnet.engine.training_free import is_training_free
from madnet.errors import UserError
from madnet.evaluation import get_protocols
from madnet.files import plain
from madnet.records import MetricsFile, metrics_text, write_results


def run_test(
    config: str,
    checkpoint: str | None = None,
    protocols: str = 'native',
    out: str | None = None,
    show_dir: str | None = None,
    save_scores: bool = False,
    split: str | None = None,
    launcher: str = 'none',
    options: Sequence[str] | Mapping[str, Any] | None = None,
    trust_checkpoint: bool = False,
    workers: int = 1,
    views: int | None = None,
    dataset: str | None = None,
) -> MetricsFile:
    """Score a checkpoint, or a detector without training, on a part of the config's data set.

    Args:
        config: Path of the config file that the checkpoint was trained with, or of a detector's.
        checkpoint: Path of the weights; None for a detector without training.
        protocols: Names with commas, or ``'all'``.
        out: Folder for ``metrics.json`` and ``per_image.csv``; default the checkpoint's, without one
            ``work_dirs/<name of the config>_<data set>``.
        show_dir: Folder for a picture of each image; None draws none.
        save_scores: Whether to keep the score maps, in ``<out>/scores``.
        split: Part of the data set; None for what the config says, usually ``'test'``.
        launcher: ``'none'``, ``'pytorch'`` (torchrun) or ``'slurm'``.
        options: ``KEY=VALUE`` pairs that override the config, or a dict of dotted keys and values.
        trust_checkpoint: Whether the checkpoint may hold pickled objects.
        workers: Processes that share the images, for a detector without training.
        views: Mirrored and turned views of each image whose logits a network's prediction averages: 1, 2, 4
            or 8; None for what the config says, usually 1.
        dataset: As of :func:`~madnet.engine.config.load_config`.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        UserError: The config, the checkpoint, a protocol or the data are not as they should be.
    """
    names = [p.name for p in get_protocols(protocols)]
    weights = None if checkpoint is None else read_checkpoint(checkpoint, trust_checkpoint)
    cfg = load_config(config, parse_options(options), dataset)
    _check_checkpoint(config, checkpoint, is_training_free(cfg), cfg.work_dir)
    out = Path(out or (cfg.work_dir if checkpoint is None else Path(checkpoint).parent))
    hooks = [] if show_dir is None else [{'type': 'ShowHook', 'show_dir': show_dir}]
    if save_scores:
        hooks.append({'type': 'SaveScoresHook', 'folder': str(out / 'scores')})
    cfg = config_for_test(cfg, names, config, split, hooks, workers, views)
    cfg.launcher = launcher
    # mmengine always writes a config and a log into its work folder, where a training's own may lie
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        runner = build_runner(cfg)
        if weights is not None:
            load_weights(runner.bare_model, weights, checkpoint)
        runner.test()
    metric = find_metric(runner)
    found = report(runner, metric, config, checkpoint)
    if is_main_process():
        write_results(out, found, metric.per_image)
        print(_in_words(found))
        print(f'numbers  {out / "metrics.json"}, {out / "per_image.csv"}')
        if save_scores:
            print(f'scores   {out / "scores"}')
        if show_dir is not None:
            print(f'pictures {show_dir}')
    return found


def config_for_test(
    cfg: Config,
    protocols: Sequence[str],
    name: str,
    split: str | None = None,
    hooks: Sequence[dict] = (),
    workers: int = 1,
    views: int | None = None,
) -> Config:
    """What is left of a config for a test, in which nothing trains, validates or draws.

    Args:
        cfg: A loaded config; it is not changed.
        protocols: Names of the protocols to score under.
        name: Name of the config for messages.
        split, workers, views: As of :func:`run_test`.
        hooks: Configs of hooks that follow the test, instead of the training's ``custom_hooks``.

    Raises:
        UserError: There are several test sets; ``workers`` or ``views`` does not fit the config;
            ``test_evaluator`` has no ``IRSTDMetric``.
    """
    cfg = copy.deepcopy(cfg)
    if workers != 1:
        _share_images(cfg, workers)
    if views is not None:
        _set_views(cfg, name, views)
    datasets = inner_datasets(cfg.test_dataloader.dataset)
    if len(datasets) > 1:
        raise UserError(
            f'config {name}: found {len(datasets)} data sets in test_dataloader; tests score one at a time: '
            '--cfg-options test_dataloader.dataset.name=NUDT-SIRST, with mean and deviation as trained.'
        )
    for dataset in datasets:
        dataset.split = split or dataset.get('split', 'test')
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    ours = [each for each in evaluators if _is_irstd_metric(each['type'])]
    if not ours:
        kinds = ', '.join(str(each['type']) for each in evaluators)
        raise UserError(
            f"config {name}: test_evaluator: found {kinds}, expected dict(type='IRSTDMetric') among them."
        )
    ours[0].update(protocols=list(protocols), scr=True)
    cfg.custom_hooks = list(hooks)
    cfg.visualizer.vis_backends = []
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        cfg[key] = None
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg[key] = None
    cfg.load_from, cfg.resume = None, False  # where a training would begin
    return cfg


def _is_irstd_metric(kind: str | type) -> bool:
    kind = METRICS.get(kind) if isinstance(kind, str) else kind
    return isinstance(kind, type) and issubclass(kind, IRSTDMetric)


def find_metric(runner: Runner) -> IRSTDMetric:
    """The first :class:`IRSTDMetric` of a runner's test, whatever metrics stand beside it."""
    return next(metric for metric in runner.test_evaluator.metrics if isinstance(metric, IRSTDMetric))


def report(runner: MadnetRunner, metric: IRSTDMetric, config: str, checkpoint: str | None) -> MetricsFile:
    """What ``metrics.json`` says of a test.

    Args:
        runner: After its test.
        metric: Its metric, see :func:`find_metric`.
        config: Name of the config.
        checkpoint: Path of the weights, None for a training-free detector.
    """
    model = runner.bare_model
    content = {
        'config': str(config),
        'checkpoint': checkpoint and {'path': str(checkpoint), 'sha256': sha256_of(checkpoint)},
        'dataset': runner.test_dataloader.dataset.describe(),
        'views': getattr(getattr(model, 'test_cfg', None), 'views', 1),
        'results': metric.full_results,
        'details': metric.details(),
        'versions': {
            'madnet': madnet.__version__,
            'torch': torch.__version__,
            'mmengine': mmengine.__version__,
            'mmseg': mmseg.__version__,
            'python': platform.python_version(),
        },
    }
    if getattr(model, 'training_free', False):
        content['detector'] = model.describe()
    return MetricsFile.from_json(plain(content))


def _in_words(found: MetricsFile) -> str:
    lines = [f'{found.dataset.name}, {found.dataset.split}: {found.dataset.images} images']
    if found.detector:
        lines.append('{title}; detections where {formula} (rule {rule})'.format(**found.detector))
    return '\n'.join([*lines, metrics_text(found.results)])


def _check_checkpoint(config: str, checkpoint: str | None, training_free: bool, work_dir: str) -> None:
    if checkpoint is None and not training_free:
        raise UserError(
            f'config {config}: its network needs trained weights; give the checkpoint, such as '
            f'{work_dir}/best.pth.'
        )
    if checkpoint is not None and training_free:
        raise UserError(
            f'config {config}: a detector without training has no weights, found the checkpoint '
            f'{checkpoint}. Leave it out: tools/test.py {config}'
        )


def _set_views(cfg: Config, config: str, views: int) -> None:
    if cfg.model.type != 'IRSTDSegmentor':
        raise UserError(
            f'--views {views}: config {config} is of type {cfg.model.type}; only IRSTDSegmentor, the type of '
            'our networks, averages views. Leave the option out.'
        )
    cfg.merge_from_dict({'model.test_cfg.views': views})


def _share_images(cfg: Config, workers: int) -> None:
    if workers < 1:
        raise UserError(f'--workers {workers}: expected 1 or more')
    if not is_training_free(cfg):
        raise UserError(
            f'--workers {workers}: is for detectors without training; a network takes larger batches '
            'instead: --cfg-options test_dataloader.batch_size=8'
        )
    cfg.model.workers = workers
    # enough for each process that a slow image keeps no other waiting for long
    cfg.test_dataloader.batch_size = 4 * workers
