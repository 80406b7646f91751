"""Shipped weights: list them, read their cards, add a trained network to them."""

import argparse

EXAMPLES = """
examples:
  %(prog)s list
  %(prog)s card madnet_nano
  %(prog)s add madnet_nano madnet_nano work_dirs/madnet_nano/best.pth \\
      --card madnet_nano.md --half
      weights in half precision, after IoU and nIoU on the validation part showed that it costs nothing
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    commands = parser.add_subparsers(dest='command', required=True, metavar='{list,card,add}')
    commands.add_parser('list', help='names, sizes, and what each is')
    card = commands.add_parser('card', help='print a model card')
    card.add_argument('name', help='a shipped name')
    add = commands.add_parser('add', help='put a trained network into the package')
    add.add_argument('name', help='what it will be loaded by, such as madnet_nano')
    add.add_argument('config', help='the config that it was trained with')
    add.add_argument('checkpoint', help='its weights')
    add.add_argument(
        '--card',
        required=True,
        metavar='FILE',
        help='model card: sections Data, Recipe, Numbers, Cost, Limits',
    )
    add.add_argument('--half', action='store_true', help='store half precision, if it costs no accuracy')
    add.add_argument(
        '--check-split', default='val', metavar='SPLIT', help='what to check that on (default: val)'
    )
    add.add_argument('--folder', metavar='DIR', help="another table's folder (default: the package's own)")
    add.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE', help='override the config')
    add.add_argument(
        '--trust-checkpoint', action='store_true', help='allow checkpoints that hold pickled Python objects'
    )


def main(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    """List, show or add; returns the exit code."""
    args = parser.parse_args(arguments)

    from pathlib import Path

    from madnet.engine.cli import run_tool
    from madnet.inference.command import detectors_text
    from madnet.pretrained import get_pretrained
    from madnet.pretrained.writing import ship_weights

    def run() -> None:
        if args.command == 'list':
            print(detectors_text())
        elif args.command == 'card':
            print(get_pretrained(args.name).read_card())
        else:
            record = ship_weights(
                args.name,
                args.config,
                args.checkpoint,
                args.card,
                half=args.half,
                check_split=args.check_split,
                folder=Path(args.folder) if args.folder else None,
                options=args.cfg_options,
                trust_checkpoint=args.trust_checkpoint,
            )
            print(f'{args.name}: {record["parameters"]:,} weights as {record["dtype"]}, {record["weights"]}')

    return run_tool(run)
