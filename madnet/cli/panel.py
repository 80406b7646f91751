"""Draw the qualitative grid of a paper: image, truth, and methods side by side, with zoomed insets."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from madnet.options import add_mask_values

EXAMPLES = """
examples:
  %(prog)s data/images data/masks Top-hat=results/tophat MAD-Net=results/madnet --out grid
      four images, spread over those that all folders have: grid.pdf and grid.png
  %(prog)s data/images data/masks MAD-Net=results/madnet --ids Misc_12,Misc_205 --out grid
      these images, in this order
  %(prog)s data/images data/masks MAD-Net=results/madnet --out grid --show image --width single --font serif
      marks on the image instead of the score map, one column wide, letters like those of Times

Score maps are 8- or 16-bit grey PNG, .npy or .npz with one array, named after the images.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('image_dir', metavar='IMAGE_DIR', help='the images')
    parser.add_argument('mask_dir', metavar='MASK_DIR', help='the masks')
    parser.add_argument('methods', nargs='+', metavar='METHOD=DIR', help="a method's name and score maps")
    parser.add_argument(
        '--out', required=True, metavar='PATH', help='the figure, of which .pdf and .png are written'
    )
    parser.add_argument('--ids', metavar='ID[,ID...]', help='the images to show')
    parser.add_argument('--count', type=int, default=4, metavar='N', help='how many images (default: 4)')
    add_mask_values(parser)
    parser.add_argument(
        '--labels',
        metavar='METHOD[,METHOD...]',
        help='methods whose files are labels: 0 is background, anything else target',
    )
    parser.add_argument('--insets', type=int, default=2, metavar='N', help='zooms per image (default: 2)')
    parser.add_argument(
        '--threshold', type=float, default=0.5, help='scores above it are detections (default: 0.5)'
    )
    parser.add_argument(
        '--width',
        choices=['single', 'double'],
        default='double',
        help='single: one column, 3.5 in; double: 7.16 in (default)',
    )
    parser.add_argument(
        '--show',
        choices=['scores', 'image'],
        default='scores',
        help='what lies under the marks of methods: their score maps, beside a column of the truth '
        '(default), or the image',
    )
    parser.add_argument(
        '--font', choices=['sans', 'serif'], default='sans', help='serif: like Times (default: sans)'
    )


def parse(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    args = parser.parse_args(arguments)
    if args.count < 1 or not 1 <= args.insets <= 6:
        parser.error('--count must be 1 or more, --insets 1 to 6')
    if not 0 <= args.threshold <= 1:
        parser.error('--threshold must be a score in 0-1')
    if Path(args.out).suffix.lower() in ('.pdf', '.png'):
        args.out = str(Path(args.out).with_suffix(''))
    if not Path(args.out).name or args.out.endswith(('/', os.sep)):
        parser.error(f'--out {args.out}: is a folder, expected a name for the figure behind it')
    return args


def work(args: argparse.Namespace) -> Callable:
    from madnet.visualization.grid import build_grid, parse_methods

    options = vars(args)
    options['serif'] = options.pop('font') == 'serif'
    options['ids'] = [i.strip() for i in args.ids.split(',')] if args.ids else None
    options['labels'] = [m.strip() for m in args.labels.split(',')] if args.labels else ()

    def run() -> str:
        options['methods'] = parse_methods(args.methods)
        return '\n'.join(f'written {path}' for path in build_grid(**options))

    return run
