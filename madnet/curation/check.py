"""``tools/dataset.py check``: all that is wrong with a data set, by severity."""

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.add_argument('source', metavar='PATH|NAME', help='its folder, or a name of the catalogue')
    parser.add_argument(
        '--fix', metavar='OUT', help='write a copy in which everything that is safe to mend is mended'
    )
    parser.add_argument('--split-set', metavar='LISTS', help='look at these lists only (default: all)')
    parser.add_argument(
        '--examples', type=int, default=4, metavar='N', help='images named in each line (default: 4)'
    )
    parser.add_argument('--json', action='store_true', help='print JSON, with all images named')


def run(
    source: str, fix: str | None = None, split_set: str | None = None, examples: int = 4, json: bool = False
) -> int:
    """Print the findings, mend a copy; returns 1 where there are errors that are not mended, else 0."""
    from madnet.curation.inspection import as_record, as_text, inspect
    from madnet.errors import UserError
    from madnet.files import json_text

    if examples < 1:
        raise UserError(f'--examples: found {examples}, expected 1 or more.')
    found = inspect(source, split_set)
    print(json_text(as_record(found)) if json else as_text(found, examples), end='' if json else '\n')
    if fix:
        from madnet.curation.mending import mend

        print(mend(found, fix))
        return 0
    return int(any(f.severity == 'error' for f in found.findings))
