"""Calibrate a detector's scores on validation images; the result is kept beside its weights."""

import argparse
from collections.abc import Callable
from functools import partial

from madnet.options import add_detector_options, add_reading

EXAMPLES = """
examples:
  %(prog)s madnet_nudt work_dirs/madnet_nudt/best.pth --dataset nudt
      a network of your own, on the validation part: writes work_dirs/madnet_nudt/best.calibration.json
  %(prog)s madnet_nano --dataset my_frames
      shipped weights on frames of your own: writes madnet_nano.calibration.json in the working folder,
      where it takes precedence over the calibration they ship with
  %(prog)s pstnn --dataset nuaa --out .
      a classical method: its ranks, so that --fa-budget can be asked for

It measures the temperature and bias that make scores true probabilities (masks stay the same, the threshold
moves along), the expected calibration error before and after, of pixels near targets and of detections, and
Pd against Fa over the rank of detections. Afterwards madnet predict takes --calibrated and --fa-budget 1e-5.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--dataset',
        required=True,
        metavar='NAME[,NAME...]',
        help='whose images: nuaa, nudt, irstd1k, sirstaug or others of madnet dataset list, or folders',
    )
    add_detector_options(parser)
    parser.add_argument(
        '--split',
        default='val',
        help='part of the data sets: train, val, trainval or fit, none with test images (default: val)',
    )
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='folder for the file (default: where the weights lie; for shipped weights the working folder)',
    )
    add_reading(parser)


def work(args: argparse.Namespace) -> Callable:
    from madnet.inference.calibrating import calibrate

    return partial(calibrate, **vars(args))
