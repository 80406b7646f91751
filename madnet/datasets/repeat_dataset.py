"""mmengine's RepeatDataset, whose passes are not alike."""

from typing import Any

from mmengine.dataset import RepeatDataset as MMEngineRepeatDataset
from mmseg.registry import DATASETS

from madnet.datasets.wrappers import inner_datasets


@DATASETS.register_module()
class RepeatDataset(MMEngineRepeatDataset):
    """``times`` passes over a data set in one epoch, each with augmentations of its own."""

    repeat = 0  # of this one, inside another

    def __getitem__(self, index: int) -> Any:
        self.full_init()
        number = self.repeat * self.times + index // self._ori_len
        for each in (
            [self.dataset] if isinstance(self.dataset, RepeatDataset) else inner_datasets(self.dataset)
        ):
            each.repeat = number
        return super().__getitem__(index)
