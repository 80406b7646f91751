#!/usr/bin/env python
"""Convert a published checkpoint to madnet's key names, or back."""

import argparse
import sys

NETWORKS = {
    'abc': 'ABC: S, B, L, for images of any side',
    'acm': 'ACM, U-Net and FPN: of its authors (MXNet arrays as tensors), acm-pytorch, BasicIRSTD',
    'alcnet': 'ALCNet: of its authors (MXNet arrays as tensors), BasicIRSTD',
    'dnanet': 'DNANet of any depths, with and without deep supervision',
    'isnet': 'ISNet: of its authors, BasicIRSTD',
    'madnet': 'MAD-Net',
    'mim': 'MiM-ISTD',
    'mshnet': 'MSHNet',
    'rdian': 'RDIAN',
    'repisd': 'RepISD-Net: as trained, converted, or deployed',
    'sctransnet': 'SCTransNet',
    'uiunet': 'UIU-Net',
}
EPILOG = f"""
networks, whose form, width and channels are read from the file:
{chr(10).join(f'  {name:<11} {what}' for name, what in NETWORKS.items())}

examples:
  python tools/convert_checkpoint.py madnet published/best.pth.tar madnet_nudt.pth
      published weights, which configs/madnet_nudt.py then tests
  python tools/convert_checkpoint.py madnet work_dirs/madnet_nudt/best.pth theirs.pth --reverse
      ours, for the published code
  python tools/convert_checkpoint.py dnanet published/mIoU_best.pth.tar dnanet_nudt.pth
      for configs/zoo/dnanet_nudt.py
  python tools/convert_checkpoint.py mim best.pth theirs.pth --reverse --like published/MiM.pth
      with the names that the published file has

A file that does not fit the network is refused, with the keys that differ.
"""


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('network', help='whose key names; one of those below')
    parser.add_argument('published', metavar='PUBLISHED', help='the checkpoint to read')
    parser.add_argument('out', metavar='OUT', help='the checkpoint to write; never overwrites a file')
    parser.add_argument('--reverse', action='store_true', help='from our names to the published ones')
    parser.add_argument(
        '--like',
        metavar='FILE',
        help='with --reverse: a published checkpoint of the network whose names to take over (mim)',
    )
    parser.add_argument(
        '--trust-checkpoint', action='store_true', help='allow a file that holds pickled Python objects'
    )
    return parser.parse_args()


def main() -> int:
    """Convert; returns the exit code."""
    args = parse_args()

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


if __name__ == '__main__':
    sys.exit(main())
