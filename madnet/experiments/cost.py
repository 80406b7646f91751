"""What the networks of a comparison cost, measured once for each network and data set."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from madnet.benchmarks.models import build, measure, multiply_adds
from madnet.experiments.plan import Run
from madnet.experiments.running import read_json
from madnet.files import write_json


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
            write_json(path, measure_cost(run.config, run.options, size, budget=1))
        except Exception as e:  # whatever a foreign network raises costs its columns, not the table
            print(f'{run.name}: cost not measured: {type(e).__name__}: {e}', file=sys.stderr)


def measure_cost(config: str, options: Sequence[str] = (), size: int = 256, budget: float = 0) -> dict:
    """Cost of the network of a config on one size × size image.

    Args:
        config: A config file, or the base file of a model.
        options: ``KEY=VALUE`` pairs that override it.
        size: Side in pixels.
        budget: Seconds to repeat the forward pass for; twice at least.

    Returns:
        ``size``, ``channels``, ``parameters``, ``MACs`` of convolutions, matrix products and selective
        scans, ``latency`` (the least seconds of a forward pass) and ``device`` in words.
    """
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    model, channels = build(Path(config), options)
    model.eval().to(device)
    image = torch.rand(1, channels, size, size, device=device)
    threads = torch.get_num_threads()
    with torch.inference_mode():
        return {
            'size': size,
            'channels': channels,
            'parameters': sum(p.numel() for p in model.parameters()),
            'MACs': sum(multiply_adds(model, image).values()),
            'latency': measure(lambda: model(image), device, budget)['wall'],
            'device': torch.cuda.get_device_name() if device == 'cuda' else f'a CPU, {threads} thread(s)',
        }
