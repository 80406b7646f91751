#!/usr/bin/env python
"""Data sets: list the known ones, check, bring into one form, convert, make."""

import argparse
import importlib
import sys

from madnet.starting import end_on_interrupt

EXAMPLES = """
examples:
  python tools/dataset.py list
      what the catalogue knows, and what of it lies under $MADNET_DATA_ROOT
  python tools/dataset.py check datasets/mine --fix datasets/mended
      every defect by severity, and a copy without those that are safe to mend
  python tools/dataset.py prepare nuaa sirst-master.zip --out datasets/NUAA-SIRST
      a folder, archive or address becomes a verified set: python tools/train.py CONFIG --dataset nuaa
  python tools/dataset.py convert boxes_in_coco --to madnet --out datasets/mine
      boxes and points become masks; --to coco, yolo or voc turns masks into boxes
  python tools/dataset.py synth --out datasets/planted --n 200 --backgrounds frames --scr 3 8 --psf 1
      targets on your own frames; --sequence 50 for moving ones
  python tools/dataset.py stats nuaa irstd1k --out compared
      targets, contrast and backgrounds of both side by side, and what differs most
  python tools/dataset.py browse nuaa --config configs/madnet/madnet_nano.py
      a gallery of what the network will train on; without --config, of all images
"""


def parse_args() -> tuple[str, dict]:
    """The subcommand, and its options."""
    from madnet.curation import SUBCOMMANDS

    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest='command', required=True, metavar='{' + ','.join(SUBCOMMANDS) + '}')
    for name, about in SUBCOMMANDS.items():
        module = importlib.import_module(f'madnet.curation.{name}')
        module.add_options(commands.add_parser(name, help=about, description=module.__doc__))
    options = vars(parser.parse_args())
    return options.pop('command'), options


def main() -> int:
    """Run the subcommand; returns the exit code."""
    command, options = parse_args()

    from madnet.engine.cli import run_tool

    found = []
    module = importlib.import_module(f'madnet.curation.{command}')
    return run_tool(lambda: found.append(module.run(**options))) or next(iter(found), None) or 0


if __name__ == '__main__':
    end_on_interrupt()
    sys.exit(main())
