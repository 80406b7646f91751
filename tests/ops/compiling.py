"""Triton kernels compiled for a GPU that is not there: all is as at a real start, except the launch."""

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock


@dataclass
class Binary:
    """A kernel as it would be launched.

    Attributes:
        kernel: Its name.
        grid: Programs in the order of ``tl.program_id``.
        assembly: Texts of the stages: ``ttgir``, ``ptx`` and others.
        registers: To a thread.
        shared: Bytes of shared memory to a program.
        spilled: Bytes that do not fit the registers of a thread.
        warps: To a program.
    """

    kernel: str
    grid: tuple[int, ...]
    assembly: dict
    registers: int
    shared: int
    spilled: int
    warps: int


class _Driver:
    """What triton asks of a driver before it launches."""

    def __init__(self, capability: int):
        from triton.backends.compiler import GPUTarget

        self.capability, self.target = capability, GPUTarget('cuda', capability, 32)

    def get_current_device(self) -> int:
        return self.capability  # a card of its own: kernels are looked up by the number of the card

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self):
        return self.target


@contextmanager
def compiling_for(capability: int) -> Iterator[list[Binary]]:
    """Takes tensors on the CPU for those of a GPU (80 for sm_80), and compiles what is launched with them.

    Yields:
        What was launched, in order.
    """
    from triton.runtime import driver
    from triton.runtime.jit import JITFunction

    from madnet.ops.selective_scan import triton_backend

    launched: list[Binary] = []

    def launch(kernel, grid):
        def start(*args, **options):
            binary = kernel.run(*args, grid=grid, warmup=True, **options)
            registers, spilled = _resources(binary.asm['ptx'], capability)
            launched.append(
                Binary(
                    kernel.__name__, grid, binary.asm, registers, binary.metadata.shared, spilled,
                    binary.metadata.num_warps,
                )
            )  # fmt: skip

        return start

    known = driver._active if hasattr(driver, '_active') else None
    driver.set_active(_Driver(capability))
    try:
        with (
            mock.patch.object(JITFunction, '__getitem__', launch),
            mock.patch.object(triton_backend, 'INTERPRETED', True),
        ):
            yield launched
    finally:
        driver._active = known


def _resources(ptx: str, capability: int) -> tuple[int, int]:
    """Registers and spilled bytes of a thread, as the assembler of triton's wheel says."""
    from triton.backends import nvidia

    folder = Path(nvidia.__file__).parent / 'bin'
    # which of the two assemblers served depends on triton's release
    for name in ('ptxas', 'ptxas-blackwell'):
        target = re.search(r'\.target (\w+)', ptx).group(1)
        with TemporaryDirectory() as temporary:
            source = Path(temporary) / 'kernel.ptx'
            source.write_text(ptx)
            command = [
                folder / name,
                '-v',
                f'--gpu-name={target}',
                source,
                '-o',
                Path(temporary) / 'kernel.o',
            ]
            said = subprocess.run(command, capture_output=True, text=True)
        log = said.stdout + said.stderr
        if said.returncode == 0:
            registers = int(re.search(r'Used (\d+) registers', log).group(1))
            return registers, int(re.search(r'(\d+) bytes spill stores', log).group(1))
    raise AssertionError(log)
