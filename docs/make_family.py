"""Draws docs/results/family.png: IoU on NUAA-SIRST against multiply-adds, of all networks trained here.

    python docs/make_family.py

Reads the results under docs/results that ``tools/benchmark.py zoo`` and others of its kind wrote; thin lines
mark what published light networks cost that are not built here.
"""

import json
from pathlib import Path

from madnet.benchmarks.zoo.summary import references
from madnet.visualization.cost import draw_cost

RESULTS = Path(__file__).parent / 'results'


def points(folder: Path) -> dict[str, tuple[float, float, float | None]]:
    """Label → (MACs at 256², IoU as a fraction, its standard deviation or None), protocol native.

    Of several runs of one label the best, which on this set is the longest.
    """
    found = {}
    for path in sorted(folder.rglob('*.json')):
        content = json.loads(path.read_text(encoding='utf-8'))
        if not isinstance(content, dict) or content.get('kind') != 'zoo':
            continue
        for row in content['rows']:
            if row['dataset']['name'] == 'NUAA-SIRST' and row['cost'].get('MACs'):
                mean, std, _ = row['results']['native']['IoU']
                if mean > found.get(row['label'], (0, 0))[1]:
                    found[row['label']] = (row['cost']['MACs'], mean, std)
    return found


if __name__ == '__main__':
    shown = points(RESULTS)
    draw_cost(shown, 'native, NUAA-SIRST', 'IoU', references(shown)).savefig(RESULTS / 'family.png', dpi=150)
