"""Stops a training whose loss or gradient is no longer a number."""

import os
from dataclasses import dataclass

import torch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from torch import Tensor
from torch.nn.utils import get_total_norm

from madnet.engine.hooks.lean_runtime_info_hook import LeanRuntimeInfoHook
from madnet.errors import RunFailed, expect_whole

#: A loss scale below this has been halved 36 times: no step of a mixed-precision run was taken for long.
_SMALLEST_SCALE = 2.0**-20


@dataclass
class _Step:
    """A training step whose loss and gradient have not been looked at."""

    number: int
    names: list[str]
    loss: Tensor
    norm: Tensor | None


@HOOKS.register_module()
class NonFiniteHook(Hook):
    """Ends a training at its first loss or gradient that is NaN or infinite, with the batch's files.

    On a CPU every step is looked at. A GPU is not made to wait: losses and norms of gradients stay on it, and
    are read together every ``interval`` steps, at the end of an epoch, and before anything is saved, so that
    neither a checkpoint nor a validation sees what came of them. With ``skip``, each step is looked at before
    the optimiser takes it, on a GPU too, at the price of one number read a step.

    Where a gradient scaler steps over infinite gradients by itself (fp16), only the loss counts, and a scale
    that has fallen to nothing.

    Args:
        skip: Number of steps with such a gradient that may be left out; the next one ends the training.
        interval: Steps between two looks on a GPU.

    Raises:
        UserError: ``skip`` or ``interval`` is no such number.
    """

    priority = 'ABOVE_NORMAL'  # the average of the weights, NORMAL, comes after a step has been undone

    def __init__(self, skip: int = 0, interval: int = 20):
        for name, value, least in (('skip', skip, 0), ('interval', interval, 1)):
            expect_whole(value, f'default_hooks.finite.{name}', least)
        self.skip = skip
        self.interval = interval
        self._accumulated = False  # a loss that was not finite, into a gradient that no update has taken
        self._waiting: list[_Step] = []
        self._norm: Tensor | None = None
        self._buffers: list[Tensor] = []
        self._norm_comes = False  # with the losses

    @property
    def why_not_captured(self) -> str | None:
        """Why the step cannot be a CUDA graph (see :func:`madnet.engine.training_step.why_not`)."""
        return '--skip-nonfinite looks at every gradient before the weights move.' if self.skip else None

    def before_train(self, runner) -> None:
        """Look at gradients just before the optimiser takes them."""
        if not runner.iter:  # mmengine gives one hub to two runs that begin in the same second
            runner.message_hub.update_info('skipped_steps', 0)
        self._at_once = bool(self.skip) or next(runner.model.parameters()).device.type == 'cpu'
        self._lean = next((h for h in runner.hooks if isinstance(h, LeanRuntimeInfoHook)), None)
        wrapper = runner.optim_wrapper
        scaler = getattr(wrapper, 'loss_scaler', None)
        if scaler is None or not scaler.is_enabled():
            self._norm_comes = runner.train_loop.step.moves_averages
            if not self._norm_comes:
                wrapper.optimizer.register_step_pre_hook(self._before_step)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Keep what a forward pass changes, so that a step can be undone."""
        self._norm = None
        if self.skip:
            self._buffers = [b.clone() for b in runner.model.buffers()]

    def _before_step(self, optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> None:
        norm = None if self._lean is None else self._lean.gradient_norm
        if self._lean is None or norm is None:
            gradients = (p.grad for group in optimizer.param_groups for p in group['params'])
            norm = get_total_norm([g for g in gradients if g is not None])
        else:
            self._lean.gradient_norm = None
        self._norm = norm
        if self.skip and not norm.isfinite():
            optimizer.zero_grad(set_to_none=True)  # parameters without a gradient are left alone

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        """Look at the step, or keep it for later."""
        outputs = outputs or {}
        loss = outputs.get('loss')
        if not isinstance(loss, Tensor):
            return
        norm = outputs.get('grad_norm') if self._norm_comes else self._norm
        step = _Step(runner.iter, _names(data_batch), loss.detach().reshape(()), norm)
        self._waiting.append(step)
        last = self.end_of_epoch(runner.train_dataloader, batch_idx)
        if self._at_once or last or self.every_n_inner_iters(batch_idx, self.interval):
            self.look(runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Look at what waits: nothing is written that came of it."""
        self.look(runner)

    def look(self, runner) -> None:
        """Read losses and norms that wait, with one copy from the device.

        Raises:
            RunFailed: One is not finite, and ``skip`` does not allow for it.
        """
        steps, self._waiting = self._waiting, []
        if not steps:
            return
        values = [v.float() for s in steps for v in (s.loss, s.loss if s.norm is None else s.norm)]
        finite = torch.stack(values).isfinite().reshape(-1, 2).tolist()
        for step, (loss, gradient) in zip(steps, finite, strict=True):
            if not loss or not (gradient or self._accumulated):
                what = f'the loss is {step.loss.item()}'
                if loss and step.norm is not None:
                    what = f"the gradient's norm is {step.norm.item()}"
                self._count(runner, step, what)
            self._accumulated = step.norm is None and (self._accumulated or not loss)
        scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
        if scaler is not None and scaler.is_enabled() and scaler.get_scale() < _SMALLEST_SCALE:
            raise RunFailed(
                f'step {runner.iter + 1}: the loss scale of mixed precision has fallen to '
                f'{scaler.get_scale():.1g}, as gradients have long not been finite. Train without --amp, '
                f'or with bf16. {_kept(runner)}'
            )

    def _count(self, runner, step: _Step, what: str) -> None:
        epoch = step.number // len(runner.train_dataloader) + 1
        said = f'step {step.number + 1} (epoch {epoch}): {what}; its batch: {_listed(step.names)}.'
        # of the whole run: what is known of a run goes on where it is resumed
        skipped = runner.message_hub.get_info('skipped_steps', 0) + 1
        runner.message_hub.update_info('skipped_steps', skipped)
        if skipped <= self.skip:
            for buffer, before in zip(runner.model.buffers(), self._buffers, strict=True):
                buffer.copy_(before)
            runner.logger.warning(f'{said} Left out, {skipped} of at most {self.skip}.')
            return
        after = f' It is number {skipped}, {self.skip} may be left out.' if self.skip else ''
        raise RunFailed(
            f'{said}{after} {_kept(runner)} What helps: look at these files, a lower learning rate, '
            'optim_wrapper.clip_grad.max_norm=1, no --amp; --skip-nonfinite N leaves up to N such steps out.'
        )


def _names(batch) -> list[str]:
    """Files of a batch, or the ids of images that have none."""
    if isinstance(batch, dict) and 'img_path' in batch:  # of images that lie on the device
        return batch['img_path']
    samples = batch.get('data_samples', ()) if isinstance(batch, dict) else ()
    metas = [getattr(sample, 'metainfo', {}) for sample in samples]
    return [str(meta.get('img_path') or meta.get('img_id', '?')) for meta in metas]


def _listed(names: list[str]) -> str:
    """The names, with the folder that all share said once."""
    folder = os.path.commonpath(names) if names and all(map(os.path.isabs, names)) else ''
    if not folder or len(names) == 1:
        return ', '.join(names) or 'not known'
    return ', '.join(os.path.relpath(n, folder) for n in names) + f' in {folder}'


def _kept(runner) -> str:
    return f'Training has stopped; the checkpoints in {runner.work_dir} are those from before.'
