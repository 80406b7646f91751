"""The training step as one CUDA graph, which is replayed instead of launched operator by operator.

A narrow network launches some thousand small operators a step, and the GPU waits for each. A graph is
launched as a whole. It knows no Python: what changes from step to step (learning rates, the decay of the
average, the batch) lies in tensors that are filled before each replay, and what changes from epoch to epoch
(losses that begin later) has a graph of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import EMAHook
from mmengine.optim import OptimWrapper
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor, distributed
from torch.func import functional_call
from torch.nn.utils import get_total_norm

from madnet.datasets.device_cache import DeviceCache, DoesNotFit, why_not_cached
from madnet.engine.cuda_graph import CUDAGraph, PlainCall, side_stream
from madnet.engine.half_weights import HalfWeights, type_of_autocast
from madnet.engine.optim.ramped_ema import RampedEMA
from madnet.engine.optim.schedulers import schedulers_of
from madnet.engine.random_state import preserved_random_state
from madnet.engine.step_checks import Snapshot, Watched, far_apart, flat, in_one_line, plain_values
from madnet.errors import RunFailed, UserError

#: Steps of a phase that are taken operator by operator, before its graph is captured: they count as steps.
WARM_UP = 3
#: Steps of a state of the network after which several processes capture what they have, all at once: batches
#: of theirs may differ in shape, and each capture exchanges gradients.
_TOGETHER = frozenset((WARM_UP, 10, 30, 100, 300, 1000, 3000))
#: Optimisers that take their learning rate from a tensor on the device, in one call for all parameters.
_FUSED = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)
#: How far a replay may be from the plain step: losses and norm, each; the way that all weights go, where a
#: weight without a gradient, such as a bias before a normalisation, follows rounding; and their average's.
_APART = {'values': 0.02, 'weights': 0.5, 'average': 0.2}

Batch = dict[str, Tensor]


class EagerStep:
    """The step as mmengine takes it.

    Attributes:
        moves_averages: Whether losses come with the gradient's norm, and the average of the weights is moved.
        replays: Whether a graph does the work.
    """

    moves_averages = False
    replays = False

    def __init__(self, runner, cache: DeviceCache | None = None):
        self._runner, self._cache = runner, cache

    def __call__(self, batch: dict) -> dict[str, Tensor]:
        """Train on a batch of the loader; the losses, by name."""
        if self._cache is not None:
            device = self._cache.images.device
            drawn = _tensors(batch['drawn']).items()
            batch = unstacked(self._cache.batch({name: t.to(device, non_blocking=True) for name, t in drawn}))
        return self._runner.model.train_step(batch, optim_wrapper=self._runner.optim_wrapper)


def device_cache(runner) -> DeviceCache | None:
    """The training images on the device, where a run's ``device_cache`` asks for it: ``False``, ``True``, or
    ``'auto'`` (True on a GPU, if they fit). One line says what became of it."""
    wanted = runner.cfg.get('device_cache', 'auto')
    device = next(runner.model.parameters()).device
    if not wanted or (wanted == 'auto' and device.type != 'cuda'):
        return None
    reason = why_not_cached(runner.train_dataloader, device)
    if reason is None:
        try:
            with preserved_random_state():
                cache = DeviceCache(runner.train_dataloader, device)
        except UserError:
            raise
        except DoesNotFit as e:
            reason = str(e)
        except Exception as e:  # whatever a device has against it, the loader does without
            reason = in_one_line(e)
    if reason is not None:
        runner.logger.warning(f'Training images are not kept on {device}: {reason}')
        return None
    cache.take_over()
    if is_main_process():
        print(f'{len(cache.images)} training images on {device}: {cache.bytes / 2**20:.0f} MiB', flush=True)
    return cache


def training_step(runner) -> 'EagerStep | CapturedStep':
    """The step that a run's ``capture_step`` asks for: ``False``, ``True``, ``'auto'`` (True on a GPU), or
    ``'emulate'``: all as if captured, with a plain call in the graph's place.

    Where the run cannot be captured, one line says why, and the step is mmengine's.
    """
    wanted = runner.cfg.get('capture_step', 'auto')
    on_gpu = next(runner.model.parameters()).is_cuda
    if wanted == 'auto':
        wanted = on_gpu
    cache = device_cache(runner)
    if wanted is True and not on_gpu:
        runner.logger.warning('The step is not captured: capture_step=True needs a GPU.')
    if not wanted or (wanted != 'emulate' and not on_gpu):
        return EagerStep(runner, cache)
    if reason := why_not(runner):
        runner.logger.warning(f'The step is not captured: {reason}')
        _let_streams_differ()
        return EagerStep(runner, cache)
    return CapturedStep(runner, PlainCall if wanted == 'emulate' else CUDAGraph, cache)


def _let_streams_differ() -> None:
    """A distributed wrapper was made on the stream of the capture, and is used on another: PyTorch waits for
    both where it has to, and need not warn of it."""
    if warn := getattr(torch.autograd.graph, 'set_warn_on_accumulate_grad_stream_mismatch', None):
        warn(False)


def why_not(runner) -> str | None:
    """What of a run's settings changes from step to step by other means than tensors; None if nothing."""
    wrapper = runner.optim_wrapper
    if not isinstance(wrapper, OptimWrapper):
        return 'it has several optimisers.'
    if wrapper._accumulative_counts != 1:
        return 'optim_wrapper.accumulative_counts adds gradients up over several steps.'
    if not isinstance(wrapper.optimizer, _FUSED):
        names = ', '.join(kind.__name__ for kind in _FUSED)
        return f'{type(wrapper.optimizer).__name__} is none of {names}.'
    scaler = getattr(wrapper, 'loss_scaler', None)
    if (
        scaler is not None
        and scaler.is_enabled()
        and any(g.get('momentum') for g in wrapper.optimizer.param_groups)
    ):
        # PyTorch's fused SGD takes up momentum from memory that a step left out has not filled
        return 'SGD with momentum and scaled gradients (fp16) loses its momentum where a step is left out.'
    if other := {s.param_name for s in schedulers_of(runner)} - {'lr'}:
        return f'param_scheduler changes {", ".join(sorted(other))}.'
    for hook in runner.hooks:
        if reason := getattr(hook, 'why_not_captured', None):
            return reason
        if isinstance(hook, EMAHook):
            average = hook.ema_model
            if type(average) is not RampedEMA or average.interval != 1 or not average.update_buffers:
                return f'the average {type(average).__name__} is no RampedEMA of every step and all buffers.'
            if hook.begin_iter or hook.begin_epoch:
                return 'EMAHook begins later than training.'
    return None


