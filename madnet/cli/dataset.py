"""List, check, prepare, convert and make data sets."""

import argparse
import importlib
from collections.abc import Callable
from functools import partial

from madnet.options import add_mask_values, add_reading_options, add_value_range

EXAMPLES = """
examples:
  %(prog)s list
      what the catalogue knows, and what of it lies under $MADNET_DATA_ROOT
  %(prog)s check datasets/mine --fix datasets/mended
      every defect, by severity, and a copy in which those that are safe to mend are mended
  %(prog)s prepare nuaa sirst-master.zip --out datasets/NUAA-SIRST
      a folder, archive or address becomes a verified set: madnet train CONFIG --dataset nuaa
  %(prog)s convert boxes_in_coco --to madnet --out datasets/mine
      boxes and points become masks; --to coco, yolo or voc turns masks into boxes
  %(prog)s synth --out datasets/planted --n 200 --backgrounds frames --scr 3 8 --psf 1
      targets on your own frames; --sequence 50 for moving ones
  %(prog)s stats nuaa irstd1k --out compared
      targets, contrast and backgrounds of both side by side, and what differs most
  %(prog)s browse nuaa --config madnet_nano
      a gallery of what the network will train on; without --config, of all images
"""
LIST_EXAMPLES = """
examples:
  %(prog)s
      every set, and whether it lies under $MADNET_DATA_ROOT
  %(prog)s nudt --json
      one of them, for a program
"""
CHECK_EXAMPLES = """
examples:
  %(prog)s path/to/frames
      a folder of your own, with images/ and masks/ or in another layout
  %(prog)s nuaa --split-set idx_427 --examples 20
      a public set, by one author's lists, with more images named
  %(prog)s path/to/frames --fix datasets/mended
      a copy, in which what is safe to mend is mended
"""
PREPARE_EXAMPLES = """
examples:
  %(prog)s mine path/to/frames --out datasets/mine
      your own images and masks, a fifth set aside for tests; then madnet train CONFIG --dataset datasets/mine
  %(prog)s mine path/to/frames --out datasets/mine --value-range auto
      the same for frames of 16 bits of which the camera uses a part
  %(prog)s nuaa sirst-master.zip --out datasets/NUAA-SIRST
      an archive of a public set; then --dataset nuaa
"""
CONVERT_EXAMPLES = """
examples:
  %(prog)s boxes_in_coco --to madnet --out datasets/mine
      boxes or points become masks
  %(prog)s nuaa --to yolo --out nuaa_in_yolo
      masks become boxes
"""
SYNTH_EXAMPLES = """
examples:
  %(prog)s --n 8 --out scenes
      eight synthetic scenes
  %(prog)s --n 200 --backgrounds frames --scr 3 8 --psf 1 --out planted
      targets on frames of your own
  %(prog)s --n 4 --sequence 50 --out moving
      four sequences of 50 frames, with tracks.json
"""
STATS_EXAMPLES = """
examples:
  %(prog)s nuaa
      its splits side by side: dataset_statistics/index.html and statistics.json
  %(prog)s nuaa irstd1k --out compared
      why a network trained on one fails on the other: what differs most, and all distributions
  %(prog)s my_frames nudt --split all --synthetic 500
      your own folder beside a known set and 500 synthetic scenes, all images of each set together
"""
BROWSE_EXAMPLES = """
examples:
  %(prog)s nuaa
      all its images: dataset_gallery/index.html, to be filtered by split, size and contrast of targets
  %(prog)s my_frames --split all --images 200 --out gallery
      200 images of your own folder, evenly spaced
  %(prog)s irstd1k --config madnet_nano
      what the network trains on: crops, turns, jitter and masks of 32 images in three epochs
"""


def _show(parser: argparse.ArgumentParser, examples: str) -> None:
    parser.epilog, parser.formatter_class = examples, argparse.RawDescriptionHelpFormatter


def add_list(parser: argparse.ArgumentParser) -> None:
    _show(parser, LIST_EXAMPLES)
    parser.add_argument('name', nargs='?', help='one of them only')
    parser.add_argument('--json', action='store_true', help='print JSON instead of text')


