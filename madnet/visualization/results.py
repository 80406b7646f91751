"""Results on disk: ``metrics.json`` and what lies beside it."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from madnet.errors import UserError
from madnet.evaluation.folders import find_maps
from madnet.visualization.curves import read_scalars
from madnet.visualization.material import Material
from madnet.visualization.tables import cost_of_views

#: What ``tools/compare.py`` writes into its folder: a list of all runs below.
ZOO = 'zoo.json'


@dataclass(frozen=True)
class RunResult:
    """One method's results.

    Attributes:
        label: How tables and figures call it.
        path: Its ``metrics.json``, or its work folder where there is none.
        report: What ``metrics.json`` holds; empty where there is none.
        per_image: Rows of ``per_image.csv``, numbers as floats (NaN for empty cells).
        scalars: Records of training, empty where there are none.
        scores: Id → score map.
        overlays: Id → picture that was drawn already.
        material: Images and masks.
        cost: ``parameters``, ``MACs`` and ``latency`` in seconds, as far as they are known.
    """

    label: str
    path: Path
    report: Mapping = field(default_factory=dict)
    per_image: Sequence[Mapping] = ()
    scalars: Sequence[Mapping] = ()
    scores: Mapping[str, Path] = field(default_factory=dict)
    overlays: Mapping[str, Path] = field(default_factory=dict)
    material: Material = field(default_factory=Material)
    cost: Mapping = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, dict]:
        """Protocol → metrics."""
        return self.report.get('results') or {}

    @property
    def details(self) -> dict[str, dict]:
        """Protocol → curves, strata and intervals."""
        return self.report.get('details') or {}

    @property
    def dataset(self) -> str:
        """Data set, split and number of images in words."""
        known = self.report.get('dataset') or {}
        parts = Path(str(known.get('name') or 'unknown data')).parts
        # tools/evaluate.py knows its data by the folder of masks: the folder above says more
        name = '/'.join(parts[-2:]) if len(parts) > 2 else parts[-1]
        words = ' '.join(str(known[k]) for k in ('split_set', 'split') if known.get(k))
        images = f', {known["images"]} images' if known.get('images') else ''
        return ' '.join(filter(None, (name, words))) + images

    def rows(self, protocol: str) -> list[Mapping]:
        """The rows of one protocol that have an IoU."""
        return [
            row
            for row in self.per_image
            if row.get('protocol', protocol) == protocol and not math.isnan(row.get('IoU', math.nan))
        ]


def load_result(
    path: str | os.PathLike,
    label: str | None = None,
    images: str | os.PathLike | None = None,
    masks: str | os.PathLike | None = None,
) -> RunResult:
    """Read one result and find what pictures can be drawn from.

    Beside ``metrics.json`` are read: ``per_image.csv``, the folder ``scores/`` of score maps (or the folder
    of predictions that ``metrics.json`` names), the folder ``overlays/`` of pictures, and mmengine's
    ``*/vis_data/scalars.json``, and ``cost.json``, there or a folder above. Only ``metrics.json`` or
    ``scalars.json`` must be there.

    Args:
        path: A ``metrics.json``, or the folder that holds it.
        label: Default: the folder's name.
        images: Folder of the images; default where the data set of ``metrics.json`` lies.
        masks: Folder of the masks; default as of the images.

    Raises:
        UserError: There is no result, or it can't be read.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f'{path}: no such file or folder, expected a metrics.json or a folder that holds one')
    folder = path if path.is_dir() else path.parent
    metrics = folder / 'metrics.json' if path.is_dir() else path
    scalars = _merge([read_scalars(p) for p in sorted(folder.glob('*/vis_data/scalars.json'))])
    report = _read_metrics(metrics) if metrics.is_file() else {}
    if not report and not scalars:
        below = sorted(p.relative_to(folder).as_posix() for p in folder.glob('*/metrics.json'))
        hint = f' There is one in {", ".join(below[:3])}.' if below else ' tools/test.py writes one.'
        raise UserError(f'{folder}: found neither metrics.json nor */vis_data/scalars.json.{hint}')

    dataset = report.get('dataset') or {}
    name = str(dataset.get('name') or '')
    predictions = Path(str(report.get('predictions') or folder / 'scores'))
    if images is not None or masks is not None:
        if images is None or (masks is None and not Path(name).is_dir()):
            raise UserError('--images and --masks go together: give both folders')
        material = Material.from_folders(images, masks or name)
    else:
        material = Material.from_dataset(name) if name else Material()
    return RunResult(
        label=label or folder.resolve().name,
        path=metrics if report else folder,
        report=report,
        per_image=_read_rows(metrics.with_name('per_image.csv')),
        scalars=scalars,
        scores=find_maps(predictions, 'score maps') if _has_files(predictions) else {},
        overlays={p.stem: p for p in sorted((folder / 'overlays').glob('*.png'))},
        material=material,
        cost=cost_of_views(_read_cost(folder), report.get('views', 1)),
    )


