"""Data sets, and modules of one's own, that were changed after runs had been trained or tested with them: one
line for each says so."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from madnet.datasets.contents import Contents, is_same
from madnet.datasets.splits import few
from madnet.datasets.wrappers import kind_of, sets_of
from madnet.errors import UserError
from madnet.experiments.run import Run
from madnet.experiments.state import read_metrics, read_record, tested_sets, weights_of
from madnet.files import newest
from madnet.records import MetricsFile
from madnet.text import counted

#: What was done with the data → what is to be removed to have it done again.
_REMOVE = {'tested': MetricsFile.FILE, 'trained': 'folder'}
#: Where the files are, and what they hold; None where they are not at hand.
_Look = Callable[[Mapping], tuple[str, Contents] | None]


def warn_of_changed_data(runs: Sequence[Run]) -> None:
    """Warn of trainings and tests that count as done, but had other images or masks than lie there now; by
    the time where it is not recorded what they had, as of modules of their ``custom_imports``."""
    looked = lru_cache(None)(_look)
    stale: dict[tuple[str, str], list[str]] = {}
    for run in runs:
        for what, found in _uses(run, lambda part: looked(json.dumps({**part, 'pipeline': None}))):
            stale.setdefault((what, found), []).append(run.name)
    for (what, found), names in stale.items():
        names = list(dict.fromkeys(names))
        print(
            found.format(f'{counted(len(names), "run")} had been {what} with ({few(names)})')
            + f'; what is done is kept: to have it {what} again, remove the {_REMOVE[what]} of each.',
            file=sys.stderr,
        )


def _uses(run: Run, look: _Look) -> Iterator[tuple[str, str]]:
    """('trained' or 'tested', what has changed) of what is done of a run."""
    from madnet.engine.checkpoint import HELD
    from madnet.engine.config.reading import files_of_modules

    modules = files_of_modules(run.settings)
    record, weights = read_record(run.folder), weights_of(run)
    if run.seed is not None and record and record.trained and weights and weights.is_file():
        meta = _meta_in(weights)
        for key, (loader, kinds) in HELD.items():
            parts, saw = sets_of(run.settings, loader), meta.get(key)
            texts = saw if isinstance(saw, list) and len(saw) == len(parts) else [None] * len(parts)
            for text, now in zip(texts, map(look, parts), strict=True):
                if now:
                    same = is_same(text, now[1].text(kinds))
                    yield from _changed('trained', same, weights, kinds, *now)
        yield from _newer('trained', weights, modules)
        modules = []  # whoever trains anew tests anew
    for views, report in read_metrics(run).items():
        written = run.tests()[views] / MetricsFile.FILE
        scored = [one.dataset for one in report.sets.values()] if report.sets else [report.dataset]
        for saw, now in zip(scored, map(look, tested_sets(run)), strict=True):
            if now is None:
                continue
            for digest, found in now[1].digests().items():
                same, kind = is_same(getattr(saw, digest), found), digest.removesuffix('_sha256')
                yield from _changed('tested', same, written, (kind,), *now)
        yield from _newer('tested', written, modules)


def _changed(
    what: str, same: bool | None, written: Path, kinds: Sequence[str], where: str, now: Contents
) -> Iterator[tuple[str, str]]:
    if same is None:
        yield from _newer(what, written, [Path(file) for kind in kinds for file in now.files[kind]])
    elif not same:
        yield what, f'{where}: other {" or ".join(kinds)}, by their bytes, than {{}}'


def _newer(what: str, written: Path, files: Sequence[Path]) -> Iterator[tuple[str, str]]:
    changed = newest([written, *files])
    if changed != written:
        yield what, f'{changed}: newer than what {{}}, of which nothing is recorded to compare it with'


def _meta_in(weights: Path) -> Mapping:
    from madnet.engine.checkpoint import meta_of
    from madnet.engine.checkpoint_file import read_checkpoint

    try:
        return meta_of(read_checkpoint(weights))
    except UserError:  # damaged, or of another program
        return {}


def _look(settings: str) -> tuple[str, Contents] | None:
    """The part and the contents of a config's data set; None where it is not at hand, or of a class that may
    find its images otherwise."""
    from madnet.datasets.sirst_dataset import SIRSTDataset, dataset_of

    part = json.loads(settings)
    if kind_of(part) != 'SIRSTDataset':
        return None
    try:
        # grey values are not measured, which takes long and changes no file
        dataset = dataset_of(part, indices=part.get('indices'), lazy_init=True, value_range='type')
        super(SIRSTDataset, dataset).full_init()  # nor are all masks read
    except UserError:
        return None
    return f'{dataset.folder.root}, {dataset.split}', dataset.contents()
