"""Draws docs/images/family.png: IoU on NUAA-SIRST against multiply-adds, of networks trained here.

    python docs/build/family.py

Reads results of ``tools/compare.py`` under experiments/. Thin lines mark what light networks cost that
have no accuracy here. Hollow marks are what the README of MAD-Net says of networks (its protocol is ``abc``,
its epoch the best on the test images), at their cost as counted here.
"""

import json
from pathlib import Path

from madnet.experiments.summary import references
from madnet.experiments.systems import load_systems
from madnet.visualization.cost_plot import draw_cost

EXPERIMENTS = Path(__file__).resolve().parents[2] / 'experiments'

#: Folder → label there → label in the picture: one training of each network, by how it was trained and not by
#: what it reached.
SHOWN = {
    'tuned': {
        'MAD-Net nano, joint and tuned over batches': 'MAD-Net nano',
        'MAD-Net nano, joint and tuned over batches, 8 views': 'MAD-Net nano, 8 views',
    },
    'joint': {'MAD-Net tiny, joint': 'MAD-Net tiny', 'MiM-ISTD tiny, joint': 'MiM-ISTD tiny'},
    'small_comparison': {
        'MAD-Net nano': 'MAD-Net nano, 30 epochs',
        'MiM-ISTD tiny + MAD-Net head': 'hybrid: MiM encoder, MAD-Net head, 30 epochs',
        'ACM': 'ACM, 30 epochs',
        'ALCNet basic': 'ALCNet basic, 30 epochs',
    },
}


def points() -> dict[str, tuple[float, float, float | None]]:
    """Label → (MACs at 256², IoU as a fraction, its standard deviation or None), protocol native."""
    found = {}
    for file, labels in SHOWN.items():
        rows = json.loads((EXPERIMENTS / file / 'comparison.json').read_text(encoding='utf-8'))['rows']
        for row in rows:
            if (row['dataset']['name'], row['dataset']['split']) == ('NUAA-SIRST', 'test') and row[
                'label'
            ] in labels:
                mean, std, _ = row['results']['native']['IoU']
                found[labels[row['label']]] = (row['cost']['MACs'], mean, std)
    return found


def quoted_points(source: str) -> dict[str, tuple[float, float]]:
    """Label → (MACs at 256² as counted here, IoU on NUAA-SIRST as a fraction), of one table of others."""
    systems = load_systems()
    costs = json.loads((EXPERIMENTS / 'costs' / 'costs.json').read_text(encoding='utf-8'))['networks']
    macs = {known['name']: costs[key]['MACs'] for key, known in systems['networks'].items() if key in costs}
    (table,) = (t for t in systems['quoted'] if t['source'] == source)
    column = table['metrics'].index('IoU')
    return {
        name: (macs[name], values['NUAA-SIRST'][column] / 100)
        for name, values in table['rows'].items()
        if name in macs and 'NUAA-SIRST' in values
    }


def cost_lines(shown: dict) -> dict[str, float]:
    """Name → MACs of light networks without a mark."""
    costs = json.loads((EXPERIMENTS / 'costs' / 'costs.json').read_text(encoding='utf-8'))['networks']
    return {**references(shown), 'SCTransNet': costs['sctransnet']['MACs']}


if __name__ == '__main__':
    shown, quoted = points(), quoted_points('README of MAD-Net')
    title = 'native, NUAA-SIRST (hollow: as published, abc)'
    figure = draw_cost(shown, title, 'IoU', cost_lines(shown), quoted=quoted)
    figure.savefig(EXPERIMENTS.parent / 'docs' / 'images' / 'family.png', dpi=150)
