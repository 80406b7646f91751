"""Train a network from a config file."""

import argparse
import os
from collections.abc import Callable
from functools import partial

from madnet.cli import add_list
from madnet.options import add_common_options, add_reading
from madnet.starting import BEGAN

EXAMPLES = """
examples:
  %(prog)s madnet_nudt
      the published recipe on NUDT-SIRST, found under $MADNET_DATA_ROOT (default: datasets/)
  %(prog)s madnet_nano --dataset path/to/mine
      a small network on images of your own: path/to/mine/{trainval,test}/{images,masks}/X.png, or another
      layout of the field; a part of trainval is kept to choose the best epoch
  %(prog)s acm --dataset irstd1k --print-config > my_acm.py
      the whole config, to read or to edit; madnet train my_acm.py trains by it
  %(prog)s madnet_small --dataset nudt --minutes 30
      as much training as half an hour allows, decay of the rate and last validation included
  %(prog)s madnet_nudt --resume
      continue after an interruption; on a CPU the result is bit-identical to an uninterrupted run
  %(prog)s madnet_nuaa --cfg-options selection=test train_cfg.max_epochs=300
      choose the best epoch on the test images, as published, and train for 300 epochs
  torchrun --nproc-per-node 4 -m madnet train madnet_nudt --launcher pytorch
      on four GPUs

best.pth, last.pth, logs and TensorBoard curves go to work_dirs/<name of the config>_<data set>, or
work_dirs/<name of the config> where that ends in the data set, as madnet_nudt does.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='a config file, or the name of one (--list has all)')
    parser.add_argument(
        '--work-dir',
        help='where checkpoints and logs go (default: work_dirs/<name of the config>_<data set>)',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const=True,
        default=False,
        metavar='CKPT',
        help='continue from the newest complete checkpoint in the work folder, or from CKPT',
    )
    parser.add_argument(
        '--load-from',
        metavar='CKPT',
        help='start from these weights, a file or a shipped name such as madnet_nano, at the first epoch',
    )
    parser.add_argument(
        '--amp',
        nargs='?',
        const='auto',
        choices=['auto', 'fp16', 'bf16'],
        help='mixed precision: bf16 (the default) or fp16 (the default of GPUs without bf16)',
    )
    parser.add_argument('--seed', type=int, help="random seed (default: the config's, 42)")
    parser.add_argument(
        '--skip-nonfinite',
        type=int,
        default=0,
        metavar='N',
        help='skip up to N steps whose loss or gradient is NaN or infinite (default: stop at the first)',
    )
    parser.add_argument(
        '--minutes',
        type=float,
        metavar='M',
        help='train for M minutes, start, validation and saving included, instead of for epochs: the '
        'schedule is fitted to the time; with --resume, time already spent counts',
    )
    parser.add_argument(
        '--print-config',
        action='store_true',
        help='print the whole config, as any mmengine Runner takes it, and stop',
    )
    add_reading(parser)
    add_common_options(parser)
    add_list(parser, _configs, 'the configs that go by name')


def _configs() -> str:
    from madnet.experiments.networks import configs_text

    return configs_text()


def work(args: argparse.Namespace) -> Callable:
    options = vars(args)
    os.environ.setdefault('LOCAL_RANK', str(options.pop('local_rank')))

    from madnet.engine.train import train, training_config

    if options.pop('print_config'):
        del options['trust_checkpoint']
        return lambda: training_config(**options).pretty_text.rstrip('\n')
    return partial(train, began=BEGAN, **options)
