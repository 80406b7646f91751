"""The data set of a config: a name or a folder becomes sets, parts, and mean and deviation."""

import sys
from collections.abc import Mapping, Sequence
from copy import deepcopy
from inspect import getattr_static, isfunction
from pathlib import Path

import numpy as np
from mmengine.config import Config, ConfigDict
from mmseg.registry import DATASETS, MODELS, TRANSFORMS

from madnet.datasets.catalogue import find_entry, get_split_set
from madnet.datasets.locate import MOVED, locate
from madnet.datasets.selection import lists_named
from madnet.datasets.sirst_dataset import SIRSTDataset, dataset_of
from madnet.datasets.sources import Source, set_name, short_names
from madnet.datasets.statistics import folder_statistics
from madnet.datasets.transforms import LoadSIRSTImage, LoadSIRSTMask, ToolboxCrop
from madnet.datasets.wrappers import is_kind, kind_of, sets_of
from madnet.engine.checkpoint import same_statistics
from madnet.engine.config.steps import LOADERS, all_sets, built, image_loaders, is_open, is_ours, steps_of
from madnet.engine.config.value_ranges import by_range, value_range_of
from madnet.errors import UserError, nearest
from madnet.models.segmentors import IRSTDPreProcessor

#: ``selection`` → which part trains, which part chooses ``best.pth``.
SELECTIONS = {
    'val': ('fit', 'val'),
    'test': ('trainval', 'test'),
    'last': ('trainval', None),
}

#: The methods of a data set, which say which images it has and what they are; not how it is described.
_METHODS = {
    n: f for n in dir(SIRSTDataset) if isfunction(f := getattr_static(SIRSTDataset, n)) and n != 'describe'
}


def refuse_named_sets(cfg: Config, where: str) -> None:
    """Raise a UserError where the config's own sets leave nothing for a data set that is given."""
    named = [(key, one) for key in LOADERS for one in sets_of(cfg, key) if not is_open(one)]
    if named:
        loader, dataset = named[0]
        own = dataset.get('name') or dataset.get('data_root') or dataset.get('type')
        moved = f'; where its folder has moved, say so: {MOVED}' if is_ours(dataset) else ''
        raise UserError(
            f'config {where}: names its own data sets ({loader}: {own}), so --dataset does not apply; '
            f"use a config without them, such as the network's common one{moved}."
        )


def leaves_sets_open(cfg: Config) -> bool:
    """Whether the config has a set of which ``dataset`` is to say which it is."""
    return any(is_open(dataset) for dataset in all_sets(cfg))


def fill_sets(cfg: Config, sources: Sequence[Source]) -> bool:
    """Say of every ``SIRSTDataset`` which set it is, where the config does not; several are concatenated.

    Returns:
        Whether any was filled.
    """
    left_open = [dataset for dataset in all_sets(cfg) if is_open(dataset)]
    for dataset in left_open if sources else ():
        whole = [_filled(dataset, source, cfg) for source in sources]
        dataset.clear()
        dataset.update(whole[0] if len(whole) == 1 else {'type': 'ConcatDataset', 'datasets': whole})
    return bool(sources and left_open)


def fix_folders(cfg: Config) -> None:
    """Write down where the folder of every ``SIRSTDataset`` lies, from wherever the config is used later."""
    for dataset in all_sets(cfg):
        if is_ours(dataset) and dataset.get('data_root'):
            dataset['data_root'] = str(Path(dataset['data_root']).absolute())


def check_split_sets(cfg: Config) -> None:
    """Refuse a ``split_set`` that names no lists of its data set, as far as the set is at hand.

    Raises:
        UserError: With the lists that there are.
    """
    for dataset in all_sets(cfg):
        split_set = dataset.get('split_set')
        if split_set in (None, 'folder', 'folders') or not is_ours(dataset) or is_open(dataset):
            continue
        entry = find_entry(set_name(dataset))
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


