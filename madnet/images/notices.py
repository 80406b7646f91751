"""Warnings that are given once, however many images they hold for."""

import logging
import multiprocessing

#: Without a handler of its own, Python prints its warnings on standard error.
LOGGER = logging.getLogger('madnet')

_said: set[str] = set()


def say_once(message: str, key: str | None = None) -> None:
    """Warn, unless a warning with this key (default: this message) was given before, or a loading process
    asks: what it would say, the main process has said when the data were opened."""
    if multiprocessing.parent_process() is None and (key or message) not in _said:
        _said.add(key or message)
        LOGGER.warning(' '.join(message.split()))
