"""Something that can be called again without Python: a CUDA graph, or what stands for one."""

import gc
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from weakref import WeakSet

import torch


@cache
def side_stream() -> torch.cuda.Stream:
    """The stream of this process's device on which steps are warmed up and captured.

    A distributed wrapper that is to be captured has to be made on it: gradients are accumulated on the stream
    that was in use when it was made, and a capture may not wait for the default one.
    """
    return torch.cuda.Stream()


def let_streams_differ() -> None:
    """Let a distributed wrapper that was made on :func:`side_stream` be used on another one.

    PyTorch waits for both where it has to, and need not warn of it.
    """
    if warn := getattr(torch.autograd.graph, 'set_warn_on_accumulate_grad_stream_mismatch', None):
        warn(False)


class PlainCall:
    """Stands in a graph's place: calls the function."""

    def __init__(self, body: Callable[[], object]):
        self.replay = body


class CUDAGraph:
    """A function's work on the device, captured.

    Where that fails, the current stream, the generator and the collector of garbage are as they were; tensors
    that the function made hold nothing.

    Args:
        body: To be captured; it is not carried out.
    """

    #: Graphs are replayed one after the other and leave nothing in their memory, so those that live share it;
    #: it goes with the last of them, and may not be asked for again.
    _pool = None
    _alive: WeakSet = WeakSet()

    def __init__(self, body: Callable[[], object]):
        self._graph = torch.cuda.CUDAGraph()
        if not self._alive:
            CUDAGraph._pool = torch.cuda.graph_pool_handle()
        generator = torch.cuda.default_generators[torch.cuda.current_device()]
        before = generator.clone_state()
        collects = gc.isenabled()
        gc.collect()
        gc.disable()  # what is freed in the middle may have to wait for the device
        try:
            with (
                # the outer one: where the end of a capture fails, torch does not leave its stream
                torch.cuda.stream(torch.cuda.current_stream()),
                torch.cuda.graph(
                    self._graph,
                    pool=self._pool,
                    stream=side_stream(),
                    # other threads, such as the one that pins batches, go on using the device
                    capture_error_mode='thread_local',
                ),
            ):
                body()
        except BaseException:
            with suppress(RuntimeError):
                # the one that has begun to be captured refuses to be used otherwise
                generator.graphsafe_set_state(before)
            raise
        finally:
            if collects:
                gc.enable()
        self.replay = self._graph.replay
        self._alive.add(self)
