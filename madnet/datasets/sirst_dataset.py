"""One dataset class for every infrared small target set of the catalogue, and for others like them."""

from madnet import _quiet_import  # noqa: F401  # isort: skip
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.registry import DefaultScope
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS, TRANSFORMS

from madnet.errors import UserError
from madnet.images import MaskRule, check_value_range, fit_mask, measure_range, read_image, read_mask
from madnet.images.notices import say_once
from madnet.images.values import BY_TYPE, ValueRange, finite

from .catalogue import check_split_name
from .checks import kept, look_at, say_what_is_skipped
from .contents import Contents
from .duplicates import find_near_duplicates
from .locate import locate, range_of_set
from .seeding import SeededSamples
from .selection import NoSuchPart, NotHere, Selection, select
from .splits import few, ids_sha256
from .transforms.loading import LoadSIRSTImage, LoadSIRSTMask
from .transforms.sample_transform import sides_of

#: What of a config says which images a set has and how they are read, not what becomes of them.
_KEYS = (
    *('data_root', 'name', 'split', 'split_set', 'allow_partial', 'exclude_near_test', 'value_range'),
    'mask_values',
)
#: About how many images ``value_range='auto'`` is measured on.
_MEASURED = 32


class TargetDataset(SeededSamples, BaseSegDataset):
    """What the datasets here share: two classes, seeded samples, a description for the record."""

    METAINFO = {'classes': ('background', 'target'), 'palette': [[0, 0, 0], [255, 200, 0]]}

    dataset_name: str
    split: str
    #: Whose split it is; None where there is but one.
    split_set: str | None = None
    #: Grey values that become 0 and 255; None: what the images' type says.
    value_range: ValueRange = None

    def __init__(self, pipeline: Sequence[dict | Callable], seed: int, **kwargs):
        self.init_seeding(seed)
        # Built here: without a Runner no default scope tells mmengine where to look for their names, nor for
        # those of steps inside RandomChoice and the like.
        with DefaultScope.overwrite_default_scope('mmseg'):
            steps = [TRANSFORMS.build(t) if isinstance(t, dict) else t for t in pipeline]
        super().__init__(
            pipeline=steps,
            # Some thousand short records need no serialising; its garbage collection takes 0.3 s.
            serialize_data=False,
            **kwargs,
        )

    @property
    def image_ids(self) -> list[str]:
        """The ids of the images, by index."""
        return [self.get_data_info(i)['img_id'] for i in range(len(self))]

    @property
    def split_sha256(self) -> str:
        """Which images these are: :func:`~madnet.datasets.splits.ids_sha256` of their ids."""
        return ids_sha256(self.image_ids)

    def describe(self) -> dict:
        """What ``metrics.json`` records: ``name``, ``split``, ``split_set``, ``images``, ``split_sha256``."""
        return {
            'name': self.dataset_name,
            'split': self.split,
            'split_set': self.split_set,
            'images': len(self),
            'split_sha256': self.split_sha256,
        }

    def read_sample(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W) or (H, W, 3) BGR, and grey mask (H, W), as they are before the pipeline."""
        raise NotImplementedError

    def read_fitted(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image as :meth:`read_sample` gives it, and grey mask (H, W) at its size.

        Raises:
            UserError: A file cannot be read, or the mask does not fit its image.
        """
        info = self.get_data_info(index)
        image, mask = self.read_sample(index)
        return image, fit_mask(mask, image.shape[:2], info.get('seg_map_path', ''), info.get('img_path'))


