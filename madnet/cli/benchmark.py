"""Measure how fast parts of the toolkit are on this machine."""

import argparse
import importlib
import os
from collections.abc import Callable

from madnet.options import DATASET_HELP

EXAMPLES = """
examples:
  %(prog)s evaluation --json work_dirs/evaluation.json
      all metrics of protocol "native", beside a loop over thresholds and beside pyirstdmetrics if installed
  %(prog)s models madnet_nano mim_published --sizes 256
      parameters, multiply-adds, time and memory of a forward pass and a training step
  %(prog)s scan --sizes 256
      every backend of the selective scan beside the plain loop
  %(prog)s train --dataset nuaa --repeats 10
      images per second of our training step and of a plain form of the published one, in turn
  %(prog)s gpu --minutes 10 --out work_dirs/h100
      everything that a GPU is to do fast, with a report; a part that fails does not end the others
  %(prog)s predict madnet_nano --sizes 256 512
      frames per second from file to file, beside the bare network: PyTorch, folded, compiled, ONNX Runtime
  %(prog)s classical --dataset nuaa --methods tophat pstnn
      seconds per image of classical detectors
"""


def _whole(least: int) -> Callable[[str], int]:
    """The type of an option that takes a whole number from ``least`` on."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f'found {text!r}, expected a whole number from {least} on')
        return int(text)

    return number


def _seconds(text: str) -> float:
    try:
        if 0 <= float(text) < float('inf'):
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f'found {text!r}, expected seconds from 0 on')


def _add_data(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        '--dataset',
        dest='data',
        default=default,
        metavar='NAME|FOLDER',
        help='data set or its folder (default: %(default)s)',
    )


def _add_sizes(parser: argparse.ArgumentParser, *default: int) -> None:
    about = f'sides of images in pixels (default: {" ".join(map(str, default))})'
    parser.add_argument('--sizes', type=_whole(1), nargs='+', default=[*default], metavar='S', help=about)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--device', default='cpu', choices=['cpu', 'cuda'], help='default: cpu')


def add_evaluation(parser: argparse.ArgumentParser) -> None:
    _add_data(parser, 'IRSTD-1K')
    parser.add_argument('--images', type=_whole(1), default=500, help='pairs (default: %(default)s)')
    parser.add_argument('--size', type=_whole(1), default=512, help='side in pixels (default: %(default)s)')
    parser.add_argument(
        '--slow-images', type=_whole(1), default=20, help='pairs for slow code (default: %(default)s)'
    )


def add_models(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='config files')
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE', help='override each of them'
    )
    _add_sizes(parser, 256, 512)
    parser.add_argument(
        '--batch',
        type=_whole(0),
        default=2,
        metavar='N',
        help='images of a training step; 0: none (default: 2)',
    )
    _add_device(parser)
    parser.add_argument(
        '--budget',
        type=_seconds,
        default=2.0,
        metavar='S',
        help='seconds to repeat each for, twice at least (default: 2)',
    )


def add_scan(parser: argparse.ArgumentParser) -> None:
    _add_sizes(parser, 256, 512)
    parser.add_argument('--backends', nargs='+', metavar='NAME', help='default: plain and all that work')
    parser.add_argument('--forward-only', action='store_true', help='leave the backward pass out')
    _add_device(parser)


def add_classical(parser: argparse.ArgumentParser) -> None:
    _add_data(parser, 'NUAA-SIRST')
    parser.add_argument('--split', default='test', help='part of it (default: test)')
    parser.add_argument('--methods', nargs='+', metavar='NAME', help='such as tophat pstnn (default: all)')
    parser.add_argument(
        '--images', type=_whole(1), default=20, help='how many, spread over the part (default: 20)'
    )


def add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--config',
        default='madnet_nano',
        metavar='FILE',
        help='recipe and network; the plain form trains the same network (default: %(default)s)',
    )
    parser.add_argument('--dataset', metavar='NAME|FOLDER', help=DATASET_HELP)
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='override it, such as train_dataloader.batch_size=16, replace_steps.RandomTargetCrop.size=128, '
        'compile.disable=False compile.mode=reduce-overhead; train_dataloader.num_workers is 0 unless given: '
        'images are loaded in the step',
    )
    parser.add_argument('--amp', choices=['auto', 'fp16', 'bf16'], help='mixed precision of our step')
    parser.add_argument('--steps', type=_whole(1), default=3, help='steps timed in a row (default: 3)')
    parser.add_argument('--repeats', type=_whole(1), default=5, help='rounds, both in turn (default: 5)')


def add_gpu(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--minutes', type=float, default=10.0, metavar='M', help='for all of it (default: %(default)s)'
    )
    parser.add_argument(
        '--out', default='work_dirs/gpu', metavar='DIR', help='for report.md, report.json, steps.png, parts/'
    )


def add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'model', nargs='?', default='madnet_nano', help='a shipped network (default: %(default)s)'
    )
    _add_sizes(parser, 256, 512, 1024, 2048)
    parser.add_argument(
        '--pixels',
        type=_whole(1),
        default=2**21,
        metavar='N',
        help='pixels of a round, as frames (default: 2**21)',
    )
    parser.add_argument(
        '--rounds', type=_whole(1), default=3, metavar='N', help='all forms in turn (default: 3)'
    )
    parser.add_argument('--batch', type=_whole(1), default=1, help='images at once (default: 1)')
    parser.add_argument(
        '--format', default='png,csv,json', help='as in madnet predict (default: png,csv,json)'
    )
    parser.add_argument(
        '--forms', nargs='+', metavar='NAME', help='some of: trained folded compiled onnx (default: all)'
    )


#: Subcommand → (what it measures, its options); it calls ``benchmark`` of ``madnet.benchmarks.<subcommand>``.
SUBCOMMANDS = {
    'classical': ('classical detectors: seconds per image', add_classical),
    'evaluation': ('metrics: time per image', add_evaluation),
    'gpu': ('what a GPU is to do fast: scan, training step, tests', add_gpu),
    'models': ('networks: parameters, multiply-adds, time, memory', add_models),
    'predict': ('prediction: frames per second from file to file, beside the bare network', add_predict),
    'scan': ('the selective scan of MiM-ISTD, per backend and shape', add_scan),
    'train': ('the training step, beside a plain form of the published one', add_train),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    subparsers = parser.add_subparsers(
        dest='subcommand', required=True, metavar='{' + ','.join(SUBCOMMANDS) + '}'
    )
    for name, (what, add_options) in SUBCOMMANDS.items():
        sub = subparsers.add_parser(name, help=what, description=what)
        add_options(sub)
        if name != 'gpu':
            sub.add_argument('--threads', type=_whole(1), default=1, help='CPU threads (default: 1)')
        sub.add_argument('--json', metavar='FILE', help='write the figures to this file')


def work(args: argparse.Namespace) -> Callable:
    options = vars(args)
    subcommand, json_file = options.pop('subcommand'), options.pop('json')
    # NumPy's linear algebra on one core, so that CPU seconds are a core's and results the same on any machine
    os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')

    from pathlib import Path

    from madnet.files import expect_writable, write_json

    module = importlib.import_module(f'madnet.benchmarks.{subcommand}')

    def run() -> str | None:
        if json_file:
            expect_writable(json_file)
        report = module.benchmark(**options)
        return f'written {write_json(Path(json_file), report)}' if json_file else None

    return run
