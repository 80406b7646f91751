"""Says to the model and to the training data which epoch it is."""

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop
from mmseg.registry import HOOKS

from madnet.datasets.wrappers import inner_datasets

#: Between the seeds of data sets that are trained on together; larger than usual distances of users' seeds.
_STRIDE = 1_000_003


@HOOKS.register_module()
class EpochHook(Hook):
    """Calls ``set_epoch(epoch, max_epochs)`` where it exists, before each epoch of training.

    Every module of the model is asked for that method, losses included, and every data set that is trained
    on, inside wrappers too. ``epoch`` counts from 0. It is also called before training starts, so that a run
    that goes on inside an epoch, or with the validation of one, is in the same state as one that was never
    stopped. No component asks for the epoch in another way.

    The data sets get the run's seed as well (``seed``), and augment by seed and epoch alone. Where mmengine's
    loop counts iterations, as many as there are batches are an epoch for the modules, and data sets are not
    told, since their loader is ahead: they count visits.
    """

    def before_train(self, runner) -> None:
        """Pass the seed, before any worker process starts, and the epoch of a resumed run."""
        for k, dataset in enumerate(self._datasets(runner)):
            # One seed for all would give images of one number in two sets the same crops and flips.
            dataset.seed = runner.seed + k * _STRIDE
        # A validation that is due belongs to the epoch before.
        self._set(runner, runner.epoch - getattr(runner.train_loop, 'validation_due', False))

    def before_train_epoch(self, runner) -> None:
        """Pass the epoch that begins."""
        self._set(runner, runner.epoch)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Pass the epoch where a loop that counts iterations has come to the next."""
        if self._counts_iterations(runner) and runner.iter % _batches(runner) == 0:
            self._set(runner, runner.epoch)

    @staticmethod
    def _counts_iterations(runner) -> bool:
        return isinstance(runner.train_loop, IterBasedTrainLoop)

    def _set(self, runner, epoch: int) -> None:
        told = [m for m in runner.model.modules() if hasattr(m, 'set_epoch')]
        last = runner.max_epochs
        if self._counts_iterations(runner):
            batches = _batches(runner)
            epoch, last = runner.iter // batches, -(-runner.max_iters // batches)
        else:
            told += self._datasets(runner)
        for each in told:
            each.set_epoch(epoch, last)

    @staticmethod
    def _datasets(runner) -> list:
        return [d for d in inner_datasets(runner.train_dataloader.dataset) if hasattr(d, 'set_epoch')]


def _batches(runner) -> int:
    """Batches of this process in a pass over the data, of a loader that may never end."""
    loader = runner.train_dataloader
    # the length of an endless sampler is that of the data set, of which each process takes its share
    share = get_world_size() if isinstance(loader.sampler, InfiniteSampler) else 1
    return max(1, len(loader) // share)
