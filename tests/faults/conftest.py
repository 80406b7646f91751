"""Small file systems, real ones, where the machine lets us mount them."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def small_disk():
    """Mounts a file system of some kilobytes: a function of size → folder."""
    if not hasattr(os, 'getuid') or os.getuid() != 0 or not shutil.which('mount'):
        pytest.skip('needs root, to mount a small file system')
    mounted = []

    def make(kilobytes: int) -> Path:
        folder = tempfile.mkdtemp()
        command = ['mount', '-t', 'tmpfs', '-o', f'size={kilobytes}k', 'tmpfs', folder]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip('mounting is not allowed here')
        mounted.append(folder)
        return Path(folder)

    yield make
    for folder in mounted:
        subprocess.run(['umount', '-l', folder], check=True)
        os.rmdir(folder)


@pytest.fixture
def make_read_only():
    """Lets a file system of ``small_disk`` take no more writes."""

    def make(folder: Path) -> None:
        subprocess.run(['mount', '-o', 'remount,ro', str(folder)], check=True)

    return make