@dataclass
class _Phase:
    """Batches of one shape, as long as the network is in one state.

    Attributes:
        buffers: Where a batch lies for the step.
        captured: The graph, once there is one.
        steps: How many there were.
        kept: What modules keep as plain values, after the first step.
    """

    buffers: Batch
    captured: Any = None
    steps: int = 0
    kept: dict | None = None


class CapturedStep:
    """Forward pass, losses, backward pass, clipping, optimiser and average of weights, as a graph.

    The first steps of every phase are taken operator by operator, on a stream of their own; then the phase is
    captured. A phase is what modules with ``set_epoch`` keep as plain values, and the shapes of a batch.

    A graph is used if its first replay does what the plain step does, with other learning rates and another
    decay than those with which it was captured, from the same weights. Whatever speaks against it, before,
    while or after, is said in one line, and training goes on operator by operator: as here, or, where the
    first step fails already, as mmengine does it.

    What a step gives (losses, the norm of the gradient, the peaks of the maps) is written to a row of a table
    on the device, one for each step of an epoch, so that nobody has to read it at once.

    Args:
        runner: Whose run it is, ready to train.
        graph: Makes a graph of the step, with a method ``replay``.
        cache: The training images, if they lie on the device: batches are cut from them in the graph.
    """

    moves_averages = True

    def __init__(self, runner, graph: Callable[[Callable[[], None]], Any], cache: DeviceCache | None = None):
        self._graph: Any = graph  # None once it is given up
        self._runner, self._cache = runner, cache
        self._model = runner.bare_model
        self._wrapper = runner.optim_wrapper
        self._device = next(self._model.parameters()).device
        self._stream = side_stream() if self._device.type == 'cuda' else None
        self._averages = [h.ema_model for h in runner.hooks if isinstance(h, EMAHook)]
        for average in self._averages:
            average.moved_by_step = True
        self._modules = [(n, m) for n, m in self._model.named_modules() if hasattr(m, 'set_epoch')]
        self._heads = [m for m in self._model.modules() if hasattr(m, 'peaks')]
        self._groups = self._wrapper.optimizer.param_groups
        self._rates = [torch.tensor(float(g['lr']), device=self._device) for g in self._groups]
        self._shown = [float(g['lr']) for g in self._groups]
        self._prepare_optimizer()
        if self._wrapper.clip_grad_kwargs:
            plain = getattr(self._wrapper.clip_func, 'plain', None) or self._wrapper.clip_func
            self._wrapper.clip_func = self._noting_the_norm(plain)
        self._compiled = any('forward' in vars(part) for part in self._model.children())
        self._halves = HalfWeights(self._model)
        self._norm: Tensor | None = None
        self._values: tuple = ()
        self._since = 0  # steps since they were others
        self._eager: Any = None
        self._phases: dict[tuple, _Phase] = {}
        self._names: list[str] = []
        self._table: Any = None
        self._row = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._count = 0

    def __call__(self, batch: dict) -> dict[str, Tensor]:
        """Train on a batch of the loader; losses and, unless gradients are scaled, ``grad_norm``, all to be
        read within an epoch's steps."""
        if self._eager is None and self._cache is None and (sizes := _several_sizes(batch)):
            if get_world_size() > 1:  # the others go on to exchange gradients in this way
                raise RunFailed(
                    f'Images of one batch have several sizes, {sizes}, which several processes train on with '
                    '--cfg-options capture_step=False only; or crop them (RandomTargetCrop).'
                )
            self._go_eager(f'images of one batch have several sizes, {sizes}.')
        if self._eager is not None:
            return self._eager_step(batch)
        tensors = stacked(batch) if self._cache is None else _tensors(batch['drawn'])
        phase = self._phase_of(tensors)
        for name, tensor in tensors.items():
            phase.buffers[name].copy_(tensor, non_blocking=True)
        self._set_numbers()
        if self._count == 0 and not self._first_step_works(phase):
            return self._eager_step(batch)
        if self._is_due(phase):
            self._capture(phase)
        if phase.captured is not None:
            phase.captured.replay()
        elif self._count:
            self._warm_up(phase)
        phase.steps += 1
        self._since += 1
        return self._outputs()

    def _is_due(self, phase: '_Phase') -> bool:
        if get_world_size() > 1:
            return self._since in _TOGETHER
        return self._graph is not None and phase.captured is None and phase.steps >= WARM_UP

    @property
    def replays(self) -> bool:
        """Whether a graph does the work of batches that came often enough."""
        return any(phase.captured is not None for phase in self._phases.values())

    def _phase_of(self, tensors: Batch) -> '_Phase':
        values = tuple(
            (name, key, value)
            for name, module in self._modules
            for key, value in vars(module).items()
            if isinstance(value, bool | int | float | str) and not key.startswith('_')
        )
        if values != self._values:  # what is past does not come back
            self._values = values
            self._since = 0
            if self._stream is not None:
                torch.cuda.synchronize()  # the last replay may still run
            self._phases.clear()
        shapes = tuple((name, tensor.shape, tensor.dtype) for name, tensor in tensors.items())
        if shapes not in self._phases:
            buffers = {n: torch.empty_like(t, device=self._device) for n, t in tensors.items()}
            self._phases[shapes] = _Phase(buffers)
        return self._phases[shapes]

    def _set_numbers(self) -> None:
        for k, group in enumerate(self._groups):
            if group['lr'] != self._shown[k]:
                self._rates[k].fill_(group['lr'])
                self._shown[k] = group['lr']
        for average in self._averages:
            average.count_step()
        if self._table is not None:
            self._row.fill_(self._count % len(self._table))

    def _first_step_works(self, phase: '_Phase') -> bool:
        """Take the first step of all; where it fails, nothing has changed, and mmengine's takes over."""
        optimizer = self._wrapper.optimizer
        known = set(optimizer.state)
        before = Snapshot(self._changing())
        try:
            self._warm_up(phase)
            return True
        except (UserError, RunFailed):
            raise
        except Exception as e:  # if it has nothing to do with this way, mmengine's fails as well
            if get_world_size() > 1:  # the others go on to exchange gradients in this way
                raise
            reason = in_one_line(e)
        self._clean_up()
        before.restore()
        for parameter in set(optimizer.state) - known:
            del optimizer.state[parameter]
        self._go_eager(reason)
        for average in self._averages:
            average.steps -= 1
        return False

    def _go_eager(self, reason: str) -> None:
        """Leave all further steps to mmengine."""
        self._give_up(reason)
        _let_streams_differ()
        self._wrapper.optimizer._step_supports_amp_scaling = self._scaled_by_optimizer
        for state in self._wrapper.optimizer.state.values():
            if isinstance(state.get('step'), Tensor):
                state['step'] = state['step'].to(self._counters_at)
        for average in self._averages:
            average.moved_by_step = False
        scaler = getattr(self._wrapper, 'loss_scaler', None)
        if not self._wrapper.clip_grad_kwargs and (scaler is None or not scaler.is_enabled()):
            self._wrapper.optimizer.register_step_pre_hook(self._note_the_norm)
        self._eager = EagerStep(self._runner, self._cache)

    def _note_the_norm(self, optimizer: torch.optim.Optimizer, args: tuple, kwargs: dict) -> None:
        gradients = (p.grad for group in optimizer.param_groups for p in group['params'])
        self._norm = get_total_norm([g for g in gradients if g is not None])

    def _eager_step(self, batch: dict) -> dict[str, Tensor]:
        self._norm = None
        losses = self._eager(batch)
        return losses if self._norm is None else {**losses, 'grad_norm': self._norm}

    def _warm_up(self, phase: '_Phase') -> None:
        watch = self._graph is not None and phase.steps == 0 and not self._compiled
        with Watched() if watch else nullcontext() as watched:
            self._aside(partial(self._body, phase.buffers))
        if watched is not None and watched.found:
            self._give_up(watched.found)
        if self._graph is not None:
            self._compare_values(phase)

    def _compare_values(self, phase: '_Phase') -> None:
        """See to it that no module counts steps, or keeps of them what a graph would not know."""
        kept = plain_values(self._model.named_modules())
        if phase.kept is not None and kept != phase.kept:
            name, key = next(k for k in kept if kept[k] != phase.kept.get(k))
            before, now = phase.kept.get((name, key)), kept[name, key]
            self._give_up(
                f'{name or type(self._model).__name__}.{key} changes from step to step ({before}, {now}).'
            )
        phase.kept = kept

    def _aside(self, work: Callable[[], None]) -> None:
        if self._stream is None:
            work()
            return
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            work()
        torch.cuda.current_stream().wait_stream(self._stream)

    def _capture(self, phase: '_Phase') -> None:
        """Give a phase its graph, if that can be had and does what it should; the batch is still to come.

        Of several processes, one that has a graph already, or has not seen such a batch yet, takes part with
        what it has; one that has given up lets all do so.
        """
        before = Snapshot(self._changing())
        body = partial(self._body, phase.buffers)
        graph: Any = phase.captured

        def capture() -> str | None:
            nonlocal graph
            if self._graph is None:
                return 'given up before.'
            if graph is None:
                graph = self._graph(body) if phase.steps else PlainCall(body)
            return None

        for attempt in (capture, lambda: self._difference(graph, phase)):
            try:
                reason = attempt()
            except Exception as e:  # torch's and the driver's, of whatever may not be captured or replayed
                reason = in_one_line(e)
                self._clean_up()
            before.restore()  # a stand-in for a graph has done the step
            if reason := _reason_of_any(reason, self._device):
                self._give_up(reason)
                return
        if phase.steps:
            phase.captured = graph

    def _difference(self, graph: Any, phase: '_Phase') -> str | None:
        """What a replay does otherwise than the plain step from the same weights; None if nothing."""
        averaged = [p for average in self._averages for p in average.module.parameters()]
        weights = list(self._model.parameters())
        starts = flat(weights), flat(averaged or weights)
        before = Snapshot(self._changing())
        plain: list[Tensor] = []
        replayed: list[Tensor] = []
        with self._other_numbers():
            for found, run in ((plain, partial(self._body, phase.buffers)), (replayed, graph.replay)):
                self._aside(run)
                found.append(self._table.index_select(0, self._row)[0])
                found += [flat(t) - s for t, s in zip((weights, averaged or weights), starts, strict=True)]
                before.restore()
        alike = torch.isclose(
            replayed[0], plain[0], rtol=_APART['values'], atol=1e-3, equal_nan=True
        ).tolist()
        for name, same in zip(self._names, alike, strict=True):
            if not same:
                return f'a replay gives another {name} than the step itself.'
        for what, theirs, ours in zip(('weights', 'average'), plain[1:], replayed[1:], strict=True):
            if far_apart(ours, theirs, _APART[what]):
                return f'a replay moves the {what} otherwise than the step itself.'
        return None

    @contextmanager
    def _other_numbers(self) -> Iterator[None]:
        """Numbers that differ from those of a capture, so that one that was frozen shows."""
        decays = [average.decay_now for average in self._averages]
        numbers = [*self._rates, *decays]
        before = torch.stack(numbers)
        torch._foreach_mul_(numbers, [0.5] * len(self._rates) + [0.0] * len(decays))
        try:
            yield
        finally:
            torch._foreach_copy_(numbers, list(before.unbind()))

    def _changing(self) -> Iterator[Tensor]:
        """All tensors that a step changes and that another one begins from."""
        for module in (self._model, *(average.module for average in self._averages)):
            yield from module.parameters()
            yield from module.buffers()
        for state in self._wrapper.optimizer.state.values():
            yield from (value for value in state.values() if isinstance(value, Tensor))
        scaler = getattr(self._wrapper, 'loss_scaler', None)
        for name in ('_scale', '_growth_tracker'):
            if isinstance(getattr(scaler, name, None), Tensor):
                yield getattr(scaler, name)

    def _clean_up(self) -> None:
        """Forget what a step that broke off has left."""
        self._wrapper.zero_grad()
        scaler = getattr(self._wrapper, 'loss_scaler', None)
        if scaler is not None:  # it would take the gradients to be divided already
            scaler._per_optimizer_states.clear()

    def _give_up(self, reason: str) -> None:
        if self._graph is not None:
            self._runner.logger.warning(f'The step is not captured: {reason}')
        self._graph = None
        for phase in self._phases.values():
            phase.captured = None

    def _body(self, buffers: Batch) -> None:
        """All of a step, from a batch to a row of ``_table``."""
        wrapper = self._wrapper
        batch = unstacked(buffers if self._cache is None else self._cache.batch(buffers))
        with wrapper.optim_context(self._model):
            data = self._model.data_preprocessor(batch, True)
            losses = self._forward({**data, 'mode': 'loss'})
        loss, shown = self._model.parse_losses(losses)
        wrapper.backward(loss)
        gradients = [p.grad for g in self._groups for p in g['params'] if p.grad is not None]
        if get_world_size() > 1:
            _average(gradients)
        self._norm = None
        with self._tensor_rates():
            wrapper.step()
        scaler = getattr(wrapper, 'loss_scaler', None)
        if self._norm is None and (scaler is None or not scaler.is_enabled()):
            self._norm = get_total_norm(gradients)
        wrapper.zero_grad()
        for average in self._averages:
            average.move(self._model)
        values = shown if self._norm is None else {**shown, 'grad_norm': self._norm}
        for k, head in enumerate(self._heads):
            values |= {f'{k} {name}': peak for name, peak in head.peaks.items()}
        self._write(values)

    def _forward(self, data: dict) -> dict[str, Tensor]:
        half = type_of_autocast(self._device)
        if half is None or self._compiled or not self._count:  # the first step shows which weights are used
            return self._model(**data)
        return functional_call(self._model, self._halves.cast(half), kwargs=data)

    def _write(self, values: dict[str, Tensor]) -> None:
        row = torch.stack([v.detach().reshape(()).float() for v in values.values()])
        if self._table is None or self._names != list(values):
            self._names = list(values)
            rows = max(1, len(self._runner.train_dataloader))
            self._table = torch.zeros(rows, len(row), device=self._device)
            self._row.fill_(self._count % rows)
        self._table.index_copy_(0, self._row, row[None])

    def _outputs(self) -> dict[str, Tensor]:
        row = dict(zip(self._names, self._table[self._count % len(self._table)].unbind(), strict=True))
        self._count += 1
        for k, head in enumerate(self._heads):
            head.peaks = {name: row.pop(f'{k} {name}') for name in head.peaks}
        return row

    def _prepare_optimizer(self) -> None:
        optimizer = self._wrapper.optimizer
        self._scaled_by_optimizer = getattr(optimizer, '_step_supports_amp_scaling', False)
        on_device = any(group.get('fused') or group.get('capturable') for group in self._groups)
        self._counters_at = self._device if on_device else torch.device('cpu')
        optimizer._step_supports_amp_scaling = True  # so that a scaler of gradients reads nothing
        optimizer._warned_capturable_if_run_uncaptured = True  # as it does while warming up
        for state in optimizer.state.values():
            if isinstance(state.get('step'), Tensor):
                state['step'] = state['step'].to(self._device, torch.float32)

    @contextmanager
    def _tensor_rates(self) -> Iterator[None]:
        """Learning rates on the device and fused updates, for the optimiser alone: schedulers, logs and
        checkpoints keep what they know."""
        before = [dict(group) for group in self._groups]
        for group, rate in zip(self._groups, self._rates, strict=True):
            group.update(lr=rate, fused=True, foreach=False)
            if 'capturable' in group:
                group['capturable'] = True
        try:
            yield
        finally:
            for group, values in zip(self._groups, before, strict=True):
                group.update(values)

    def _noting_the_norm(self, clip: Callable) -> Callable:
        def clip_and_note(*args, **kwargs) -> None:
            self._norm = clip(*args, **kwargs)
            # None, or mmengine would read the number at once

        vars(clip_and_note).update(recorded=True, plain=clip)  # the norm comes with the losses
        return clip_and_note


