"""An optimiser that reads nothing from Python while it steps, so that its step can be part of a graph."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from mmengine.dist import get_world_size
from mmengine.optim import OptimWrapper
from torch import Tensor, distributed
from torch.nn.utils import get_total_norm

#: Optimisers that take their learning rate from a tensor on the device, in one call for all parameters.
_FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)


def why_not_on_device(wrapper: OptimWrapper) -> str | None:
    """What of an optimiser's settings cannot be served by :class:`DeviceOptimizer`; None if nothing."""
    if type(wrapper).update_params is not OptimWrapper.update_params:
        return f'{type(wrapper).__name__} has an update_params of its own.'
    if wrapper._accumulative_counts != 1:
        return 'optim_wrapper.accumulative_counts adds gradients up over several steps.'
    if not isinstance(wrapper.optimizer, _FUSED):
        names = ', '.join(kind.__name__ for kind in _FUSED)
        return f'{type(wrapper.optimizer).__name__} is none of {names}.'
    if _scales(wrapper) and any(g.get('momentum') for g in wrapper.optimizer.param_groups):
        # PyTorch's fused SGD takes up momentum from memory that a step left out has not filled
        return 'SGD with momentum and scaled gradients (fp16) loses its momentum where a step is left out.'
    return None


class DeviceOptimizer:
    """Learning rates as tensors on the device, fused updates, and the gradient's norm.

    They are there while the optimiser steps: schedulers, logs and checkpoints keep the numbers they know.

    Args:
        wrapper: The run's optimiser, of which :func:`why_not_on_device` says nothing.
        device: Where its parameters lie.

    Attributes:
        rates: The learning rates (,) of its groups.
        norm: The norm of the last gradient before it was clipped; None where gradients are scaled and
            nothing clips.
    """

    def __init__(self, wrapper: OptimWrapper, device: torch.device):
        self._wrapper, self._device = wrapper, device
        self._groups = wrapper.optimizer.param_groups
        self.rates = [torch.tensor(float(g['lr']), device=device) for g in self._groups]
        self._shown = [float(g['lr']) for g in self._groups]
        self.norm: Tensor | None = None
        optimizer = wrapper.optimizer
        self._scaled_by_optimizer = getattr(optimizer, '_step_supports_amp_scaling', False)
        on_device = any(group.get('fused') or group.get('capturable') for group in self._groups)
        self._counters_at = device if on_device else torch.device('cpu')
        optimizer._step_supports_amp_scaling = True  # so that a scaler of gradients reads nothing
        optimizer._warned_capturable_if_run_uncaptured = True  # as it does while warming up
        for state in optimizer.state.values():
            if isinstance(state.get('step'), Tensor):
                state['step'] = state['step'].to(device, torch.float32)
        if wrapper.clip_grad_kwargs:
            plain = getattr(wrapper.clip_func, 'plain', None) or wrapper.clip_func
            wrapper.clip_func = self._noting_the_norm(plain)

    def _noting_the_norm(self, clip: Callable) -> Callable:
        def clip_and_note(*args, **kwargs) -> None:
            self.norm = clip(*args, **kwargs)
            # None, or mmengine would read the number at once

        vars(clip_and_note).update(recorded=True, plain=clip)  # the norm comes with the losses
        return clip_and_note

    def follow_schedulers(self) -> None:
        """Copy the learning rates that schedulers have changed since the last call to the device."""
        for k, group in enumerate(self._groups):
            if group['lr'] != self._shown[k]:
                self.rates[k].fill_(group['lr'])
                self._shown[k] = group['lr']

    def fixed_numbers(self) -> Iterator[bool | int | float | tuple | str]:
        """What its groups say beside the learning rate, such as the decay, and how gradients are clipped,
        which a graph would keep."""
        yield repr(self._wrapper.clip_grad_kwargs)
        others = (v for group in self._groups for key, v in group.items() if key != 'lr')
        yield from (v for v in others if isinstance(v, bool | int | float | tuple))

    def step(self, loss: Tensor) -> None:
        """Backward pass of a loss (,), clipping and update, by the gradients of all processes."""
        self._wrapper.backward(loss)
        gradients = [p.grad for g in self._groups for p in g['params'] if p.grad is not None]
        if get_world_size() > 1:
            _average(gradients)
        self.norm = None
        with self._tensor_rates():
            self._wrapper.step()
        if self.norm is None and not _scales(self._wrapper):
            self.norm = get_total_norm(gradients)
        self._wrapper.zero_grad()

    @contextmanager
    def _tensor_rates(self) -> Iterator[None]:
        before = [dict(group) for group in self._groups]
        for group, rate in zip(self._groups, self.rates, strict=True):
            group.update(lr=rate, fused=True, foreach=False)
            if 'capturable' in group:
                group['capturable'] = True
        try:
            yield
        finally:
            for group, values in zip(self._groups, before, strict=True):
                group.update(values)

    def changing(self) -> Iterator[Tensor]:
        """The tensors that a step changes and another one begins from."""
        for state in self._wrapper.optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))
        scaler = getattr(self._wrapper, 'loss_scaler', None)
        for name in ('_scale', '_growth_tracker'):
            if isinstance(getattr(scaler, name, None), Tensor):
                yield getattr(scaler, name)

    def clean_up(self) -> None:
        """Forget what a step that broke off has left."""
        self._wrapper.zero_grad()
        scaler = getattr(self._wrapper, 'loss_scaler', None)
        if scaler is not None:  # it would take the gradients to be divided already
            scaler._per_optimizer_states.clear()

    def hand_back(self) -> None:
        """Leave the optimiser to mmengine, as it was found; ``norm`` goes on to be noted."""
        optimizer = self._wrapper.optimizer
        optimizer._step_supports_amp_scaling = self._scaled_by_optimizer
        for state in optimizer.state.values():
            if isinstance(state.get('step'), Tensor):
                state['step'] = state['step'].to(self._counters_at)
        if not self._wrapper.clip_grad_kwargs and not _scales(self._wrapper):
            optimizer.register_step_pre_hook(self._note_the_norm)

    def _note_the_norm(self, optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> None:
        gradients = (p.grad for group in optimizer.param_groups for p in group['params'])
        self.norm = get_total_norm([g for g in gradients if g is not None])


def _scales(wrapper: OptimWrapper) -> bool:
    scaler = getattr(wrapper, 'loss_scaler', None)
    return scaler is not None and scaler.is_enabled()


def _average(gradients: list[Tensor]) -> None:
    """The mean over all processes, by one exchange."""
    every = torch.cat([g.reshape(-1) for g in gradients])
    distributed.all_reduce(every)
    every /= get_world_size()
    parts = every.split([g.numel() for g in gradients])
    torch._foreach_copy_(gradients, [p.view_as(g) for p, g in zip(parts, gradients, strict=True)])
