"""The sampler of a training that can go on in the middle of an epoch."""

from mmengine.dataset import DefaultSampler
from mmseg.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class ResumableSampler(DefaultSampler):
    """mmengine's sampler, whose next pass can start at a later sample.

    Attributes:
        skip: Samples of this process that the next pass leaves out, once.
    """

    skip = 0

    def __iter__(self):
        indices = list(super().__iter__())[self.skip :]
        self.skip = 0
        return iter(indices)
