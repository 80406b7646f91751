"""Says to the model and to the training data which epoch it is."""

from mmengine.hooks import Hook
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

    The data sets get the run's seed as well (``seed``), and augment by seed and epoch alone.
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

    def _set(self, runner, epoch: int) -> None:
        modules = [m for m in runner.model.modules() if hasattr(m, 'set_epoch')]
        for each in [*modules, *self._datasets(runner)]:
            each.set_epoch(epoch, runner.max_epochs)

    @staticmethod
    def _datasets(runner) -> list:
        return [d for d in inner_datasets(runner.train_dataloader.dataset) if hasattr(d, 'set_epoch')]
