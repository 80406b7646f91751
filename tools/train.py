#!/usr/bin/env python
"""Train a network from a config file."""

import argparse
import os
import sys

EXAMPLES = """
examples:
  python tools/train.py configs/madnet_nudt.py
      the published recipe on NUDT-SIRST, found under $MADNET_DATA_ROOT (default: datasets/)
  python tools/train.py configs/madnet_nudt.py --resume
      go on after an interruption; on a CPU the result is bit-identical to a run without one
  python tools/train.py configs/madnet_nuaa.py --cfg-options selection=test train_cfg.max_epochs=300
      choose the best epoch on the test images, as published, and train for 300 epochs
  torchrun --nproc-per-node 4 tools/train.py configs/madnet_nudt.py --launcher pytorch
      on four GPUs

best.pth, last.pth, logs and TensorBoard curves go to work_dirs/<name of the config>.
"""


def parse_args() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', help='config file, such as configs/madnet_nudt.py')
    parser.add_argument(
        '--work-dir', help='where checkpoints and logs go (default: work_dirs/<name of the config>)'
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const=True,
        default=False,
        metavar='CKPT',
        help='go on from the newest whole checkpoint in the work folder, or from CKPT',
    )
    parser.add_argument('--load-from', metavar='CKPT', help='start from these weights, at the first epoch')
    parser.add_argument(
        '--amp',
        nargs='?',
        const='auto',
        choices=['auto', 'fp16', 'bf16'],
        help='mixed precision: fp16 (default on a GPU) or bf16 (the one kind on a CPU)',
    )
    parser.add_argument('--seed', type=int, help="random seed (default: the config's, 42)")
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='default: none'
    )
    parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override the config: numbers, strings, lists of them (no lists of dicts)',
    )
    parser.add_argument(
        '--trust-checkpoint', action='store_true', help='allow checkpoints that hold pickled Python objects'
    )
    return parser.parse_args()


def main() -> int:
    """Train; returns the exit code."""
    args = parse_args()
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))

    from madnet.engine.cli import run_tool
    from madnet.engine.train import train

    return run_tool(
        train,
        args.config,
        work_dir=args.work_dir,
        resume=args.resume,
        load_from=args.load_from,
        amp=args.amp,
        seed=args.seed,
        launcher=args.launcher,
        options=args.cfg_options,
        trust_checkpoint=args.trust_checkpoint,
    )


if __name__ == '__main__':
    sys.exit(main())
