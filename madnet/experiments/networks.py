"""Which config file a network's name stands for, and how tables call it: the layout of ``configs/``."""

import functools
import itertools
import os
from pathlib import Path

from madnet.classical.detectors import DETECTORS
from madnet.config_files import config_folders, config_names, find_config_file
from madnet.errors import UserError, nearest
from madnet.plain_yaml import read_yaml

#: Recipe → what the names of its config files end with, ``configs/acm/acm_published.py``.
RECIPES = {'common': '', 'published': '_published', 'toolbox': '_toolbox'}
#: Folder and file of the training-free detectors, which belong to every recipe.
CLASSICAL = 'classical'


def known_networks(recipe: str, configs: str | os.PathLike | None = None) -> dict[str, Path]:
    """Network → its config file under a recipe, without the training-free detectors.

    Args:
        recipe: A key of :data:`RECIPES`.
        configs: A folder of configs, in it or one folder below, which go before those of
            :func:`~madnet.config_files.config_folders`.
    """
    ending, others = RECIPES[recipe], tuple(e for e in RECIPES.values() if e)
    folders = config_folders()
    own = [] if configs is None else sorted(Path(configs).glob('*.py'))
    if configs is not None:
        folders.insert(0, Path(configs))
    return {
        path.stem.removesuffix(ending): path
        for path in [*(p for f in reversed(folders) for p in sorted(f.glob('[!_]*/*.py'))), *own]
        if path.parent.name != CLASSICAL
        and (path.stem.endswith(ending) if ending else not path.stem.endswith(others))
    }


def find_config(
    network: str, recipe: str, configs: str | os.PathLike | None = None
) -> tuple[Path, dict, str | None]:
    """The config file of a network or training-free detector, the options that choose it there, and the
    recipe that the file is of; None of a detector's.

    Args:
        network: Such as ``'acm'``, ``'madnet_nano'`` or ``'pstnn'``; ``'acm_toolbox'`` names a recipe itself.
        recipe: A key of :data:`RECIPES`.
        configs: As of :func:`known_networks`.

    Raises:
        UserError: There is none; the nearest names are offered.
    """
    if network in DETECTORS:
        return find_config_file(CLASSICAL), {'model.method': network}, None
    known = known_networks(recipe, configs)
    others = [other for other, ending in RECIPES.items() if ending]
    named = {path.stem: (path, other) for other in others for path in known_networks(other, configs).values()}
    named |= {name: (path, recipe) for name, path in known.items()}
    if network in named:
        found, of = named[network]
        return found, {}, of
    elsewhere = [other for other in RECIPES if network in known_networks(other, configs)]
    if elsewhere:
        raise UserError(
            f'network {network!r}: has a config under recipe {" and ".join(map(repr, elsewhere))} only, '
            f'found recipe {recipe!r}.'
        )
    hint = nearest(network, {*known, *DETECTORS})
    raise UserError(
        f'network {network!r}: no config {network}{RECIPES[recipe]}.py in {configs or "configs"} or a folder '
        f'there, and no detector of this name; a plan takes any file: {{name: {network}, config: FILE}}.'
        f'{hint or " Known: " + (", ".join(known) or "none") + "."}'
    )


def label_of(network: str, config: str | os.PathLike | None = None) -> str:
    """How tables call a network or a detector, such as ``'MAD-Net nano'`` for ``'madnet_nano'``, by the
    ``metafile.yaml`` beside its config file."""
    if network in DETECTORS:
        return DETECTORS[network].title
    folder = Path(config or '').parent
    if network != folder.name and not network.startswith(f'{folder.name}_'):
        return network
    names = [collection['Name'] for collection in read_metafile(folder).get('Collections', [])]
    return ' '.join([*names, *network[len(folder.name) :].split('_')[1:]]) if len(names) == 1 else network


@functools.cache
def read_metafile(folder: Path) -> dict:
    """The content of ``metafile.yaml`` in a network's folder of configs; {} where there is none."""
    path = folder / 'metafile.yaml'
    return read_yaml(path.read_text(encoding='utf-8')) if path.is_file() else {}


def configs_text() -> str:
    """A line for each config: its name, its network's parameters as far as they are known, and the first
    sentence of the comment that it begins with."""
    found = config_names()
    models = [m for f in {p.parent for p in found.values()} for m in read_metafile(f).get('Models', ())]
    parameters = {m['Name']: m.get('Metadata', {}).get('Parameters') for m in models}
    lines = [f'{"config":26} {"parameters":>10}  network and recipe']
    for name, path in found.items():
        text = path.read_text(encoding='utf-8', errors='replace').splitlines()
        comment = itertools.takewhile(lambda line: line.startswith('#'), text)
        about = ' '.join(line.strip('# ') for line in comment).partition('. ')[0].removesuffix('.')
        size = parameters.get(name)
        lines.append(f'{name:26} {f"{size:,}" if size else "–":>10}  {about}'.rstrip())
    return '\n'.join(lines)
