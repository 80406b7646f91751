"""One training and its test, as a comparison does many."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from madnet.datasets.sources import find_sources, set_name
from madnet.datasets.wrappers import sets_of, validation_split
from madnet.errors import UserError

#: Which part of the images chose the epoch → how tables say so.
_CHOSEN = {
    None: 'last epoch',
    'val': 'best epoch on validation images',
    'validation': 'best epoch on validation images',  # of a set that does not call its part so
    'test': 'best epoch on the TEST images, as published',
}


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
        """How the tested epoch was chosen (``chosen``), and of how many (``epochs``) or in how many minutes
        (``budget``); of a detector, its ``rule``."""
        if self.seed is None:
            rule = None if self.checkpoint else self.settings['model'].get('rule')
            return {'chosen': 'given weights' if self.checkpoint else None, 'epochs': None, 'rule': rule}
        loop = self.settings['train_cfg']
        epochs = None if loop.get('minutes') else loop.get('max_epochs')
        chosen = _CHOSEN[None]
        if self._may_choose(epochs):
            split = validation_split(sets_of(self.settings, 'val_dataloader'))
            chosen = _CHOSEN.get(split, f'best epoch on {split!r} images')
        return {'chosen': chosen, 'epochs': epochs, 'budget': loop.get('minutes')}

    def _may_choose(self, epochs: int | None) -> bool:
        """Whether there is more than one validation to choose by, as far as the settings say."""
        loop = self.settings['train_cfg']
        saver = self.settings['default_hooks'].get('checkpoint') or {}
        if self.settings.get('val_dataloader') is None or saver.get('save_best', '') is None:
            return False
        # where validation sees a single epoch, that is the last
        first = max(loop.get('val_begin', 1), loop.get('val_interval', 1))
        return epochs is None or first < epochs

    def as_json(self) -> str:
        """For another process; see :meth:`from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Run:
        """The run of :meth:`as_json`."""
        content = json.loads(text)
        return cls(**content | {key: tuple(content[key]) for key in ('views', 'test_on')})
