"""Options that the command-line tools share. Imports nothing heavy: ``--help`` is to be quick."""

import argparse

DATASET_HELP = (
    'the data set: nuaa, nudt, irstd1k, sirstaug, found under $MADNET_DATA_ROOT (default: datasets/), or the '
    'folder of your own; several with commas are trained on together, and tested one by one (default: what '
    'the config says)'
)


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add what tools that look at data sets take, to read them as a training would be told to."""
    parser.add_argument(
        '--split-set', metavar='LISTS', help="whose parts: a name of the catalogue, 'folder', or of its lists"
    )
    parser.add_argument(
        '--value-range',
        nargs='+',
        metavar='LOW HIGH',
        help="grey values of one's own sets that become black and white, or auto, measured; for floats and "
        'for sensors that do not use all 16 bits',
    )
    parser.add_argument(
        '--mask-values',
        type=int,
        nargs='+',
        metavar='VALUE',
        help="what masks of one's own sets hold: the background's value, then those of targets, such as 0 1",
    )


def add_common_options(parser: argparse.ArgumentParser, launcher: bool = True) -> None:
    """Add what every tool that works from a config takes.

    Args:
        parser: Of the tool.
        launcher: Whether the tool can run as several processes, one a GPU.
    """
    parser.add_argument('--dataset', metavar='NAME|FOLDER', help=DATASET_HELP)
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override the config, such as train_cfg.max_epochs=10, selection=last or '
        'replace_steps.RandomTargetCrop.size=128: numbers, strings, lists of them (no lists of dicts)',
    )
    parser.add_argument(
        '--trust-checkpoint', action='store_true', help='allow checkpoints that hold pickled Python objects'
    )
    if launcher:
        parser.add_argument(
            '--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='default: none'
        )
        parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)
