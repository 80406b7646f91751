"""The training loop: mmengine's, which can also stop and go on in the middle of an epoch."""

import bisect
import itertools
import math
import time
from functools import cached_property

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import broadcast, get_world_size
from mmengine.runner import EpochBasedTrainLoop
from mmseg.registry import LOOPS

from madnet.engine.captured_step import CapturedStep
from madnet.engine.eager_step import EagerStep
from madnet.engine.optim.schedulers import longer_than_run
from madnet.engine.random_state import get_random_state, preserved_random_state, set_random_state
from madnet.engine.resumable_sampler import ResumableSampler
from madnet.engine.speed import tuning_for
from madnet.engine.time_budget import TimeBudget
from madnet.engine.training_step import training_step
from madnet.errors import UserError, expect_number


@LOOPS.register_module()
class ResumableTrainLoop(EpochBasedTrainLoop):
    """Epochs as in mmengine, with four additions that exact resuming needs, or minutes instead of epochs.

    * A checkpoint may lie inside an epoch: the batches that it has seen are skipped, not loaded.
    * Hooks may have methods ``between_train_iters(runner)``, called when a batch has been counted, and
      ``epoch_ended(runner)``, called when all hooks are done with an epoch and its validation.
    * The random state of the checkpoint comes back just before the first batch.
    * Neither validation nor starting a data loader touches the random state, so that training is the same
      however often it validates or is resumed.

    Attributes:
        resumed_random_state: Set by whoever loads a checkpoint; used once.
        validation_due: The epoch whose last batch is behind is to be validated, or is being so; decided once,
            before ``after_train_epoch``, and kept in checkpoints.
        state_to_save: The random state that training goes on with, while the generators serve something else.
        budget: What is spent of the minutes; None without.
        planned_epochs: The config's ``max_epochs``.

    Raises:
        UserError: ``minutes`` is not a positive number, or the sampler never ends.
    """

    def __init__(self, *args, minutes: float | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        if isinstance(self.dataloader.sampler, InfiniteSampler):
            raise UserError(
                'train_dataloader.sampler: found InfiniteSampler, of which an epoch never ends, expected '
                'ResumableSampler.'
            )
        if minutes is not None:
            expect_number(minutes, 'train_cfg.minutes', above=0, below=math.inf)
        self.budget = None if minutes is None else TimeBudget(minutes)
        self.planned_epochs = self._max_epochs
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
        self.step  # noqa: B018  (made before hooks get ready, some of which ask for it)
        if self.budget is not None:
            # gradients are accumulated as if there were no last step, since nobody knows which that will be
            self.runner.optim_wrapper.initialize_count_status(self.runner.model, self._iter, -1)
        self.runner.call_hook('before_train')
        if self.validation_due:
            self._restore_random_state()
            self._end_epoch()
        elif self.budget and self.runner.val_loop is not None and not self.budget.over:
            self._time_validation(self.budget)
        while self.goes_on():
            self.run_epoch()
            self._end_epoch()
        self.runner.call_hook('after_train')
        return self.runner.model

    @property
    def stopped_early(self) -> str | None:
        """Where a hook has ended the training before its epochs or minutes were over, in words; else None."""
        if not self.stop_training or self._in_an_epoch:
            return None
        if self.budget is None:
            return f'at epoch {self._epoch} of {self._max_epochs}' if self._epoch < self._max_epochs else None
        minutes = f'{self.budget.minutes:g} min'
        return None if self.budget.over else f'at epoch {self._epoch}, before {minutes} were over'

    @property
    def _in_an_epoch(self) -> bool:
        return self._iter > self._epoch * len(self.dataloader)

    def goes_on(self) -> bool:
        """Whether an epoch is left to train; one that was begun is, whatever a hook has said in it."""
        ended = self.stop_training and not self._in_an_epoch
        if self.budget is None:
            return self._epoch < self._max_epochs and not ended
        self.budget.look(again=True)  # loaders start, and hooks begin an epoch
        if self.budget.over or ended:
            return False
        self._estimate_epochs(self.budget)
        return True

    def _estimate_epochs(self, budget: TimeBudget) -> None:
        """For what is shown: epochs to come at the pace so far."""
        done = self._iter / len(self.dataloader)
        if done and budget.share:
            self._expect_epochs(max(self._epoch + 1, round(done / budget.share)))

    def _expect_epochs(self, number: int) -> None:
        self._max_epochs = number
        self._max_iters = number * len(self.dataloader)

    def _tell_what_is_too_long(self) -> None:
        schedulers = self.runner.param_schedulers or ()
        for line in longer_than_run(schedulers, self._max_epochs, len(self.dataloader)):
            self.runner.logger.warning(line)

    def _validates_after(self, epoch: int) -> bool:
        """Whether the ``epoch``-th epoch (from 1) is followed by a validation."""
        if self.runner.val_loop is None:
            return False
        if self.budget is not None and self.budget.over:
            return True
        # mmengine's interval, with which it goes by the epoch that comes next
        self.val_interval = self.dynamic_intervals[bisect.bisect(self.dynamic_milestones, epoch + 1) - 1]
        last = epoch == self._max_epochs or self.stop_training
        due = epoch >= self.val_begin and (epoch % self.val_interval == 0 or last)
        return due and (self.budget is None or self.budget.has_room_for_a_validation())

    def run_epoch(self) -> None:
        """Train one epoch, or what a resumed checkpoint left of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done = self._iter - self._epoch * len(self.dataloader)
        if done:
            sampler = self.dataloader.sampler
            if not isinstance(sampler, ResumableSampler):
                raise UserError(
                    f'--resume: train_dataloader.sampler: found {type(sampler).__name__}, expected '
                    'ResumableSampler, which draws as DefaultSampler does: the run stopped inside an epoch.'
                )
            sampler.skip = done * self.dataloader.batch_size
        with preserved_random_state():
            batches = iter(self.dataloader)
        self._restore_random_state()
        for idx, data_batch in enumerate(batches, start=done):
            self.run_iter(idx, data_batch)
            self.runner.call_hook('between_train_iters')
            if self.budget is not None and not self.budget.has_room_for_a_step():
                self.budget.over = True
                self._expect_epochs(self._epoch + 1)
                break
        self.validation_due = self._validates_after(self._epoch + 1)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: dict) -> None:
        """Train on one batch, and look at the clock before the schedule moves."""
        self.runner.call_hook('before_train_iter', batch_idx=idx, data_batch=data_batch)
        outputs = self.step(data_batch)
        if self.budget is not None:
            self.budget.step_ended()
        self.runner.call_hook('after_train_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs)
        self._iter += 1
        if self.budget is not None and self._epoch == 0:  # from then on after each epoch
            self._estimate_epochs(self.budget)

    @cached_property
    def step(self) -> EagerStep | CapturedStep:
        """What trains on a batch."""
        return training_step(self.runner)

    def _end_epoch(self) -> None:
        if self.validation_due:
            self._validate()
        self.runner.call_hook('epoch_ended')

    def _validate(self) -> None:
        self._share_buffers()
        self.state_to_save = get_random_state()
        began = time.monotonic()
        with preserved_random_state(), tuning_for(self.runner.val_dataloader.dataset):
            self.runner.val_loop.run()
        if self.budget is not None:
            self.budget.has_validated(time.monotonic() - began)
        self.state_to_save = None
        self.validation_due = False

    def _share_buffers(self) -> None:
        """Validate every process's part with the first one's statistics of normalisation, which are the ones
        that are saved; each has its own while training."""
        if get_world_size() == 1:
            return
        averages = (hook.ema_model for hook in self.runner.hooks if hasattr(hook, 'ema_model'))
        for model in (self.runner.model, *averages):
            for buffer in model.buffers():
                broadcast(buffer)

    def _time_validation(self, budget: TimeBudget) -> None:
        """Try a few batches, to know how long before its end training has to stop."""
        model, loader = self.runner.model, self.runner.val_dataloader
        model.eval()
        seconds: list[float] = []
        with preserved_random_state(), torch.no_grad(), tuning_for(loader.dataset):
            for batch in itertools.islice(loader, 6):
                began = time.monotonic()
                model.val_step(batch)
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                seconds.append(time.monotonic() - began)
                if sum(seconds) > 0.01 * 60 * budget.minutes:
                    break
        measured = seconds[1:] or seconds  # the first one tunes
        budget.expect_validation(len(loader) * sum(measured) / len(measured))

    def _restore_random_state(self) -> None:
        if self.resumed_random_state is not None:
            set_random_state(self.resumed_random_state)
            self.resumed_random_state = None
