"""Write a trained network as one file for use elsewhere: ONNX, or folded for speed."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from madnet.errors import UserError
from madnet.files import expect_new
from madnet.options import add_common_options, add_value_range

EXAMPLES = """
examples:
  %(prog)s madnet_nano
      madnet_nano.onnx, of a shipped network
  %(prog)s madnet_nudt work_dirs/madnet_nudt/best.pth --out nudt.onnx
      a network of your own
  %(prog)s madnet_nano --format folded
      madnet_nano.safetensors: fewer, plain convolutions, for madnet predict and Predictor

formats:
  onnx    standard operators; takes frames (batch, channels, height, width) in float32 on the 0-255 scale, of
          any size; gives scores 0-1 and logits (batch, 1, height, width). Normalising, padding and the
          sigmoid are inside. madnet.runtime runs it without PyTorch; so does any other ONNX runtime.
  folded  every re-parameterised block and BatchNorm folded into plain convolutions
  torch   the network as it was trained
The last two are safetensors files, which hold tensors and their config and can run no code.

The file is compared with the network on frames of three sizes before it is written: the largest difference of
a score and whether the targets have the same pixels are printed; where scores differ by more than 0.0001
(half precision: 0.05) nothing is written.
Exit code 0: written; 2: wrong input, or a network that cannot be exported.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'model', metavar='MODEL|CONFIG', help='a shipped name, a config file, or the folder of a training'
    )
    parser.add_argument(
        'checkpoint', metavar='CHECKPOINT', nargs='?', help='the weights that belong to a config file'
    )
    parser.add_argument('--format', choices=['onnx', 'folded', 'torch'], default='onnx', help='default: onnx')
    parser.add_argument('--out', metavar='FILE', help='default: the name of the network, in this folder')
    parser.add_argument('--half', action='store_true', help='half precision: half the size')
    parser.add_argument(
        '--threshold',
        type=float,
        metavar='0-1',
        help="kept in the file (default: an exported MODEL's, else 0.5)",
    )
    add_value_range(parser, after='; kept in the file')
    parser.add_argument(
        '--licence', help="of the weights, kept in the file (default: the registry's, or an exported MODEL's)"
    )
    parser.add_argument(
        '--frames', nargs='+', default=[], metavar='IMAGE', help='compare on these, not on synthetic scenes'
    )
    parser.add_argument('--force', action='store_true', help='replace a file that is there')
    add_common_options(parser, launcher=False)


def work(args: argparse.Namespace) -> Callable:
    return partial(_export, **vars(args))


def _export(model: str, out: str | None, format: str, force: bool, **how: Any) -> None:
    if how['value_range'] == 'auto':
        raise UserError(
            '--value-range auto: a file keeps two numbers; madnet dataset stats FRAMES measures them.'
        )
    ending = '.onnx' if format == 'onnx' else '.safetensors'
    expect_new(out or Path(model).stem + ending, force=force)  # said before PyTorch is imported

    from madnet.inference.export import export_file

    export_file(model, out=out, format=format, force=force, **how)
