"""A dataset that needs no data: synthetic scenes, made as they are asked for."""

from collections.abc import Callable, Sequence

import numpy as np
from mmseg.registry import DATASETS

from madnet.errors import UserError, expect_whole
from madnet.evaluation.rules import half

from .catalogue import check_split_name
from .scenes import VERSION, synth_scene
from .sirst_dataset import TargetDataset
from .splits import ids_sha256

#: The splits draw from streams that never meet.
_FIRST_INDEX = {'train': 0, 'val': 10**9, 'test': 2 * 10**9}


@DATASETS.register_module()
class SyntheticSIRSTDataset(TargetDataset):
    """Scenes of :func:`~madnet.datasets.scenes.synth_scene`, deterministic in (seed, split, index).

    Gives the pipeline ``img`` (H, W, 1) uint8, ``gt_mask`` (H, W) of 0 and 255 and ``gt_seg_map`` (H, W) of 0
    and 1, as if they were loaded; the loading transforms may stand in the pipeline (``LoadSIRSTImage`` sets
    the number of channels) or be left out. Metainfo ``scene`` names the background.

    Args:
        length: Number of scenes.
        size: Height and width in pixels, or one number for both; at least 48.
        seed: Of the scenes, and of the augmentations until ``dataset.seed`` is set to another.
        split: ``train``, ``val`` or ``test``: other scenes each; there is no default.
        pipeline: Transforms.
        fresh: New scenes in every epoch, for training: no scene is seen twice.
        test_mode, lazy_init, metainfo: As in mmengine's ``BaseDataset``.

    Raises:
        UserError: No split or another one, no scenes, or scenes that are too small.
    """

    dataset_name = 'synthetic'

    def __init__(
        self,
        length: int = 1000,
        size: int | tuple[int, int] = 256,
        seed: int = 0,
        split: str | None = None,
        pipeline: Sequence[dict | Callable] = (),
        fresh: bool = False,
        test_mode: bool = False,
        lazy_init: bool = False,
        metainfo: dict | None = None,
    ):
        split = check_split_name(split, _FIRST_INDEX)
        height, width = (size, size) if isinstance(size, int) else size
        self.size = height, width
        if min(self.size) < 48:
            raise UserError(f'SyntheticSIRSTDataset.size: found {size!r}, expected 48 × 48 pixels or more.')
        self.length = expect_whole(length, 'SyntheticSIRSTDataset.length', least=1)
        self.split = split
        self.fresh = fresh
        self.scene_seed = int(seed)
        super().__init__(pipeline, seed, test_mode=test_mode, lazy_init=lazy_init, metainfo=metainfo)

    def load_data_list(self) -> list[dict]:
        common = {
            'dataset_name': self.dataset_name,
            'label_map': self.label_map,
            'reduce_zero_label': False,
            'base_size': self.size,
            'img_shape': self.size,
            'ori_shape': self.size,
        }
        names = (f'{self.split}_{i:06d}' for i in range(self.length))
        return [{'img_path': f'synthetic/{name}', 'img_id': name, **common} for name in names]

    @property
    def split_sha256(self) -> str:
        """Hash of the ids, the seed, the size and the version of the scenes."""
        return ids_sha256(f'{VERSION} {self.scene_seed} {self.size} {i}' for i in self.image_ids)

    def scene(self, index: int):
        """The :class:`~madnet.datasets.scenes.Scene` at an index, in this epoch."""
        number = index + self.pass_number * self.length if self.fresh else index
        return synth_scene(self.scene_seed, _FIRST_INDEX[self.split] + number, self.size)

    def read_sample(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        scene = self.scene(index)
        return scene.image, scene.mask

    def prepare_data(self, idx: int) -> dict:
        scene = self.scene(idx)
        info = {**self.get_data_info(idx), 'epoch': self.epoch, 'img': scene.image[..., None]}
        info |= {'gt_mask': scene.mask, 'gt_seg_map': half(scene.mask).astype(np.uint8), 'scene': scene.kind}
        return self.pipeline({**info, 'seg_fields': ['gt_seg_map', 'gt_mask']})
