"""What the networks of a comparison cost, measured once for each network and data set."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from mmseg.registry import MODELS

from madnet.benchmarks.models import measure, multiply_adds
from madnet.experiments.plan import Run
from madnet.experiments.state import read_if_whole
from madnet.records import Cost
from madnet.text import counted


def measure_costs(runs: Sequence[Run], size: int) -> None:
    """Write ``cost.json`` (``parameters``, ``MACs``, ``latency`` in seconds) where it is missing.

    Args:
        runs: Those without a network (no weights) are passed over.
        size: Side of the square input in pixels.
    """
    for run in runs:
        path = Path(run.folder).parent / Cost.FILE
        known = read_if_whole(Cost, path)
        if (run.seed is None and run.checkpoint is None) or (known and known.size == size):
            continue
        try:
            measure_cost(run.settings['model'], size, budget=1).write(path)
        except Exception as e:  # whatever a foreign network raises costs its columns, not the table
            print(f'{run.name}: cost not measured: {type(e).__name__}: {e}', file=sys.stderr)


def measure_cost(model: Mapping, size: int = 256, budget: float = 0) -> Cost:
    """Cost of a network, the ``model`` of a resolved config, on one size × size image; ``latency`` is the
    least of several forward passes within ``budget`` seconds, two at least."""
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    cpu = f'a CPU, {counted(torch.get_num_threads(), "thread")}'
    network = MODELS.build(model).eval().to(device)
    channels = len(model.get('data_preprocessor', {}).get('mean', [0] * 3))
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
