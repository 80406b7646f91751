"""Prediction as a command: images in, files out."""

import os
from collections.abc import Collection, Mapping, Sequence, Sized
from contextlib import suppress
from copy import copy
from dataclasses import asdict
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import madnet
from madnet.errors import UserError
from madnet.files import OWN, CannotWrite, expect_writable, own_folders, settle, write_whole
from madnet.images.notices import say_once
from madnet.records import list_registered
from madnet.text import counted, printable, score_text

from .base_predictor import BasePredictor
from .calibration import find_calibration, rank_for_alarms
from .inputs import Frame, list_frames, unique_names
from .onnx_predictor import OnnxPredictor
from .outputs import PER_IMAGE, TABLES, parse_formats, write_tables
from .sharing import Outcome, is_cut, is_large, predict_all, start_writing

#: Images that are predicted in full precision, too, to tell what half precision changes.
_COMPARED = 4
#: Options of other types, such as paths and devices, are recorded as texts.
_IN_JSON = (int, float, str, list, tuple, Mapping)
#: What stands at the beginning of each table.
_BEGINNINGS = {'csv': b'image,', 'json': b'"detector"', 'coco': b'"detector"'}


def predict_files(
    model: str,
    inputs: Sequence[str | os.PathLike],
    checkpoint: str | None = None,
    out: str | os.PathLike = 'predictions',
    formats: str = 'png,csv,json',
    jobs: int = 1,
    threads: int | None = None,
    options: list[str] | None = None,
    false_alarms: float | None = None,
    background: str | os.PathLike | None = None,
    processes: bool = False,
    **how: Any,
) -> list[dict[str, Any]]:
    """Predict image files and write what was found.

    Every file is written beside its name and then renamed: none is ever half-written. Images that cannot be
    predicted are passed over, counted at the end, and listed in ``targets.json`` with the reasons (which is
    then written whatever the formats). Where a signal, a killed process or a full disk ends the work, the
    tables hold what was done, and ``targets.json`` lists the rest.

    Args:
        model: A shipped name, the name of a training-free method, a config file, or a file of
            ``madnet export``.
        inputs: Image files and folders of them.
        checkpoint: The weights for a config with a network.
        out: Folder for the results, made where it is missing.
        formats: Words of :data:`~madnet.inference.outputs.FORMATS` with commas.
        jobs: Processes among which the images are shared out.
        threads: Threads that compute, in each process; None: one a core, shared out among the processes.
        options: ``KEY=VALUE`` pairs that override the config.
        false_alarms: Allowed false alarms in a frame, on average: detections are kept above the
            rank that no more than these exceed on ``background``.
        background: Folder of frames without targets; ``'auto'`` means the range of the images for them, too.
        processes: Whether many images may be drawn and written in processes of their own, where there are
            cores for them. As with ``jobs``, a script has to keep what it does under
            ``if __name__ == '__main__'`` then.
        how: Further arguments of :class:`~madnet.inference.Predictor`, or of
            :class:`~madnet.inference.OnnxPredictor` for an exported network.

    Returns:
        One record for each image: ``name``, ``file``, ``width``, ``height``, ``highest_score``, ``targets``.

    Raises:
        UserError: The model, an input or an option is not as it should be; an image could not be predicted;
            a file could not be written; or a process was killed.
        KeyboardInterrupt: At SIGINT and SIGTERM.
    """
    kinds = parse_formats(formats)
    frames = [f for i in inputs for f in list_frames(i, given=inputs)]
    work = list(zip(frames, _names_of(frames), strict=True))
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise UserError(f'--out {out}: is a file, expected a folder.')
    own = _own_folders(out, kinds)
    _check_places(out, kinds, work, own)
    expect_writable(*(out / TABLES[kind][0] for kind in TABLES.keys() & kinds))
    if jobs < 1:
        raise UserError(f'--jobs: found {jobs}, expected one process or more.')
    if jobs > 1 and (how.get('batch') or 1) > 1:
        raise UserError('--batch: the processes of --jobs take one image at a time; give one of the two.')
    if threads is not None and threads < 1:
        raise UserError(f'--threads: found {threads}, expected 1 or more.')
    if (false_alarms is None) != (background is None):
        raise UserError('--false-alarms and --background go together: how many, and frames without targets.')
    make = predictor_maker(model, checkpoint=checkpoint, options=options, **how)
    with start_writing(len(frames) if processes and jobs == 1 else 0) as writing:  # while networks are loaded
        # Also with several processes: what is wrong with the detector is reported before they start.
        predictor = make()
        if threads is not None:
            predictor.set_threads(threads)
        predictor.loader.measure([(f.path, f.number) for f in frames])
        make.keywords['value_range'] = predictor.loader.value_range
        if background is not None and false_alarms is not None:  # in the range that the images are read by
            predictor.ask_for_rank(rank_for_alarms(predictor, background, false_alarms))
            make.keywords['min_rank'] = predictor.least.min_rank
        if how.get('amp'):
            some = [f for f in frames if not is_large(predictor, f)][:_COMPARED]
            with suppress(UserError):  # an image that cannot be read: prediction says so
                print(_half_against_full(predictor, some))
        if jobs > 1:
            with suppress(Exception):  # what holds for all images, such as a dark range, is said here, once
                predictor.load(frames[0].path, frames[0].number)
            if any(is_cut(predictor, f) for f in frames):
                predictor.tell_of_tiles()
        _tell_earlier(out, own)  # no error stands in the way of replacing them any more
        new = not out.exists()
        with suppress(CannotWrite):  # then the results cannot either, which says it
            write_whole(out / OWN, ''.join(f'{folder}\n' for folder in sorted(own)))
        outcomes, stopped = predict_all(make, predictor, writing, jobs, threads, out, kinds, work)
    for kind in PER_IMAGE.keys() & kinds:
        settle(out / PER_IMAGE[kind][0])
    given = {**make.keywords, 'false_alarms': false_alarms, 'background': background}
    about = what_was_run(predictor, given)
    limits = _limits(predictor, how, false_alarms)
    try:
        return _conclude(frames, outcomes, stopped, out, kinds, about, limits)
    finally:
        if new:
            _leave_nothing(out)


