"""Checkpoints that survive a kill at any moment."""

import io
import math
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import BaseLoop
from mmseg.registry import HOOKS

from madnet.datasets.sirst_dataset import SIRSTDataset
from madnet.datasets.wrappers import inner_datasets
from madnet.engine.bare_model import bare
from madnet.engine.checkpoint import (
    BEST,
    BEST_BY,
    HELD,
    LAST,
    PREVIOUS,
    STOPPED,
    not_finite,
    statistics_of,
    to_plain,
)
from madnet.engine.checkpoint_file import BEFORE, UnusableCheckpoint, read_checkpoint
from madnet.engine.hook_states import hook_states, load_hook_states
from madnet.engine.irstd_metric import IRSTDMetric
from madnet.engine.loops import ResumableTrainLoop
from madnet.engine.resuming import refuse_other_images, still_ended
from madnet.errors import RunFailed, UserError, nearest
from madnet.files import remove_leftovers, replacing, write_whole
from madnet.records.columns import column, may_lead


@HOOKS.register_module()
class SafeCheckpointHook(Hook):
    """Keeps ``last.pth``, ``previous.pth`` and ``best.pth`` in the work folder.

    mmengine's ``CheckpointHook`` writes in place and deletes the old best before the new one exists. Here
    each file is written beside and renamed. An epoch's checkpoint is written after its validation, so that a
    resumed run repeats an interrupted epoch as a whole and reaches the same best.

    Args:
        interval: Epochs between two ``last.pth``; the last epoch is always kept, also where a hook ends the
            training. A training by minutes saves when some have passed instead, in the middle of an epoch
            too.
        save_best: The validation metric whose best epoch is kept as ``best.pth`` (weights only);
            None keeps none. By one of false alarms, an epoch that finds no target is never the best.
        rule: ``'greater'`` or ``'less'``: which values are better; None goes by the metric.
        best_from: Share of the run, in [0, 1), after which earlier epochs no longer count, however good they
            were. A few validation images cannot tell the noise of a high learning rate from progress; until
            then the best so far is kept all the same, for a run that is stopped early.

    Raises:
        UserError: ``rule`` or ``best_from`` is none of these.
    """

    priority = 'VERY_LOW'

    def __init__(
        self,
        interval: int = 1,
        save_best: str | None = BEST_BY,
        rule: str | None = None,
        best_from: float = 0.0,
    ):
        if rule not in ('greater', 'less', None):
            raise UserError(f"default_hooks.checkpoint.rule: found {rule!r}, expected 'greater' or 'less'.")
        if not isinstance(best_from, int | float) or not 0 <= best_from < 1:
            raise UserError(
                f'default_hooks.checkpoint.best_from: found {best_from!r}, expected a share of the run, '
                'from 0 to below 1.'
            )
        self.interval = interval
        self.save_best = save_best
        self._protocol, slash, self._metric = str(save_best).rpartition('/')
        self._protocol += slash
        self.rule = rule or ('less' if column(self._metric).better == 'lower' else 'greater')
        self.best_from = best_from
        self._hashes: dict[str, list[str]] = {}  # in a checkpoint's meta
        self._saved: tuple | None = None  # epoch, iteration and due validation of the newest checkpoint

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Make the content plain and complete; runs after EMA has put its weights in.

        Raises:
            RunFailed: Weights are not finite.
        """
        for key in ('state_dict', 'ema_state_dict'):
            if broken := not_finite(bare(runner.model), checkpoint.get(key, {})):
                raise RunFailed(
                    f'epoch {runner.epoch}, iteration {runner.iter}: {len(broken)} tensors of the network '
                    f'hold NaN or infinity, such as {broken[0]}. Nothing was saved; the checkpoints in '
                    f'{runner.work_dir} are those from before. Train with a lower learning rate.'
                )
        if 'optimizer' in checkpoint:
            checkpoint['random_state'] = runner.train_loop.training_random_state()
            checkpoint['hooks'] = hook_states(runner.hooks)
            checkpoint['meta']['validation_due'] = runner.train_loop.validation_due
            logged = runner.message_hub.log_scalars
            checkpoint['meta']['validated'] = any(key.startswith('val/') for key in logged)
            checkpoint['meta']['stop_training'] = runner.train_loop.stop_training
            checkpoint['meta']['batches an epoch'] = len(runner.train_dataloader)
            checkpoint['meta']['processes'] = runner.world_size
            if runner.train_loop.budget is not None:
                checkpoint['meta']['time budget'] = runner.train_loop.budget.state()
        else:
            checkpoint.pop('ema_state_dict', None)  # the weights as trained serve resuming only
            checkpoint.pop('message_hub', None)
        checkpoint['meta'].update(self._hashes)
        if runner.train_loop.stopped_early:
            checkpoint['meta'][STOPPED] = runner.train_loop.stopped_early
        if (before := getattr(runner, 'trained_before', None)) is not None:  # not of mmengine's runner
            checkpoint['meta'][BEFORE] = before
        checkpoint['meta']['data_preprocessor'] = statistics_of(bare(runner.model))
        for key, value in checkpoint.items():
            checkpoint[key] = to_plain(value)

    def before_run(self, runner) -> None:
        """Look for the metric of the best epoch among those that the validation will give.

        Raises:
            UserError: It gives no such metric.
        """
        # to ask for val_loop would build it, in a test too
        loop = runner._val_loop
        metrics = loop.evaluator.metrics if isinstance(loop, BaseLoop) else []
        if self.save_best is not None and metrics and all(isinstance(m, IRSTDMetric) for m in metrics):
            self._refuse_unknown([name for metric in metrics for name in metric.names()])

    def _refuse_unknown(self, metrics: Collection[str]) -> None:
        metrics = [name for name in metrics if column(name.rpartition('/')[2]).better]  # no plain counts
        if self.save_best not in metrics:
            raise UserError(
                f'default_hooks.checkpoint.save_best: found {self.save_best!r}, expected one of '
                f'{", ".join(sorted(metrics))}.' + nearest(str(self.save_best), metrics)
            )

    def before_train(self, runner) -> None:
        """Remove what a kill in the middle of a writing left, and note what the images hold."""
        if is_main_process():
            remove_leftovers(runner.work_dir)
            self._hash_images(runner)

    def _hash_images(self, runner) -> None:
        if not self._hashes:
            held = {}
            for loader, loop in (
                ('train_dataloader', runner.train_loop),
                ('val_dataloader', runner.val_loop),
            ):
                sets = inner_datasets(loop.dataloader.dataset) if loop is not None else []
                held[loader] = [d.contents() if isinstance(d, SIRSTDataset) else None for d in sets]
            for key, (loader, kinds) in HELD.items():
                self._hashes[key] = [each.text(kinds) if each else '' for each in held[loader]]

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Hand a resumed training its random state, the states of its hooks, whether it begins with a
        validation, and whether a hook has ended it.

        Raises:
            UserError: Its images are not those that the checkpoint was trained on, or a hook does not take
                its state.
        """
        if runner._resume:
            self._hash_images(runner)
            meta, loop = checkpoint['meta'], runner.train_loop
            for key, (loader, kinds) in HELD.items():
                if loader == 'train_dataloader' or meta.get('validated'):
                    what = f'{loader}.dataset', ' and '.join(kinds), meta.get(key), self._hashes[key]
                    refuse_other_images(*what, runner._load_from, runner.logger.warning)
            loop.resumed_random_state = checkpoint.get('random_state')
            loop.validation_due = meta.get('validation_due', False)
            load_hook_states(runner.hooks, checkpoint.get('hooks'), runner._load_from)
            loop.stop_training = still_ended(meta, runner.cfg)
            if loop.stop_training:
                runner.logger.warning(
                    f'{runner._load_from}: a hook ended this training at epoch {meta["epoch"]}. To train on, '
                    'resume without that hook in custom_hooks, or with other arguments for it (a larger '
                    "patience of EarlyStoppingHook's); its epochs so far count."
                )
            self._saved = (meta['epoch'], meta['iter'], loop.validation_due)
            if loop.budget is not None and 'time budget' in meta:
                loop.budget.go_on(meta['time budget'])

    def between_train_iters(self, runner) -> None:
        """Where training goes by minutes, save by them too: an epoch may take longer than all of them."""
        budget = runner.train_loop.budget
        if budget is not None and not budget.over and budget.has_room_for_a_checkpoint():
            self.save_now(runner, runner.epoch)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Save the best; a kill before the last is saved repeats the epoch and finds the same best again."""
        # else a validation on its own
        if isinstance(runner._train_loop, ResumableTrainLoop) and self.save_best is not None and metrics:
            self._save_if_best(runner, metrics)

    def epoch_ended(self, runner) -> None:
        """Save the last, with what the other hooks have made of the epoch and its validation (the training
        loop calls this)."""
        budget = runner.train_loop.budget
        if runner.epoch % self.interval == 0 if budget is None else budget.has_room_for_a_checkpoint():
            self.save_now(runner, runner.epoch)

    def after_train(self, runner) -> None:
        """Save the last epoch, whatever ended the training, unless it has been; let the best say what did."""
        if self._saved != (runner.epoch, runner.iter, False):
            self.save_now(runner, runner.epoch)
        best, stopped = Path(runner.work_dir, BEST), runner.train_loop.stopped_early
        if getattr(runner, 'ended_in', None):
            return  # the best here is another run's
        if is_main_process() and best.is_file() and (stopped or runner._resume):
            with suppress(UnusableCheckpoint):  # damaged: the last epoch is there all the same
                _say_stopped(best, stopped)

    def save_now(self, runner, epoch: int) -> None:
        """Write ``last.pth``.

        Args:
            runner: The runner.
            epoch: Whole epochs behind; ``runner.iter`` may say that another has begun.
        """
        began = time.monotonic()
        self._write(runner, LAST, keep_as=PREVIOUS, meta={'epoch': epoch, 'iter': runner.iter})
        self._saved = (epoch, runner.iter, runner.train_loop.validation_due)
        if runner.train_loop.budget is not None:
            runner.train_loop.budget.has_saved(time.monotonic() - began)

    def _save_if_best(self, runner, metrics: dict) -> None:
        self._refuse_unknown(_numbers(metrics))
        if not may_lead({'Pd': metrics.get(f'{self._protocol}Pd')}, self._metric):
            return
        score = float(metrics[self.save_best])
        info = runner.message_hub.runtime_info
        worst = -math.inf if self.rule == 'greater' else math.inf
        best = info.get('best_metrics', {}).get(self.save_best, worst)
        if info.get('best_epoch', 0) <= self.best_from * runner.max_epochs < runner.epoch:
            best = worst
        if score > best if self.rule == 'greater' else score < best:
            runner.message_hub.update_info('best_score', score)
            runner.message_hub.update_info('best_epoch', runner.epoch)
            runner.message_hub.update_info('best_metrics', _numbers(metrics))
            meta = {'epoch': runner.epoch, 'iter': runner.iter, self.save_best: score}
            self._write(runner, BEST, meta=meta, save_optimizer=False, save_param_scheduler=False)

    def _write(self, runner, name: str, keep_as: str | None = None, **kwargs) -> None:
        if not is_main_process():
            return
        folder = Path(runner.work_dir)
        with replacing(folder / name, keep_as and folder / keep_as) as temporary:
            runner.save_checkpoint(str(folder), temporary.name, **kwargs)


def _numbers(metrics: dict) -> dict[str, float]:
    """Those of the metrics that are one number; a user's own may give texts and lists beside."""
    found = {}
    for key, value in metrics.items():
        with suppress(TypeError, ValueError, RuntimeError):  # the last is torch's, of several elements
            found[key] = float(value)
    return found


def _say_stopped(path: Path, stopped: str | None) -> None:
    """Bring up to date what a checkpoint, written before its training ended, says of a stop."""
    checkpoint = read_checkpoint(path)
    if checkpoint['meta'].get(STOPPED) != stopped:
        checkpoint['meta'].pop(STOPPED, None)
        checkpoint['meta'] |= {STOPPED: stopped} if stopped else {}
        file = io.BytesIO()
        torch.save(checkpoint, file)
        write_whole(path, file.getvalue())
