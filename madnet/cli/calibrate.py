"""Measure on validation images what a detector's scores mean, and keep it beside its weights."""

import argparse

from madnet.options import add_test_time_options

EXAMPLES = """
examples:
  %(prog)s configs/madnet_nudt.py work_dirs/madnet_nudt/best.pth --dataset nudt
      a network of your own, on the validation part: writes work_dirs/madnet_nudt/best.calibration.json
  %(prog)s pstnn --dataset nuaa --out .
      a classical method: its ranks, so that --fa-budget can be asked for

What is measured: the temperature that makes probabilities true (no decision at 0.5 changes by it), the
expected calibration error before and after, of pixels near targets and of detections, and Pd against Fa as
detections of lower and lower rank are taken in. Then madnet predict takes --calibrated, and --fa-budget 1e-5.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument('model', help='a shipped name, a classical method, or a config file')
    parser.add_argument('checkpoint', nargs='?', help="the weights of a config's network")
    parser.add_argument(
        '--dataset',
        required=True,
        metavar='NAME[,NAME...]',
        help='whose images: nuaa, nudt, irstd1k, sirstaug, or folders',
    )
    parser.add_argument('--split', default='val', help='part of the data sets, never test (default: val)')
    parser.add_argument('--out', metavar='DIR', help='folder for the file (default: where the weights lie)')
    parser.add_argument('--device', help='cpu, cuda:0, ... (default: a GPU where there is one)')
    add_test_time_options(parser)
    parser.add_argument(
        '--trust-checkpoint', action='store_true', help='allow checkpoints that hold pickled Python objects'
    )


def main(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    """Calibrate; returns the exit code."""
    args = parser.parse_args(arguments)

    from madnet.engine.cli import run_tool
    from madnet.inference.calibrating import calibrate

    return run_tool(calibrate, **vars(args))
