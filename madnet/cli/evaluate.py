"""Score the maps that any program has written, under named protocols, or compare two programs."""

import argparse
from collections.abc import Callable
from pathlib import Path

from madnet.cli import add_list
from madnet.options import add_least_options, add_mask_values, add_scoring_options

USAGE = """%(prog)s PRED_DIR MASK_DIR [options]
       %(prog)s PRED_DIR --dataset NAME [--split PART] [options]
       %(prog)s --compare DIR_A DIR_B MASK_DIR [options]
       %(prog)s --list-protocols"""
EXAMPLES = """
examples:
  %(prog)s results/tophat data/NUAA-SIRST/masks --ids img_idx/test.txt
      score maps (PNG, TIFF, .npy, .npz with one array, ...; 0-1, or whole numbers of their type's range)
      against masks of the same names; _pixels0, _mask, _pred and the like are dropped from names
  %(prog)s results/net masks --logits --protocol all --size 512 --out work_dirs/net
      raw logits, under every protocol; those with a base size at 512 x 512; metrics.json, per_image.csv
  %(prog)s work_dirs/net/scores --dataset nudt --threshold 0.3
      the test images of NUDT-SIRST, with its masks under $MADNET_DATA_ROOT, at another threshold
  %(prog)s work_dirs/net/scores --dataset nuaa,nudt
      a row for each set and one over all; maps in a sub-folder each, as madnet test --save-scores writes them
  %(prog)s published_at_512 masks --protocol acm --size 512
      maps that another program wrote at the network's size: score and mask are compared at 512 x 512
  %(prog)s results/net masks --images images --min-scr 2
      without components that hardly stand out of their surroundings
  %(prog)s --list-protocols
      what every protocol counts, rule by rule
  %(prog)s --compare results/a results/b masks
      is B better than A? paired bootstrap over images, and the images where they differ most
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = USAGE
    parser.add_argument('folders', nargs='*', metavar='PRED_DIR MASK_DIR', help='score maps, and masks')
    parser.add_argument('--compare', nargs=2, metavar=('DIR_A', 'DIR_B'), help='two folders of score maps')
    add_scoring_options(parser, 'native')
    parser.set_defaults(protocols='native')
    add_list(parser, _protocols, 'the protocols', '--list-protocols')
    parser.add_argument('--logits', dest='from_logits', action='store_true', help='the maps hold raw logits')
    parser.add_argument(
        '--size',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help='side, or height and width, of protocols with a base size (default: the one of all maps)',
    )
    parser.add_argument(
        '--dataset',
        metavar='NAME|FOLDER',
        help='score the images of a split of this data set, such as nudt, with its own masks where MASK_DIR '
        'is not given; several with commas are scored one by one and together, their maps in PRED_DIR/NAME',
    )
    parser.add_argument('--split', default='test', metavar='PART', help='of --dataset (default: test)')
    parser.add_argument(
        '--images',
        dest='image_dir',
        metavar='DIR',
        help='the images, one for each map: adds numbers by local contrast, and is what --min-scr and '
        '--min-rank look at',
    )
    parser.add_argument('--ids', metavar='FILE', help='score only the images of this list, one a line')
    parser.add_argument(
        '--allow-missing',
        action='store_true',
        help='score the images that are complete, and leave out the rest: maps without a mask or, with '
        '--images, without an image, and masks without a map',
    )
    parser.add_argument(
        '--labels', action='store_true', help='the maps hold labels: 0 is background, anything else target'
    )
    add_mask_values(parser)
    add_least_options(parser)
    parser.set_defaults(min_area=1, min_scr=0.0, min_rank=0.0)
    parser.add_argument('--boxes', action='store_true', help='add AP50, AP50-95 and AP by centre distance')
    parser.add_argument('--out', metavar='DIR', help='write metrics.json and per_image.csv (or compare.json)')


def _protocols() -> str:
    from madnet.evaluation.protocols import protocols_text

    return protocols_text()


def parse(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    args = parser.parse_args(arguments)
    expected = 1 if args.compare else 2
    if args.dataset and len(args.folders) == expected - 1:
        args.folders.append(None)
    choices = ('threshold', 'fa_budget', 'min_area', 'min_scr', 'min_rank', 'boxes', 'image_dir')
    given = [name for name in choices if getattr(args, name) != parser.get_default(name)]
    if args.compare and given:
        option = given[0].replace('image_dir', 'images').replace('_', '-')
        parser.error(f'--{option} is not for --compare, which counts all at the thresholds of the protocol')
    if args.from_logits and args.labels:
        parser.error('--logits and --labels: maps hold one or the other')
    if len(args.folders) != expected:
        what = (
            'MASK_DIR after --compare DIR_A DIR_B' if args.compare else 'PRED_DIR and MASK_DIR (or --dataset)'
        )
        parser.error(f'expected {what}, found {len(args.folders)} folders')
    if args.size and (len(args.size) > 2 or min(args.size) < 1):
        parser.error('--size takes one or two numbers of pixels, 1 or more')
    args.size = (args.size[0], args.size[-1]) if args.size else None
    return args


def work(args: argparse.Namespace) -> Callable:
    from madnet.datasets.splits import read_ids
    from madnet.engine.evaluate import compare, evaluate_folder
    from madnet.evaluation.targets import Least

    options = vars(args)
    limits = {name: options.pop(name) for name in ('min_area', 'min_scr', 'min_rank')}
    folders, pair, ids = (options.pop(key) for key in ('folders', 'compare', 'ids'))

    def run() -> None:
        options['ids'] = list(read_ids(Path(ids))) if ids else None
        if pair:
            del options['threshold'], options['fa_budget']
            options['protocol'] = options.pop('protocols')
            compare(pair[0], pair[1], folders[0], **options)
        else:
            options['least'] = Least(**limits)
            evaluate_folder(*folders, **options)

    return run
