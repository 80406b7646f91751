"""The data sets that a command line names, opened part by part."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from madnet.datasets.selection import NoSuchPart
from madnet.datasets.sirst_dataset import SIRSTDataset, TargetDataset
from madnet.datasets.sources import find_sources
from madnet.datasets.synthetic import SyntheticSIRSTDataset
from madnet.errors import UserError
from madnet.evaluation.components import Components, find_components
from madnet.evaluation.rules import half
from madnet.images import check_value_range, to_channels
from madnet.images.frames import bits_in_use
from madnet.images.values import ValueRange
from madnet.progress import progress_bar

SYNTHETIC_SIZE = 256


@dataclass(frozen=True)
class Part:
    """One split of one data set; no two sets of a call have the same name."""

    set_name: str
    split: str
    dataset: TargetDataset

    @property
    def name(self) -> str:
        """``'NUAA-SIRST trainval'``."""
        return f'{self.set_name} {self.split}'


@dataclass(frozen=True)
class Sample:
    """One image with the components of its mask."""

    image_id: str
    pixels: np.ndarray  # (H, W) or (H, W, 3) BGR, as read
    grey: np.ndarray  # (H, W) float32 luma on the 0–255 scale
    targets: Components


def open_parts(
    values: Sequence[str],
    splits: Sequence[str] = (),
    split_set: str | None = None,
    value_range: ValueRange = None,
    mask_values: Sequence[int] | None = None,
    synthetic: int | None = None,
) -> list[Part]:
    """The parts of some data sets.

    Args:
        values: Names of the catalogue, or folders.
        splits: Those wanted; none for ``trainval`` and ``test``, or for ``all`` where a set has neither.
        split_set: Whose parts; None for each set's default.
        value_range: Of all of them, as of :class:`~madnet.datasets.SIRSTDataset`.
        mask_values: The same.
        synthetic: So many synthetic scenes as one more set; None for no such set.

    Raises:
        UserError: A set is not found, has no such split, lists that cannot be used, or is given twice.
    """
    sets: list[tuple[str, list[tuple[str, TargetDataset]]]] = []
    grey = check_value_range(value_range, '--value-range')
    reading = {'split_set': split_set, 'value_range': grey, 'mask_values': mask_values}
    for value in values:
        (source,) = find_sources([value])
        sets.append((str(value), _open({**source.arguments, **reading}, splits)))
    if synthetic is not None:
        scenes = SyntheticSIRSTDataset(synthetic, SYNTHETIC_SIZE, split='train')
        sets.append(('synthetic', [('train', scenes)]))
    names = _names([(value, found[0][1]) for value, found in sets])
    return [Part(name, *each) for name, (_, found) in zip(names, sets, strict=True) for each in found]


def _names(sets: Sequence[tuple[str, TargetDataset]]) -> list[str]:
    """What to call the sets: by their own names; those that share one, by what the command line says; those
    that share this too, by their folders.

    Args:
        sets: What the command line says, and any part.

    Raises:
        UserError: Two are the same.
    """
    named = [
        (dataset.dataset_name, value, str(dataset.folder.root.resolve()))
        if isinstance(dataset, SIRSTDataset)
        else (value,) * 3
        for value, dataset in sets
    ]
    roots = Counter(root for _, _, root in named)
    twice = next((value for _, value, root in named if roots[root] > 1), None)
    if twice is not None:
        raise UserError(f'{twice}: given more than once; expected each data set once.')
    names = [forms[0] for forms in named]
    for n in (1, 2):
        count = Counter(names)
        names = [forms[n] if count[name] > 1 else name for forms, name in zip(named, names, strict=True)]
    return names


def _open(arguments: dict[str, Any], splits: Sequence[str]) -> list[tuple[str, TargetDataset]]:
    if splits:
        return [(split, SIRSTDataset(split=split, **arguments)) for split in splits]
    found, reasons = [], []
    for split in ('trainval', 'test'):
        dataset = SIRSTDataset(split=split, lazy_init=True, **arguments)
        try:
            dataset.load_data_list()
        except NoSuchPart as reason:
            reasons.append(str(reason))
        else:
            dataset.full_init()
            found.append((split, dataset))
    if not found:
        found = [('all', SIRSTDataset(split='all', **arguments))]
    for why in dict.fromkeys(reasons):
        print(f'note: {why}', file=sys.stderr)
    return found


def walk(part: Part, limit: int | None = None) -> Iterator[Sample]:
    """The samples of a part in order, ``limit`` at most, evenly spaced, with a progress bar.

    Raises:
        UserError: A file cannot be read, or a mask does not fit its image.
    """
    count = len(part.dataset)
    chosen = range(count)
    if limit is not None and limit < count:
        chosen = np.linspace(0, count - 1, limit).round().astype(int).tolist()
    for index in progress_bar(chosen, what=part.name):
        yield read(part.dataset, index)


def read(dataset: TargetDataset, index: int) -> Sample:
    """The sample at an index; see :func:`walk`."""
    info = dataset.get_data_info(index)
    pixels, mask = dataset.read_fitted(index)
    path = info['img_path']
    grey = to_channels(pixels, 1, bits_in_use(pixels, path), dataset.value_range, path)
    grey = grey[..., 0].astype(np.float32)
    return Sample(info['img_id'], pixels, grey, find_components(half(mask)))
