"""Processes that load data, and what a signal to all processes of a training does to them."""

import os
import signal
import threading
from collections.abc import Callable
from functools import partial

from torch.utils.data import DataLoader


def keep_workers_until_saved(loader: DataLoader) -> DataLoader:
    """Let the loading processes of ``loader`` ignore every SIGTERM except the training process's own.

    A batch system sends SIGTERM to every process of a job. PyTorch's loading processes would end at once, and
    raise an error in the training, in the middle of a step, before it can save. They still end by themselves
    when the training process is gone. Where a signal does not carry its sender (macOS, Windows), nothing
    changes.

    Returns:
        The loader itself.
    """
    if hasattr(signal, 'sigwaitinfo'):
        loader.worker_init_fn = partial(_start, loader.worker_init_fn)
    return loader


def _start(then: Callable[[int], None] | None, worker_id: int) -> None:
    # only a signal that is waited for, not handled, carries its sender
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_at_signal_from, args=(os.getppid(),), daemon=True).start()
    if then is not None:
        then(worker_id)


def _end_at_signal_from(parent: int) -> None:
    # an orphan's parent is another process: it obeys everyone
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent == os.getppid():
        pass
    os._exit(0)
