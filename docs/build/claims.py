#!/usr/bin/env python
"""Write docs/claims.md from what madnet verify measured, experiments/claims/*.json."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from madnet.files import write_whole
from madnet.records import ClaimsFile, claim_rows, get_pretrained, list_registered, markdown_table
from madnet.records.claims_file import HEADS

FOLDER = 'experiments/claims'

_INTRODUCTION = """\
# Claims, checked

<!-- Made by `python docs/build/claims.py` from experiments/claims; edit neither. -->

Weights as their authors published them, converted ([add a network](add_a_network.md)) and scored here on
the images that the claim is about: under the protocol that it was made with, as far as that is known, and
under `native` ([metrics](metrics.md)). Percent, Fa in units of 1e-6. *Difference* is measured less
claimed: the weights and the images are the same, so it is what is left between two implementations of one
protocol. The 95 % interval (bootstrap over images) says something else: how far the number would move with
other images of the same kind. It holds for what is measured.

    madnet verify --list
    madnet verify lesps_acm ACM_full.pth.tar
"""


def make_page(root: Path) -> str:
    """The text of docs/claims.md from the files of a checkout."""
    files = sorted((root / FOLDER).glob('*.json'))
    found = {file.name: file for file in map(ClaimsFile.read, files)}
    order = [name for name in reversed(list_registered()) if name in found]
    return '\n'.join([_INTRODUCTION, *(part for name in order for part in _section(found[name]))])


def _section(found: ClaimsFile) -> Iterator[str]:
    entry = get_pretrained(found.name)
    yield f'## {found.about}\n'
    origin = f'Published as {found.origin}' if found.origin else 'It ships with this package'
    card = f' ([card](../madnet/pretrained/{entry.card.name}))' if entry.card else ''
    trained = f' Trained on {found.trained_on}.' if found.trained_on else ''
    yield f'`{found.name}`. {origin}{card}; SHA-256 `{found.sha256}`; licence: {entry.licence}.{trained}\n'
    notes = dict.fromkeys(
        ': '.join(filter(None, (claim.source, claim.note)))
        for claim in found.claims
        if claim.source or claim.note
    )
    for claim in entry.claims:
        if isinstance(claim.protocol, dict):
            others = {k: v for k, v in claim.protocol.items() if k not in ('base', 'name')}
            parts = ', '.join(f'`{key}={value}`' for key, value in others.items())
            yield f'Protocol `{claim.protocol["name"]}`: `{claim.protocol["base"]}` with {parts}.\n'
    if notes:
        yield f'Claimed in {"; ".join(notes)}.\n'
    rows = [
        [head if i == 0 else '', *row] for head, table in claim_rows(found) for i, row in enumerate(table)
    ]
    yield markdown_table(['images, protocol', *HEADS], rows, right=range(2, len(HEADS) + 1))


def main() -> None:
    """Write the page."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    root = Path(__file__).resolve().parents[2]
    print(f'written {write_whole(root / "docs" / "claims.md", make_page(root))}')


if __name__ == '__main__':
    main()
