"""Prediction of clips as a command: frames in the order of time in, lines and a video out."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from madnet.errors import UserError, in_brief
from madnet.files import CannotWrite
from madnet.images import EXTENSIONS
from madnet.images.notices import say_once
from madnet.overlap import InTurn
from madnet.progress import progress_bar
from madnet.text import counted

from .base_predictor import BasePredictor
from .clip import follow
from .clip_outputs import CLIP_FORMATS, ClipOutputs
from .clip_source import ClipSource, open_clip
from .command import predictor_maker, what_was_run
from .outputs import parse_formats
from .sharing import interrupted_by_sigterm

#: Frames that wait to be drawn and written.
_WAITING = 8


def predict_clips(
    model: str,
    inputs: Sequence[str],
    checkpoint: str | None = None,
    out: str | os.PathLike = 'predictions',
    formats: str | None = None,
    track: bool = False,
    fps: float | None = None,
    raw: str | None = None,
    threads: int | None = None,
    options: list[str] | None = None,
    **how: Any,
) -> list[dict[str, Any]]:
    """Predict clips, each as one sequence, and write what is found as it is found.

    Args:
        model, checkpoint, options, how: As of :func:`~madnet.inference.command.predict_files`.
        inputs: Of :func:`~madnet.inference.clip_source.open_clip`.
        out: Folder for ``<clip>.mp4``, ``.jsonl``, ``.csv``, and ``.json`` with what was run, made where it
            is missing; ``'-'`` for JSON lines on standard output alone.
        formats: Words of :data:`~madnet.inference.clip_outputs.CLIP_FORMATS` with commas; None for all.
        track: Whether targets are followed, and those that live for one frame dropped.
        fps: Frames a second; None: as each source says.
        raw: What frames on standard input are.
        threads: Threads that compute; None: one a core.

    Returns:
        Of each clip ``name``, ``source``, ``problem``, ``fps``, and how many ``frames``, ``targets``,
        ``dropped`` targets, ``unreadable`` and ``left_out`` frames.

    Raises:
        UserError: The model or an option is not as it should be, a file cannot be written, or a clip or a
            frame could not be read (the others are done).
        KeyboardInterrupt: At SIGINT and SIGTERM; what was done is whole.
    """
    kinds = parse_formats(formats or CLIP_FORMATS, {kind: (kind,) for kind in CLIP_FORMATS})
    folder = None if str(out) == '-' else Path(out)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UserError(f'--out {out}: is a file, expected a folder.')
    if fps is not None and not 0 < fps <= 65535:
        raise UserError(f'--fps: found {fps:g}, expected frames a second, above 0 and at most 65,535.')
    make = predictor_maker(model, checkpoint=checkpoint, options=options, **how)
    predictor = make()
    if threads is not None:
        predictor.set_threads(threads)
    about = {'schema': 1, **what_was_run(predictor, {**make.keywords, 'raw': raw}), 'track': track}
    done: list[dict[str, Any]] = []
    if track and len(inputs) > 1 and all(Path(i).suffix.lower() in EXTENSIONS for i in inputs):
        say_once(
            f'{len(inputs)} inputs are as many clips, in each of which targets are followed; give their '
            'folder for one clip.'
        )
    with interrupted_by_sigterm():
        for number, source in enumerate(inputs):
            record = {'name': f'clip_{number}', 'source': str(source), 'frames': 0, 'problem': None}
            names = {clip['name'] for clip in done}
            done.append(record)
            try:
                clip = open_clip(str(source), fps, raw)
                while clip.name in names:
                    clip.name += f'_{number}'
                record['name'] = clip.name
                _predict_clip(
                    predictor, clip, ClipOutputs(folder, clip.name, kinds, clip.fps), track, record, about
                )
            except CannotWrite:
                raise
            except UserError as e:
                record['problem'] = str(e)
            except KeyboardInterrupt:
                if left := inputs[number + 1 :]:
                    say_once(f'{len(left)} of {len(inputs)} clips were not begun, from {left[0]} on.')
                raise
    problems = [clip['problem'] for clip in done if clip['problem']]
    if problems and len(inputs) == 1:
        raise UserError(problems[0])
    if problems:
        raise UserError(
            f'{len(problems)} of {len(inputs)} clips could not be predicted whole, the rest is done; the '
            f'first: {problems[0]}'
        )
    return done


def _predict_clip(
    predictor: BasePredictor,
    clip: ClipSource,
    outputs: ClipOutputs,
    track: bool,
    record: dict[str, Any],
    about: dict[str, Any],
) -> None:
    """Predict a clip into its files; counts go into the record as far as it gets."""
    record.update(fps=clip.fps, targets=0, dropped=0, unreadable=0)
    writing = InTurn(_WAITING)
    first_problem = None
    try:
        with progress_bar(total=clip.length, what=clip.name, unit='frame') as bar:
            for result in follow(predictor, clip, track):
                writing.call(outputs.add, result)
                record['frames'] += 1
                record['targets'] += len(result.targets)
                if result.time and abs(result.number - result.time * clip.fps) > 1:  # else times are rounded
                    record['fps'] = result.number / result.time
                else:
                    record['fps'] = clip.fps
                if result.prediction is not None:
                    record['dropped'] += len(result.prediction.targets) - len(result.targets)
                else:
                    record['unreadable'] += 1
                    first_problem = first_problem or result.error
                bar.update()
            writing.finish()
    except BaseException as e:
        record['problem'] = _why_ended(e, record['frames'], clip.length)
        raise
    finally:
        try:
            writing.finish()
        finally:
            record['left_out'] = clip.left_out
            value_range = clip.value_range or predictor.loader.value_range
            outputs.close({**about, 'value_range': value_range, **record})
    if outputs.paths:
        print(_summary(record, track, outputs))
    if first_problem is not None:
        raise UserError(
            f'{clip.name}: {record["unreadable"]} of {record["frames"]} frames could not be predicted, the '
            f'others are done; the first: {first_problem}'
        )


def _why_ended(e: BaseException, frames: int, length: int | None) -> str:
    """What ended a clip after so many frames, of as many as it says that it has."""
    if isinstance(e, UserError):
        return str(e)
    reason = 'interrupted' if isinstance(e, KeyboardInterrupt) else f'{type(e).__name__}: {in_brief(e)},'
    if length is not None and length > frames:  # else nobody knew it
        return f'{reason} after {frames} of {counted(length, "frame")}'
    return f'{reason} after {counted(frames, "frame")}'


def _summary(record: dict[str, Any], track: bool, outputs: ClipOutputs) -> str:
    dropped = f', {record["dropped"]} dropped that lived for one frame' if track else ''
    found = counted(record['targets'], 'target')
    lines = [f'{record["name"]}: {counted(record["frames"], "frame")}, {found}{dropped}']
    if record['left_out']:
        lines.append(f'{counted(record["left_out"], "frame")} left out, for which there was no time')
    lines += [f'{kind:9}{path}' for kind, path in outputs.paths.items() if path.exists()]
    return '\n'.join(lines)
