"""What a budget and a temperature that were chosen on validation images come to on test images.

    MADNET_DATA_ROOT=datasets python experiments/false_alarms/measure.py > results.csv

One row for each of the shipped networks and test sets, and one for the three sets that they were trained on
together. ECE and AUC as fractions; Pd in percent and Fa in 1e-6: at the cuts that ``--fa-budget`` takes, and
at the best cut for the very images (``best``).
"""

import csv
import sys

import numpy as np

from madnet.datasets import SIRSTDataset
from madnet.datasets.sources import find_sources
from madnet.evaluation.calibration import PlattScaling
from madnet.evaluation.ranking import BUDGETS, within_budget
from madnet.inference import Predictor
from madnet.inference.calibration import READING, Measured, find_calibration, rank_for_budget
from madnet.records import Calibration

NETWORKS = ('madnet_nano', 'madnet_tiny', 'mim_tiny_fine')
SETS = ('nuaa', 'nudt', 'irstd1k', 'sirstaug')
TOGETHER = SETS[:3]


def row(network: str, images: str, found: Calibration, chosen: Calibration) -> dict[str, object]:
    """The numbers of some images."""
    out: dict[str, object] = {
        'network': network,
        'images': images,
        'temperature': found.temperature,
        'bias': found.bias,
    }
    for name, errors in (('pixels', found.pixels), ('detections', found.detections)):
        out |= {f'ECE {name}': errors.before, f'ECE {name}, calibrated': errors.after}
    out |= {f'AUC {name}': value for name, value in found.separation.items()}
    start = {'threshold': np.inf, 'Pd': 0.0, 'Fa': 0.0}  # where no detection is kept
    curve = {name: np.array([start[name], *values]) for name, values in found.ranked.items()}
    for budget in BUDGETS:
        cut = rank_for_budget(chosen, budget)
        kept = int(np.sum(curve['threshold'] >= cut)) - 1
        out |= {f'rank {budget:.0e}': cut, f'Pd {budget:.0e}': 100 * float(curve['Pd'][kept])}
        out |= {f'Fa {budget:.0e}': 1e6 * float(curve['Fa'][kept])}
        out[f'best Pd {budget:.0e}'] = 100 * within_budget(curve, budget)['Pd']
    return out


def main() -> None:
    """Measure all, and print the table."""
    writer = None
    for network in NETWORKS:
        chosen = find_calibration(network, None)
        predictor = Predictor(network, device='cpu')
        predictor.model.set_test_time(**READING._asdict())
        together = Measured(READING)
        for name in SETS:
            dataset = SIRSTDataset(split='test', **find_sources(name)[0].arguments)
            alone = Measured(READING)
            for index in range(len(dataset)):
                pixels, mask = dataset.read_sample(index)
                prediction = predictor(pixels)
                for measured in (alone, together) if name in TOGETHER else (alone,):
                    measured.add(prediction.score_map, mask > 127, prediction.image)
            groups = {name: alone} | ({'+'.join(TOGETHER): together} if name == TOGETHER[-1] else {})
            for images, measured in groups.items():
                found = measured.result({'name': network}, [], PlattScaling.of(chosen))
                line = row(network, images, found, chosen)
                if writer is None:
                    writer = csv.DictWriter(sys.stdout, line, lineterminator='\n')
                    writer.writeheader()
                writer.writerow({k: f'{v:.6g}' if isinstance(v, float) else v for k, v in line.items()})
                sys.stdout.flush()


if __name__ == '__main__':
    main()
