"""Results of one run on disk: ``metrics.json`` and what lies beside it."""

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

import numpy as np

from madnet.datasets.contents import KINDS, Contents, is_same
from madnet.errors import UserError
from madnet.evaluation.folders import find_maps
from madnet.files import newest
from madnet.images.notices import say_once
from madnet.records import (
    MAPS,
    PICTURES,
    Averaging,
    Comparison,
    Cost,
    DatasetInfo,
    Details,
    MetricsFile,
    read_per_image,
)
from madnet.records.scalars import merge_scalars, read_scalars
from madnet.text import printable
from madnet.visualization.material import Material, read_score_map


@dataclass(frozen=True)
class RunResult:
    """One method's results."""

    label: str
    #: Its ``metrics.json``, or its work folder where there is none.
    path: Path
    report: MetricsFile | None = None
    #: Rows of ``per_image.csv``, numbers as floats (NaN for empty cells).
    per_image: Sequence[Mapping] = ()
    #: Records of training.
    scalars: Sequence[Mapping] = ()
    #: Id → score map, and id → picture that was drawn already.
    scores: Mapping[str, Path] = field(default_factory=dict)
    #: Whether these are labels, where no ``report`` says it.
    labels: bool = False
    overlays: Mapping[str, Path] = field(default_factory=dict)
    material: Material = field(default_factory=Material)
    #: Of all views that a prediction averages, as far as it is known.
    cost: Cost = field(default_factory=Cost)

    @property
    def metrics(self) -> dict[str, dict]:
        """Protocol → metrics."""
        return self.report.results if self.report else {}

    def details(self, protocol: str) -> Details:
        """Curves, strata and intervals under a protocol, as far as there are any."""
        return self.report.details_of(protocol) if self.report else Details()

    @property
    def dataset(self) -> str:
        """Data set, split and number of images in words."""
        known = self.report.dataset if self.report else DatasetInfo()
        parts = Path(known.name or 'unknown data').parts
        # madnet evaluate knows its data by the folder of masks: the folder above says more
        name = '/'.join(parts[-2:]) if len(parts) > 2 else parts[-1]
        images = f', {known.images} images' if known.images else ''
        # numbers at another threshold, or without some components, stand in a table of their own
        how = (self.report.threshold_text, self.report.least_text) if self.report else ()
        return replace(known, name=name).words + images + ''.join(f', {each}' for each in how if each)

    def score_map(self, image_id: str, shape: tuple[int, int]) -> np.ndarray:
        """A score map as (H, W) float32 in 0–1, read as it was scored.

        Raises:
            UserError: As :func:`~madnet.visualization.material.read_score_map`.
        """
        held = (bool(self.report.labels), bool(self.report.from_logits)) if self.report else (self.labels,)
        return read_score_map(self.scores[image_id], shape, *held)

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
    mask_values: Sequence[int] | None = None,
) -> RunResult:
    """Read one result and find what pictures can be drawn from.

    Beside ``metrics.json`` are read: ``per_image.csv``, the folder ``scores/`` of score maps (or the folder
    of predictions that ``metrics.json`` names), the folder ``overlays/`` of pictures, and mmengine's
    ``*/vis_data/scalars.json``, and ``cost.json``, there or a folder above. Only ``metrics.json`` or
    ``scalars.json`` must be there.

    Args:
        path: A ``metrics.json``, or the folder that holds it.
        label: Default: the folder's name.
        images, masks: Folders; default where the data set of ``metrics.json`` lies.
        mask_values: What masks of one's own hold; see :class:`~madnet.images.MaskRule`.

    Raises:
        UserError: There is no result, or it can't be read.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f'{path}: no such file or folder, expected a metrics.json or a folder that holds one')
    folder = path if path.is_dir() else path.parent
    metrics = folder / 'metrics.json' if path.is_dir() else path
    scalars = merge_scalars([read_scalars(p) for p in sorted(folder.glob('*/vis_data/scalars.json'))])
    report = MetricsFile.read(metrics) if metrics.is_file() else None
    if not report and not scalars:
        below = sorted(p.relative_to(folder).as_posix() for p in folder.glob('*/metrics.json'))
        hint = f' There is one in {", ".join(below[:3])}.' if below else ' madnet test writes one.'
        raise UserError(f'{folder}: found neither metrics.json nor */vis_data/scalars.json.{hint}')

    of_several = report is not None and bool(report.sets)
    name = (report and report.dataset.name) or ''
    predictions = Path((report and report.predictions) or folder / MAPS)
    if images is not None or masks is not None:
        if images is None or (masks is None and not Path(name).is_dir()):
            raise UserError('--images and --masks go together: give both folders')
        if of_several:
            raise UserError(
                f'{metrics}: of several data sets, while --images and --masks are folders of one.'
            )
        material = Material.from_folders(images, masks or name, mask_values)
        material.check_masks([i for i in material.images if i in material], str(masks or name))
    elif mask_values:
        raise UserError('--mask-values: tells how those of --masks are read; give --images and --masks.')
    else:
        material = Material.from_dataset(report.dataset) if report and name and not of_several else Material()
    per_image = read_per_image(metrics.with_name('per_image.csv'))
    if report:
        _say_what_changed(metrics, report.dataset, material, [row['name'] for row in per_image])
    return RunResult(
        label=printable(label or folder.resolve().name),
        path=metrics if report else folder,
        report=report,
        per_image=per_image,
        scalars=scalars,
        scores={} if of_several else _maps_in(predictions),
        overlays={p.stem: p for p in sorted((folder / PICTURES).glob('*.png'))},
        material=material,
        cost=_read_cost(folder).of_all(Averaging.of(report)),
    )


def _say_what_changed(metrics: Path, scored: DatasetInfo, material: Material, names: Sequence[str]) -> None:
    """Say where images or masks are others than those that were scored; by the time where nothing else is
    recorded of them."""
    ids, kinds = dict.fromkeys(names) or material.images, {'images': material.images, 'masks': material.masks}
    now = Contents.of([{'img_id': i, **{KINDS[k]: each.get(i) for k, each in kinds.items()}} for i in ids])
    for kind in filter(kinds.get, kinds):
        digest = f'{kind}_sha256'
        same = is_same(getattr(scored, digest), now.digests().get(digest))
        if same is False:
            folder = Path(now.files[kind][0]).parent
            say_once(f'{folder}: other {kind}, by their bytes, than {metrics} was made with; test again.')
        changed = newest([metrics, *kinds[kind].values()]) if same is None else metrics
        if changed != metrics:
            say_once(f'{changed}: newer than {metrics}, which does not record what was there; test again.')


def load_results(
    specs: Sequence[str],
    images: str | os.PathLike | None = None,
    masks: str | os.PathLike | None = None,
    mask_values: Sequence[int] | None = None,
) -> list[RunResult]:
    """Read several results, each ``PATH`` or ``LABEL=PATH``.

    One label given to several results makes them seeds of one method. Labels that were not given are told
    apart by the folders above. The folder of ``madnet compare``, which holds a ``comparison.json``, stands
    for all finished runs in it, under the labels given there.

    Raises:
        UserError: As :func:`load_result`.
    """
    results = []
    seen = set()
    for label, path in chain.from_iterable(map(_expand, specs)):
        result = load_result(path, label or None, images, masks, mask_values)
        if (result.label, result.path.resolve()) in seen:
            raise UserError(f'{result.path}: given twice as {result.label!r}, which would count as two runs.')
        seen.add((result.label, result.path.resolve()))
        results.append((bool(label), result))
    results = [(given, part) for given, result in results for part in _by_set(result)]
    own = [r.label for given, r in results if not given]
    loaded = []
    for given, result in results:
        if not given and own.count(result.label) > 1:
            above = result.path.resolve().parents[1 if result.report else 0].name
            result = replace(result, label=printable(f'{above}/{result.label}'))
        loaded.append(result)
    return loaded


def _by_set(result: RunResult) -> list[RunResult]:
    """A test of several data sets as a result for each, and one over all."""
    whole = result.report
    if whole is None:  # a training that was not tested yet
        return [result]
    parts = []
    sets = whole.sets or {}
    words = Counter(one.dataset.words for one in sets.values())
    for name, one in sets.items():
        # sets of one name are told apart by their labels here, or they would count as two runs on one
        dataset = one.dataset if words[one.dataset.words] == 1 else replace(one.dataset, name=name)
        report = replace(whole, dataset=dataset, results=one.results, details=one.details, sets=None)
        parts.append(
            replace(
                result,
                report=report,
                per_image=[row for row in result.per_image if row.get('dataset') == name],
                scores=_maps_in(result.path.parent / MAPS / name),
                overlays={},
                material=Material.from_dataset(one.dataset) if one.dataset.name else Material(),
            )
        )
    return [*parts, replace(result, scores={}, overlays={})] if parts else [result]


def _expand(spec: str) -> list[tuple[str, Path]]:
    """(label, path) of each result that ``PATH`` or ``LABEL=PATH`` stands for; '' for no label."""
    label, path = '', spec
    if not Path(spec).exists():
        # both may hold a '=': the path is the longest that exists
        splits = [(spec[:i], spec[i + 1 :]) for i, c in enumerate(spec) if c == '=']
        label, path = next((s for s in splits if s[1] and Path(s[1]).exists()), (splits or [('', spec)])[0])
    listing = Path(path) / Comparison.FILE
    if label or not listing.is_file():
        return [(label, Path(path))]
    rows = Comparison.read(listing).rows
    # a test of several sets has a row for each of them
    return [*dict.fromkeys((row.label, listing.parent / folder) for row in rows for folder in row.folders)]


def _read_cost(folder: Path) -> Cost:
    # beside the numbers, or where a comparison keeps it for all seeds and numbers of views
    homes = (folder, folder.parent, folder.parent.parent)
    return next((Cost.read(h / Cost.FILE) for h in homes if (h / Cost.FILE).is_file()), Cost())


def _maps_in(folder: Path) -> dict[str, Path]:
    return find_maps(folder, 'score maps') if folder.is_dir() and any(folder.iterdir()) else {}
