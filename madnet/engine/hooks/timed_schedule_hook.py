"""Learning-rate curves over the share of the time that has passed."""

from mmengine.hooks import ParamSchedulerHook
from mmseg.registry import HOOKS


@HOOKS.register_module()
class TimedScheduleHook(ParamSchedulerHook):
    """Takes schedulers to where a run of the planned length would have them at this share of its time.

    A curve over N steps, or epochs, is at its step ⌊share · N⌋: warm-up, decay and milestones keep their
    shares of the run, whatever its length, and the curve ends when the time does. It never goes back.

    For a :class:`~madnet.engine.loops.ResumableTrainLoop` with ``minutes``; without them it is mmengine's.
    """

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        """Follow the time."""
        if runner.train_loop.budget is None:
            super().after_train_iter(runner, batch_idx, data_batch, outputs)
        else:
            self._follow(runner)

    def after_train_epoch(self, runner) -> None:
        """Follow the time, to the end of the curve after the last step."""
        if runner.train_loop.budget is None:
            super().after_train_epoch(runner)
        else:
            self._follow(runner)

    @staticmethod
    def _follow(runner) -> None:
        loop = runner.train_loop
        for scheduler in runner.param_schedulers or ():
            length = loop.planned_epochs * (1 if scheduler.by_epoch else len(loop.dataloader))
            # counted from 0: the last step of N has the number N − 1
            place = min(length - 1, int(loop.budget.share * length))
            while scheduler._global_step < place:
                scheduler.step()
