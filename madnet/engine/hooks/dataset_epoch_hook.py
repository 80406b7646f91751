"""Tells the training set which epoch it is in."""

from mmengine.hooks import Hook
from mmseg.registry import HOOKS


@HOOKS.register_module()
class DatasetEpochHook(Hook):
    """Passes the run's seed and the epoch to the training set, whose augmentations depend on nothing else."""

    def before_train(self, runner) -> None:
        """Pass the seed, before any worker process starts."""
        for dataset in _parts(runner.train_dataloader.dataset):
            dataset.seed = runner.seed

    def before_train_epoch(self, runner) -> None:
        """Pass the epoch."""
        for dataset in _parts(runner.train_dataloader.dataset):
            dataset.set_epoch(runner.epoch)


def _parts(dataset) -> list:
    """The sets with a seed of their own inside mmengine's wrappers (concatenated, repeated)."""
    if hasattr(dataset, 'set_epoch'):
        return [dataset]
    inner = getattr(dataset, 'datasets', None) or ([dataset.dataset] if hasattr(dataset, 'dataset') else [])
    return [part for d in inner for part in _parts(d)]
