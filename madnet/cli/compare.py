"""Train and test many networks, on many data sets, with many seeds, all alike; make the tables."""

import argparse
import os
from collections.abc import Callable
from functools import partial

from madnet.options import add_reading

EXAMPLES = """
examples:
  %(prog)s --networks acm madnet_nano pstnn --datasets nuaa nudt --seeds 1 2 3
      trains acm and madnet_nano on two sets with three seeds each, tests all three
  %(prog)s experiments/small_comparison/plan.yaml --dry-run
      what a file asks for, run by run, and what is done already
  %(prog)s experiments/small_comparison/plan.yaml --table --json table.json
      the tables of what is done so far
  %(prog)s experiments/long/plan.yaml --jobs 2 --background
      two runs at a time, for days, beside other work; the same command continues after a reboot
  torchrun --nproc-per-node 4 -m madnet compare experiments/small_comparison/plan.yaml
      four processes, each on its own GPU; or srun, or --shard 1/4 ... 4/4 on four machines

The same command continues where it stopped: trainings from their last epoch; finished tests are kept.
Tables (Markdown, CSV, LaTeX) and the plot of accuracy against cost lie in the work folder at the end;
madnet report makes a page of it.

A file (experiments/*/plan.yaml are some):
  networks:
    - acm                                            # by the common recipe; acm_toolbox: by BasicIRSTD's
    - {name: wide, label: Width 8, config: madnet_tiny, options: {train_cfg.max_epochs: 60}}
    - {name: joint, config: madnet_nano, train_on: [nuaa, nudt]}    # tested on `datasets`
    - {name: given, config: madnet_nano, checkpoint: nano.pth}      # only tested
  datasets: [nuaa, path/to/mine]                     # names, or folders
  seeds: [42, 43, 44]
  protocols: [native, abc]
  options: {train_cfg.max_epochs: 30}                # for every config that trains
  value_range: auto                                  # or [20000, 22550]; of 16-bit frames, for every run
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command line; all options except the first few are keys of the YAML file, and win over it."""
    parser.add_argument('plan', nargs='?', metavar='YAML', help='networks, datasets, seeds, options, ...')
    parser.add_argument('--dry-run', action='store_true', help='only list the runs and their state')
    parser.add_argument(
        '--table', action='store_true', help='run nothing: only make the tables of what is done'
    )
    parser.add_argument(
        '--shard', metavar='r/n', help="do the r-th of n shares (default: torchrun's or srun's rank)"
    )
    parser.add_argument(
        '--in-process',
        action='store_true',
        help='all runs in this process: faster to start, a crash ends all',
    )
    parser.add_argument('--jobs', type=int, default=1, metavar='N', help='runs at a time (default: 1)')
    parser.add_argument(
        '--background',
        action='store_true',
        help='return at once; the runs take only processor time that is left over, one thread each',
    )
    parser.add_argument(
        '--no-cost', dest='cost', action='store_false', help='measure no parameters, MACs and latency'
    )
    parser.add_argument('--json', metavar='FILE', help='write the numbers to this file too')
    parser.add_argument(
        '--networks',
        nargs='+',
        metavar='NAME',
        help='such as acm, madnet_nano, pstnn; all: every network of the recipe; classical: every detector',
    )
    parser.add_argument(
        '--datasets',
        nargs='+',
        metavar='NAME',
        help="known ones or folders, or own: the config's (default: nuaa)",
    )
    parser.add_argument('--seeds', nargs='+', type=int, metavar='N', help='one training each (default: 42)')
    parser.add_argument(
        '--recipe', help="common (default), published: each network's own, or toolbox: BasicIRSTD's"
    )
    parser.add_argument('--protocols', nargs='+', metavar='NAME', help='how to score (default: native)')
    parser.add_argument('--options', nargs='+', metavar='KEY=VALUE', help='override every config that trains')
    add_reading(parser)
    parser.add_argument(
        '--views',
        nargs='+',
        type=int,
        metavar='N',
        help="mirrored and turned views to test with, such as 1 8: a line each (default: the configs')",
    )
    parser.add_argument('--amp', choices=['auto', 'fp16', 'bf16'], help='mixed precision of the training')
    parser.add_argument(
        '--save-scores',
        action='store_true',
        default=None,  # leaves the file's
        help="keep each run's score maps beside its metrics, for figures",
    )
    parser.add_argument('--size', type=int, metavar='S', help='side at which MACs are counted (default: 256)')
    parser.add_argument(
        '--work-dir',
        metavar='DIR',
        help='default: work_dirs/<name of the YAML file or its folder>',
    )
    parser.add_argument(
        '--configs',
        metavar='DIR',
        help="your own configs, searched before configs/ and madnet's own",
    )
    parser.add_argument(
        '--minutes', type=float, metavar='M', help='train each network for M minutes instead of for epochs'
    )


def work(args: argparse.Namespace) -> Callable:
    # NumPy's linear algebra on one core, so that CPU seconds are a core's and results the same on any machine
    os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')

    from madnet.experiments import compare

    return partial(compare, **vars(args))
