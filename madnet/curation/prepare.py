"""``tools/dataset.py prepare``: a folder, an archive or an address becomes a verified data set."""

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
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
        help='where nothing tells the parts, this share becomes the test part, whole sequences at a time, by '
        'a hash of the id; 0 for no lists (default: 0.2)',
    )
    parser.add_argument(
        '--limit-gb', type=float, default=64, metavar='GB', help='an archive may unpack to (default: 64)'
    )


def run(name: str, source: str, out: str, **options) -> None:
    """Prepare the set and print what was found and done."""
    from madnet.curation.preparing import prepare

    print(prepare(name, source, out, **options))
