"""mmengine's RepeatDataset, whose passes are not alike."""

from typing import Any

from mmengine.dataset import RepeatDataset as MMEngineRepeatDataset
from mmseg.registry import DATASETS

from madnet.datasets.wrappers import inner_datasets


@DATASETS.register_module()
class RepeatDataset(MMEngineRepeatDataset):
    """``times`` passes over a data set in one epoch, each with augmentations of its own."""

    def __getitem__(self, index: int) -> Any:
        for each in inner_datasets(self.dataset):
            each.repeat = index // self._ori_len
        return super().__getitem__(index)