def choose_parts(cfg: Config) -> None:
    """Give every set its part: by ``selection`` in training and validation, ``'test'`` in the test.

    Raises:
        UserError: An unknown selection, or one that the config's own parts contradict.
    """
    for dataset in sets_of(cfg, 'test_dataloader'):
        if is_ours(dataset):
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
    if not is_ours(dataset):
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
    ours = is_kind(preprocessor.get('type'), MODELS, IRSTDPreProcessor)
    wanted = ours and not {'mean', 'std'} & set(preprocessor)
    if wanted and sets:  # none in a config that is a bare model
        rgb = bool(preprocessor.get('bgr_to_rgb'))
        if trained and len(trained['mean']) == _loader(sets).channels:
            known = _derived(sets) is None and all(find_entry(set_name(dataset)) for dataset in sets)
            if not known or not same_statistics(_statistics(sets, where, rgb), trained):
                mean, std = trained['mean'], trained['std']
                print(f"normalised by the checkpoint's mean {mean}, deviation {std}", file=sys.stderr)
            preprocessor.update(trained)
        else:
            preprocessor.update(_statistics(sets, where, rgb))
    for dataset in all_sets(cfg):
        for step in steps_of(dataset):
            if is_kind(step.get('type'), TRANSFORMS, ToolboxCrop) and 'pad_value' not in step:
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
    if not all(is_ours(d) and not is_open(d) for d in sets):
        raise UserError(
            f'config {where}: model.data_preprocessor has no mean and std, and the config no `dataset` to '
            f'take them from; give both, or --dataset with {", ".join(short_names())} or a folder.'
        )
    if derived := _derived(sets):
        raise UserError(
            f'config {where}: model.data_preprocessor has no mean and std, and those of the files need not '
            f'be those of the images that {derived} gives; give both.'
        )
    loader, several = _loader(sets), len(sets) > 1
    found = [_statistics_of(dataset, loader.channels, loader.bit_depth, several) for dataset in sets]
    images, mean, std = (np.array([f[key] for f in found]) for key in ('images', 'mean', 'std'))
    joint = np.average(mean, 0, images)
    spread = np.sqrt(np.average(std**2 + mean**2, 0, images) - joint**2)
    order = 1 if rgb else -1
    return {'mean': joint[::order].round(3).tolist(), 'std': spread[::order].round(3).tolist()}


def _loader(sets: Sequence[ConfigDict]) -> LoadSIRSTImage:
    return next(map(built, image_loaders(sets[0])), LoadSIRSTImage())


def _derived(sets: Sequence[ConfigDict]) -> str | None:
    """The first class of one's own by which images need not be those of the files: a loader derived from
    ours, or a data set with methods of its own in the place of ours."""
    for dataset in sets:
        own = DATASETS.get(dataset.type) if isinstance(dataset.type, str) else dataset.type
        if any(getattr_static(own, name) is not method for name, method in _METHODS.items()):
            return kind_of(dataset)
        for step in image_loaders(dataset):
            if type(built(step)) is not LoadSIRSTImage:
                return kind_of(step)
    return None


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
    # what the loaders say of grey values and masks holds for the statistics too
    ours = LoadSIRSTImage, LoadSIRSTMask
    loaders = [step for step in steps_of(dataset) if is_kind(step.get('type'), TRANSFORMS, *ours)]
    # near-duplicates of test images, which take long to find, count as well
    training = dataset_of(dataset, split='trainval', pipeline=loaders, exclude_near_test=False)
    found, now = folder_statistics(training, channels, bit_depth)
    if not all(found['std']):
        raise UserError(
            f'{training.dataset_name}: read {by_range(training.value_range)}, all training images are of one '
            f'grey value, {found["mean"][0]:g} of 255; say which values are black and white: --value-range '
            'LOW HIGH, or auto.'
        )
    if now:
        print(
            f'{training.dataset_name}: mean {found["mean"]}, deviation {found["std"]}, measured over its '
            f'{len(training)} training images',
            file=sys.stderr,
        )
    return {**found, 'images': len(training)}
