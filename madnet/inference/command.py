"""Prediction as a command: images in, files out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import torch

import madnet
from madnet.classical.detectors import DETECTORS
from madnet.engine.cli import parse_options
from madnet.errors import UserError
from madnet.pretrained import get_pretrained, list_pretrained
from madnet.progress import progress_bar

from .inputs import list_images, unique_names
from .outputs import PER_IMAGE, parse_formats, record, write_image_files, write_tables
from .predictor import Predictor


def predict_files(
    model: str,
    inputs: Sequence[str | os.PathLike],
    checkpoint: str | None = None,
    out: str | os.PathLike = 'predictions',
    formats: str = 'png,csv,json',
    threshold: float = 0.5,
    tile: int | tuple[int, int] | None = None,
    overlap: int | None = None,
    value_range: tuple[float, float] | None = None,
    device: str | None = None,
    views: int | None = None,
    fold: bool = False,
    jobs: int = 1,
    options: list[str] | None = None,
    trust_checkpoint: bool = False,
    dataset: str | None = None,
) -> list[dict[str, Any]]:
    """Predict image files and write what was found.

    Every file is written beside its name and then renamed: none is ever half-written. Images that cannot be
    read are passed over and told of at the end.

    Args:
        model: A shipped name, the name of a training-free method, or a config file.
        inputs: Image files and folders of them.
        checkpoint: The weights for a config with a network.
        out: Folder for the results, made where it is missing.
        formats: Words of :data:`~madnet.inference.outputs.FORMATS` with commas.
        threshold, tile, overlap, value_range, device, views, fold, trust_checkpoint, dataset: As in
            :class:`~madnet.inference.Predictor`.
        jobs: Processes among which the images are shared out.
        options: ``KEY=VALUE`` pairs that override the config.

    Returns:
        One record for each image: ``name``, ``file``, ``width``, ``height``, ``highest_score``, ``targets``.

    Raises:
        UserError: The model, an input or an option is not as it should be.
    """
    kinds = parse_formats(formats)
    paths = [p for i in inputs for p in list_images(i)]
    names = unique_names(paths)
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise UserError(f'--out {out}: is a file, expected a folder.')
    if jobs < 1:
        raise UserError(f'--jobs: found {jobs}, expected one process or more.')
    make = partial(
        Predictor,
        model,
        checkpoint,
        device=device,
        threshold=threshold,
        tile=tile,
        overlap=overlap,
        value_range=value_range,
        views=views,
        fold=fold,
        options=parse_options(options),
        trust_checkpoint=trust_checkpoint,
        dataset=dataset,
    )
    # Also with several processes: what is wrong with the detector is told before they start.
    predictor = make()
    records, unreadable = [], []
    work = list(zip(paths, names, strict=True))
    if jobs == 1:
        outcomes = (_predict(predictor, out, kinds, *task) for task in work)
    else:
        outcomes = _in_processes(make, jobs, out, kinds, work)
    for outcome in progress_bar(outcomes, total=len(work), what='predict'):
        (unreadable if isinstance(outcome, str) else records).append(outcome)
    if unreadable and len(paths) == 1:
        raise UserError(unreadable[0])
    if unreadable and not records:
        raise UserError(f'none of the {len(paths)} images could be predicted: {unreadable[0]}')
    about = {
        'detector': {'name': predictor.detector.name, **predictor.detector.origin},
        'threshold': threshold,
        'tile': tile,
        'versions': {'madnet': madnet.__version__},
    }
    tables = write_tables(out, kinds, records, about)
    print(_summary(records, out, kinds, tables, threshold))
    if unreadable:
        more = '' if len(unreadable) == 1 else f' (and {len(unreadable) - 1} more)'
        raise UserError(
            f'{len(unreadable)} of {len(paths)} images could not be predicted, the others are done: '
            f'{unreadable[0]}{more}'
        )
    return records


def _predict(
    predictor: Predictor, out: Path, kinds: Sequence[str], path: Path, name: str
) -> dict[str, Any] | str:
    """Write an image's files; returns its record, or what is wrong with it."""
    try:
        prediction = predictor(path)
    except UserError as e:
        return str(e)
    write_image_files(out, kinds, prediction, name)
    return record(prediction, name)


def _in_processes(
    make: partial[Predictor], jobs: int, out: Path, kinds: Sequence[str], work: list[tuple[Path, str]]
) -> Iterator[dict[str, Any] | str]:
    """The outcomes of :func:`_predict` in the order of ``work``."""
    # A process that was forked after torch has started its threads may hang.
    context = get_context('spawn')
    jobs = min(jobs, len(work))
    pool = ProcessPoolExecutor(jobs, context, initializer=_start_process, initargs=(make, jobs))
    try:
        yield from pool.map(_predict_in_process, ((out, kinds, *task) for task in work))
    finally:
        pool.shutdown(cancel_futures=True)


def _start_process(make: partial[Predictor], jobs: int) -> None:
    global _predictor
    threads = max(1, (os.cpu_count() or 1) // jobs)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    _predictor = make()


def _predict_in_process(task: tuple) -> dict[str, Any] | str:
    return _predict(_predictor, *task)


def detectors_text() -> str:
    """The detectors that need no config, one a line, for people."""
    lines = ['shipped networks:']
    for name in list_pretrained():
        entry = get_pretrained(name)
        about = next((line.strip('# ') for line in entry.read_card().splitlines() if line.strip()), '')
        lines.append(f'  {name:16} {entry.parameters:>9,} weights  {about}')
    if len(lines) == 1:
        lines.append('  none with this version')
    lines.append('without training:')
    lines += [f'  {d.name:16} {d.title}, {d.paper}' for d in DETECTORS.values()]
    return '\n'.join(lines)


def _summary(
    records: list[dict], out: Path, kinds: Sequence[str], tables: list[Path], threshold: float
) -> str:
    found = sum(len(r['targets']) for r in records)
    empty = sum(not r['targets'] for r in records)
    lines = [f'{len(records)} image(s), {found} target(s); {empty} image(s) without any']
    if not found:
        highest = max(r['highest_score'] for r in records)
        lines.append(f'the highest score of all is {highest:.3f}, the threshold {threshold:g}')
    lines += [f'{kind:9}{out / PER_IMAGE[kind][0]}' for kind in kinds if kind in PER_IMAGE]
    lines += [f'{"targets":9}{path}' for path in tables]
    return '\n'.join(lines)
