"""Data sets in a config, and the steps of their pipelines, found by their type."""

from collections.abc import Iterator, Mapping
from inspect import signature
from typing import Any

from mmengine.config import Config, ConfigDict
from mmseg.registry import DATASETS, TRANSFORMS

from madnet.datasets.image_pipeline import all_steps, backbone_channels, may_change_channels
from madnet.datasets.sirst_dataset import SIRSTDataset
from madnet.datasets.transforms import LoadSIRSTImage
from madnet.datasets.wrappers import is_kind, kind_of, sets_of
from madnet.errors import UserError, nearest
from madnet.text import counted

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def all_sets(cfg: Config) -> list[ConfigDict]:
    """The dicts of the data sets in all loaders."""
    return [dataset for loader in LOADERS for dataset in sets_of(cfg, loader)]


def is_ours(dataset: Mapping) -> bool:
    """Whether this is a :class:`~madnet.datasets.SIRSTDataset`, or of a class derived from it."""
    return is_kind(dataset.get('type'), DATASETS, SIRSTDataset)


def is_open(dataset: Mapping) -> bool:
    """Whether the config leaves it to ``dataset`` which set this is."""
    return is_ours(dataset) and dataset.get('name') is None and dataset.get('data_root') is None


def steps_of(dataset: Mapping) -> Iterator[ConfigDict]:
    """The steps in the dict of a data set, those inside other steps (``transforms``) included."""
    yield from (step for step in all_steps(dataset.get('pipeline')) if isinstance(step, ConfigDict))


def image_loaders(dataset: Mapping) -> list[ConfigDict]:
    """The steps that read images as this package does, by a value range and a bit depth."""
    return [step for step in steps_of(dataset) if is_kind(step.get('type'), TRANSFORMS, LoadSIRSTImage)]


def built(step: Mapping) -> LoadSIRSTImage:
    """A step of :func:`image_loaders` itself, for a derived class may have defaults of its own."""
    return TRANSFORMS.build(step)


def names_of(step: Mapping) -> set[str]:
    """How ``replace_steps`` may call a step: by its type, with the scope that stands before it or without."""
    kind = step.get('type')
    return {kind_of(step), *([kind] if isinstance(kind, str) else [])}


def _lists(steps: Any) -> Iterator[list]:
    if steps and isinstance(steps, list):
        yield steps
        for step in steps:
            # as in RandomApply, and as in RandomChoice, whose transforms are lists of lists
            yield from _lists(step.get('transforms') if isinstance(step, dict) else step)


def replace_steps(cfg: Config) -> None:
    """Do what ``replace_steps`` asks for, in the pipelines of all loaders.

    Raises:
        UserError: A type that no pipeline holds; a change that is no dict, list or None.
    """
    parts = all_sets(cfg)
    present = {name for part in parts for step in steps_of(part) for name in names_of(step)} - {''}
    for kind, change in (cfg.get('replace_steps') or {}).items():
        if kind not in present:
            raise UserError(
                f'replace_steps.{kind}: no pipeline of the config has such a step, only '
                f'{", ".join(sorted(present))}.{nearest(kind, present)}'
            )
        steps = change if isinstance(change, list) else [{} if change is None else change]
        if not all(isinstance(step, dict) for step in steps):
            raise UserError(
                f'replace_steps.{kind}: found {change!r}, expected dict(argument=value) to change the step, '
                'None to leave it out, or a list of steps (dicts, in a config file) in its place.'
            )
        # all found before one changes, for what comes in may hold the same type
        for steps in [steps for part in parts for steps in _lists(part.get('pipeline') or [])]:
            steps[:] = [new for step in steps for new in _changed(step, kind, change)]


def check_channels(cfg: Config) -> None:
    """Images shall have as many channels as the backbone takes, and as the preprocessor has means of. Where a
    step of one's own follows the loader, the first batch tells.

    Raises:
        UserError: They have others.
    """
    model = cfg.get('model') or {}
    wanted = backbone_channels(model)
    default = '' if 'in_channels' in (model.get('backbone') or {}) else ', the default of its class'
    means = (model.get('data_preprocessor') or {}).get('mean') or ()
    loaders = [(dataset, step) for dataset in all_sets(cfg) for step in image_loaders(dataset)]
    for step in [step for dataset, step in loaders if not may_change_channels(dataset.pipeline, step)]:
        loader, kind = built(step), kind_of(step)
        found = loader.channels
        if wanted not in (None, found):
            advice = f'say --cfg-options model.backbone.in_channels={found}'
            if wanted not in (1, 3):
                advice += f', or put a step of your own behind {kind} that makes {wanted}'
            elif 'channels' in signature(type(loader)).parameters:  # or its class says it
                advice = (
                    f'say both: --cfg-options model.backbone.in_channels={wanted} '
                    f'replace_steps.{kind}.channels={wanted}'
                )
            raise UserError(
                f'model.backbone.in_channels: found {wanted}{default}, but {kind} gives images of {found} '
                f'channel(s); {advice}'
            )
        if len(means) not in (0, found):
            raise UserError(
                f'model.data_preprocessor.mean: found {counted(len(means), "number")}, but {kind} '
                f'gives images of {found} channel(s); say as many of mean and std (one channel takes '
                'bgr_to_rgb=False too).'
            )


def _changed(step, kind: str, change: dict | list | None) -> list:
    if not isinstance(step, ConfigDict) or kind not in names_of(step):
        return [step]
    if isinstance(change, dict):
        step.merge(change)
        return [step]
    return [ConfigDict(new) for new in change or ()]