def load_results(
    specs: Sequence[str], images: str | os.PathLike | None = None, masks: str | os.PathLike | None = None
) -> list[RunResult]:
    """Read several results, each ``PATH`` or ``LABEL=PATH``.

    One label given to several results makes them seeds of one method. Labels that were not given are told
    apart by the folders above. The folder of ``tools/compare.py``, which holds a ``zoo.json``, stands
    for all finished runs in it, under the labels given there.

    Raises:
        UserError: As :func:`load_result`.
    """
    results = []
    for spec in chain.from_iterable(map(_expand, specs)):
        label, _, path = spec.rpartition('=')
        if label and Path(spec).exists():
            label, path = '', spec
        results.append((bool(label), load_result(path, label or None, images, masks)))
    own = [r.label for given, r in results if not given]
    loaded = []
    for given, result in results:
        if not given and own.count(result.label) > 1:
            above = result.path.resolve().parents[1 if result.report else 0].name
            result = RunResult(**{**result.__dict__, 'label': f'{above}/{result.label}'})
        loaded.append(result)
    return loaded


def _expand(spec: str) -> list[str]:
    listing = Path(spec) / ZOO
    if not listing.is_file():
        return [spec]
    try:
        rows = json.loads(listing.read_text(encoding='utf-8'))['rows']
        return [f'{row["label"]}={listing.parent / folder}' for row in rows for folder in row['folders']]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UserError(f'{listing}: not a {ZOO} of tools/compare.py ({type(e).__name__}: {e})') from None


def _read_cost(folder: Path) -> dict:
    # beside the numbers, or where tools/compare.py keeps it for all seeds and numbers of views
    for path in (home / 'cost.json' for home in (folder, folder.parent, folder.parent.parent)):
        if path.is_file():
            try:
                return dict(json.loads(path.read_text(encoding='utf-8')))
            except (OSError, ValueError, TypeError) as e:
                raise UserError(f'{path}: not readable as JSON ({e})') from None
    return {}


def _read_metrics(path: Path) -> dict:
    try:
        report = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as e:
        raise UserError(f'{path}: not readable as JSON ({e})') from None
    if not isinstance(report, dict) or not isinstance(report.get('results'), dict):
        raise UserError(f"{path}: found no key 'results'; expected a metrics.json of tools/test.py")
    if report.get('schema', 1) != 1:
        raise UserError(f'{path}: schema {report["schema"]} is not known here, expected 1; update madnet')
    return report


def _read_rows(path: Path) -> list[dict]:
    if not path.is_file():
        return []
    with path.open(newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    words = ('protocol', 'name')
    try:
        return [{k: v if k in words else float(v or 'nan') for k, v in row.items()} for row in rows]
    except (TypeError, ValueError) as e:
        raise UserError(f'{path}: not a per_image.csv of tools/test.py ({e})') from None


def _merge(parts: Sequence[Sequence[Mapping]]) -> list[Mapping]:
    """Scalars of a run and of its resumptions: what was run twice counts as it was the last time."""
    merged: dict[tuple, Mapping] = {}
    for part in parts:
        for record in part:
            merged['loss' in record, record.get('step')] = record
    return sorted(merged.values(), key=lambda r: r.get('step') or 0)


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
