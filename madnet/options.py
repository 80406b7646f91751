"""Options that the command-line tools share. Imports nothing heavy: ``--help`` is to be quick."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

VALUE_RANGE = '--value-range'
_DATASET = (
    'the data set: nuaa, nudt, irstd1k, sirstaug or another of madnet dataset list, found under '
    '$MADNET_DATA_ROOT (default: datasets/), or the folder of your own'
)
_CONFIGS = ' (default: what the config says)'
DATASET_HELP = f'{_DATASET}; several, with commas, are trained on together and tested one by one{_CONFIGS}'


def shown_program(command: str) -> str:
    """How a user calls a command: ``madnet train``, or ``python tools/train.py`` where that was called."""
    program = Path(sys.argv[0])
    return f'python {program}' if program.parent.name == 'tools' else f'madnet {command}'


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add what tools that look at data sets take, to read them as a training would be told to."""
    parser.add_argument(
        '--split-set', metavar='LISTS', help="whose parts: a name of the catalogue, 'folder', or of its lists"
    )
    add_reading(parser)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add how images and masks are read: ``value_range`` and ``mask_values``; None where not given."""
    add_value_range(parser)
    add_mask_values(parser)


def add_value_range(
    parser: argparse.ArgumentParser, after: str = '; auto, alone, measures them once'
) -> None:
    """Add ``value_range``: two numbers, ``'auto'``, or None (:func:`as_words`); ``after`` ends its help."""
    parser.add_argument(
        VALUE_RANGE,
        nargs=2,
        type=_bound,
        action=_ValueRange,
        metavar=('LOW', 'HIGH'),
        help='grey values that become black and white, such as 0 16383 for 14 bits in 16-bit files' + after,
    )


def as_words(arguments: Sequence[str]) -> list[str]:
    """Arguments with ``--value-range auto`` as the two words that argparse expects."""
    words = [w for a in arguments for w in (a.split('=') if a.startswith(f'{VALUE_RANGE}=') else [a])]
    for i in range(len(words) - 1, 0, -1):
        if words[i - 1 : i + 1] == [VALUE_RANGE, 'auto']:
            words.insert(i, 'auto')
    return words


def _bound(text: str) -> float | str:
    try:
        return text if text == 'auto' else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f'found {text!r}, expected two numbers, or auto') from None


class _ValueRange(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, *_) -> None:
        setattr(namespace, self.dest, 'auto' if values == ['auto', 'auto'] else tuple(values))


def add_mask_values(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--mask-values',
        type=int,
        nargs='+',
        metavar='VALUE',
        help="what your own masks hold: the background's value, then those of targets, such as 0 1 "
        '(default: grey values above 127 are target)',
    )


def add_detector_options(parser: argparse.ArgumentParser) -> None:
    """Add what tools take that look at one detector, of whatever kind."""
    parser.add_argument(
        'model',
        metavar='MODEL|CONFIG',
        help='a shipped name, a classical method, a config, or the folder of a training',
    )
    parser.add_argument(
        'checkpoint', metavar='CHECKPOINT', nargs='?', help='the weights that belong to a config'
    )
    add_device(parser)
    add_test_time_options(parser)
    add_trust(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--device', help='cpu, cuda:0, ... (default: a GPU where there is one)')


def add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--trust-checkpoint', action='store_true', help='allow checkpoints that hold pickled Python objects'
    )


def add_common_options(parser: argparse.ArgumentParser, launcher: bool = True) -> None:
    """Add what every tool that works from a config takes.

    Args:
        parser: Of the tool.
        launcher: Whether the tool can run as several processes, one a GPU.
    """
    # what runs as several processes trains or tests
    about = DATASET_HELP if launcher else _DATASET + _CONFIGS
    parser.add_argument('--dataset', metavar='NAME|FOLDER', help=about)
    parser.add_argument(
        '--cfg-options',
        dest='options',
        nargs='+',
        metavar='KEY=VALUE',
        help='override the config, such as train_cfg.max_epochs=10, selection=last or '
        'replace_steps.RandomTargetCrop.size=128: numbers, strings, lists of them (no lists of dicts)',
    )
    add_trust(parser)
    if launcher:
        parser.add_argument(
            '--launcher', choices=['none', 'pytorch', 'slurm'], default='none', help='default: none'
        )
        parser.add_argument('--local-rank', '--local_rank', type=int, default=0, help=argparse.SUPPRESS)


def add_scoring_options(parser: argparse.ArgumentParser, default: str) -> None:
    """Add what is scored by: ``protocols``, ``threshold``, ``fa_budget``.

    Args:
        parser: Of the tool.
        default: What is taken without ``--protocol``, in words.
    """
    parser.add_argument(
        '--protocol',
        dest='protocols',
        metavar='NAME[,NAME...]|all',
        help='how to score: native, acm, abc, dnanet, basicirstd, several with commas, or all (default: '
        f'{default})',
    )
    parser.add_argument(
        '--threshold',
        metavar='0-1|best:val',
        help="probability above which is target, in place of the protocols' own, usually 0.5; best:val for "
        'the one with the best IoU on the validation part',
    )
    parser.add_argument(
        '--fa-budget',
        type=float,
        metavar='SHARE',
        help='allowed false-alarm pixels as a share of all pixels, such as 1e-5: adds Pd and Fa of the '
        'detections whose rank kept to it on the validation part',
    )


def add_least_options(parser: argparse.ArgumentParser) -> None:
    """Add what a component must have at least to count as a target: ``min_area``, ``min_scr``, ``min_rank``;
    None where one is not given."""
    parser.add_argument(
        '--min-area',
        type=int,
        metavar='PIXELS',
        help='leave out smaller components (default: 1, keeps all)',
    )
    parser.add_argument(
        '--min-scr',
        type=float,
        metavar='RATIO',
        help='leave out components with a lower local signal-to-clutter ratio (default: 0, keeps all)',
    )
    parser.add_argument(
        '--min-rank',
        type=float,
        metavar='RANK',
        help='leave out components of a lower rank: highest logit times local SCR (default: 0, keeps all)',
    )


def add_test_time_options(parser: argparse.ArgumentParser) -> None:
    """Add what a network predicts an image in several ways by: ``views``, ``scales``, ``merge``."""
    parser.add_argument(
        '--views',
        type=int,
        choices=(1, 2, 4, 8),
        help="test-time augmentation: average a network's logits over N mirrored and turned views of each "
        'image, for fewer false alarms at N times the cost (default: 1)',
    )
    parser.add_argument(
        '--scales',
        type=_numbers,
        metavar='S,S,…',
        help='predict at each of these scales, such as 1,0.7,0.5, for targets that are larger or more '
        'blurred than in training; the cost is the sum of their squares (default: 1)',
    )
    parser.add_argument(
        '--merge', choices=('mean', 'max'), help="how the scales' logits are combined (default: mean)"
    )


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(',')]
    except ValueError:
        raise argparse.ArgumentTypeError(f'found {text!r}, expected numbers such as 1,0.7,0.5') from None
