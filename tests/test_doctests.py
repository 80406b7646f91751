"""Examples in docstrings give what they say."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import madnet

ROOT = Path(madnet.__file__).parent
MODULES = [
    '.'.join(['madnet', *path.relative_to(ROOT).with_suffix('').parts])
    for path in sorted(ROOT.rglob('*.py'))
    if '>>> ' in path.read_text(encoding='utf-8')
]


@pytest.mark.parametrize('name', MODULES)
def test_examples(name):
    done = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert done.attempted
    assert not done.failed


def test_there_are_examples():
    assert len(MODULES) > 3
