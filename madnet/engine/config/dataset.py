"""The data set of a config: a name or a folder becomes sets, parts, and mean and deviation."""

import os
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmengine.config import Config, ConfigDict

from madnet.datasets.catalogue import Entry, find_entry, get_split_set
from madnet.datasets.locate import MOVED, locate, own_range
from madnet.datasets.selection import lists_named
from madnet.datasets.sirst_dataset import SIRSTDataset
from madnet.datasets.sources import Source, set_name, short_names
from madnet.datasets.statistics import folder_statistics
from madnet.datasets.wrappers import kind_of
from madnet.engine.checkpoint import same_statistics
from madnet.engine.config.steps import LOADERS, image_loaders, sets_of, steps_of
from madnet.errors import UserError, nearest
from madnet.images import MaskRule, check_value_range
from madnet.images.notices import say_once
from madnet.images.values import BY_TYPE, ValueRange

#: ``selection`` → which part trains, which part chooses ``best.pth``.
SELECTIONS = {
    'val': ('fit', 'val'),
    'test': ('trainval', 'test'),
    'last': ('trainval', None),
}


def refuse_named_sets(cfg: Config, where: str) -> None:
    """Raise a UserError where the config's own sets leave nothing for a data set that is given."""
    for loader, dataset in _sets(cfg):
        if not _is_open(dataset):
            own = dataset.get('name') or dataset.get('data_root') or dataset.get('type')
            moved = f'; where its folder has moved, say so: {MOVED}' if _is_ours(dataset) else ''
            raise UserError(
                f'config {where}: names its own data sets ({loader}: {own}), so --dataset does not apply; '
                f"use a config without them, such as the network's common one{moved}."
            )


def _sets(cfg: Config) -> Iterator[tuple[str, ConfigDict]]:
    for loader in LOADERS:
        for dataset in sets_of(cfg, loader):
            yield loader, dataset


def _is_ours(dataset: ConfigDict) -> bool:
    return kind_of(dataset) == SIRSTDataset.__name__


def _is_open(dataset: ConfigDict) -> bool:
    """Whether the config leaves it to ``dataset`` which set this is."""
    return _is_ours(dataset) and dataset.get('name') is None and dataset.get('data_root') is None


def leaves_sets_open(cfg: Config) -> bool:
    """Whether the config has a set of which ``dataset`` is to say which it is."""
    return any(_is_open(dataset) for _, dataset in _sets(cfg))


def fill_sets(cfg: Config, sources: Sequence[Source]) -> bool:
    """Say of every ``SIRSTDataset`` which set it is, where the config does not; several are concatenated.

    Returns:
        Whether any was filled.
    """
    left_open = [dataset for _, dataset in _sets(cfg) if _is_open(dataset)]
    for dataset in left_open if sources else ():
        whole = [_filled(dataset, source, cfg) for source in sources]
        dataset.clear()
        dataset.update(whole[0] if len(whole) == 1 else {'type': 'ConcatDataset', 'datasets': whole})
    return bool(sources and left_open)


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


def fix_folders(cfg: Config) -> None:
    """Write down where the folder of every ``SIRSTDataset`` lies, from wherever the config is used later."""
    for _, dataset in _sets(cfg):
        if _is_ours(dataset) and dataset.get('data_root'):
            dataset['data_root'] = str(Path(dataset['data_root']).absolute())


def say_other_data(cfg: Config, trained_on: Sequence[TrainedSet]) -> None:
    """One line where what is tested is none of the data sets that the weights were trained on."""
    here = [TrainedSet.of(dataset) for dataset in sets_of(cfg, 'test_dataloader')]
    if trained_on and not all(any(map(each.is_set, trained_on)) for each in here):
        trained, tested = (', '.join(dict.fromkeys(map(str, sets))) for sets in (trained_on, here))
        print(f'trained on {trained}, tested on {tested}', file=sys.stderr)


def check_split_sets(cfg: Config) -> None:
    """Refuse a ``split_set`` that names no lists of its data set, as far as the set is at hand.

    Raises:
        UserError: With the lists that there are.
    """
    for _, dataset in _sets(cfg):
        split_set = dataset.get('split_set')
        if split_set in (None, 'folder', 'folders') or not _is_ours(dataset) or _is_open(dataset):
            continue
        entry = _entry_of(dataset)
        packaged = entry.split_sets if entry else {}
        if split_set in packaged:
            continue
        try:
            folder, _, name = locate(dataset.get('data_root'), dataset.get('name'))
        except UserError:  # it is not at hand: its own lists can't be known
            if entry and packaged:
                get_split_set(entry, split_set)
        else:
            lists_named(folder, packaged, f'{name} ({folder.root})', split_set)


def _filled(dataset: ConfigDict, source: Source, cfg: Config) -> ConfigDict:
    known = {
        'split_set': cfg.get('split_set'),
        'base_size': cfg.get('base_size') or (source.entry and source.entry.base_size),
    }
    known = {k: v for k, v in known.items() if v is not None}
    return ConfigDict({**known, **deepcopy(dataset), **source.arguments})


