"""Show how a detector behaves: change frames in one way at a time, plant targets, see what it finds."""

import argparse
from collections.abc import Callable
from functools import partial

from madnet.options import add_detector_options, add_reading

EXAMPLES = """
examples:
  %(prog)s madnet_nano
      a shipped network, on test frames of NUAA-SIRST, or on synthetic scenes where that set is not found
  %(prog)s madnet_nano --quick --beside tophat pstnn
      a first look at six frames, with two classical detectors on the same page
  %(prog)s madnet_nudt work_dirs/madnet_nudt/best.pth --dataset nudt
      a network of your own
  %(prog)s pstnn --only contrast,size,empty --dataset synthetic
      three of the changes below

changes, for --only:
  scr, contrast             targets of rising contrast, in units of the clutter around and in grey levels
  size                      targets from 2 to 180 pixels in area
  shift                     a target moved by fractions of a pixel
  two                       two targets close together
  border                    a target near the border
  frame                     the same target in frames of 64 to 1024 pixels a side
  gain, offset, gamma, scale, blur, noise, turn, bits
                            changes of the whole frame, which keeps its own targets
  hot_pixels, dead_lines    sensor defects, which should raise no alarm
  empty                     frames without any target

OUT/index.html shows a table and curves; OUT/probe.json holds the numbers.
"""
#: The changes, and what is planted, as ``madnet.probing`` has them, which imports PyTorch.
SWEEPS = (
    *('scr', 'contrast', 'size', 'shift', 'two', 'border', 'frame', 'gain', 'offset', 'gamma'),
    *('scale', 'blur', 'noise', 'turn', 'bits', 'hot_pixels', 'dead_lines', 'empty'),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    add_detector_options(parser)
    parser.add_argument('--out', metavar='DIR', help='default: probes/<name of the detector>')
    parser.add_argument(
        '--dataset',
        metavar='NAME|FOLDER',
        help='whose frames: nuaa, nudt, irstd1k, sirstaug or another of madnet dataset list, a folder, or '
        'synthetic (default: nuaa where it is found, else synthetic)',
    )
    parser.add_argument('--split', default='test', help='part of the data set (default: test)')
    parser.add_argument(
        '--frames', type=int, metavar='N', help='use N frames of it, evenly spaced (default: 40)'
    )
    parser.add_argument('--quick', action='store_true', help='six frames, for a first look')
    parser.add_argument('--seed', type=int, default=0, help='random seed (default: 0)')
    parser.add_argument('--only', metavar='NAME[,NAME...]', help='only these of the changes below')
    parser.add_argument(
        '--beside',
        nargs='+',
        default=[],
        metavar='MODEL|probe.json',
        help='other detectors for the same page, or the probe.json of an earlier run on the same frames',
    )
    parser.add_argument(
        '--threshold',
        type=float,
        default=0.5,
        metavar='0-1',
        help='score above which is target (default: 0.5)',
    )
    add_reading(parser)


def work(args: argparse.Namespace) -> Callable:
    from madnet.probing.command import probe_detector

    return partial(probe_detector, **vars(args))
