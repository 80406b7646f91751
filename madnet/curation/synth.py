"""``tools/dataset.py synth``: a data set from random numbers, or targets planted on your own frames."""

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument('--out', required=True, metavar='DIR', help='the new folder')
    parser.add_argument('--n', type=int, required=True, metavar='N', help='images (or sequences)')
    parser.add_argument(
        '--backgrounds',
        metavar='DIR',
        help='plant on these frames (8 or 16 bit, without targets of their own) instead of on made scenes',
    )
    parser.add_argument(
        '--sequence',
        type=int,
        metavar='FRAMES',
        help='moving targets: N sequences of so many frames, with tracks.json; sub-folders of the '
        'backgrounds are taken for sequences themselves, single frames stand still',
    )
    parser.add_argument(
        '--size', type=int, default=256, metavar='PIXELS', help='side of made scenes (default: 256)'
    )
    parser.add_argument(
        '--noise',
        type=float,
        default=0.25,
        metavar='SHARE',
        help='sensor noise of made scenes: 1 as raw as in training on synthetic scenes, a quarter as in '
        'public sets (default: 0.25)',
    )
    parser.add_argument(
        '--softness',
        type=float,
        default=1.0,
        metavar='SIGMA',
        help='blur of made scenes beside that of their optics, pixels: public sets were resized and '
        'compressed (default: 1)',
    )
    parser.add_argument(
        '--scr',
        type=float,
        nargs='+',
        default=[5.0, 30.0],
        metavar='SCR',
        help='signal-to-clutter ratio: one, or least and largest (default: 5 30)',
    )
    parser.add_argument(
        '--psf',
        type=float,
        default=0.7,
        metavar='SIGMA',
        help='standard deviation of the point spread, pixels, 0.3 to 4 (default: 0.7)',
    )
    parser.add_argument(
        '--area',
        type=float,
        nargs='+',
        default=[1.0, 40.0],
        metavar='PIXELS',
        help='targets before the point spread: one, or least and largest; below 4 they are points '
        '(default: 1 40)',
    )
    parser.add_argument(
        '--targets',
        type=int,
        nargs='+',
        default=[1, 3],
        metavar='N',
        help='in an image or sequence: one number, or least and largest (default: 1 3)',
    )
    parser.add_argument(
        '--speed',
        type=float,
        nargs='+',
        default=[0.3, 2.0],
        metavar='PIXELS',
        help='a frame: one, or least and largest (default: 0.3 2)',
    )
    parser.add_argument('--seed', type=int, default=0, help='the same one gives the same bytes (default: 0)')
    parser.add_argument('--test-share', type=float, default=0.2, metavar='SHARE', help='default: 0.2')


def run(out: str, n: int, **options) -> None:
    """Make the set and print what is in it."""
    from madnet.curation.planting import Plan, make

    print(make(out, Plan(n=n, **options)))