def _leave_nothing(out: Path) -> None:
    """Take a folder away that holds no results, with its own folders that are empty."""
    for folder, *_ in PER_IMAGE.values():
        with suppress(OSError):  # not there, or of some use
            (out / folder).rmdir()
    with suppress(OSError):
        if [path.name for path in out.iterdir()] == [OWN]:
            (out / OWN).unlink()
            out.rmdir()


def _names_of(frames: Sequence[Frame]) -> list[str]:
    """What the files of each frame are called."""
    paths = list(dict.fromkeys(f.path for f in frames))
    firsts = [f.path for f in frames if not f.number]  # a file given twice is reported
    suffixes: dict[Path, list[str]] = {}
    for f in frames:
        suffixes.setdefault(f.path, []).append(f.suffix)
    stems = dict(zip(paths, unique_names(firsts, [suffixes[p] for p in paths]), strict=True))
    return [stems[f.path] + f.suffix for f in frames]


def _own_folders(out: Path, kinds: Sequence[str]) -> set[str]:
    """The folders in ``out`` that hold nothing but results: those that an earlier run has listed, beside
    tables of a version without a list all of them; and those that are still empty."""
    folders = {kind: folder for kind, (folder, *_) in PER_IMAGE.items()}
    here = {folders[kind] for kind in folders.keys() & kinds}
    empty = {folder for folder in here if not any(path.is_file() for path in (out / folder).glob('*'))}
    if (out / OWN).exists():
        return {*own_folders(out), *empty}
    has_table = any(_begins(out / name, _BEGINNINGS[kind]) for kind, (name, _) in TABLES.items())
    return {*folders.values()} if has_table else empty


def _begins(path: Path, beginning: bytes) -> bool:
    with suppress(OSError), open(path, 'rb') as file:
        return beginning in file.read(64)
    return False


