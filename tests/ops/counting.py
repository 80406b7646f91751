"""What kernels move, counted in triton's interpreter."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np


@contextmanager
def bytes_moved() -> Iterator[list[tuple[str, int, int]]]:
    """Count the bytes of every launch, each address once: what would reach a cache that holds all.

    Yields:
        (kernel, bytes read, bytes written) of each launch, in order.
    """
    from triton.runtime import interpreter

    builder, executor = interpreter.InterpreterBuilder, interpreter.GridExecutor
    launches: list[tuple[str, int, int]] = []
    read: list[np.ndarray] = []
    written: list[np.ndarray] = []
    load, store, launch = builder.create_masked_load, builder.create_masked_store, executor.__call__

    def touch(seen, pointers, mask) -> None:
        assert pointers.get_element_ty().primitive_bitwidth == 32
        seen.append(np.unique(pointers.data[mask.data]))

    def counted_load(self, pointers, mask, *rest, **others):
        touch(read, pointers, mask)
        return load(self, pointers, mask, *rest, **others)

    def counted_store(self, pointers, value, mask, *rest, **others):
        touch(written, pointers, mask)
        return store(self, pointers, value, mask, *rest, **others)

    def counted_launch(self, *args, **options):
        read.clear()
        written.clear()
        launch(self, *args, **options)
        sizes = (4 * len(np.unique(np.concatenate([*seen, []]))) for seen in (read, written))
        launches.append((self.fn.__name__, *sizes))

    with (
        mock.patch.object(builder, 'create_masked_load', counted_load),
        mock.patch.object(builder, 'create_masked_store', counted_store),
        mock.patch.object(executor, '__call__', counted_launch),
    ):
        yield launches