def fill_reading(cfg: Config, given: Container[str]) -> None:
    """Give each ``SIRSTDataset`` the ``value_range`` and ``mask_values`` of the config, where it has none
    or they are ``given`` as options.

    Raises:
        UserError: They are none.
    """
    check_value_range(cfg.get('value_range'))
    MaskRule(cfg.get('mask_values'))
    for _, dataset in _sets(cfg):
        for key in ('value_range', 'mask_values'):
            if cfg.get(key) is not None and _is_ours(dataset) and (key in given or key not in dataset):
                dataset[key] = cfg[key]


def fix_value_range(cfg: Config, trained_on: Sequence[TrainedSet]) -> None:
    """Write down which grey values every set's own ``value_range`` and ``'auto'`` stand for, and of a set of
    one's own also that it has none, so that the network is used as it was trained whatever its
    ``dataset.json`` says later. Sets without a range that weights were ``trained_on`` are read as then, and
    one line says so.

    Raises:
        UserError: As of :class:`SIRSTDataset`.
    """
    for _, dataset in _sets(cfg):
        if not _is_ours(dataset) or _is_open(dataset):
            continue
        reading = [dataset, *image_loaders(dataset)]
        if all(step.get('value_range') is None for step in reading):
            own = own_range(dataset.get('data_root'), dataset.get('name'))
            own = own or _range_of_training(dataset, trained_on)
            if own is not None or _entry_of(dataset) is None:
                dataset['value_range'] = own or BY_TYPE
        asked = [step for step in reading if step.get('value_range') == 'auto']
        if asked:
            keys = ('data_root', 'name', 'split_set', 'allow_partial', 'split', 'mask_values')
            found = SIRSTDataset(
                **{k: dataset[k] for k in keys if k in dataset}, value_range='auto', lazy_init=True
            )
            for step in asked:
                step['value_range'] = found.measured_range()
    for dataset in sets_of(cfg, 'test_dataloader'):
        here = value_range_of(dataset)
        trained = _ranges_in_training(dataset, trained_on)
        if set(trained) - {here}:
            print(
                f'{set_name(dataset)}: grey values are read {_by(here)}, the network was trained on them '
                f'{" and ".join(map(_by, trained))}; --value-range or --cfg-options value_range={BY_TYPE} '
                'changes that',
                file=sys.stderr,
            )


def _range_of_training(dataset: ConfigDict, trained_on: Sequence[TrainedSet]) -> ValueRange:
    """The range of a set in training; None where it had none, or several folders of its name had others."""
    ranges = _ranges_in_training(dataset, trained_on)
    if len(ranges) != 1 or ranges[0] is None:  # weights may come with another config than theirs
        return None
    say_once(f'{set_name(dataset)}: grey values are read as in the training, {_by(ranges[0])}')
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


def _by(value_range: ValueRange) -> str:
    return 'by their type' if value_range is None else 'by the range {:g} to {:g}'.format(*value_range)


def choose_parts(cfg: Config) -> None:
    """Give every set its part: by ``selection`` in training and validation, ``'test'`` in the test.

    Raises:
        UserError: An unknown selection, or one that the config's own parts contradict.
    """
    for dataset in sets_of(cfg, 'test_dataloader'):
        if _is_ours(dataset):
            dataset.setdefault('split', 'test')
    selection = cfg.get('selection')
    if selection is None:
        return
    if selection not in [*SELECTIONS]:  # by ==, which a list can do too
        raise UserError(
            f'selection: found {selection!r}, expected one of {", ".join(map(repr, SELECTIONS))}.'
            + nearest(str(selection), SELECTIONS)
        )
    train, val = SELECTIONS[selection]
    for dataset in sets_of(cfg, 'train_dataloader'):
        _choose_part(dataset, 'train_dataloader', train, selection)
    if val is None:
        for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
            cfg[key] = None
        if saver := (cfg.get('default_hooks') or {}).get('checkpoint'):
            saver.save_best = None
    else:
        for dataset in sets_of(cfg, 'val_dataloader'):
            _choose_part(dataset, 'val_dataloader', val, selection)


def _choose_part(dataset: ConfigDict, loader: str, split: str, selection: str) -> None:
    if not _is_ours(dataset):
        # other sets name their parts themselves, and only the default leaves them to do so
        found = dataset.get('split', 'no split')
        if selection == 'test' or (selection == 'last' and found == 'fit'):
            raise UserError(
                f'selection={selection!r}: {loader}.dataset is a {dataset.get("type")} ({found!r}), '
                "whose parts selection does not know. Keep selection='val', and set the splits in the config."
            )
    elif dataset.setdefault('split', split) != split and selection != 'val':
        raise UserError(
            f'selection={selection!r} wants {loader}.dataset.split={split!r}, the config sets '
            f'{dataset.split!r}. Remove one of the two.'
        )


