"""The training step as one CUDA graph, which is replayed instead of launched operator by operator.

A narrow network launches some thousand small operators a step, and the GPU waits for each. A graph is
launched as a whole. It knows no Python: what changes from step to step (learning rates, the decay of the
average, the batch) lies in tensors that are filled before each replay, and what changes from epoch to epoch
(losses that begin later) has a graph of its own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from mmengine.dist import get_world_size
from mmengine.hooks import EMAHook
from torch import Tensor, distributed
from torch.func import functional_call

from madnet.datasets.device_cache import DeviceCache
from madnet.engine.bare_model import bare
from madnet.engine.cuda_graph import PlainCall, let_streams_differ, side_stream
from madnet.engine.device_optimizer import DeviceOptimizer
from madnet.engine.eager_step import EagerStep
from madnet.engine.half_weights import HalfWeights, type_of_autocast
from madnet.engine.step_batches import Batch, stacked, tensors_of, unstacked, why_not_stacked
from madnet.engine.step_checks import Snapshot, Watched, far_apart, flat, in_one_line, plain_values
from madnet.errors import RunFailed, UserError

#: Steps of a phase that are taken operator by operator, before its graph is captured: they count as steps.
WARM_UP = 3
#: Steps of a state of the network after which several processes capture what they have, all at once: batches
#: of theirs may differ in shape, and each capture exchanges gradients.
_TOGETHER = frozenset((WARM_UP, 10, 30, 100, 300, 1000, 3000))
#: How far a replay may be from the plain step: losses and norm, each; the way that all weights go, where a
#: weight without a gradient, such as a bias before a normalisation, follows rounding; and their average's.
_APART = {'values': 0.02, 'weights': 0.5, 'average': 0.2}


@dataclass
class _Phase:
    """Batches of one shape, as long as the network is in one state.

    Attributes:
        buffers: Where a batch lies for the step.
        captured: The graph, once there is one.
        halves: The weights that are cast at once, as its first step shows them.
        steps: How many there were.
        kept: What modules keep as plain values, after the first step.
        names: Of what a step gives.
        table: What its steps gave, a row each.
    """

    buffers: Batch
    halves: HalfWeights
    captured: Any = None
    steps: int = 0
    kept: dict | None = None
    names: list[str] = field(default_factory=list)
    table: Any = None


class CapturedStep:
    """Forward pass, losses, backward pass, clipping, optimiser and average of weights, as a graph.

    The first steps of every phase are taken operator by operator, on a stream of their own; then the phase is
    captured. A phase is what ``set_epoch`` and hooks may change before an epoch (plain values of modules,
    such as the weight of a loss, frozen parameters, numbers of the optimiser), and the shapes of a batch.

    A graph is used if its first replay does what the plain step does, with other learning rates and another
    decay than those with which it was captured, from the same weights. Whatever speaks against it, before,
    while or after, is said in one line, and training goes on operator by operator: as here, or, where one of
    the first two steps of a phase fails already (weights are cast at once from the second on), as mmengine
    does it.

    What a step gives (losses, the norm of the gradient, the peaks of the maps) is written to a row of its
    phase's table on the device, one for each step of an epoch, so that nobody has to read it at once.

    Args:
        runner: Whose run it is, ready to train.
        graph: Makes a graph of the step, with a method ``replay``.
        cache: The training images, if they lie on the device: batches are cut from them in the graph.
    """

    moves_averages = True

    def __init__(self, runner, graph: Callable[[Callable[[], None]], Any], cache: DeviceCache | None = None):
        self._graph: Any = graph  # None once it is given up
        self._runner, self._cache = runner, cache
        self._model = bare(runner.model)
        self._wrapper = runner.optim_wrapper
        self._device = next(self._model.parameters()).device
        self._stream = side_stream() if self._device.type == 'cuda' else None
        self._averages = [h.ema_model for h in runner.hooks if isinstance(h, EMAHook)]
        for average in self._averages:
            average.moved_by_step = True
        self._heads = [m for m in self._model.modules() if hasattr(m, 'highest_logits')]
        self._optimizer = DeviceOptimizer(self._wrapper, self._device)
        self._compiled = any('forward' in vars(part) for part in self._model.children())
        self._settings: tuple = ()
        self._settings_of: int | None = None  # the epoch
        self._since = 0  # steps since they were others
        self._eager: Any = None
        self._phases: dict[tuple, _Phase] = {}
        self._rows = max(1, len(runner.train_dataloader))
        self._row = torch.zeros(1, dtype=torch.int64, device=self._device)
        self._count = 0

    def __call__(self, batch: dict) -> dict[str, Tensor]:
        """Train on a batch of the loader; losses and, unless gradients are scaled, ``grad_norm``, all to be
        read within an epoch's steps."""
        if self._eager is None and 'drawn' not in batch and (reason := why_not_stacked(batch)):
            if get_world_size() > 1:  # the others go on to exchange gradients in this way
                raise RunFailed(
                    f'{reason.capitalize()}, which several processes train on with --cfg-options '
                    'capture_step=False only; or let all pipelines crop (RandomTargetCrop) and end alike.'
                )
            self._go_eager(f'{reason}.')
        if self._eager is not None:
            return self._eager_step(batch)
        tensors = tensors_of(batch['drawn']) if 'drawn' in batch else stacked(batch)
        phase = self._phase_of(tensors)
        for name, tensor in tensors.items():
            phase.buffers[name].copy_(tensor, non_blocking=True)
        self._set_numbers()
        if self._is_due(phase):
            self._capture(phase)
        if phase.captured is not None:
            phase.captured.replay()
        elif phase.steps > 1:
            self._warm_up(phase)
        elif not self._step_works(phase):
            return self._eager_step(batch)
        phase.steps += 1
        self._since += 1
        return self._outputs(phase)

    def _is_due(self, phase: '_Phase') -> bool:
        if get_world_size() > 1:
            return self._since in _TOGETHER
        return self._graph is not None and phase.captured is None and phase.steps >= WARM_UP

    @property
    def replays(self) -> bool:
        """Whether a graph does the work of batches that came often enough."""
        return any(phase.captured is not None for phase in self._phases.values())

    def _phase_of(self, tensors: Batch) -> '_Phase':
        if self._settings_of != self._runner.epoch:  # once an epoch, as there are some thousand of them
            self._settings_of = self._runner.epoch
            self._follow_settings('inputs' in tensors)
        shapes = tuple((name, tensor.shape, tensor.dtype) for name, tensor in tensors.items())
        if shapes not in self._phases:
            buffers = {n: torch.empty_like(t, device=self._device) for n, t in tensors.items()}
            self._phases[shapes] = _Phase(buffers, HalfWeights(self._model))
        return self._phases[shapes]

    def _follow_settings(self, whole: bool) -> None:
        """Forget all phases if what Python says of parameters, modules and groups in the step has changed, or
        whether samples come whole."""
        settings = (
            whole,
            plain_values(self._model.named_modules()),
            [p.requires_grad for p in self._model.parameters()],
            list(self._optimizer.fixed_numbers()),
        )
        if _of_any(settings != self._settings, self._device):  # what is past does not come back
            self._since = 0
            if self._stream is not None:
                torch.cuda.synchronize()  # the last replay may still run
            self._phases.clear()
        self._settings = settings

    def _set_numbers(self) -> None:
        self._optimizer.follow_schedulers()
        for average in self._averages:
            average.count_step()
        self._row.fill_(self._count % self._rows)

    def _step_works(self, phase: '_Phase') -> bool:
        """Take a step that may fail; where it does, nothing has changed, and mmengine's takes over."""
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
        self._optimizer.clean_up()
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
        let_streams_differ()
        self._optimizer.hand_back()
        for average in self._averages:
            average.moved_by_step = False
        self._eager = EagerStep(self._runner, self._cache)

    def _eager_step(self, batch: dict) -> dict[str, Tensor]:
        self._optimizer.norm = None
        losses = self._eager(batch)
        norm = self._optimizer.norm
        return losses if norm is None else {**losses, 'grad_norm': norm}

    def _warm_up(self, phase: '_Phase') -> None:
        watch = self._graph is not None and phase.steps == 0 and not self._compiled
        with Watched() if watch else nullcontext() as watched:
            self._aside(partial(self._body, phase))
        if watched is not None and watched.found:
            self._give_up(watched.found)
        if self._graph is not None:
            self._compare_values(phase)

    def _compare_values(self, phase: '_Phase') -> None:
        """See to it that no module counts steps, or keeps of them what a graph would not know."""
        kept = plain_values(self._model.named_modules())
        if phase.kept is not None and kept != phase.kept:
            name, key = next(k for k in phase.kept | kept if kept.get(k) != phase.kept.get(k))
            before, now = (values.get((name, key)) for values in (phase.kept, kept))
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
        body = partial(self._body, phase)
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
                self._optimizer.clean_up()
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
            for found, run in ((plain, partial(self._body, phase)), (replayed, graph.replay)):
                self._aside(run)
                found.append(phase.table.index_select(0, self._row)[0])
                found += [flat(t) - s for t, s in zip((weights, averaged or weights), starts, strict=True)]
                before.restore()
        alike = torch.isclose(
            replayed[0], plain[0], rtol=_APART['values'], atol=1e-3, equal_nan=True
        ).tolist()
        for name, same in zip(phase.names, alike, strict=True):
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
        rates = self._optimizer.rates
        numbers = [*rates, *decays]
        before = torch.stack(numbers)
        torch._foreach_mul_(numbers, [0.5] * len(rates) + [0.0] * len(decays))
        try:
            yield
        finally:
            torch._foreach_copy_(numbers, list(before.unbind()))

    def _changing(self) -> Iterator[Tensor]:
        """All tensors that a step changes and that another one begins from."""
        for module in (self._model, *(average.module for average in self._averages)):
            yield from module.parameters()
            yield from module.buffers()
        yield from self._optimizer.changing()

    def _give_up(self, reason: str) -> None:
        if self._graph is not None:
            self._runner.logger.warning(f'The step is not captured: {reason}')
        self._graph = None
        for phase in self._phases.values():
            phase.captured = None

    def _body(self, phase: '_Phase') -> None:
        """All of a step, from a batch to a row of the table."""
        buffers = phase.buffers
        batch = unstacked(self._cache.batch(buffers) if self._cache and 'inputs' not in buffers else buffers)
        with self._wrapper.optim_context(self._model):
            data = self._model.data_preprocessor(batch, True)
            losses = self._forward(phase, {**data, 'mode': 'loss'})
        loss, shown = self._model.parse_losses(losses)
        self._optimizer.step(loss)
        for average in self._averages:
            average.move(self._model)
        norm = self._optimizer.norm
        values = shown if norm is None else {**shown, 'grad_norm': norm}
        for k, head in enumerate(self._heads):
            values |= {f'{k} {name}': peak for name, peak in head.highest_logits.items()}
        self._write(phase, values)

    def _forward(self, phase: '_Phase', data: dict) -> dict[str, Tensor]:
        half = type_of_autocast(self._device)
        if half is None or self._compiled:
            return self._model(**data)
        if not phase.steps:
            with phase.halves:
                return self._model(**data)
        return functional_call(self._model, phase.halves.cast(half), kwargs=data)

    def _write(self, phase: '_Phase', values: dict[str, Tensor]) -> None:
        row = torch.stack([v.detach().reshape(()).float() for v in values.values()])
        if phase.names != list(values):
            phase.names = list(values)
            phase.table = torch.zeros(self._rows, len(row), device=self._device)
        phase.table.index_copy_(0, self._row, row[None])

    def _outputs(self, phase: '_Phase') -> dict[str, Tensor]:
        row = dict(zip(phase.names, phase.table[self._count % self._rows].unbind(), strict=True))
        self._count += 1
        for k, head in enumerate(self._heads):
            here = [name for name in row if name.startswith(f'{k} ')]
            head.highest_logits = {name.partition(' ')[2]: row.pop(name) for name in here}
        return row


def _reason_of_any(reason: str | None, device: torch.device) -> str | None:
    """A reason of one process holds for all, or they would exchange gradients in different ways."""
    found = _of_any(reason is not None, device)
    return reason or ('another process cannot.' if found else None)


def _of_any(found: bool, device: torch.device) -> bool:
    """Whether any process has found it; asked by all at once."""
    if get_world_size() == 1:
        return found
    number = torch.tensor(float(found), device=device)
    distributed.all_reduce(number, distributed.ReduceOp.MAX)
    return bool(number.item())
