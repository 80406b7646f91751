"""Test a checkpoint, or a classical detector: IoU, nIoU, F1, Pd and Fa under named protocols."""

import argparse
import os
from collections.abc import Callable
from functools import partial

from madnet.options import (
    add_common_options,
    add_least_options,
    add_reading,
    add_scoring_options,
    add_test_time_options,
)

EXAMPLES = """
examples:
  %(prog)s madnet_nudt work_dirs/madnet_nudt/best.pth
      the test images of NUDT-SIRST, protocol "native" (each image at its own size)
  %(prog)s madnet_nudt work_dirs/madnet_nudt/best.pth --protocol all --show-dir marks
      under every protocol, with a picture of each image: hits, misses, false alarms
  %(prog)s madnet_nudt work_dirs/madnet_nudt/best.pth --views 8 --out eight_views
      each image in its four quarter turns and their mirror images, logits averaged
  %(prog)s madnet_nano joint.pth --dataset nuaa,nudt --threshold best:val
      two sets, one row each and one over all; the threshold with the best IoU on their validation parts
  %(prog)s madnet_nano --dataset nudt
      a network that comes with its weights
  %(prog)s classical --method pstnn --workers 4
      a classical detector: no checkpoint, four processes over the images

metrics.json and per_image.csv go to the checkpoint's folder or to --out, in the place of those of a former
test there; its score maps (scores/) and pictures (overlays/) go with them.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'config',
        help='the config that the checkpoint was trained with; or what brings config and weights: the folder '
        'of a training, or a shipped name, such as madnet_nano, with --dataset',
    )
    parser.add_argument(
        'checkpoint',
        nargs='?',
        help='a .pth file, such as work_dirs/madnet_nudt/best.pth; leave it out for a classical detector',
    )
    add_scoring_options(parser, "what the config's test_evaluator says, native")
    add_least_options(parser)
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
        '--show-dir',
        metavar='DIR',
        help='draw each image with its hits, misses and false alarms in this folder',
    )
    parser.add_argument(
        '--save-scores', action='store_true', help='keep the score maps (16-bit PNG) beside metrics.json'
    )
    parser.add_argument(
        '--save-negatives',
        action='store_true',
        help='keep the positions of false detections (negatives.json), to train on: '
        'RandomTargetCrop(negatives=FILE, negative_prob=0.25); with --split trainval',
    )
    parser.add_argument(
        '--split', help="part of the data set: test, val, trainval, ... (default: the config's, test)"
    )
    parser.add_argument(
        '--amp',
        action='store_true',
        help='test in half precision, and again in full precision, to show the difference',
    )
    add_test_time_options(parser)
    parser.add_argument(
        '--workers', type=int, default=1, help='processes, for a classical detector (default: 1)'
    )
    add_reading(parser)
    add_common_options(parser)


def work(args: argparse.Namespace) -> Callable:
    options = vars(args)
    os.environ.setdefault('LOCAL_RANK', str(options.pop('local_rank')))
    # NumPy's linear algebra, which classical detectors use: split over threads it rounds otherwise
    os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')

    from madnet.engine.test import run_test

    if method := options.pop('method'):
        options['options'] = [*(options['options'] or []), f'model.method={method}']
    return partial(run_test, **options)
