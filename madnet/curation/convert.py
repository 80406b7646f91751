"""``tools/dataset.py convert``: masks become boxes, boxes and points become masks, and the rule is kept."""

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument(
        'source',
        metavar='PATH|NAME',
        help='a set with masks, COCO (folder or JSON), YOLO or VOC: told by its files',
    )
    parser.add_argument('--to', required=True, choices=['madnet', 'coco', 'yolo', 'voc'], help='the form')
    parser.add_argument('--out', required=True, metavar='DIR', help='the new folder')
    parser.add_argument('--split-set', metavar='LISTS', help='whose parts, for a set with masks')
    parser.add_argument(
        '--classes', metavar='A,B', help='take these classes only (names; numbers in YOLO; default: all)'
    )
    parser.add_argument(
        '--level',
        type=float,
        metavar='SHARE',
        help='share of its contrast down to which a target grows in its box; 0.5 is the width at half of the '
        'peak (default: 0.25, as people draw masks)',
    )


def run(
    source: str, to: str, out: str, classes: str | None = None, level: float | None = None, **options
) -> None:
    """Convert and print what was done."""
    from madnet.curation.converting import convert
    from madnet.curation.labels import LEVEL

    names = [c.strip() for c in classes.split(',')] if classes else None
    print(convert(source, to, out, classes=names, level=LEVEL if level is None else level, **options))
