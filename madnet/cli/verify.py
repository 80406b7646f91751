"""Check what is claimed of weights: score them as claimed, and under "native" on the same images."""

import argparse

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


class ListWeights(argparse.Action):
    """Prints the weights of which something is claimed, and leaves."""

    def __call__(self, parser: argparse.ArgumentParser, *_) -> None:
        from madnet.records import get_pretrained, list_registered

        for entry in map(get_pretrained, list_registered()):
            where = entry.origin or 'ships with the package'
            print(f'{entry.name:16} {len(entry.claims)} claim(s)  {entry.about}; {where}')
        parser.exit()


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument('name', help='of the weights; one of those that --list shows')
    parser.add_argument(
        'file',
        nargs='?',
        help='the weights as they were published (default: those that ship, are in the cache or can be '
        'fetched)',
    )
    parser.add_argument('--list', action=ListWeights, nargs=0, help='show the known weights and stop')
    parser.add_argument(
        '--dataset', metavar='NAME[,NAME...]', help='check the claims on these only: nuaa, nudt, irstd1k, ...'
    )
    parser.add_argument(
        '--out', metavar='DIR', help='folder for claims.json (default: work_dirs/claims/NAME)'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', metavar='KEY=VALUE', help='override the config of the test'
    )


def main(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    """Verify; returns the exit code."""
    args = parser.parse_args(arguments)

    from madnet.engine.cli import parse_options, run_tool
    from madnet.pretrained.verify import verify_weights

    return run_tool(
        lambda: verify_weights(
            args.name,
            args.file,
            out=args.out,
            datasets=args.dataset.split(',') if args.dataset else (),
            options=parse_options(args.cfg_options),
        )
    )
