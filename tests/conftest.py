"""What every test may lean on: the golden numbers and the real data, where they exist."""

import os
from pathlib import Path

import pytest


def _folder(variable: str, what: str) -> Path:
    value = os.environ.get(variable)
    if not value or not Path(value).is_dir():
        pytest.skip(f'{variable} names no folder: {what} not at hand')
    return Path(value)


@pytest.fixture(scope='session')
def golden_dir() -> Path:
    """The folder of golden numbers; skips where there is none."""
    return _folder('MADNET_GOLDEN', 'golden numbers')


@pytest.fixture(scope='session')
def data_root() -> Path:
    """The folder that holds the real data sets; skips where there is none."""
    return _folder('MADNET_DATA_ROOT', 'real data sets')
