"""What the folder of a run says: how far it is, and the numbers that count."""

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from madnet.datasets.catalogue import find_entry
from madnet.datasets.sources import find_sources, set_name
from madnet.datasets.splits import ids_sha256
from madnet.datasets.wrappers import is_kind, kind_of, sets_of
from madnet.errors import UserError
from madnet.evaluation.targets import Least
from madnet.experiments.plan import given_weights
from madnet.experiments.run import Run
from madnet.files import sha256_of
from madnet.records import MAPS, Averaging, Cost, DatasetInfo, MetricsFile, RunFile


def read_record(folder: str | os.PathLike) -> RunFile | None:
    """What ``run.json`` in the folder of a run holds; None where no run began."""
    return RunFile.read_if_whole(Path(folder, RunFile.FILE))


def record_or_new(run: Run) -> RunFile:
    """What ``run.json`` of a run holds, whose folder this process has (see
    :func:`~madnet.engine.folder_lock.own_folder`); a new one where no run began.

    Weights and tests that lie there then are others', such as of a training by hand. They are put aside, so
    that whatever lies beside a record is its own.
    """
    from madnet.engine.checkpoint import BEST, LAST, PREVIOUS

    folder = Path(run.folder)
    if record := read_record(folder):
        return record
    # beside tests of given weights may lie these themselves
    weights = () if run.seed is None else (LAST, PREVIOUS, BEST)
    if old := [path for name in (*weights, MetricsFile.FILE, 'views[0-9]*') for path in folder.glob(name)]:
        aside = folder / f'before_{time.strftime("%Y%m%d_%H%M%S")}'
        aside.mkdir(exist_ok=True)
        for path in old:
            path.rename(aside / path.name)
        print(f'{folder} held weights or tests but no {RunFile.FILE} of theirs; they are kept in {aside}')
    return RunFile(run.wanted())


def begins_with(run: Run) -> dict[str, Path]:
    """Dotted key → file of the weights that a run's training begins with or learns from, where there are; not
    of names that nobody knows, of which the training itself says what is wrong."""
    from madnet.engine.training_record import named_weights

    found = {}
    for key, name in named_weights(run.settings).items():
        with suppress(UserError):
            found[key] = given_weights(name)
    return found


def start_sha256(run: Run) -> dict[str, str]:
    """Dotted key → of the weights of :func:`begins_with`, but for those that are gone."""
    digests = {key: _digest_of(file) for key, file in begins_with(run).items()}
    return {key: digest for key, digest in digests.items() if digest}


def model_sha256(run: Run) -> str:
    """Of the settings of a run's network without the weights that it begins from, which may be each
    seed's own."""
    weights = {'init_cfg', 'pretrained'}
    model = [(k, v) for k, v in _leaves(run.settings['model']) if weights.isdisjoint(k.split('.'))]
    return sha256(json.dumps(sorted(model, key=str)).encode()).hexdigest()


def read_cost(run: Run) -> Cost:
    """What the network of a run costs, by the ``cost.json`` that all its seeds share; empty where that is
    missing, or of a network or channels that the plan had before."""
    from madnet.datasets.image_pipeline import channels_of  # with PyTorch, which a refused plan does without

    known = Cost.read_if_whole(Path(run.folder).parent / Cost.FILE) or Cost()
    same = known.model_sha256 == model_sha256(run) and known.channels == channels_of(run.settings)
    return known if same else Cost()


def weights_of(run: Run) -> Path | None:
    """The file of weights that a run tests; None where there is nothing to train."""
    from madnet.engine.checkpoint import BEST, LAST

    if run.seed is None:
        return given_weights(run.checkpoint) if run.checkpoint else None
    best, last = (Path(run.folder) / name for name in (BEST, LAST))
    return best if best.exists() else last


def read_metrics(run: Run) -> dict[int | None, MetricsFile]:
    """Number of views (None: the config's) → ``metrics.json``, for those of a run's tests that are done.

    A test of other weights than the run's, such as those of an earlier epoch, is none (where the weights are
    gone, any will do), nor is one that was made otherwise than the plan says, as by hand in the run's folder.
    Without a record nothing tells by what settings and seed the weights were trained.
    """
    record = read_record(run.folder)
    if record is None or (run.seed is not None and not record.trained):
        return {}
    digest = _digest_of(weights_of(run))
    found = {views: MetricsFile.read_if_whole(f / MetricsFile.FILE) for views, f in run.tests().items()}
    return {
        views: report
        for views, report in found.items()
        if report
        and _as_planned(run, views, report)
        and digest in (None, report.checkpoint and report.checkpoint.sha256)
    }


def _as_planned(run: Run, views: int | None, report: MetricsFile) -> bool:
    """Whether a test scored what the plan asks for, on those images, and nothing was changed for it."""
    how = run.settings['model'].get('test_cfg') or {}
    evaluators = run.settings['test_evaluator']
    given = evaluators if isinstance(evaluators, list) else [evaluators]
    least = {k: v for each in given for k, v in each.items() if k in Least.__dataclass_fields__}
    return (
        set(run.protocols.split(',')) <= set(report.results)
        and Averaging.of(report) == Averaging.of({**how, 'views': views or how.get('views')})
        and {**asdict(Least()), **(report.least or {})} == {**asdict(Least()), **least}
        and report.threshold is report.fa_budget is None
        and _on_its_sets(run, report)
    )


