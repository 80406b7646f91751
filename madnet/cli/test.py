"""Test a checkpoint, or a classical detector: IoU, nIoU, F1, Pd and Fa under named protocols."""

import argparse
import os

from madnet.options import add_common_options, add_fa_budget, add_test_time_options

EXAMPLES = """
examples:
  %(prog)s madnet_nudt work_dirs/madnet_nudt/best.pth
      the test images of NUDT-SIRST, protocol "native" (each image at its own size)
  %(prog)s madnet_nudt work_dirs/madnet_nudt/best.pth --protocol all --show-dir
  overlays
      under every protocol, with a picture of each image: hits, misses, false alarms
  %(prog)s madnet_nudt work_dirs/madnet_nudt/best.pth --views 8 --out eight_views
      each image in its four quarter turns and their mirror images, logits averaged
  %(prog)s madnet_nano joint.pth --dataset nuaa,nudt --threshold best:val
      two sets, one row each and one over all; the threshold with the best IoU on their validation parts
  %(prog)s madnet_nano --dataset nudt
      a network that comes with its weights
  %(prog)s classical --method pstnn --workers 4
      a classical detector: no checkpoint, four processes over the images

metrics.json and per_image.csv go to the checkpoint's folder or to --out.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument(
        'config',
        help='the config that the checkpoint was trained with; or a shipped name, such as madnet_nano, which '
        'brings config and weights: give --dataset',
    )
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='a .pth file, such as work_dirs/madnet_nudt/best.pth; none for a classical detector',
    )
    parser.add_argument(
        '--protocol',
        dest='protocols',
        metavar='NAME[,NAME...]|all',
        help='how to score: native, acm, abc, dnanet, basicirstd, several with commas, or all (default: what '
        "the config's test_evaluator says, native)",
    )
    add_fa_budget(parser)
    parser.add_argument(
        '--threshold',
        metavar='0-1|best:val',
        help="probability above which is target, in place of the protocols' own, usually 0.5; best:val for "
        'the one with the best IoU on the validation part',
    )
    parser.add_argument(
        '--method',
        metavar='NAME',
        help='the training-free detector that config classical stands for, such as pstnn; '
        'madnet predict --list names all',
    )
    parser.add_argument(
        '--out',
        metavar='DIR',
        help="folder for metrics.json and per_image.csv (default: the checkpoint's, without one "
        'work_dirs/<name of the config>_<data set>)',
    )
    parser.add_argument(
        '--show-dir', metavar='DIR', help='draw each image with its hits, misses and false alarms'
    )
    parser.add_argument(
        '--save-scores', action='store_true', help='keep the score maps (16-bit PNG) beside metrics.json'
    )
    parser.add_argument(
        '--save-negatives',
        action='store_true',
        help='keep the places of false detections (negatives.json) for trainings: '
        'RandomTargetCrop(negatives=FILE, negative_prob=0.25); with --split trainval',
    )
    parser.add_argument(
        '--split', help="part of the data set: test, val, trainval, ... (default: the config's, test)"
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='in half precision, and once more in full, to show the difference in the metrics',
    )
    add_test_time_options(parser)
    parser.add_argument(
        '--workers', type=int, default=1, help='processes, for a classical detector (default: 1)'
    )
    add_common_options(parser)


def main(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    """Test; returns the exit code."""
    args = vars(parser.parse_args(arguments))
    os.environ.setdefault('LOCAL_RANK', str(args.pop('local_rank')))
    # NumPy's linear algebra, which classical detectors use: split over threads it rounds otherwise
    os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')

    from madnet.engine.cli import run_tool
    from madnet.engine.test import run_test

    if method := args.pop('method'):
        args['options'] = [*(args['options'] or []), f'model.method={method}']
    return run_tool(run_test, **args)