def _check_places(
    out: Path, kinds: Sequence[str], work: Sequence[tuple[Frame, str]], own: Collection[str]
) -> None:
    """Refuse to write over what is to be predicted, and over files in folders that are not our ``own``."""
    inputs = {frame.path.resolve() for frame, _ in work}
    for folder, ending in (PER_IMAGE[kind][:2] for kind in PER_IMAGE.keys() & kinds):
        for path in (out / folder / f'{name}{ending}' for _, name in work):
            if path.resolve() in inputs:
                raise UserError(f'{path}: is to be predicted, and would be written over; give another --out.')
        if folder not in own:
            raise UserError(
                f'{out / folder}: holds files that no earlier run is known to have written; give another '
                '--out, or move that folder away.'
            )


def _tell_earlier(out: Path, own: Collection[str]) -> None:
    """Say what of an earlier run is in the folder for results."""
    names = (*(f for f, *_ in PER_IMAGE.values() if f in own), *(f for f, _ in TABLES.values()))
    if earlier := [name for name in names if (out / name).exists()]:
        say_once(
            f'{out}: holds results of an earlier run ({", ".join(earlier)}): those of the same names are '
            'replaced, all others stay.'
        )


def _conclude(
    frames: Sequence[Frame],
    outcomes: Sequence[Outcome],
    stopped: BaseException | None,
    out: Path,
    kinds: Sequence[str],
    about: dict[str, Any],
    limits: str,
) -> list[dict[str, Any]]:
    """Write the tables and print the summary, as far as the work came; returns the records.

    Args:
        frames, outcomes: As many each.
        stopped: What ended the work before its time, which is raised.
        out, kinds: As of :func:`write_tables`.
        about: What the tables say of the detector.
        limits: Of :func:`_limits`.

    Raises:
        UserError: An image could not be predicted, or a table not be written.
    """
    records = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    unreadable = [
        {'file': str(frame), 'reason': outcome}
        for frame, outcome in zip(frames, outcomes, strict=True)
        if isinstance(outcome, str)
    ]
    if unreadable and len(frames) == 1:
        raise UserError(unreadable[0]['reason'])
    about = {**about, 'unreadable': unreadable}
    if stopped is not None:
        about['not_done'] = [str(f) for f, outcome in zip(frames, outcomes, strict=True) if outcome is None]
    if (unreadable or stopped is not None) and 'json' not in kinds:
        kinds = (*kinds, 'json')
    if records or unreadable:
        try:
            tables = write_tables(out, kinds, records, about)
            if unreadable:  # first, lest what follows look like success
                reasons = out / TABLES['json'][0]
                print(f'{len(unreadable)} of {len(frames)} images could not be predicted; {reasons} says why')
            print(_summary(records, out, kinds, tables, about['threshold'], limits))
        except UserError:
            # a disk that was too full for an image is so for the tables: the first reason is reported
            if stopped is None:
                raise
    if stopped is not None:
        raise stopped
    if unreadable:
        count, others = (str(len(unreadable)), 'the others are done') if records else ('all', 'none is done')
        raise UserError(
            f'{count} of {len(frames)} images could not be predicted, {others}; {out / "targets.json"} has '
            f'the reasons, the first is: {unreadable[0]["reason"]}'
        )
    return records


def predictor_maker(model: str, **how: Any) -> partial:
    """What makes the predictor of :func:`predict_files`, here and in other processes.

    Arguments that are None, False or empty leave it the default.
    """
    given = _given(how)
    if Path(model).suffix.lower() != '.onnx':
        from madnet.classical.detectors import DETECTORS  # needs SciPy, which an exported network does not

        from .classical_predictor import ClassicalPredictor

        if model in DETECTORS and given.keys() <= signature(ClassicalPredictor).parameters.keys():
            return partial(ClassicalPredictor, model, **given)
        from .naming import check_name

        check_name(model, how.get('checkpoint'))
        named = how.get('checkpoint') is None and (model in DETECTORS or model in list_registered())
        if named and (how.get('calibrated') or how.get('fa_budget') is not None):
            find_calibration(model, None)  # said before PyTorch is imported, where no file may be missing
        from madnet.engine.cli import parse_options

        from .predictor import Predictor

        if 'options' in given:
            given['options'] = parse_options(given['options'])
        return partial(Predictor, model, **given)
    settled = [
        f'--{name.replace("_", "-")}' for name in given if name not in signature(OnnxPredictor).parameters
    ]
    if settled:
        raise UserError(f'{model}: an exported network takes no {" or ".join(settled)}.')
    return partial(OnnxPredictor, model, **given)


