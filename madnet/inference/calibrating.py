"""``madnet calibrate``: a detector over validation images, a table, and a file beside the weights."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import ROUND_FLOOR, Context
from pathlib import Path
from typing import Any

import numpy as np

from madnet.datasets.catalogue import check_split_name
from madnet.datasets.locate import own_range
from madnet.datasets.seen import CHOSEN, images_of, look_for_seen
from madnet.datasets.sirst_dataset import SIRSTDataset
from madnet.datasets.sources import find_sources
from madnet.datasets.splits import SPLITS
from madnet.errors import UserError
from madnet.evaluation.calibration import PLAIN
from madnet.evaluation.ranking import BUDGETS
from madnet.evaluation.rules import half
from madnet.files import expect_writable
from madnet.images import FrameLoader
from madnet.progress import progress_bar
from madnet.records import Averaging, Calibration, DatasetInfo, text_table
from madnet.text import counted

from .calibration import READING, calibration_file, measure
from .inputs import Frame
from .predictor import Predictor

#: Detections from which on a cut means something.
ENOUGH = 50
_WITH_TEST = ('test', 'all')


def calibrate(
    model: str,
    checkpoint: str | None = None,
    dataset: str = 'nuaa',
    split: str = 'val',
    out: str | None = None,
    mask_values: Sequence[int] | None = None,
    **how: Any,
) -> Calibration:
    """Measure a detector, write ``<weights>.calibration.json``, print what was found.

    Args:
        model: A shipped name, a training-free method's, or a config file.
        checkpoint: Its weights.
        dataset: Names of the catalogue, or folders, with commas.
        split: Which part of each; none that holds the test part.
        out: Folder; default where the weights lie, of shipped ones the working folder.
        mask_values: What masks hold; see :class:`~madnet.images.MaskRule`.
        how: Further arguments of :class:`~madnet.inference.Predictor`.

    Raises:
        UserError: A part was asked for that holds the test part, or something is not found.
    """
    if split in _WITH_TEST:
        raise UserError(
            f'--split {split}: holds the test part; a choice made on the images that are reported flatters '
            'the numbers; choose val.'
        )
    check_split_name(split, [part for part in SPLITS if part not in _WITH_TEST])
    sources = find_sources(dataset)
    predictor = Predictor(model, checkpoint, **how)
    path = calibration_file(model, checkpoint)
    path = Path(out, path.name) if out else path
    expect_writable(path)
    given, loader = how.get('value_range'), predictor.loader
    sets = []
    for source in sources:
        own = given or own_range(source.arguments.get('data_root'), source.arguments.get('name'))
        reading = {'bit_depth': loader.bit_depth, 'value_range': own or loader.value_range}
        as_predicted = [{'type': 'LoadSIRSTImage', **reading}]
        sets.append(
            SIRSTDataset(split=split, pipeline=as_predicted, mask_values=mask_values, **source.arguments)
        )
    ours = hasattr(predictor.model, 'set_test_time')
    if ours:
        predictor.model.set_test_time(**READING._asdict())
    seen = look_for_seen('calibration', [*map(images_of, sets)], predictor.trained, CHOSEN)
    measured = measure(predictor, _samples(sets, predictor.loader), READING if ours else PLAIN)
    about = [DatasetInfo(**s.describe(), trained_on=n) for s, n in zip(sets, seen, strict=True)]
    found = measured.result({'name': predictor.name, **predictor.origin}, about, None if ours else PLAIN)
    averaging = Averaging.of(getattr(predictor.model, 'test_cfg', None))
    found = replace(found, **averaging._asdict() | {'scales': [*averaging.scales]})
    print(in_words(found))
    print(f'written {found.write(path)}')
    return found


def _samples(sets: Sequence[SIRSTDataset], loader: FrameLoader) -> Iterator[tuple[Frame, np.ndarray]]:
    for dataset in sets:
        loader.fix(dataset.value_range)  # what 'auto' means of this set, as in its training
        for index in progress_bar(range(len(dataset)), what=dataset.dataset_name):
            _, mask = dataset.read_fitted(index)
            yield Frame(Path(dataset.get_data_info(index)['img_path'])), half(mask)


def _rounded_down(rank: float) -> float:
    """To seven digits, by which the detection of this rank is still kept."""
    return float(Context(prec=7, rounding=ROUND_FLOOR).create_decimal_from_float(rank))


def in_words(found: Calibration) -> str:
    """Temperature, bias, errors, and Pd at the usual budgets."""
    rows = [['', 'number', 'ECE %', 'calibrated']]
    for name, errors in (('pixels near targets', found.pixels), ('detections', found.detections)):
        ece = ('–' if e is None else f'{100 * e:.2f}' for e in (errors.before, errors.after))
        rows.append([name, f'{errors.count:,}', *ece])
    apart = ', '.join(f'{k} {v:.3f}' for k, v in found.separation.items() if v is not None and v == v)
    lines = [
        f'temperature {found.temperature:.3f}, bias {found.bias:.3f}',
        text_table(rows),
        f'hits from false alarms, AUC: {apart or "not to be told"}',
    ]
    if found.detections.count < ENOUGH:
        lines.append(
            f'warning: {counted(found.detections.count, "detection")} cannot say much about a budget; '
            'take more images.'
        )
    for budget in BUDGETS:
        kept = [
            (pd, least)
            for pd, fa, least in zip(*(found.ranked[k] for k in ('Pd', 'Fa', 'threshold')), strict=True)
            if fa <= budget
        ]
        lines.append(
            f'Fa <= {budget:g}: Pd {100 * kept[-1][0]:.2f} %, rank {_rounded_down(kept[-1][1]):.7g} or more'
            if kept
            else f'Fa <= {budget:g}: no detection is left'
        )
    return '\n'.join(lines)
