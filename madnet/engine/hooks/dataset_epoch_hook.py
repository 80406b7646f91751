"""Tells the training set which epoch it is in."""

from mmengine.hooks import Hook
from mmseg.registry import HOOKS

#: Between the seeds of sets that are trained on together; larger than usual distances of users' seeds.
_STRIDE = 1_000_003


@HOOKS.register_module()
class DatasetEpochHook(Hook):
    """Passes the run's seed and the epoch to the training set, whose augmentations depend on nothing else."""

    def before_train(self, runner) -> None:
        """Pass the seed, before any worker process starts."""
        for k, dataset in enumerate(_parts(runner.train_dataloader.dataset)):
            # Of several sets, the images of one number do not share their crops and flips.
            dataset.seed = runner.seed + k * _STRIDE

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