def tested_sets(run: Run) -> list[Mapping]:
    """The configs of the data sets that a run is tested on."""
    wanted = sets_of(run.settings, 'test_dataloader')
    if run.test_on:
        part = {key: wanted[0].get(key) for key in ('type', 'split', 'split_set')}
        wanted = [{**part, **where.arguments} for where in find_sources(run.test_on)]
    return wanted


def _on_its_sets(run: Run, report: MetricsFile) -> bool:
    wanted = tested_sets(run)
    found = [one.dataset for one in report.sets.values()] if report.sets else [report.dataset]
    return len(wanted) == len(found) and all(map(_is_set, wanted, found))


def _is_set(wanted: Mapping, found: DatasetInfo) -> bool:
    """Whether these are the images of a config's data set, by their ids too where it is at hand; of other
    packages' sets no more is known."""
    from mmseg.registry import DATASETS

    from madnet.datasets.sirst_dataset import SIRSTDataset

    if not is_kind(wanted.get('type'), DATASETS, SIRSTDataset):
        return True
    name = set_name(wanted)
    entry, lists = find_entry(name), wanted.get('split_set')
    of_catalogue = entry is not None and found.split_set in entry.split_sets
    if entry and lists is None and of_catalogue:
        lists = entry.default_split_set
    return (
        found.name == (entry.name if entry else name)
        and found.split == wanted.get('split')
        and lists in (None, 'folder', found.split_set)
        # lists of the catalogue are the same everywhere
        and (of_catalogue or found.split_sha256 in (None, _ids_of(wanted) or found.split_sha256))
    )


def _ids_of(wanted: Mapping) -> str | None:
    """The digest of the ids of a config's data set; None where it is not at hand, cut by ``indices``, or
    of a derived class, which may choose others."""
    from madnet.datasets.sirst_dataset import dataset_of

    if wanted.get('indices') is not None or kind_of(wanted) != 'SIRSTDataset':
        return None
    try:
        images = dataset_of(wanted, lazy_init=True).load_data_list()
        return ids_sha256(each['img_id'] for each in images)
    except UserError:
        return None


def outstanding_tests(run: Run) -> dict[int | None, Path]:
    """Those of ``run.tests()`` whose numbers are missing, or score maps where the plan keeps them."""
    done = read_metrics(run)
    # beside the numbers lie maps of the same test, all of them, or none
    return {
        n: f for n, f in run.tests().items() if n not in done or (run.save_scores and not (f / MAPS).is_dir())
    }


def _digest_of(file: Path | None) -> str | None:
    return _digest(str(file), file.stat().st_mtime_ns) if file and file.is_file() else None


@lru_cache
def _digest(path: str, changed: int) -> str:
    return sha256_of(path)


def state_of(run: Run) -> str:
    """``'done'``, ``'trained'`` (to be tested), ``'begun'``, ``'failed'`` or ``'new'``.

    Raises:
        UserError: The folder holds a run of another config, seed or weights.
    """
    record = read_record(run.folder)
    if record and _holds_work(run, record):
        _refuse_another(run, record)
    if not outstanding_tests(run):
        return 'done'
    if record is None:
        return 'new'
    if record.state == 'failed':
        return 'failed'
    return 'trained' if record.trained else 'begun'


def _holds_work(run: Run, record: RunFile) -> bool:
    """Whether anything would be lost if the run began anew; a wrong config may have kept it from starting."""
    from madnet.engine.checkpoint import LAST, PREVIOUS

    files = [Path(run.folder, name) for name in (LAST, PREVIOUS)]
    files += [folder / MetricsFile.FILE for folder in run.tests().values()]
    return record.trained or any(file.exists() for file in files)


def _refuse_another(run: Run, record: RunFile) -> None:
    """Raise a UserError that names what differs between the run of a folder and the one that is wanted."""
    was, now = dict(_leaves(record.wanted)), dict(_leaves(run.wanted()))
    began = record.begins_sha256 or {}
    if record.load_from_sha256:
        began = {'load_from': record.load_from_sha256, **began}
    for key, file in begins_with(run).items():
        if key in began and (digest := _digest_of(file)):
            said = f'SHA-256 of {key} {file}'
            was[said], now[said] = began[key], digest
    pairs = {key: (was.get(key, '–'), now.get(key, '–')) for key in {**was, **now}}
    pairs = {key: pair for key, pair in pairs.items() if pair[0] != pair[1] and not _has_moved(key, *pair)}
    if not pairs:
        return
    differing = '; '.join(f'{key}: {a!s} → {b!s}' for key, (a, b) in pairs.items())
    raise UserError(
        f'{run.folder}: holds another run, by what differs (before → now): {differing}. '
        'Remove the folder, or choose another --work-dir.'
    )


def _has_moved(key: str, before: object, now: object) -> bool:
    """Whether two folders are one data set: of the same place, or of one name and gone where it was."""
    if key.rpartition('.')[2] != 'data_root':
        return False
    was, here = (Path(str(folder)).absolute() for folder in (before, now))
    return was == here or (was.name == here.name and not was.exists())


def _leaves(value: object, key: str = '') -> Iterator[tuple[str, object]]:
    """Dotted key → value of everything inside; a dict in a list goes by its type where it has one."""
    inner: list[tuple[object, object]] = []
    if isinstance(value, Mapping):
        inner = list(value.items())
    elif isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value):
        types = [v.get('type') if isinstance(v, Mapping) else None for v in value]
        names = [kind if kind and types.count(kind) == 1 else i for i, kind in enumerate(types)]
        inner = list(zip(names, value, strict=True))
    if not inner:
        yield key, value
    for name, part in inner:
        yield from _leaves(part, f'{key}.{name}' if key else str(name))
