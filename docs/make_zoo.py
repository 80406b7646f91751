#!/usr/bin/env python
"""Write docs/zoo.md anew, after a change of systems.yaml or of the results: ``python docs/make_zoo.py``."""

import argparse
from pathlib import Path

from madnet.benchmarks.zoo.page import make_page, write_costs

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--costs', action='store_true', help='measure parameters and MACs of all networks first (a minute)'
    )
    if parser.parse_args().costs:
        print(f'written {write_costs(ROOT)}')
    page = ROOT / 'docs' / 'zoo.md'
    page.write_text(make_page(ROOT), encoding='utf-8')
    print(f'written {page}')


if __name__ == '__main__':
    main()
