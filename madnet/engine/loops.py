"""The training loop: mmengine's, which can also stop and go on in the middle of an epoch."""

from mmengine.runner import EpochBasedTrainLoop
from mmseg.registry import LOOPS

from madnet.engine.optim.schedulers import longer_than_run
from madnet.engine.random_state import get_random_state, preserved_random_state, set_random_state
from madnet.engine.resumable_sampler import ResumableSampler


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """Epochs as in mmengine, with four additions that exact resuming needs.

    * A checkpoint may lie inside an epoch: the batches that it has seen are skipped, not loaded.
    * Hooks may have a method ``between_train_iters(runner)``, called when a batch has been counted.
    * The random state of the checkpoint comes back just before the first batch.
    * Neither validation nor starting a data loader touches the random state, so that training is the same
      however often it validates or is resumed.

    Attributes:
        resumed_random_state: Set by whoever loads a checkpoint; used once.
        validation_due: The checkpoint was written after an epoch's last batch, before its validation.
        state_to_save: The random state that training goes on with, while the generators serve something else.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.resumed_random_state: dict | None = None
        self.validation_due = False
        self.state_to_save: dict | None = None

    def training_random_state(self) -> dict:
        """The random state that training goes on with; asked for inside a validation, the one before it."""
        return self.state_to_save or get_random_state()

    def run(self):
        """Train from the current epoch (and batch) to the last one.

        Whatever ends it, hooks that have a method ``run_ended(runner)`` are called.
        """
        self._tell_what_is_too_long()
        try:
            return self._run()
        finally:
            self.runner.call_hook('run_ended')

    def _run(self):
        self.runner.call_hook('before_train')
        if self.validation_due:
            self._restore_random_state()
            self._validate()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._decide_current_val_interval()
            if self.validates_after(self._epoch):
                self._validate()
        self.runner.call_hook('after_train')
        return self.runner.model

    def _tell_what_is_too_long(self) -> None:
        schedulers = self.runner.param_schedulers or []
        if isinstance(schedulers, dict):
            schedulers = [each for several in schedulers.values() for each in several]
        for line in longer_than_run(schedulers, self._max_epochs, len(self.dataloader)):
            self.runner.logger.warning(line)

    def validates_after(self, epoch: int) -> bool:
        """Whether the ``epoch``-th epoch (from 1) is followed by a validation."""
        return (
            self.runner.val_loop is not None
            and epoch >= self.val_begin
            and (epoch % self.val_interval == 0 or epoch == self._max_epochs)
        )

    def run_epoch(self) -> None:
        """Train one epoch, or what a resumed checkpoint left of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done = self._iter - self._epoch * len(self.dataloader)
        if done:
            sampler = self.dataloader.sampler
            if not isinstance(sampler, ResumableSampler):
                raise TypeError(
                    f'resuming inside an epoch needs a ResumableSampler, found {type(sampler).__name__}'
                )
            sampler.skip = done * self.dataloader.batch_size
        with preserved_random_state():
            batches = iter(self.dataloader)
        self._restore_random_state()
        for idx, data_batch in enumerate(batches, start=done):
            self.run_iter(idx, data_batch)
            self.runner.call_hook('between_train_iters')
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _validate(self) -> None:
        self.validation_due = True
        self.state_to_save = get_random_state()
        with preserved_random_state():
            self.runner.val_loop.run()
        self.state_to_save = None
        self.validation_due = False

    def _restore_random_state(self) -> None:
        if self.resumed_random_state is not None:
            set_random_state(self.resumed_random_state)
            self.resumed_random_state = None
