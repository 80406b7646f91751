"""Losses and learning rates for the log, read off the device only when a line of it is written."""

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.logging import HistoryBuffer
from mmseg.registry import HOOKS


@HOOKS.register_module()
class LeanRuntimeInfoHook(RuntimeInfoHook):
    """mmengine's ``RuntimeInfoHook`` without its wait for the device in every step.

    mmengine takes ``.item()`` of each loss and of the gradient's norm after every batch, and a GPU stands
    still until the next one is on its way. Here they stay tensors until the ``LoggerHook`` is due, the epoch
    ends or a checkpoint is written; then all are read at once. The log and its curves hold the same numbers.

    Args:
        keep: Number of steps whose values stay in the message hub, and so in checkpoints; mmengine keeps
            a million. More stay where the log takes a mean over more (``log_processor``).

    Attributes:
        gradient_norm: The norm of this step's gradient before it was clipped; None where nothing clips.
    """

    def __init__(self, keep: int = 1000):
        self.keep = keep
        self._interval = 1
        self._waiting: dict[str, list] = defaultdict(list)
        self.gradient_norm: torch.Tensor | None = None

    def before_train(self, runner) -> None:
        """As mmengine's; also learns when logs are due and takes the gradient's norm over."""
        super().before_train(runner)
        self.keep = max(self.keep, _longest_window(runner))
        self._interval = min((h.interval for h in runner.hooks if isinstance(h, LoggerHook)), default=1)
        wrapper = runner.optim_wrapper
        if wrapper.clip_grad_kwargs and not getattr(wrapper.clip_func, 'recorded', False):
            wrapper.clip_func = self._recorded(wrapper.clip_func, f'train/{wrapper.grad_name}')

    def _recorded(self, clip: Callable, name: str) -> Callable:
        def clip_and_record(*args, **kwargs) -> None:
            norm = clip(*args, **kwargs)
            if norm is not None:
                self.gradient_norm = norm.detach()
                self._waiting[name].append(self.gradient_norm)
            # None, or mmengine would read the number at once

        vars(clip_and_record).update(recorded=True, plain=clip)
        return clip_and_record

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Keep the learning rates."""
        runner.message_hub.update_info('iter', runner.iter)
        for name, rates in runner.optim_wrapper.get_lr().items():
            self._waiting[f'train/{name}'].append(rates[0])

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        """Keep the losses, and read all where a log is due."""
        for name, value in (outputs or {}).items():
            value = value.detach() if isinstance(value, torch.Tensor) else value
            self._waiting[f'train/{name}'].append(value)
        last = self.end_of_epoch(runner.train_dataloader, batch_idx)
        if last or self.every_n_inner_iters(batch_idx, self._interval):
            self.read(runner)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Let the checkpoint have what no log has asked for yet."""
        if 'message_hub' in checkpoint:
            self.read(runner)
            checkpoint['message_hub'] = runner.message_hub.state_dict()

    def read(self, runner) -> None:
        """Hand all that waits to the message hub, with one copy from the device."""
        tensors = [v for values in self._waiting.values() for v in values if isinstance(v, torch.Tensor)]
        numbers = iter(torch.stack([t.reshape(()).float() for t in tensors]).tolist() if tensors else ())
        hub = runner.message_hub
        for name, values in self._waiting.items():
            read = [next(numbers) if isinstance(value, torch.Tensor) else value for value in values]
            hub.update_scalar(name, read[0])
            # the rest at once: mmengine copies all of the history for each number
            buffer = hub.log_scalars[name]
            history, counts = buffer.data
            more = np.ones(len(read) - 1, counts.dtype)
            hub.log_scalars[name] = HistoryBuffer(
                np.append(history, read[1:]), np.append(counts, more), buffer.max_length
            )
        self._waiting.clear()
        for name, buffer in hub.log_scalars.items():
            history, counts = buffer.data
            if len(history) > self.keep:
                hub.log_scalars[name] = HistoryBuffer(
                    history[-self.keep :], counts[-self.keep :], buffer.max_length
                )


def _longest_window(runner) -> int:
    """The largest number of values of which the log takes a mean or another figure."""
    log = runner.log_processor
    sizes = {'epoch': len(runner.train_dataloader), 'global': runner.max_iters, None: 1}
    windows = [log.window_size, *(each.get('window_size') for each in log.custom_cfg)]
    return max(sizes.get(window, window) for window in windows)