def _several_sizes(batch: dict) -> str | None:
    """The first two sizes of a batch's images, where they differ."""
    height, width = batch['inputs'][0].shape[-2:]
    for image in batch['inputs']:
        if image.shape[-2:] != (height, width):
            return f'{height} × {width} and {image.shape[-2]} × {image.shape[-1]}'
    return None


def _tensors(drawn: dict[str, np.ndarray]) -> Batch:
    return {name: torch.from_numpy(values) for name, values in drawn.items()}


def _reason_of_any(reason: str | None, device: torch.device) -> str | None:
    """A reason of one process holds for all, or they would exchange gradients in different ways."""
    if get_world_size() == 1:
        return reason
    found = torch.tensor(float(reason is not None), device=device)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return reason or ('another process cannot.' if found.item() else None)


def _average(gradients: list[Tensor]) -> None:
    """The mean over all processes, by one exchange."""
    every = torch.cat([g.reshape(-1) for g in gradients])
    distributed.all_reduce(every)
    every /= get_world_size()
    parts = every.split([g.numel() for g in gradients])
    torch._foreach_copy_(gradients, [p.view_as(g) for p, g in zip(parts, gradients, strict=True)])


def stacked(batch: dict) -> Batch:
    """A loader's batch as tensors (B, …): ``inputs``, and the masks of its samples by name.

    Args:
        batch: Images of one size.
    """
    samples = batch['data_samples']
    names = [name for name in samples[0].all_keys() if isinstance(samples[0].get(name), PixelData)]
    masks = {name: torch.stack([s.get(name).data for s in samples]) for name in names}
    return {'inputs': torch.stack(list(batch['inputs'])), **masks}


def unstacked(tensors: Batch) -> dict:
    """The inverse of :func:`stacked`, without metainfo; the images stay together."""
    masks = {name: value.unbind() for name, value in tensors.items() if name != 'inputs'}
    samples = []
    for k in range(len(tensors['inputs'])):
        sample = SegDataSample()
        sample.set_data({name: PixelData(data=values[k]) for name, values in masks.items()})
        samples.append(sample)
    return {'inputs': tensors['inputs'], 'data_samples': samples}
