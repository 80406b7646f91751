"""What is known of each system of the comparison, from ``systems.yaml``."""

from __future__ import annotations

import functools
from pathlib import Path

import yaml

from madnet.classical.detectors import DETECTORS

FILE = Path(__file__).with_name('systems.yaml')


@functools.cache
def load_systems() -> dict:
    """The content of ``systems.yaml``."""
    return yaml.safe_load(FILE.read_text(encoding='utf-8'))


def system_of(network: str) -> str | None:
    """Key of the network that a config's name begins with: ``'madnet'`` for ``'madnet_nano'``; else None."""
    known = load_systems()['networks']
    return max((k for k in known if network == k or network.startswith(f'{k}_')), key=len, default=None)


def label_of(network: str) -> str:
    """How tables call a network or a detector, such as ``'MAD-Net nano'`` for ``'madnet_nano'``."""
    if network in DETECTORS:
        return DETECTORS[network].title
    key = system_of(network)
    if key is None:
        return network
    return ' '.join([load_systems()['networks'][key]['name'], *network[len(key) :].split('_')[1:]])