def fill_statistics(cfg: Config, where: str, trained: Mapping[str, Sequence[float]] | None = None) -> None:
    """Give the preprocessor mean and deviation of the training images, where the config does not, and
    ``ToolboxCrop`` the mean to pad with.

    What a checkpoint was trained with (``trained``) goes before the data set's, and one line says so where
    they are not known to be the same.

    Raises:
        UserError: There is no data set to take them from.
    """
    if not any(cfg.get(loader) for loader in LOADERS):
        return  # a network alone, to be built or measured
    preprocessor = (cfg.get('model') or {}).get('data_preprocessor') or {}
    sets = sets_of(cfg, 'train_dataloader') or sets_of(cfg, 'test_dataloader')
    wanted = kind_of(preprocessor) == 'IRSTDPreProcessor' and not {'mean', 'std'} & set(preprocessor)
    if wanted and sets:  # none in a config that is a bare model
        rgb = bool(preprocessor.get('bgr_to_rgb'))
        if trained and len(trained['mean']) == _loader(sets).get('channels', 3):
            known = all(_entry_of(dataset) for dataset in sets)
            if not known or not same_statistics(_statistics(sets, where, rgb), trained):
                mean, std = trained['mean'], trained['std']
                print(f"normalised by the checkpoint's mean {mean}, deviation {std}", file=sys.stderr)
            preprocessor.update(trained)
        else:
            preprocessor.update(_statistics(sets, where, rgb))
    for _, dataset in _sets(cfg):
        for step in steps_of(dataset):
            if kind_of(step) == 'ToolboxCrop' and 'pad_value' not in step:
                step.pad_value = _one_mean(preprocessor, where)


def _one_mean(preprocessor: dict, where: str) -> float:
    mean: Sequence[float] = preprocessor.get('mean') or ()
    if len(mean) != 1:
        raise UserError(
            f'config {where}: ToolboxCrop pads with the mean of one channel, found data_preprocessor.mean '
            f'{list(mean)}; give pad_value.'
        )
    return mean[0]


def _statistics(sets: list[ConfigDict], where: str, rgb: bool) -> dict[str, list[float]]:
    """Mean and deviation of the training images; of several sets, each image with the same weight."""
    if not all(_is_ours(d) and not _is_open(d) for d in sets):
        raise UserError(
            f'config {where}: model.data_preprocessor has no mean and std, and the config no `dataset` to '
            f'take them from; give both, or --dataset with {", ".join(short_names())} or a folder.'
        )
    loader = _loader(sets)
    channels = loader.get('channels', 3)
    several = len(sets) > 1
    found = [_statistics_of(dataset, channels, loader.get('bit_depth', 16), several) for dataset in sets]
    images, mean, std = (np.array([f[key] for f in found]) for key in ('images', 'mean', 'std'))
    joint = np.average(mean, 0, images)
    spread = np.sqrt(np.average(std**2 + mean**2, 0, images) - joint**2)
    order = 1 if rgb else -1
    return {'mean': joint[::order].round(3).tolist(), 'std': spread[::order].round(3).tolist()}


def _loader(sets: Sequence[ConfigDict]) -> dict:
    return next(iter(image_loaders(sets[0])), {})


def _entry_of(dataset: ConfigDict) -> Entry | None:
    return find_entry(set_name(dataset))


def _statistics_of(dataset: ConfigDict, channels: int, bit_depth: int, by_image: bool) -> dict:
    """``mean`` and ``std`` (RGB order) of a set's training images, and how many they are."""
    entry = find_entry(set_name(dataset))
    if entry and entry.statistics and value_range_of(dataset) is None:
        split_set = dataset.get('split_set')
        record = get_split_set(entry, split_set if split_set in entry.split_sets else None)
        left_out = len(record.near_test or ()) if dataset.get('exclude_near_test') else 0
        known = entry.statistics.get('by_image', entry.statistics) if by_image else entry.statistics
        return {
            **known['grey' if channels == 1 else 'rgb'],
            'images': record.counts['trainval'] - left_out,
        }
    keys = ('data_root', 'name', 'split_set', 'allow_partial', 'value_range', 'mask_values')
    # what the loaders say of grey values and masks holds for the statistics too
    loaders = [s for s in steps_of(dataset) if kind_of(s) in ('LoadSIRSTImage', 'LoadSIRSTMask')]
    training = SIRSTDataset(
        split='trainval', pipeline=loaders, **{k: dataset[k] for k in keys if k in dataset}
    )
    found, now = folder_statistics(training, channels, bit_depth)
    if not all(found['std']):
        raise UserError(
            f'{training.dataset_name}: read {_by(training.value_range)}, all training images are of one grey '
            f'value, {found["mean"][0]:g} of 255; say which values are black and white: --value-range '
            'LOW HIGH, or auto.'
        )
    if now:
        print(
            f'{training.dataset_name}: mean {found["mean"]}, deviation {found["std"]}, measured over its '
            f'{len(training)} training images',
            file=sys.stderr,
        )
    return {**found, 'images': len(training)}
