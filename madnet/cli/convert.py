"""Convert a published checkpoint to madnet's key names, or back."""

import argparse
from collections.abc import Callable
from functools import partial

from madnet.cli import add_list
from madnet.options import add_trust

EXAMPLES = """
examples:
  %(prog)s --list
  %(prog)s madnet published/best.pth.tar madnet_nudt.pth
      published weights, for madnet test madnet_nudt
  %(prog)s madnet work_dirs/madnet_nudt/best.pth theirs.pth --reverse
      ours, for the published code
  %(prog)s dnanet published/mIoU_best.pth.tar dnanet_nudt.pth
      for madnet test dnanet_published
  %(prog)s mim best.pth theirs.pth --reverse --like published/MiM.pth
      with the names that the published file has

A file that does not fit the network is refused, with the keys that differ.
"""


def _networks() -> str:
    from madnet.models.checkpoints import CONVERTERS

    lines = [f'  {converter.name:<11} {converter.about}' for converter in CONVERTERS.values()]
    return '\n'.join(['Networks, whose form, width and channels are read from the file:', *lines])


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('network', help='whose key names; a name that --list shows')
    parser.add_argument('source', metavar='PUBLISHED', help='the checkpoint to read')
    parser.add_argument('out', metavar='OUT', help='the checkpoint to write; never overwrites a file')
    add_list(parser, _networks, 'the networks')
    parser.add_argument('--reverse', action='store_true', help='from our names to the published ones')
    parser.add_argument(
        '--like',
        metavar='FILE',
        help='with --reverse: a published checkpoint of the network whose names to take over (mim)',
    )
    add_trust(parser)


def work(args: argparse.Namespace) -> Callable:
    from madnet.engine.convert import convert_checkpoint

    return partial(convert_checkpoint, **vars(args))
