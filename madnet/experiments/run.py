"""One training and its test, as a comparison does many."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from madnet.datasets.sources import find_sources, set_name
from madnet.errors import UserError


@dataclass(frozen=True, eq=False)
class Run:
    """One training and its test, or a test alone."""

    network: str  # its name, and that of the folder of its runs
    label: str  # how tables and figures call it
    config: str  # its file
    options: dict  # dotted keys and values that override the config, dataset among them
    #: The resolved config, as JSON holds it. With seed, weights and ``amp`` it decides how a training ends.
    settings: dict
    seed: int | None  # None where nothing is trained
    checkpoint: str | None  # weights that are tested instead of training
    amp: str | None  # mixed precision of the training, as madnet train --amp
    protocols: str  # names with commas
    folder: str  # where checkpoints, logs and metrics.json go
    views: tuple[int, ...] = ()  # to test with, one number after the other; none tests as the config says
    save_scores: bool = False  # beside the metrics
    test_on: tuple[str, ...] = ()  # data sets that are scored one by one, in the place of the config's
    recipe: str | None = None  # that it is trained by; None also where the plan names a config

    @property
    def name(self) -> str:
        """As progress lines call it: network, data set, seed."""
        seed = [] if self.seed is None else [f'seed {self.seed}']
        return ' '.join([*Path(self.folder).parts[-3:-1], *seed])

    def wanted(self) -> dict:
        """What decides the outcome of the training; a folder that holds another is not touched."""
        return {**self.settings, 'seed': self.seed, 'checkpoint': self.checkpoint, 'amp': self.amp}

    def tests(self) -> dict[int | None, Path]:
        """Number of views (None: the config's) → the folder of that test's ``metrics.json``.

        One view lies with the training, where ``madnet test`` puts it too.
        """
        folder = Path(self.folder)
        return {n: folder if n == 1 else folder / f'views{n}' for n in self.views} or {None: folder}

    def check_sets_to_test(self) -> None:
        """Raise a UserError where a data set of ``test_on`` does not exist, or two have one name."""
        names = [set_name(where.arguments) for where in find_sources(self.test_on)]
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise UserError(f'also_test_on: two of the data sets are called {twice[0]!r}; test them apart.')

    def training(self) -> dict:
        """Of how many ``epochs`` it is, or in how many minutes (``budget``); of a detector, its ``rule``."""
        if self.seed is None:
            return {'rule': None if self.checkpoint else self.settings['model'].get('rule')}
        loop = self.settings['train_cfg']
        minutes = loop.get('minutes')
        return {'epochs': None if minutes else loop.get('max_epochs'), 'budget': minutes}

    def as_json(self) -> str:
        """For another process; see :meth:`from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Run:
        """The run of :meth:`as_json`."""
        content = json.loads(text)
        return cls(**content | {key: tuple(content[key]) for key in ('views', 'test_on')})
