"""Convert a published checkpoint to madnet's key names, or back."""

import argparse

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


class ListNetworks(argparse.Action):
    """Prints the networks whose checkpoints can be converted, and leaves."""

    def __call__(self, parser: argparse.ArgumentParser, *_) -> None:
        from madnet.models.checkpoints import CONVERTERS

        print('Networks, whose form, width and channels are read from the file:')
        for converter in CONVERTERS.values():
            print(f'  {converter.name:<11} {converter.about}')
        parser.exit()


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument('network', help='whose key names; one of those that --list shows')
    parser.add_argument('published', metavar='PUBLISHED', help='the checkpoint to read')
    parser.add_argument('out', metavar='OUT', help='the checkpoint to write; never overwrites a file')
    parser.add_argument('--list', action=ListNetworks, nargs=0, help='show the networks and stop')
    parser.add_argument('--reverse', action='store_true', help='from our names to the published ones')
    parser.add_argument(
        '--like',
        metavar='FILE',
        help='with --reverse: a published checkpoint of the network whose names to take over (mim)',
    )
    parser.add_argument(
        '--trust-checkpoint', action='store_true', help='allow a file that holds pickled Python objects'
    )


def main(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    """Convert; returns the exit code."""
    args = parser.parse_args(arguments)

    from madnet.engine.cli import run_tool
    from madnet.engine.convert import convert_checkpoint

    return run_tool(
        convert_checkpoint,
        args.network,
        args.published,
        args.out,
        reverse=args.reverse,
        like=args.like,
        trust_checkpoint=args.trust_checkpoint,
    )
