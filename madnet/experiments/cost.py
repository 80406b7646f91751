"""What the networks of a comparison cost, measured once for each network and data set."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from madnet.benchmarks.models import measure, multiply_adds
from madnet.datasets.image_pipeline import channels_of
from madnet.engine.building import build_model
from madnet.experiments.run import Run
from madnet.experiments.state import model_sha256, read_cost
from madnet.records import Cost
from madnet.text import counted


def measure_costs(runs: Sequence[Run], size: int) -> None:
    """Write ``cost.json`` (``parameters``, ``MACs``, ``latency`` in seconds) where it is missing, or of
    another network or other channels than the plan's now.

    Args:
        runs: Those without a network (no weights) are passed over.
        size: Side of the square input in pixels.
    """
    for run in runs:
        if (run.seed is None and run.checkpoint is None) or read_cost(run).size == size:
            continue
        path = Path(run.folder).parent / Cost.FILE
        try:
            cost = measure_cost(run.settings, size, budget=1)
            replace(cost, model_sha256=model_sha256(run)).write(path)
        except Exception as e:  # whatever a foreign network raises costs its columns, not the table
            path.unlink(missing_ok=True)
            print(f'{run.name}: cost not measured: {type(e).__name__}: {e}', file=sys.stderr)


def measure_cost(cfg: Mapping, size: int = 256, budget: float = 0) -> Cost:
    """Cost of the network of a resolved config, on one size × size image; ``latency`` is the least of several
    forward passes within ``budget`` seconds, two at least."""
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    cpu = f'a CPU, {counted(torch.get_num_threads(), "thread")}'
    network = build_model(cfg).eval().to(device)
    channels = channels_of(cfg)
    image = torch.rand(1, channels, size, size, device=device)
    with torch.inference_mode():
        return Cost(
            size=size,
            channels=channels,
            parameters=sum(p.numel() for p in network.parameters()),
            MACs=sum(multiply_adds(network, image).values()),
            latency=measure(lambda: network(image), device, budget)['wall'],
            device=torch.cuda.get_device_name() if device == 'cuda' else cpu,
        )
