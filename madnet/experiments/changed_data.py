"""Data sets, and modules of one's own, that were changed after runs had been trained or tested with them: one
line for each says so."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from madnet.datasets.locate import RECORD
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


def warn_of_changed_data(runs: Sequence[Run]) -> None:
    """Warn of trainings and tests that count as done, but are older than an image, mask or list of theirs,
    or a module of their ``custom_imports``."""
    looked_at: dict[str, Path | None] = {}
    stale: dict[tuple[Path, str], list[str]] = {}
    for run in runs:
        for what, written, part in _uses(run):
            key = str({**part, 'pipeline': None} if isinstance(part, Mapping) else part)
            if key not in looked_at:
                looked_at[key] = newest(_files_of(part) if isinstance(part, Mapping) else part)
            changed = looked_at[key]
            if changed and newest([written, changed]) == changed:
                stale.setdefault((changed, what), []).append(run.name)
    for (changed, what), names in stale.items():
        names = list(dict.fromkeys(names))
        print(
            f'{changed}: changed after {counted(len(names), "run")} had been {what} with it ({few(names)}); '
            f'what is done is kept: to have it {what} again, remove the {_REMOVE[what]} of each.',
            file=sys.stderr,
        )


def _uses(run: Run) -> Iterator[tuple[str, Path, Mapping | list[Path]]]:
    """('trained' or 'tested', what it wrote at its end, data set or files) of what is done of a run."""
    from madnet.engine.config.reading import files_of_modules

    modules = files_of_modules(run.settings)
    record, weights = read_record(run.folder), weights_of(run)
    if run.seed is not None and record and record.trained and weights and weights.is_file():
        for loader in ('train_dataloader', 'val_dataloader'):  # which chooses the epoch
            yield from (('trained', weights, part) for part in sets_of(run.settings, loader))
        yield 'trained', weights, modules
        modules = []  # whoever trains anew tests anew
    for views in read_metrics(run):
        written = run.tests()[views] / MetricsFile.FILE
        yield from (('tested', written, part) for part in tested_sets(run))
        yield 'tested', written, modules


def _files_of(part: Mapping) -> list[Path]:
    """Images, masks, lists and ``dataset.json`` of a config's data set; none where it is not at hand, or of
    a class that may find its images otherwise."""
    from madnet.datasets.sirst_dataset import dataset_of

    if kind_of(part) != 'SIRSTDataset':
        return []
    try:
        # neither measured nor compared with test images, which takes long and changes no file
        dataset = dataset_of(part, lazy_init=True, value_range='type', exclude_near_test=False)
        images = dataset.load_data_list()
    except UserError:
        return []
    files = [Path(each[key]) for each in images for key in ('img_path', 'seg_map_path')]
    split, named = dataset.split, dataset.folder.lists.get(dataset.split_set or '', {})
    lists = [f for part, f in named.items() if split == 'all' or (part == 'test') == (split == 'test')]
    return [*files, *lists, *filter(Path.is_file, [dataset.folder.root / RECORD])]
