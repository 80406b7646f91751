"""Processes that load data: what signals to a whole training do to them, and batches they cannot send."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from multiprocessing.queues import Queue

from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader

from madnet.engine.faults import GIVE_MORE
from madnet.errors import UserError


def keep_workers_until_saved(loader: DataLoader) -> DataLoader:
    """Let the loading processes of ``loader`` ignore SIGINT, SIGHUP, and every SIGTERM except the training
    process's own; and hand over an error instead of a batch that cannot be sent.

    A batch system sends SIGTERM to every process of a job, a terminal SIGINT and SIGHUP. PyTorch's loading
    processes would end at once, and raise an error in the training, in the middle of a step, before it can
    save. They still end by themselves when the training process is gone. Where a signal does not carry its
    sender (macOS, Windows), SIGTERM is left alone.

    Batches are sent through /dev/shm. Where it is full, multiprocessing prints the error in the loading
    process, and the training would wait for the batch forever.

    Nor do they print a traceback when the training has been killed while it took a batch over.

    Returns:
        The loader itself.
    """
    loader.worker_init_fn = partial(_start, loader.worker_init_fn)
    return loader


def _start(then: Callable[[int], None] | None, worker_id: int) -> None:
    Queue._on_queue_feeder_error = _send_error  # type: ignore[attr-defined]
    sys.excepthook = _tell_unless_cut_off
    for name in ('SIGINT', 'SIGHUP'):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, 'sigwaitinfo'):
        # only a signal that is waited for, not handled, carries its sender
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_at_signal_from, args=(os.getppid(),), daemon=True).start()
    if then is not None:
        then(worker_id)


def _tell_unless_cut_off(kind: type[BaseException], error: BaseException, trace) -> None:
    """Print an error of a thread, unless it is that the training does not listen any more."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)


def _send_error(queue: Queue, error: Exception, item: tuple) -> None:
    """Put the error in the place of a numbered batch that could not be sent."""
    if 'shared memory' in str(error):
        error = UserError(
            f'a loading process cannot hand its batch over: {error}. /dev/shm is full: {GIVE_MORE}.'
        )
    number = item[0]
    queue.put(
        (number, ExceptionWrapper((type(error), error, error.__traceback__), 'in DataLoader worker process'))
    )


def _end_at_signal_from(parent: int) -> None:
    # an orphan's parent is another process: it obeys everyone
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent == os.getppid():
        pass
    os._exit(0)
