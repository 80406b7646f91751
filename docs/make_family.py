"""Draws docs/results/family.png: IoU on NUAA-SIRST against multiply-adds, of all networks trained here.

    python docs/make_family.py

Reads the results under docs/results that ``tools/benchmark.py zoo`` and others of its kind wrote. Thin lines
mark what published light networks cost that are not built here. Hollow marks are what the README of MAD-Net
says of networks (its protocol is ``abc``, its epoch the best on the test images), at their cost as counted
here.
"""

import json
from pathlib import Path

from madnet.benchmarks.zoo.summary import references
from madnet.benchmarks.zoo.systems import load_systems
from madnet.visualization.cost import draw_cost

RESULTS = Path(__file__).parent / 'results'


def points(folder: Path) -> dict[str, tuple[float, float, float | None]]:
    """Label → (MACs at 256², IoU as a fraction, its standard deviation or None), protocol native.

    Of a network's trainings (``'MAD-Net nano, joint'``, ``'MAD-Net nano, tuned'``, …) at one cost, the best.
    """
    best = {}
    for path in sorted(folder.rglob('*.json')):
        content = json.loads(path.read_text(encoding='utf-8'))
        if not isinstance(content, dict) or content.get('kind') != 'zoo':
            continue
        for row in content['rows']:
            tested = (row['dataset']['name'], row['dataset']['split']) == ('NUAA-SIRST', 'test')
            if not tested or not row['cost'].get('MACs'):
                continue
            mean, std, _ = row['results']['native']['IoU']
            macs, label = row['cost']['MACs'], row['label']
            network = (label.split(',')[0], macs)
            if network not in best or mean > best[network][2]:
                best[network] = (label, macs, mean, std)
    return {label: (macs, mean, std) for label, macs, mean, std in best.values()}


def quoted_points(source: str) -> dict[str, tuple[float, float]]:
    """Label → (MACs at 256² as counted here, IoU on NUAA-SIRST as a fraction), of one table of others."""
    systems = load_systems()
    costs = json.loads((RESULTS / 'costs.json').read_text(encoding='utf-8'))['networks']
    macs = {known['name']: costs[key]['MACs'] for key, known in systems['networks'].items() if key in costs}
    (table,) = (t for t in systems['quoted'] if t['source'] == source)
    column = table['metrics'].index('IoU')
    return {
        f'{name} (published)': (macs[name], values['NUAA-SIRST'][column] / 100)
        for name, values in table['rows'].items()
        if name in macs and 'NUAA-SIRST' in values
    }


if __name__ == '__main__':
    shown, quoted = points(RESULTS), quoted_points('README of MAD-Net')
    figure = draw_cost(shown, 'native, NUAA-SIRST', 'IoU', references(shown), quoted=quoted)
    figure.savefig(RESULTS / 'family.png', dpi=150)
