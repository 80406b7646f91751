"""Train a network from a config file."""

import argparse
import os

from madnet.options import add_common_options
from madnet.starting import BEGAN

EXAMPLES = """
examples:
  %(prog)s madnet_nudt
      the published recipe on NUDT-SIRST, found under $MADNET_DATA_ROOT (default: datasets/)
  %(prog)s madnet_nano --dataset path/to/mine
      a small network on images of your own: path/to/mine/{trainval,test}/{images,masks}/X.png, or another
      layout of the field; a part of trainval is kept to choose the best epoch
  %(prog)s acm --dataset irstd1k --print-config > my_acm.py
      the whole config, to look at or to change; train by it as my_acm.py
  %(prog)s madnet_small --dataset nudt --minutes 30
      as much training as fits into half an hour on this machine, its decay and last validation included
  %(prog)s madnet_nudt --resume
      go on after an interruption; on a CPU the result is bit-identical to a run without one
  %(prog)s madnet_nuaa --cfg-options selection=test train_cfg.max_epochs=300
      choose the best epoch on the test images, as published, and train for 300 epochs
  torchrun --nproc-per-node 4 -m madnet train madnet_nudt --launcher pytorch
      on four GPUs

best.pth, last.pth, logs and TensorBoard curves go to work_dirs/<name of the config>_<data set>.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument('config', help='a config file, or the name of one, such as madnet_nudt')
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
        help='go on from the newest whole checkpoint in the work folder, or from CKPT',
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
        help='leave out up to N steps whose loss or gradient is NaN or infinite (default: stop at the first)',
    )
    parser.add_argument(
        '--minutes',
        type=float,
        metavar='M',
        help='train for M minutes, start, validation and saving included, instead of for epochs: the '
        'schedule is laid over the time; with --resume, what is spent counts',
    )
    parser.add_argument(
        '--print-config',
        action='store_true',
        help='print the whole config, as any mmengine Runner takes it, and do not train',
    )
    add_common_options(parser)


def main(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    """Train; returns the exit code."""
    args = vars(parser.parse_args(arguments))
    os.environ.setdefault('LOCAL_RANK', str(args.pop('local_rank')))

    from madnet.engine.cli import run_tool
    from madnet.engine.train import train, training_config

    trust = args.pop('trust_checkpoint')
    if args.pop('print_config'):
        return run_tool(lambda: print(training_config(**args).pretty_text, end=''))
    return run_tool(train, **args, trust_checkpoint=trust, began=BEGAN)
