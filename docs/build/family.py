"""Draws docs/images/family.png: IoU on NUAA-SIRST against multiply-accumulates, of networks trained here.

    python docs/build/family.py

Reads the comparisons under experiments/. Thin lines mark what light networks cost that have no accuracy here.
Hollow marks are what the README of MAD-Net says of networks (its protocol is ``abc``, its epoch the best on
the test images), at the cost counted here on their published forms.
"""

from pathlib import Path

from madnet.experiments.networks import read_metafile
from madnet.records import Comparison
from madnet.visualization.cost_plot import draw_cost
from madnet.visualization.figure import save_picture

ROOT = Path(__file__).resolve().parents[2]

#: What the README of MAD-Net calls by these names, in the form that toolboxes have.
FORMS = {'ACM': 'acm_toolbox', 'ISNet': 'isnet_toolbox'}
#: Folder, or file → label there → label in the picture: one training of each network, by how it was trained
#: and not by what it reached.
SHOWN = {
    'tuned_longer/nuaa_nano.json': {
        'MAD-Net nano, taught, tuned': 'MAD-Net nano, tuned',
        'MAD-Net nano, taught, tuned, 8 views': 'MAD-Net nano, tuned, 8 views',
    },
    'taught/ships.json': {
        'MAD-Net nano, taught longer, half of its beginning kept': 'MAD-Net nano, as it ships'
    },
    'widened': {
        'MAD-Net tiny, widened': 'MAD-Net tiny',
        'MAD-Net small, widened': 'MAD-Net small',
    },
    'recipe2': {'MiM-ISTD tiny with fine masks, recipe 2': 'MiM-ISTD tiny, fine masks'},
    'small_comparison': {
        'MAD-Net nano': 'MAD-Net nano, 30 epochs',
        'MiM-ISTD tiny + MAD-Net head': 'hybrid: MiM encoder, MAD-Net head, 30 epochs',
        'ACM': 'ACM, 30 epochs',
        'ALCNet basic': 'ALCNet basic, 30 epochs',
    },
}

#: Multiply-accumulates at 256² that papers give of light networks which are not built here.
LIGHT_NETWORKS = {'EGEUNet (published)': 0.063e9, 'WSNet (published)': 1.05e9}


def points() -> dict[str, tuple[float, float, float | None]]:
    """Label → (MACs at 256², IoU as a fraction, its standard deviation or None), protocol native."""
    found = {}
    for folder, labels in SHOWN.items():
        path = ROOT / 'experiments' / folder
        for row in Comparison.read(path if path.is_file() else path / 'comparison.json').rows:
            here = (row.dataset.name, row.dataset.split) == ('NUAA-SIRST', 'test')
            if here and row.label in labels:
                mean, std, _ = row.results['native']['IoU']
                found[labels[row.label]] = (row.cost.MACs, mean, std)
    return found


def model_of(folder: str, name: str) -> dict:
    """A model of the metafile in a folder of configs."""
    return next(m for m in read_metafile(ROOT / 'configs' / folder)['Models'] if m['Name'] == name)


def quoted_points(source: str) -> dict[str, tuple[float, float]]:
    """Label → (MACs at 256², IoU on NUAA-SIRST as a fraction), from one source of quoted numbers."""
    found = {}
    for path in sorted((ROOT / 'configs').glob('*/metafile.yaml')):
        [collection] = read_metafile(path.parent)['Collections']
        for quote in collection.get('Quoted', ()):
            if (quote['Source'], quote['Dataset']) == (source, 'NUAA-SIRST'):
                model = model_of(
                    path.parent.name, FORMS.get(collection['Name'], f'{path.parent.name}_published')
                )
                found[collection['Name']] = (model['Metadata']['MACs'], quote['Metrics']['IoU'] / 100)
    return found


def cost_lines(shown: dict) -> dict[str, float]:
    """Name → MACs of networks without a mark: light ones that fall among the marks, and SCTransNet."""
    highest = max(macs for macs, *_ in shown.values())
    light = {name: macs for name, macs in LIGHT_NETWORKS.items() if macs < 2 * highest}
    sctransnet = model_of('sctransnet', 'sctransnet_published')['Metadata']['MACs']
    return {**light, 'SCTransNet': sctransnet}


if __name__ == '__main__':
    shown, quoted = points(), quoted_points('README of MAD-Net')
    title = 'native, NUAA-SIRST (hollow: as published, abc)'
    figure = draw_cost(shown, title, 'IoU', cost_lines(shown), quoted=quoted)
    save_picture(figure, ROOT / 'docs' / 'images' / 'family.png', dpi=150)
