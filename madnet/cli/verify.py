"""Check what is claimed of weights: score them as claimed, and under protocol "native"."""

import argparse
from collections.abc import Callable
from functools import partial

from madnet.cli import add_list
from madnet.text import counted

EXAMPLES = """
examples:
  %(prog)s --list
      the weights that are known, and where their files were published
  %(prog)s lesps_acm ACM_full.pth.tar
      a published file, compared with the known SHA-256, converted, and scored
  %(prog)s madnet_nano --dataset nuaa
      weights that ship, against their own card; claims on one data set only

Prints claimed, measured, their difference, the 95 %% interval of what is measured (bootstrap over images),
and the same under protocol "native". claims.json goes to --out; docs/build/claims.py makes docs/claims.md of
such files.
"""


def _known_weights() -> str:
    from madnet.records import get_pretrained, list_registered

    return '\n'.join(
        f'{e.name:16} {counted(len(e.claims), "claim"):10}  {e.about}; {e.origin or "ships with the package"}'
        for e in map(get_pretrained, list_registered())
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('name', help='a name that --list shows')
    parser.add_argument(
        'file',
        nargs='?',
        help='the weights as they were published (default: those that ship, are in the cache or can be '
        'fetched)',
    )
    add_list(parser, _known_weights, 'the known weights')
    parser.add_argument(
        '--dataset', metavar='NAME[,NAME...]', help='check the claims on these only: nuaa, nudt, irstd1k, ...'
    )
    parser.add_argument(
        '--out', metavar='DIR', help='folder for claims.json (default: work_dirs/claims/NAME)'
    )


def work(args: argparse.Namespace) -> Callable:
    from madnet.pretrained.verify import verify_weights

    return partial(verify_weights, **vars(args))
