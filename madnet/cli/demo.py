"""Serve a page to try detectors on: drop a frame or a short clip, then move the threshold."""

import argparse
from collections.abc import Callable, Container
from pathlib import Path

from madnet.errors import UserError
from madnet.options import add_common_options, add_device

EXAMPLES = """
examples:
  %(prog)s
      every shipped network and a few classical methods, on http://127.0.0.1:7860
  %(prog)s madnet_nano nudt.onnx
      these two: names as in madnet predict --list, or exported files
  %(prog)s --config madnet_nudt --checkpoint work_dirs/madnet_nudt/best.pth
      a network of your own

The page is served to this machine only, unless --host says otherwise. It loads nothing from the internet,
and deletes what was dropped on it when it ends. Every visitor has the same limits on size, number and time.
It has no login: put it behind a server that has one before you open it to others.
Exit code 0: ended; 2: wrong input, or gradio is missing (pip install madnet[demo]).
"""
_METHODS = ('tophat', 'pstnn')


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('models', nargs='*', metavar='MODEL', help='shipped names, methods, exported files')
    parser.add_argument('--config', metavar='FILE', help='the config of a network of your own')
    parser.add_argument('--checkpoint', metavar='FILE', help='its weights')
    add_device(parser)
    parser.add_argument(
        '--host', default='127.0.0.1', help='address to listen on (default: this machine alone)'
    )
    parser.add_argument('--port', type=int, help='default: the first free one from 7860 on')
    parser.add_argument(
        '--seconds', type=float, default=60, metavar='S', help='time for one prediction (default: 60)'
    )
    parser.add_argument(
        '--megabytes', type=int, default=32, metavar='N', help='size of one file (default: 32)'
    )
    add_common_options(parser, launcher=False)


def parse(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    args = parser.parse_args(arguments)
    if (args.config is None) != (args.checkpoint is None):
        parser.error('--config and --checkpoint belong together')
    if args.config is None and (args.dataset or args.options or args.trust_checkpoint):
        parser.error('--dataset, --cfg-options and --trust-checkpoint are of a network that --config names')
    return args


def _shown(name: str, others: Container[str]) -> str:
    """What visitors call a model: the name of its file, with that of its folder where there is another."""
    for shown in (Path(name).name, '/'.join(Path(name).parts[-2:])):
        if shown not in others:
            return shown
    raise UserError(f'{name}: there is another {shown}; rename one.')


def work(args: argparse.Namespace) -> Callable:
    from madnet.inference.command import predictor_maker
    from madnet.inference.demo import Limits
    from madnet.inference.demo_page import serve
    from madnet.records import list_pretrained

    def run() -> None:
        models = {}
        if args.config:
            models[Path(args.config).stem] = predictor_maker(
                args.config,
                checkpoint=args.checkpoint,
                options=args.options,
                device=args.device,
                dataset=args.dataset,
                trust_checkpoint=args.trust_checkpoint,
            )
        for name in args.models or ([] if args.config else [*list_pretrained(), *_METHODS]):
            given = {} if name in _METHODS or name.endswith('.onnx') else {'device': args.device}
            models[_shown(name, models)] = predictor_maker(name, **given)
        serve(models, args.host, args.port, Limits(megabytes=args.megabytes, seconds=args.seconds))

    return run
