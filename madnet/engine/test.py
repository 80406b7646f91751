"""Testing, from a config and a checkpoint to a table, ``metrics.json`` and pictures."""

import platform
import tempfile
from pathlib import Path

import mmengine
import mmseg
import torch
from mmengine.dist import is_main_process

import madnet
from madnet.engine.checkpoint import load_weights, read_checkpoint, sha256_of
from madnet.engine.cli import parse_options
from madnet.engine.config import load_config, telling_config_errors
from madnet.engine.train import build_runner
from madnet.evaluation import get_protocols, write_results
from madnet.evaluation.summary import results_text


def run_test(
    config: str,
    checkpoint: str,
    protocols: str = 'native',
    out: str | None = None,
    show_dir: str | None = None,
    save_scores: bool = False,
    split: str = 'test',
    launcher: str = 'none',
    options: list[str] | None = None,
    trust_checkpoint: bool = False,
) -> dict:
    """Score a checkpoint on a part of the config's data set.

    Args:
        config: Path of the config file that the checkpoint was trained with.
        checkpoint: Path of the weights.
        protocols: Names with commas, or ``'all'``.
        out: Folder for ``metrics.json`` and ``per_image.csv``; default the checkpoint's.
        show_dir: Folder for a picture of each image; None draws none.
        save_scores: Whether to keep the score maps, in ``<out>/scores``.
        split: Part of the data set.
        launcher: ``'none'``, ``'pytorch'`` (torchrun) or ``'slurm'``.
        options: ``KEY=VALUE`` pairs that override the config.
        trust_checkpoint: Whether the checkpoint may hold pickled objects.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        UserError: The config, the checkpoint, a protocol or the data are not as they should be.
    """
    names = [p.name for p in get_protocols(protocols)]
    weights = read_checkpoint(checkpoint, trust_checkpoint)
    cfg = load_config(config, parse_options(options))
    out = Path(out or Path(checkpoint).parent)
    cfg.launcher = launcher
    cfg.test_dataloader.dataset.split = split
    cfg.test_evaluator = {**cfg.test_evaluator, 'protocols': names, 'scr': True}
    cfg.custom_hooks = [] if show_dir is None else [{'type': 'ShowHook', 'show_dir': show_dir}]
    if save_scores:
        cfg.custom_hooks.append({'type': 'SaveScoresHook', 'folder': str(out / 'scores')})
    cfg.visualizer.vis_backends = []
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        cfg[key] = None
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg[key] = None
    with tempfile.TemporaryDirectory() as scratch:
        # mmengine writes config and log into its work folder, where a training's own may lie
        cfg.work_dir = scratch
        runner = build_runner(cfg, config)
        load_weights(runner.bare_model, weights, checkpoint)
        with telling_config_errors(config):
            runner.test()
    metric = runner.test_evaluator.metrics[0]
    report = {
        'schema': 1,
        'config': str(config),
        'checkpoint': {'path': str(checkpoint), 'sha256': sha256_of(checkpoint)},
        'dataset': runner.test_dataloader.dataset.describe(),
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
    if is_main_process():
        write_results(out, report, metric.per_image)
        described = report['dataset']
        print(f'{described["name"]}, {described["split"]}: {described["images"]} images')
        print(results_text(metric.full_results))
        print(f'numbers  {out / "metrics.json"}, {out / "per_image.csv"}')
        if save_scores:
            print(f'scores   {out / "scores"}')
        if show_dir is not None:
            print(f'pictures {show_dir}')
    return report