def add_check(parser: argparse.ArgumentParser) -> None:
    _show(parser, CHECK_EXAMPLES)
    parser.add_argument('source', metavar='PATH|NAME', help='its folder, or a name of the catalogue')
    parser.add_argument(
        '--fix', metavar='OUT', help='write a copy in which everything that is safe to mend is mended'
    )
    parser.add_argument('--split-set', metavar='LISTS', help='look at these lists only (default: all)')
    parser.add_argument(
        '--examples', type=int, default=4, metavar='N', help='images named in each line (default: 4)'
    )
    parser.add_argument('--json', action='store_true', help='print JSON, with all images named')


def add_prepare(parser: argparse.ArgumentParser) -> None:
    _show(parser, PREPARE_EXAMPLES)
    parser.add_argument('name', metavar='NAME', help='of the catalogue (see list), or your own name for it')
    parser.add_argument('source', metavar='SOURCE', help='a folder, a zip or tar file, or an http(s) address')
    parser.add_argument('--out', required=True, metavar='DIR', help='the new folder, such as datasets/mine')
    parser.add_argument('--sha256', metavar='HASH', help='what the hash of the archive has to be')
    parser.add_argument('--split-set', metavar='LISTS', help='keep these lists only (default: all)')
    parser.add_argument(
        '--test-share',
        type=float,
        default=0.2,
        metavar='SHARE',
        help='where nothing says which images are for tests, this share is taken, by a hash of the id, whole '
        'sequences at a time; 0 for no lists (default: 0.2)',
    )
    parser.add_argument(
        '--limit-gb',
        type=float,
        default=64,
        metavar='GB',
        help='the most that an archive may unpack to (default: 64)',
    )
    add_value_range(
        parser,
        '; auto, alone, measures them on training images. Kept, so that every command reads the set so',
    )


def add_convert(parser: argparse.ArgumentParser) -> None:
    _show(parser, CONVERT_EXAMPLES)
    parser.add_argument(
        'source',
        metavar='PATH|NAME',
        help='a set with masks, COCO (folder or JSON), YOLO or VOC: told by its files',
    )
    parser.add_argument('--to', required=True, choices=['madnet', 'coco', 'yolo', 'voc'], help='the form')
    parser.add_argument('--out', required=True, metavar='DIR', help='the new folder')
    parser.add_argument('--split-set', metavar='LISTS', help='whose parts, for a set with masks')
    add_mask_values(parser)
    parser.add_argument(
        '--classes',
        type=lambda text: [name.strip() for name in text.split(',')],
        metavar='A,B',
        help='take these classes only (names; numbers in YOLO; default: all)',
    )
    parser.add_argument(
        '--level',
        type=float,
        default=argparse.SUPPRESS,
        metavar='SHARE',
        help='share of its contrast down to which a target grows in its box; 0.5 is the width at half of the '
        'peak (default: 0.25, as people draw masks)',
    )


def add_synth(parser: argparse.ArgumentParser) -> None:
    _show(parser, SYNTH_EXAMPLES)
    parser.add_argument('--out', required=True, metavar='DIR', help='the new folder')
    parser.add_argument('--n', type=int, required=True, metavar='N', help='images (or sequences)')
    parser.add_argument(
        '--backgrounds',
        metavar='DIR',
        help='plant on these frames (8 or 16 bit, without targets of their own) instead of synthetic ones',
    )
    parser.add_argument(
        '--sequence',
        type=int,
        metavar='FRAMES',
        help='moving targets: N sequences of FRAMES frames, with tracks.json; sub-folders of the backgrounds '
        'are taken as sequences, single frames stand still',
    )
    parser.add_argument(
        '--size', type=int, default=256, metavar='PIXELS', help='side of synthetic scenes (default: 256)'
    )
    parser.add_argument(
        '--noise',
        type=float,
        default=0.25,
        metavar='SHARE',
        help='sensor noise of synthetic scenes: 1 as raw as in training on synthetic scenes, a quarter as in '
        'public sets (default: 0.25)',
    )
    parser.add_argument(
        '--softness',
        type=float,
        default=1.0,
        metavar='SIGMA',
        help='blur of synthetic scenes beside that of their optics, pixels: public sets were resized and '
        'compressed (default: 1)',
    )
    parser.add_argument(
        '--psf',
        type=float,
        default=0.7,
        metavar='SIGMA',
        help='standard deviation of the point spread, pixels, 0.6 to 4 (default: 0.7)',
    )
    for name, default, metavar, what in (
        ('scr', [5.0, 30.0], 'SCR', 'signal-to-clutter ratio'),
        ('area', [1.0, 40.0], 'PIXELS', 'of targets before the point spread; below 4 they are points'),
        ('targets', [1, 3], 'N', 'in an image or sequence'),
        ('speed', [0.3, 2.0], 'PIXELS', 'a frame'),
    ):
        about = f'{what}: one value, or the least and the largest (default: {default[0]:g} {default[1]:g})'
        kind = type(default[0])
        parser.add_argument(f'--{name}', type=kind, nargs='+', default=default, metavar=metavar, help=about)
    parser.add_argument('--seed', type=int, default=0, help='the same one gives the same bytes (default: 0)')
    parser.add_argument('--test-share', type=float, default=0.2, metavar='SHARE', help='default: 0.2')


