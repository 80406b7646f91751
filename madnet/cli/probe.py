"""Probe a detector: frames changed in one way at a time, targets planted in them, what it still finds."""

import argparse

from madnet.options import add_test_time_options

EXAMPLES = """
examples:
  %(prog)s madnet_nano
      a shipped network on test frames of NUAA-SIRST; without data sets on synthetic scenes
  %(prog)s madnet_nano --quick --beside tophat pstnn
      on six frames, and where classical methods still win
  %(prog)s configs/madnet_nudt.py work_dirs/madnet_nudt/best.pth --dataset nudt
      a network of your own
  %(prog)s pstnn --only contrast,size,empty --dataset synthetic

what is changed (--only takes names with commas):
  scr, contrast   targets of rising contrast, against the clutter around and in grey levels: the 50 %% point
  size            targets of 2 to 180 pixels
  shift           a target between the centres of two pixels
  two             two targets beside one another
  border          a target at the border
  frame           the same target in crops and frames of 64 to 1024 pixels a side
  gain, offset, gamma, scale, blur, noise, turn, bits
                  whole frames with the targets that they have
  hot_pixels, dead_lines, empty
                  what is no target

OUT/index.html is one page with a table and curves, OUT/probe.json the numbers.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument('model', help='a shipped name, the name of a classical method, or a config file')
    parser.add_argument('checkpoint', nargs='?', help="the weights of a config's network")
    parser.add_argument('--out', metavar='DIR', help='default: probes/<name of the detector>')
    parser.add_argument(
        '--dataset',
        metavar='NAME|FOLDER',
        help='whose frames: nuaa, nudt, irstd1k, sirstaug, a folder, or synthetic (default: nuaa where it is '
        'found, else synthetic)',
    )
    parser.add_argument('--split', default='test', help='part of the data set (default: test)')
    parser.add_argument('--frames', type=int, metavar='N', help='how many frames (default: 40)')
    parser.add_argument('--quick', action='store_true', help='six frames: a first look')
    parser.add_argument('--seed', type=int, default=0, help='of all draws (default: 0)')
    parser.add_argument('--only', metavar='NAME[,NAME...]', help='only these changes, see below')
    parser.add_argument(
        '--beside',
        nargs='+',
        default=[],
        metavar='MODEL|probe.json',
        help='other detectors on the same page, or what an earlier probe of the same frames has found',
    )
    parser.add_argument(
        '--threshold',
        type=float,
        default=0.5,
        metavar='0-1',
        help='score above which is target (default: 0.5)',
    )
    parser.add_argument('--device', help='cpu, cuda:0, ... (default: a GPU where there is one)')
    add_test_time_options(parser)
    parser.add_argument(
        '--trust-checkpoint', action='store_true', help='allow checkpoints that hold pickled Python objects'
    )


def main(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    """Probe; returns the exit code."""
    args = parser.parse_args(arguments)

    from madnet.engine.cli import run_tool
    from madnet.probing.command import probe_detector

    return run_tool(probe_detector, **vars(args))
