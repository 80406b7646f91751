"""Ctrl-C, SIGTERM, SIGHUP, and batches that do not come: save, and leave."""

import signal
import time

from mmengine.dist import is_main_process
from mmengine.hooks import EMAHook, Hook
from mmseg.registry import HOOKS

from madnet.engine.hooks.safe_checkpoint_hook import SafeCheckpointHook
from madnet.engine.random_state import get_random_state
from madnet.engine.training_stopped import TrainingStopped
from madnet.engine.watch import Watch, say, why_nothing_comes
from madnet.errors import RunFailed


@HOOKS.register_module()
class StopSignalHook(Hook):
    """Saves ``last.pth`` where training stands, between two batches, when the process is asked to stop.

    A second signal stops at once, without saving. Resuming goes on at the very next batch. SIGHUP, which a
    closed terminal sends, counts too unless it is ignored, as under nohup.

    Where no batch comes any more, nothing waits forever: after the signal's line training is saved by force
    when ``patience`` seconds have passed without a batch; and without a signal it is saved and ends after the
    config's ``loader_timeout`` (seconds, 120 by default, None for never) with what is likely to be wrong. So
    it does, unsaved, where several processes train and a step takes that much longer than any before: one of
    the others has been stopped.

    Args:
        patience: Seconds.
    """

    priority = 'LOWEST'

    def __init__(self, patience: float = 30.0):
        self.patience = patience
        self._asked: str | None = None
        self._asked_at = 0.0
        self._former: dict = {}
        self._watch: Watch | None = None
        self._random_state: dict | None = None
        self._begun: float | None = None
        self._longest = 0.0

    def before_train(self, runner) -> None:
        """Listen, and watch."""
        self._begin_to_watch(runner)
        try:
            for name in ('SIGINT', 'SIGTERM', 'SIGHUP'):
                number = getattr(signal, name, None)
                if number is None or (name == 'SIGHUP' and signal.getsignal(number) == signal.SIG_IGN):
                    continue
                self._former[number] = signal.signal(number, self._on_signal)
        except ValueError:  # not in the main thread: whoever embeds the training handles signals
            self._former.clear()

    def _begin_to_watch(self, runner) -> None:
        self._runner = runner
        self._timeout = runner.cfg.get('loader_timeout', 120)
        if self._watch is None and hasattr(signal, 'SIGALRM'):
            try:
                self._watch = Watch(self._due, {RunFailed: 1, TrainingStopped: 130})
            except ValueError:  # not in the main thread
                self._watch = None

    def run_ended(self, runner) -> None:
        """Stop listening and watching (the training loop and our runner call this, whatever ends a run)."""
        self.restore()
        if self._watch is not None:
            self._watch.end()
            self._watch = None

    def after_run(self, runner) -> None:
        """Leave if asked to after the last batch: the next training of a caller is not to begin."""
        if self._asked:
            raise TrainingStopped(
                f'{self._asked}: the training has ended; its last epoch is in {runner.work_dir}/last.pth.'
            )

    def restore(self) -> None:
        """Give the signals back to whoever handled them before."""
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former.clear()

    def _on_signal(self, number, frame) -> None:
        self._asked, self._asked_at = signal.Signals(number).name, time.monotonic()
        self.restore()
        if is_main_process():
            say(f'{self._asked}: saves and stops after this batch; once more stops at once, without saving.')

    def _waits(self) -> None:
        if self._watch is None:
            return
        loop = self._runner._train_loop
        if loop is not None and self._runner.train_dataloader.num_workers == 0:
            # an image that does not come may have moved the generators before it is drawn again
            self._random_state = loop.resumed_random_state or get_random_state()
        self._watch.waits()

    def _works(self) -> None:
        if self._watch is not None:
            self._watch.works()

    def before_train_epoch(self, runner) -> None:
        """The first batch is waited for."""
        self._waits()

    before_val_epoch = before_test_epoch = before_train_epoch

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """A batch has come."""
        self._works()
        self._begun = time.monotonic()

    def between_train_iters(self, runner) -> None:
        """Leave if asked to (:class:`madnet.engine.loops.ResumableTrainLoop` calls this)."""
        if self._begun is not None:
            self._longest = max(self._longest, time.monotonic() - self._begun)
            self._begun = None
        if self._asked:
            self._leave(runner)
        if runner.iter % len(runner.train_dataloader):
            self._waits()

    def before_val_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """A batch has come."""
        self._works()

    before_test_iter = before_val_iter

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Leave if asked to; the resumed run begins with this validation."""
        if self._asked:
            self._leave(runner)
        if not self.end_of_epoch(runner.val_dataloader, batch_idx):
            self._waits()

    def test_begins(self, runner) -> None:
        """Watch (:class:`madnet.engine.runner.MadnetRunner` calls this)."""
        self._begin_to_watch(runner)

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """The next one is waited for, if there is one."""
        if not self.end_of_epoch(runner.test_dataloader, batch_idx):
            self._waits()

    def _leave(self, runner) -> None:
        self._save(runner)
        raise self._stopped(runner)

    def _stopped(self, runner) -> TrainingStopped:
        return TrainingStopped(
            f'{self._asked}: saved at epoch {runner.epoch}, iteration {runner.iter} in '
            f'{runner.work_dir}/last.pth; go on with --resume.'
        )

    @staticmethod
    def _save(runner) -> None:
        if getattr(runner.train_loop, 'validation_due', False):
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.after_val_epoch(runner)  # puts the weights as trained back
        saver = next(h for h in runner.hooks if isinstance(h, SafeCheckpointHook))
        saver.save_now(runner, runner.epoch)

    def _due(self, state: str, seconds: float) -> Exception | None:
        """The error that is to end the run; called by the watching thread."""
        runner = self._runner
        if state == 'works':
            return self._others_are_due(seconds)
        if self._asked and min(seconds, time.monotonic() - self._asked_at) > self.patience:
            return self._saved_by_force(self._stopped(runner))
        if self._timeout is not None and seconds > self._timeout:
            said = f'no batch has come for {seconds:.0f} s: {why_nothing_comes()}.'
            if runner._train_loop is None:
                return RunFailed(said)
            return self._saved_by_force(RunFailed(f'{said} Then go on with --resume.'))
        return None

    def _others_are_due(self, seconds: float) -> Exception | None:
        limits = [self._timeout] if self._timeout is not None else []
        limits += [self.patience] if self._asked else []
        # the first step may compile for minutes
        in_a_later_step = self._begun is not None and self._longest > 0
        if self._runner.world_size == 1 or not in_a_later_step or not limits:
            return None
        if seconds <= min(limits) + 10 * self._longest:
            return None
        return RunFailed(
            f'epoch {self._runner.epoch}, iteration {self._runner.iter}: a step has lasted {seconds:.0f} s; '
            f'another of the {self._runner.world_size} processes is likely to be stopped or cut off. See to '
            'it, then go on with --resume.'
        )

    def _saved_by_force(self, error: Exception) -> Exception:
        loop = self._runner.train_loop
        if not loop.validation_due:
            loop.state_to_save = self._random_state
        try:
            self._save(self._runner)
        except Exception as e:  # whatever it is, the run ends with a line
            return RunFailed(f'{self._asked or error}: not saved: {e}')
        return error
