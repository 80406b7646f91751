"""Progress bars on terminals with and without a size, and off terminals."""

import fcntl
import os
import struct
import subprocess
import sys
import termios

import pytest

COUNT = """
from madnet.progress import progress_bar
for _ in progress_bar(range(3), what='count'):
    pass
"""
# `madnet.progress` alone, without the networks that importing the package brings along
LOAD = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location('madnet.progress', {path!r})
module = importlib.util.module_from_spec(spec)
sys.modules['madnet'], sys.modules['madnet.progress'] = type(sys)('madnet'), module
spec.loader.exec_module(module)
"""


@pytest.fixture
def script(repository):
    return LOAD.format(path=str(repository / 'madnet' / 'progress.py')) + COUNT


@pytest.mark.parametrize('columns', [0, 60], ids=['no size', '60 columns'])
def test_a_terminal_shows_the_bar(script, columns):
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24 if columns else 0, columns, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in ('COLUMNS', 'LINES', 'TQDM_DISABLE')}
    subprocess.run([sys.executable, '-c', script], stderr=theirs, check=True, env=env)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    assert 'count: 100%' in shown
    assert '3/3' in shown


def test_a_pipe_shows_none(script):
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, check=True)
    assert done.stderr == b''