def _given(how: Mapping[str, Any]) -> dict[str, Any]:
    def is_given(value: Any) -> bool:  # an array is neither true nor false
        return value is not None and value is not False and not (isinstance(value, Sized) and not len(value))

    return {name: value for name, value in how.items() if is_given(value)}


def what_was_run(predictor: BasePredictor, how: Mapping[str, Any]) -> dict[str, Any]:
    """What a record says of a prediction: the detector, every option that was given, and what holds by it.

    Args:
        predictor: After a range, a budget and the like are measured.
        how: Options by name, such as the keywords of :func:`predictor_maker`; those that are None, False or
            empty are left out, and so is the checkpoint, which the detector's origin has.
    """
    given = {name: value for name, value in _given(how).items() if name != 'checkpoint'}
    return {
        'detector': {'name': predictor.name, **predictor.origin},  # first: _BEGINNINGS knows a table by it
        **{k: v if isinstance(v, _IN_JSON) else str(v) for k, v in given.items()},
        'threshold': predictor.threshold,
        **asdict(predictor.least),
        **predictor.scaling._asdict(),
        'tile': how.get('tile'),
        'value_range': predictor.loader.value_range,
        'versions': {'madnet': madnet.__version__},
    }


def _half_against_full(predictor: BasePredictor, frames: Sequence[Frame]) -> str:
    """What half precision changes in some frames, in a line."""
    from .export import compare

    full: Any = copy(predictor)
    full.amp = False
    found = compare(full, predictor, frames) if frames else []
    if not found:
        return 'half precision: what it changes is not reported for frames this large'
    return (
        f'half precision changes scores of the first {counted(len(found), "image")} by up to '
        f'{max(d.score for d in found):.2g}, and {counted(sum(d.differing for d in found), "pixel")} of '
        f'{counted(sum(d.targets for d in found), "target")}'
    )


def _limits(predictor: BasePredictor, how: dict[str, Any], false_alarms: float | None) -> str:
    """The options that leave components out."""
    given = {
        '--min-area': predictor.least.min_area > 1,
        '--min-scr': predictor.least.min_scr > 0,
        '--min-rank': how.get('min_rank'),
        '--fa-budget': how.get('fa_budget') is not None,
        '--false-alarms': false_alarms is not None,
    }
    return ' or '.join(option for option, is_given in given.items() if is_given)


def _summary(
    records: list[dict],
    out: Path,
    kinds: Sequence[str],
    tables: list[Path],
    threshold: float,
    limits: str,
) -> str:
    found = sum(len(r['targets']) for r in records)
    empty = sum(not r['targets'] for r in records)
    lines = [f'{counted(found, "target")} in {counted(len(records), "image")}'] if records else []
    if found and empty:
        lines[0] += f', none in {empty} of them'
    too_small = sum(r['too_small'] for r in records)
    if records and not found and not too_small:
        highest = score_text(max(r['highest_score'] for r in records))
        lines.append(f'the highest score of all is {highest}, the threshold {score_text(threshold)}')
    if too_small:
        lines.append(f'{counted(too_small, "component")} above the threshold left out by {limits}')
    if records:  # else nothing lies there
        lines += [f'{kind:9}{out / PER_IMAGE[kind][0]}' for kind in kinds if kind in PER_IMAGE]
    lines += [f'{"targets":9}{path}' for path in tables]
    return '\n'.join(map(printable, lines))
