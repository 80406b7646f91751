"""By which grey values each data set of a config is read, and was in training."""

import os
import sys
from collections.abc import Container, Sequence
from typing import NamedTuple

from mmengine.config import Config, ConfigDict

from madnet.datasets.catalogue import find_entry
from madnet.datasets.locate import own_range
from madnet.datasets.sirst_dataset import dataset_of
from madnet.datasets.sources import set_name
from madnet.datasets.wrappers import sets_of
from madnet.engine.config.steps import all_sets, image_loaders, is_open, is_ours
from madnet.images import MaskRule, check_value_range
from madnet.images.notices import say_once
from madnet.images.values import BY_TYPE, ValueRange


class TrainedSet(NamedTuple):
    """A data set of a training.

    Attributes:
        name: What it is called; folders of one's own may share a name.
        root: Its folder as the config has it; ``''`` for a set that its name alone tells, such as the
            catalogue's.
        value_range: By which its grey values were read.
    """

    name: str
    root: str
    value_range: ValueRange = None

    @classmethod
    def of(cls, dataset: ConfigDict) -> 'TrainedSet':
        """That of a resolved config.

        Raises:
            UserError: Its value range is none.
        """
        name = set_name(dataset)
        root = '' if find_entry(name) else str(dataset.get('data_root') or '')
        return cls(name, root, value_range_of(dataset))

    def is_set(self, other: 'TrainedSet') -> bool:
        """Whether the other is the same data set, as far as names and folders tell."""
        return self.name == other.name and os.path.realpath(self.root) == os.path.realpath(other.root)

    def __str__(self) -> str:
        return f'{self.name} ({self.root})' if self.root else self.name


def say_other_data(cfg: Config, trained_on: Sequence[TrainedSet]) -> None:
    """One line where what is tested is none of the data sets that the weights were trained on."""
    here = [TrainedSet.of(dataset) for dataset in sets_of(cfg, 'test_dataloader')]
    if trained_on and not all(any(map(each.is_set, trained_on)) for each in here):
        trained, tested = (', '.join(dict.fromkeys(map(str, sets))) for sets in (trained_on, here))
        print(f'trained on {trained}, tested on {tested}', file=sys.stderr)


def fill_reading(cfg: Config, given: Container[str]) -> None:
    """Give each ``SIRSTDataset`` the ``value_range`` and ``mask_values`` of the config, where it has none
    or they are ``given`` as options.

    Raises:
        UserError: They are none.
    """
    check_value_range(cfg.get('value_range'))
    MaskRule(cfg.get('mask_values'))
    for dataset in all_sets(cfg):
        for key in ('value_range', 'mask_values'):
            if cfg.get(key) is not None and is_ours(dataset) and (key in given or key not in dataset):
                dataset[key] = cfg[key]


def fix_value_range(cfg: Config, trained_on: Sequence[TrainedSet]) -> None:
    """Write down which grey values every set's own ``value_range`` and ``'auto'`` stand for, and of a set of
    one's own also that it has none, so that the network is used as it was trained whatever its
    ``dataset.json`` says later. Sets without a range that weights were ``trained_on`` are read as then, and
    one line says so.

    Raises:
        UserError: As of :class:`~madnet.datasets.SIRSTDataset`.
    """
    for dataset in all_sets(cfg):
        if not is_ours(dataset) or is_open(dataset):
            continue
        reading = [dataset, *image_loaders(dataset)]
        if all(step.get('value_range') is None for step in reading):
            own = own_range(dataset.get('data_root'), dataset.get('name'))
            own = own or _range_of_training(dataset, trained_on)
            if own is not None or find_entry(set_name(dataset)) is None:
                dataset['value_range'] = own or BY_TYPE
        asked = [step for step in reading if step.get('value_range') == 'auto']
        if asked:
            found = dataset_of(dataset, value_range='auto', lazy_init=True)
            for step in asked:
                step['value_range'] = found.measured_range()
    for dataset in sets_of(cfg, 'test_dataloader'):
        here = value_range_of(dataset)
        trained = _ranges_in_training(dataset, trained_on)
        if set(trained) - {here}:
            print(
                f'{set_name(dataset)}: grey values are read {by_range(here)}, the network was trained on '
                f'them {" and ".join(map(by_range, trained))}; --value-range or --cfg-options '
                f'value_range={BY_TYPE} changes that',
                file=sys.stderr,
            )


def _range_of_training(dataset: ConfigDict, trained_on: Sequence[TrainedSet]) -> ValueRange:
    """The range of a set in training; None where it had none, or several folders of its name had others."""
    ranges = _ranges_in_training(dataset, trained_on)
    if len(ranges) != 1 or ranges[0] is None:  # weights may come with another config than theirs
        return None
    say_once(f'{set_name(dataset)}: grey values are read as in the training, {by_range(ranges[0])}')
    return ranges[0]


def _ranges_in_training(dataset: ConfigDict, trained_on: Sequence[TrainedSet]) -> list[ValueRange]:
    """By which grey values training read this set; where its folder is not known, all sets of its name."""
    here = TrainedSet.of(dataset)
    named = [each for each in trained_on if each.name == here.name]
    return [*dict.fromkeys(each.value_range for each in [*filter(here.is_set, named)] or named)]


def value_range_of(dataset: ConfigDict) -> ValueRange:
    """By which grey values a resolved config reads a set.

    Raises:
        UserError: By none that there are.
    """
    ranges = (check_value_range(s.get('value_range')) for s in [dataset, *image_loaders(dataset)])
    return next(filter(None, ranges), None)


def by_range(value_range: ValueRange) -> str:
    """In words, how grey values are read."""
    return 'by their type' if value_range is None else 'by the range {:g} to {:g}'.format(*value_range)