def add_stats(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('sets', nargs='*', metavar='PATH|NAME', help='data sets: folders, or known names')
    parser.add_argument(
        '--synthetic', type=int, metavar='N', help='add N synthetic scenes, those of config madnet_synthetic'
    )
    _add_page_options(parser, 'dataset_statistics', STATS_EXAMPLES)


def add_browse(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'source',
        nargs='?',
        metavar='PATH|NAME',
        help='the data set: a folder, or a known name (with --config default: what the config says)',
    )
    parser.add_argument(
        '--config',
        metavar='CONFIG',
        help='show samples as they leave the training pipeline of a config, of 32 images or of --images',
    )
    parser.add_argument(
        '--epochs', type=int, metavar='N', help='with --config: each image in N epochs (default: 3)'
    )
    parser.add_argument(
        '--cfg-options', nargs='+', metavar='KEY=VALUE', help='with --config: override it, as in training'
    )
    _add_page_options(parser, 'dataset_gallery', BROWSE_EXAMPLES)


def _add_page_options(parser: argparse.ArgumentParser, out: str, examples: str) -> None:
    """What pages on the images of data sets take."""
    _show(parser, examples)
    parser.add_argument(
        '--split',
        metavar='SPLIT[,SPLIT]',
        help='which parts: trainval, test, train, val, fit, all (default: trainval and test, or all where a '
        'set has no such parts)',
    )
    add_reading_options(parser)
    parser.add_argument('--images', type=int, metavar='N', help='at most N of each part, evenly spaced')
    parser.add_argument('--out', default=out, metavar='DIR', help='for the page (default: %(default)s)')


#: Subcommand → what it does, its options, and the function of ``madnet.curation`` that takes them; it returns
#: what is to be printed, or prints by itself and returns an exit code.
SUBCOMMANDS = {
    'list': (
        'the known data sets: where to get each, licence, citation, and which are found here',
        add_list,
        'catalogue_view.print_catalogue',
    ),
    'check': ('all that is wrong with a data set, by severity; --fix mends a copy', add_check, 'check.check'),
    'prepare': (
        'a folder, an archive or an address becomes a verified data set',
        add_prepare,
        'preparing.prepare',
    ),
    'convert': (
        'masks to COCO, YOLO or VOC, and their boxes and points to masks',
        add_convert,
        'converting.convert',
    ),
    'synth': (
        'scenes with exact masks, targets planted on your frames, moving sequences with tracks',
        add_synth,
        'planting.make',
    ),
    'stats': (
        'targets, backgrounds and images in numbers, data sets side by side, as a page',
        add_stats,
        'stats.stats',
    ),
    'browse': (
        'a gallery of images with a zoom on their targets; --config: what a network will see',
        add_browse,
        'browse.browse',
    ),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest='command', required=True, metavar='{' + ','.join(SUBCOMMANDS) + '}')
    for name, (about, add_options, _) in SUBCOMMANDS.items():
        add_options(commands.add_parser(name, help=about, description=about))


def work(args: argparse.Namespace) -> Callable:
    options = vars(args)
    module, _, function = SUBCOMMANDS[options.pop('command')][2].partition('.')
    return partial(getattr(importlib.import_module(f'madnet.curation.{module}'), function), **options)
