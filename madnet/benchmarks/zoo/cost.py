"""What the networks of a comparison cost, measured once for each network and data set."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from mmseg.registry import MODELS
from torch.utils.flop_counter import FlopCounterMode

from madnet.benchmarks.zoo.plan import Run
from madnet.benchmarks.zoo.running import read_json
from madnet.engine.cli import parse_options
from madnet.engine.config import load_config
from madnet.evaluation.results import write_json


def measure_costs(runs: Sequence[Run], size: int) -> None:
    """Write ``cost.json`` (``parameters``, ``MACs``, ``latency`` in seconds) where it is missing.

    Args:
        runs: Those without a network (no weights) are passed over.
        size: Side of the square input in pixels.
    """
    for run in runs:
        path = Path(run.folder).parent / 'cost.json'
        if (run.seed is None and run.checkpoint is None) or read_json(path).get('size') == size:
            continue
        try:
            write_json(path, measure_cost(run.config, run.options, size))
        except Exception as e:  # whatever a foreign network raises costs its columns, not the table
            print(f'{run.name}: cost not measured: {type(e).__name__}: {e}', file=sys.stderr)


def measure_cost(config: str, options: Sequence[str], size: int, repeats: int = 5) -> dict:
    """Cost of the network of a config on one size × size image.

    Returns:
        ``size``, ``channels``, ``parameters``, ``MACs`` of convolutions and matrix products, ``latency``
        (median seconds of a forward pass) and ``device`` in words.
    """
    cfg = load_config(config, parse_options(list(options)))
    model = MODELS.build(cfg.model).eval()
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    model.to(device)
    channels = len(cfg.model.data_preprocessor.mean)
    inputs = torch.zeros(1, channels, size, size, device=device)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            model(inputs)
        seconds = sorted(_seconds(model, inputs) for _ in range(repeats))
    cpu = f'{torch.get_num_threads()} CPU threads'
    return {
        'size': size,
        'channels': channels,
        'parameters': sum(p.numel() for p in model.parameters()),
        'MACs': counter.get_total_flops() / 2,
        'latency': seconds[repeats // 2],
        'device': torch.cuda.get_device_name(device) if device.type == 'cuda' else cpu,
    }


def _seconds(model: torch.nn.Module, inputs: torch.Tensor) -> float:
    start = time.perf_counter()
    model(inputs)
    if inputs.is_cuda:
        torch.cuda.synchronize(inputs.device)
    return time.perf_counter() - start
