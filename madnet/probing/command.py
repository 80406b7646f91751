"""``madnet probe``: a detector through all sweeps, a page, a table and ``probe.json``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import madnet
from madnet.datasets.locate import NoSuchSet, own_range
from madnet.datasets.sources import find_sources
from madnet.errors import UserError, nearest
from madnet.files import expect_writable, write_whole
from madnet.images.values import ValueRange
from madnet.inference.command import what_was_run
from madnet.inference.predictor import Predictor
from madnet.probing.changes import CHANGES
from madnet.probing.checks import check
from madnet.probing.material import SYNTHETIC, Material, load_material
from madnet.probing.page import HEADS, probe_page, table_rows
from madnet.probing.plants import PLANTS
from madnet.probing.running import Swept, run_sweeps
from madnet.records import ProbeFile, text_table

SWEEPS = {sweep.key: sweep for sweep in (*PLANTS, *CHANGES)}
PAGE = 'index.html'
#: Frames, and frames of ``--quick``.
FRAMES, QUICK = 40, 6


def probe_detector(
    model: str,
    checkpoint: str | None = None,
    out: str | None = None,
    dataset: str | None = None,
    split: str = 'test',
    frames: int | None = None,
    quick: bool = False,
    seed: int = 0,
    only: str | None = None,
    beside: Sequence[str] = (),
    mask_values: Sequence[int] | None = None,
    **how: Any,
) -> ProbeFile:
    """Probe a detector, write ``index.html`` and ``probe.json``, print the table.

    Args:
        model: A shipped name, the name of a training-free method, or a config file.
        checkpoint: The weights for a config with a network.
        out: Folder; default ``probes/<name of the detector>``.
        dataset: Whose frames: a name of the catalogue, a folder, or ``'synthetic'``; None for NUAA-SIRST
            where it is found, else synthetic scenes.
        split: Which part of it.
        frames: How many, evenly spread; default :data:`FRAMES`.
        quick: Only :data:`QUICK` frames.
        seed: Of all draws.
        only: Sweeps with commas; None for all.
        beside: Other detectors on the same page: names as ``model``, or ``probe.json`` files of the same
            frames.
        mask_values: What the set's masks hold; see :class:`~madnet.images.MaskRule`.
        how: Further arguments of :class:`~madnet.inference.Predictor`.

    Raises:
        UserError: The detector, the data set or a sweep is not known; a file is of other frames.
    """
    sweeps = [_sweep(key) for key in only.split(',')] if only else list(SWEEPS.values())
    earlier = {path: ProbeFile.read(path) for path in beside if path.endswith('.json')}
    predictor = Predictor(model, checkpoint, **how)
    shared = {k: v for k, v in how.items() if k in ('device', 'threshold')}
    others = {name: Predictor(name, **shared) for name in beside if name not in earlier}
    count = (QUICK if quick else FRAMES) if frames is None else frames
    grey = how.get('value_range')
    if grey is None:
        grey = _own_range(dataset, predictor.loader.value_range)
    material = _material(dataset, split, count, seed, grey, mask_values)
    described = {
        'name': material.name,
        'split': material.split,
        'frames': len(material.frames),
        'names': [frame.name for frame in material.frames],
    }
    if predictor.loader.value_range == 'auto':  # of each changed frame anew it would undo the changes
        predictor.loader.fix(material.value_range or (0, 255))
    if material.value_range is not None:
        described['value_range'] = list(material.value_range)
    for path, probe in earlier.items():
        if (probe.material, probe.seed) != (described, seed):
            raise UserError(
                f'{path}: of {probe.material.get("frames")} frames of {probe.material.get("name")}, seed '
                f'{probe.seed}; beside it, expected the same frames and seed.'
            )
    folder = Path(out or Path('probes', what_was_run(predictor, how)['detector']['name']))
    expect_writable(folder / ProbeFile.FILE, folder / PAGE)
    probe, swept = _probe(predictor, how, sweeps, material, described, quick)
    probes = {probe.detector['name']: probe}
    for name, other in others.items():
        probes[_free_name(name, probes)], _ = _probe(other, shared, sweeps, material, described, quick)
    for one in earlier.values():
        probes[_free_name(one.detector['name'], probes)] = one
    written = probe.write(folder / ProbeFile.FILE)
    page = write_whole(folder / PAGE, probe_page(probes, {s.record.key: s.strip for s in swept}))
    print(_in_words(probe))
    print(f'page     {page}\nnumbers  {written}')
    return probe


def _sweep(key: str):
    if key not in SWEEPS:
        raise UserError(f'--only: no sweep {key!r}.{nearest(key, SWEEPS)} There are {", ".join(SWEEPS)}.')
    return SWEEPS[key]


def _own_range(dataset: str | None, detectors: ValueRange) -> ValueRange:
    """That of a set's record, else of a set that the catalogue does not know the detector's: its camera is
    not that of the sets which the catalogue knows."""
    if dataset is None or dataset == SYNTHETIC:
        return None
    (source,) = find_sources([dataset])
    own = own_range(source.arguments.get('data_root'), source.arguments.get('name'))
    return own or (detectors if source.entry is None else None)


def _material(
    dataset: str | None,
    split: str,
    frames: int,
    seed: int,
    value_range: ValueRange,
    mask_values: Sequence[int] | None,
) -> Material:
    if dataset is not None:
        return load_material(dataset, split, frames, seed, value_range, mask_values)
    try:
        return load_material('nuaa', split, frames, seed, value_range, mask_values)
    except NoSuchSet as reason:
        print(f'synthetic scenes in place of real frames ({reason})')
        return load_material(SYNTHETIC, split, frames, seed)


def _probe(
    predictor: Predictor,
    how: dict[str, Any],
    sweeps: Sequence,
    material: Material,
    described: dict[str, Any],
    quick: bool,
) -> tuple[ProbeFile, list[Swept]]:
    loader = predictor.loader
    run = what_was_run(predictor, how)
    recorded = {'device', 'threshold'}  # elsewhere, or of no weight
    asked = {k: v for k, v in run.items() if how.get(k) is not None and v and k not in recorded}
    swept = run_sweeps(lambda image: predictor(loader.as_taken(image)), sweeps, material)
    probe = ProbeFile(
        detector={**run['detector'], **asked},
        threshold=predictor.threshold,
        material=described,
        seed=material.seed,
        sweeps=[s.record for s in swept],
        quick=quick,
        versions={'madnet': madnet.__version__},
    )
    probe.checks = check(probe)
    return probe, swept


def _free_name(name: str, taken: dict[str, ProbeFile]) -> str:
    names = [name, *(f'{name} ({n})' for n in range(2, len(taken) + 2))]
    return next(n for n in names if n not in taken)


def _in_words(probe: ProbeFile) -> str:
    marks = {True: 'holds', False: 'does not hold', None: 'not known'}
    checks = [f'{marks[c.holds]:14}{c.expected}: {c.found}' for c in probe.checks]
    return '\n'.join([text_table([list(HEADS), *table_rows(probe)]), '', *checks])
