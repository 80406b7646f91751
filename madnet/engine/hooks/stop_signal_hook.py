"""Ctrl-C and SIGTERM: save, and leave."""

import signal

from mmengine.hooks import EMAHook, Hook
from mmseg.registry import HOOKS

from madnet.engine.hooks.safe_checkpoint_hook import SafeCheckpointHook
from madnet.engine.training_stopped import TrainingStopped


@HOOKS.register_module()
class StopSignalHook(Hook):
    """Saves ``last.pth`` where training stands, between two batches, when the process is asked to stop.

    A second Ctrl-C stops at once, without saving. Resuming goes on at the very next batch.
    """

    priority = 'LOWEST'

    def __init__(self):
        self._asked: str | None = None
        self._former: dict = {}

    def before_train(self, runner) -> None:
        """Listen."""
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._former[number] = signal.signal(number, self._on_signal)
        except ValueError:  # not in the main thread: whoever embeds the training handles signals
            self._former.clear()

    def after_train(self, runner) -> None:
        """Stop listening."""
        self.restore()

    def restore(self) -> None:
        """Give the signals back to whoever handled them before."""
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former.clear()

    def _on_signal(self, number, frame) -> None:
        self._asked = signal.Signals(number).name
        self.restore()

    def between_train_iters(self, runner) -> None:
        """Leave if asked to (:class:`madnet.engine.loops.ResumableTrainLoop` calls this)."""
        if self._asked:
            self._leave(runner)

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Leave if asked to; the resumed run begins with this validation."""
        if self._asked:
            for hook in runner.hooks:
                if isinstance(hook, EMAHook):
                    hook.after_val_epoch(runner)  # puts the weights as trained back
            self._leave(runner)

    def _leave(self, runner) -> None:
        saver = next(h for h in runner.hooks if isinstance(h, SafeCheckpointHook))
        saver.save_now(runner, runner.epoch)
        raise TrainingStopped(
            f'{self._asked}: saved at epoch {runner.epoch}, iteration {runner.iter} in '
            f'{runner.work_dir}/last.pth; go on with --resume.'
        )