@DATASETS.register_module()
class SIRSTDataset(TargetDataset):
    """Infrared images and masks of a set of the catalogue, or of any set in one of the known layouts.

    Gives the pipeline ``img_path``, ``seg_map_path``, ``img_id``, ``dataset_name`` and, where the catalogue
    knows it, ``base_size`` (height, width).

    Args:
        data_root: The data set's own folder; None to look for it by the names that the set goes by under
            ``$MADNET_DATA_ROOT`` (default ``datasets/``).
        split: To be named, so that nobody trains on the test part unawares: ``trainval`` and ``test``,
            ``train`` and ``val`` as published; ``fit`` and ``val``, two parts of ``trainval``, to choose a
            checkpoint without looking at ``test``; ``all``.
        name: Of the set; None to go by the folder's name.
        split_set: Whose split: a name of the catalogue; ``'folder'`` for what lies beside the images; None
            for the set's default (see :func:`~madnet.datasets.selection.select`).
        pipeline: Transforms.
        base_size: (Height, width), or one number, at which the published networks take this set; None for the
            catalogue's, where the set is known.
        allow_partial: Accept a training part of which only some images are there; None: for SIRST-AUG only.
        exclude_near_test: Leave out the training images that nearly show a test image, as the catalogue lists
            them for the split set, or as they are measured where it does not know the set (see
            :func:`~madnet.datasets.duplicates.find_near_duplicates`): for weights that others will test.
        value_range: (low, high) grey values that become 0 and 255, for sensors that do not use the whole
            range of their type; ``'auto'`` for percentiles, measured once over training images; None
            for what the pipeline's ``LoadSIRSTImage`` says, or else the set's ``dataset.json``; ``'type'``
            for none, whatever ``dataset.json`` says.
        mask_values: The stored value of the background in masks, then those of targets, such as (0, 1); None
            for what the pipeline's ``LoadSIRSTMask`` says, by default grey values above 127.
        seed: Of the augmentations (see :class:`~madnet.datasets.seeding.SeededSamples`).
        cache: Keep decoded images and masks in memory (read at once, shared with forked workers).
        indices: The first N images, or these.
        test_mode, lazy_init, metainfo: As in mmengine's ``BaseDataset``.

    When it is opened, all masks are read (what they hold is kept in the user's cache), so that what is wrong
    is said then: see :func:`~madnet.datasets.checks.look_at`.

    Raises:
        UserError: No split is named; the set is not found, not whole, or its lists overlap; masks do not fit
            their images or their rule; one line says what to do.
    """

    def __init__(
        self,
        data_root: str | os.PathLike | None = None,
        split: str | None = None,
        name: str | None = None,
        split_set: str | None = None,
        pipeline: Sequence[dict | Callable] = (),
        base_size: int | tuple[int, int] | None = None,
        allow_partial: bool | None = None,
        exclude_near_test: bool = False,
        value_range: ValueRange = None,
        mask_values: Sequence[int] | None = None,
        seed: int = 0,
        cache: bool = False,
        indices: int | Sequence[int] | None = None,
        test_mode: bool = False,
        lazy_init: bool = False,
        metainfo: dict | None = None,
    ):
        self.split = check_split_name(split)
        self.folder, self.entry, self.dataset_name = locate(data_root, name)
        self.split_set = self._given_lists = split_set
        if base_size is None and self.entry:
            base_size = self.entry.base_size
        self.base_size = sides_of('base_size', base_size)
        self.allow_partial = allow_partial
        self.exclude_near_test = exclude_near_test
        self.value_range = check_value_range(value_range, 'SIRSTDataset: value_range')
        self._by_type = value_range == BY_TYPE
        self.mask_rule = MaskRule(mask_values)
        self._bit_depth = 16
        self.cache = cache
        self._decoded: list[tuple[np.ndarray, np.ndarray]] = []
        super().__init__(
            pipeline,
            seed,
            data_root=str(self.folder.root),
            indices=indices,
            test_mode=test_mode,
            lazy_init=lazy_init,
            metainfo=metainfo,
        )

    def contents(self) -> Contents:
        """What its files hold."""
        return Contents.of([*map(self.get_data_info, range(len(self)))])

    def describe(self) -> dict:
        """As of :class:`TargetDataset`, with ``images_sha256`` and ``masks_sha256`` of what files hold."""
        return {**super().describe(), **self.contents().digests()}

    def _select(self, split: str) -> Selection:
        return select(self.folder, self.entry, self.dataset_name, split, self.split_set, self.allow_partial)

    def load_data_list(self) -> list[dict]:
        selection = self._select(self.split)
        self.split_set = selection.split_set
        self._take_from_loaders()
        left_out = self._near_test() if self.exclude_near_test else ()
        common = {'dataset_name': self.dataset_name, 'label_map': self.label_map, 'reduce_zero_label': False}
        common['mask_rule'] = self.mask_rule
        if self.value_range is not None:
            common['value_range'] = self.value_range
        if self.base_size:
            common['base_size'] = tuple(self.base_size)
        return [
            {'img_id': i, 'img_path': str(p.image), 'seg_map_path': str(p.mask), 'seg_fields': [], **common}
            for i, p in selection.pairs
            if i not in left_out
        ]

    def _take_from_loaders(self) -> None:
        """What the pipeline's loaders say of grey values and masks holds for all that reads this set."""
        for step in self.pipeline.transforms:
            if isinstance(step, LoadSIRSTImage):
                self._bit_depth = step.bit_depth
            if isinstance(step, LoadSIRSTImage) and step.value_range is not None:
                if self.value_range not in (None, step.value_range):
                    raise UserError(
                        f'{self.dataset_name}: value_range {self.value_range}, but LoadSIRSTImage has '
                        f'{step.value_range}; give one of them.'
                    )
                self.value_range = step.value_range
            if isinstance(step, LoadSIRSTMask) and not step.rule.is_default:
                if not self.mask_rule.is_default and self.mask_rule != step.rule:
                    raise UserError(
                        f'{self.dataset_name}: mask_values {self.mask_rule.values}, but LoadSIRSTMask has '
                        f'another rule, {step!r}; give one of them.'
                    )
                self.mask_rule = step.rule
        if self.value_range is None and not self._by_type:
            self.value_range = range_of_set(self.folder.root)
        others = [s for s in self.pipeline.transforms if isinstance(s, LoadImageFromFile)]
        if self.value_range is not None and others:
            raise UserError(
                f'{self.dataset_name}: has the value range {self.value_range}, found a pipeline with '
                f'{type(others[0]).__name__}, which does not apply it; expected LoadSIRSTImage.'
            )
        if self.value_range == 'auto':
            self.value_range = self.measured_range()

    def measured_range(self) -> tuple[float, float]:
        """One range for all parts of the folder, from images evenly spread over its training part, or over
        all where it has none, or none of it is here.

        Raises:
            UserError: ``split_set`` names no lists, or an image holds NaN.
        """
        try:
            found = select(
                self.folder, self.entry, self.dataset_name, 'trainval', self._given_lists, allow_partial=True
            )
            files, where = [pair.image for _, pair in sorted(found.pairs)], 'training images'
        except (NoSuchPart, NotHere):
            parts = self.folder.pairs.values()
            files, where = [pair.image for part in parts for _, pair in sorted(part.items())], 'images'
        chosen = files[:: max(1, len(files) // _MEASURED)]
        low, high = measure_range(map(_read_finite, chosen), chosen)
        say_once(
            f"{self.dataset_name}: value_range='auto' is ({low:g}, {high:g}), by {len(chosen)} of its "
            f'{where}.'
        )
        return low, high

    def _near_test(self) -> frozenset[str]:
        if self.entry is None:
            return self._measured_near_test()
        record = self.entry.split_sets.get(self.split_set or '')
        if record is None or record.near_test is None:
            raise UserError(
                f'{self.dataset_name}: exclude_near_test=True, but the catalogue lists no near-duplicates '
                f'for split_set {self.split_set!r}; find them with madnet.datasets.find_near_duplicates and '
                'give the others as indices, or leave the option out.'
            )
        return frozenset(record.near_test if self.split != 'test' else ())

    def _measured_near_test(self) -> frozenset[str]:
        """The images of this part, of a set that the catalogue does not know, that nearly show a test
        image. Test images that are not at hand cannot be compared, which a line says."""
        tested = {}
        try:
            tested = {str(pair.image): i for i, pair in self._select('test').pairs}
        except NoSuchPart:
            pass
        except UserError as e:
            say_once(f'{self.dataset_name}: images that nearly show a test image were not looked for: {e}')
        images = {str(pair.image): i for i, pair in self._select(self.split).pairs}
        images = {path: i for path, i in images.items() if path not in tested}
        ids = [*images.values()]

        def measure() -> dict[str, list[str]]:
            pairs = find_near_duplicates(map(_read_finite, images), map(_read_finite, tested))
            return {'near': sorted({ids[k] for k, *_ in pairs})}

        near = kept('near_test', (len(images), 1), [*images, *tested], measure)[0]['near']
        if near:
            say_once(
                f'{self.dataset_name}, {self.split}: {len(near)} of {len(images)} images nearly show a test '
                f'image and are left out ({few(near)}).'
            )
        return frozenset(near)

    def full_init(self) -> None:
        if self._fully_initialized:
            return
        super().full_init()
        files = [self.get_data_info(i) for i in range(len(self))]
        pairs = [(info['img_path'], info['seg_map_path']) for info in files]
        where = f'{self.dataset_name}, {self.split}'
        #: What the masks and images hold; see :class:`~madnet.datasets.checks.DatasetFacts`.
        self.facts = look_at(where, pairs, self.mask_rule, self.value_range, self._bit_depth)
        every = [(p.image, p.mask) for part in self.folder.pairs.values() for p in part.values()]
        say_what_is_skipped(str(self.folder.root), every)
        if self.cache and not self._decoded:
            with ThreadPoolExecutor() as pool:
                self._decoded = list(pool.map(self.read_sample, range(len(self))))

    def read_sample(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if self._decoded:
            return self._decoded[index]
        info = self.get_data_info(index)
        mask = read_mask(info['seg_map_path'], self.mask_rule, strict=False)
        return read_image(info['img_path']), mask

    def prepare_data(self, idx: int) -> dict:
        info = {**self.get_data_info(idx), 'epoch': self.epoch}
        if self._decoded:
            info['decoded_image'], info['decoded_mask'] = self._decoded[idx]
        return self.pipeline(info)


def dataset_of(settings: Mapping[str, Any], **changes: Any) -> SIRSTDataset:
    """Open the images of a data set that a resolved config names, without its pipeline.

    Args:
        settings: The dict of a :class:`SIRSTDataset`.
        changes: Arguments beside those of the config that say which images there are and how they are read,
            or instead of them.

    Raises:
        UserError: As of :class:`SIRSTDataset`.
    """
    return SIRSTDataset(**{**{key: settings[key] for key in _KEYS if key in settings}, **changes})


def _read_finite(path: str | os.PathLike) -> np.ndarray:
    """An image to be measured; refused by its name where it holds NaN or infinity."""
    return finite(read_image(path), path)
