"""``tools/dataset.py list``: the catalogue, and what of it is found."""

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument('name', nargs='?', help='one of them only')
    parser.add_argument('--json', action='store_true', help='print JSON instead of text')


def run(name: str | None = None, json: bool = False) -> None:
    """Print the catalogue."""
    from madnet.curation.catalogue_view import catalogue_rows, catalogue_text
    from madnet.datasets.locate import data_home
    from madnet.files import json_text

    rows = catalogue_rows(name)
    if json:
        print(json_text({'data_root': str(data_home()), 'datasets': rows}), end='')
    else:
        print(catalogue_text(rows))
