"""A report of one or many results: a self-contained page, tables and figures for a paper."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from matplotlib.figure import Figure

from madnet.config_files import SHIPPED
from madnet.datasets.catalogue import about_lists
from madnet.errors import UserError
from madnet.evaluation.bootstrap import mean_std
from madnet.evaluation.protocols import PROTOCOLS
from madnet.files import expect_writable, write_whole
from madnet.images import encode_webp, read_image
from madnet.records import (
    COST,
    HEADLINE,
    Averaging,
    CheckpointInfo,
    Cost,
    MetricsFile,
    ResultTable,
    TrainingInfo,
    how_measured,
    measured_like,
    slug,
)
from madnet.records.result_table import unused
from madnet.visualization.cost_plot import draw_cost
from madnet.visualization.curve_plots import (
    draw_pd_fa,
    draw_pr,
    draw_ranked,
    draw_roc,
    draw_strata,
    draw_training,
    has_point,
)
from madnet.visualization.figure import save_figure
from madnet.visualization.gallery import can_draw, draw_gallery, rank_images
from madnet.visualization.grid import grid_rows
from madnet.visualization.material import THRESHOLD
from madnet.visualization.page import render_page
from madnet.visualization.panels import draw_grid
from madnet.visualization.run_results import RunResult
from madnet.visualization.stretch import stretch
from madnet.visualization.surface import draw_surfaces
from madnet.visualization.verdict import verdict

_CURVES: tuple[tuple[str, Callable[..., Figure], str], ...] = (
    (
        'roc',
        draw_roc,
        'share of target pixels above a threshold, against the share of background pixels above it '
        '(logarithmic). The dot is where a curve begins: at the highest score of any background pixel, where '
        'many pixels of a network tie. AUC: area under the curve over a linear axis; it does not compare '
        'detectors of different kinds, whose background may tie at 0.',
    ),
    ('pr', draw_pr, 'precision and recall of pixels over thresholds; grey: lines of equal F1.'),
    (
        'pd_fa',
        draw_pd_fa,
        'share of targets found (Pd) against pixels of false alarms per million pixels (Fa), over thresholds '
        'on the score; thresholds without a false alarm stand at the left edge, 0.',
    ),
    (
        'ranked',
        draw_ranked,
        'Pd against Fa where detections at the usual threshold (the dot) are left out one after another, the '
        'least sure first, so that a network whose scores saturate has a curve down to no false alarm too, '
        'which stands at the left edge, 0.',
    ),
)
_STRATA = (
    ('size', 'target size', ('Pd', 'IoU')),
    ('scr', 'local signal-to-clutter ratio', ('Pd', 'IoU')),
    ('count', 'targets in the image', ('Pd', 'nIoU')),
)
_STRATA_WORDS = {
    'Pd': 'Pd: share of targets found',
    'IoU': 'IoU of hits: mean IoU of each found target with its detection; missed targets do not count',
    'nIoU': 'nIoU: mean IoU of the images',
}
#: Metrics of a page's tables. An AUC, which does not compare detectors of different kinds, is at its curve.
_KEYS = (*(key for key in HEADLINE if key != 'AUC'), *COST)
# A page that is mailed stays below some 3 MB, of which a third goes to base64.
_FIGURE_BYTES, _GALLERY_BYTES = 110_000, 1_000_000
_PAGE_SCALE = 0.65


class _Shown(NamedTuple):
    """A figure as the page needs it: where it lies, what it says, and a WebP of it."""

    stem: str
    caption: str
    webp: bytes


def build_report(
    results: Sequence[RunResult],
    out_dir: str | os.PathLike,
    *,
    title: str = 'Infrared small target detection: results',
    gallery: int = 4,
    columns: Sequence[str] = _KEYS,
) -> Path:
    """Write ``index.html``, ``tables/*.{md,csv,tex}`` and ``figures/*.{pdf,png}``; returns the page's path.

    The page holds all it shows: who is best, what was tested, tables for each data set and protocol, accuracy
    against cost, training curves, ROC, PR and Pd-Fa curves, metrics by class of target, the worst and best
    images, a qualitative grid and surfaces of score maps. Sections that the results hold nothing for are left
    out. Results of one label are seeds of one method: tables give their mean ± standard deviation.

    Args:
        results: Of :func:`~madnet.visualization.run_results.load_results`.
        out_dir: Made where it is missing.
        title: Of the page.
        gallery: How many of the worst and of the best images of each result are shown.
        columns: Metrics of the tables, as far as results have them.

    Raises:
        UserError: No result, results under one label that differ in more than the seed or are of the same
            checkpoint, or a file that belongs to one can't be read.
    """
    if not results:
        raise UserError('nothing to report: give at least one metrics.json or the folder that holds one')
    _refuse_mixed(results)
    out = Path(out_dir)
    expect_writable(out / 'index.html')
    runs = _numbered(results)
    sets = _by_dataset(runs)
    figures = _FigureFolder(out)
    stems: set[str] = set()
    scored = [_describe_set(name, group, columns, out / 'tables', stems) for name, group in sets.items()]
    page = {
        'sets': scored,
        'runs': [_describe(r) for r in runs],
        'protocols': _protocols(runs),
        'training': _training(runs, figures),
        'cost': _costs([t['table'] for s in scored for t in s['tables']], figures),
        'curves': [s for name, group in sets.items() for s in _curves(name, group, figures)],
        'strata': [s for name, group in sets.items() for s in _strata(name, group, figures)],
        'gallery': _galleries(runs, gallery),
        'grids': [s for name, group in sets.items() for s in _grid(name, group, figures)],
        'surfaces': [s for name, group in sets.items() for s in _surfaces(name, group, figures)],
    }
    return write_whole(out / 'index.html', render_page('report.html', title, **page))


class _FigureFolder:
    """Saves figures under ``figures/`` and keeps them, reduced, for the page."""

    def __init__(self, out: Path):
        self.out = out
        self.taken: set[str] = set()

    def add(self, figure: Figure, stem: str, caption: str) -> _Shown:
        stem = f'figures/{unused(slug(stem), self.taken)}'
        _, png = save_figure(figure, self.out / stem)
        pixels = read_image(png)
        # a print has 300 dots an inch, a page two thirds of that
        size = [round(_PAGE_SCALE * side) for side in pixels.shape[1::-1]]
        reduced = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        return _Shown(stem, caption, encode_webp(reduced, _FIGURE_BYTES, flat=True))


class _Run(NamedTuple):
    """A result with a label of its own; ``method`` is shared by the seeds of one method."""

    label: str
    method: str
    result: RunResult

    @property
    def report(self) -> MetricsFile:
        """What ``metrics.json`` holds; empty where there is none."""
        return self.result.report or MetricsFile(results={})


def _numbered(results: Sequence[RunResult]) -> list[_Run]:
    count = Counter(r.label for r in results)
    seen: Counter[str] = Counter()
    runs = []
    for result in results:
        seen[result.label] += 1
        number = f' #{seen[result.label]}' if count[result.label] > 1 else ''
        runs.append(_Run(result.label + number, result.label, result))
    return runs


def _refuse_mixed(results: Sequence[RunResult]) -> None:
    """Raise a UserError where results under one label on the same images are no seeds of one recipe."""
    earlier: dict[tuple[str, str], list[RunResult]] = {}
    for result in results:
        if result.report is None:
            continue
        others = earlier.setdefault((result.label, result.dataset), [])
        for other in others:
            both = f'{other.path} and {result.path} are both called {result.label!r}'
            if differing := _differences(other.report or result.report, result.report):
                raise UserError(
                    f'{both}, but differ in more than the seed: {", ".join(differing)}. Their mean would '
                    'describe no method; give them different labels.'
                )
            tested = _tested(result)
            if tested and tested == _tested(other) and result.metrics.keys() & other.metrics.keys():
                raise UserError(
                    f'{both}, but are tests of the same {tested[0]}, which would count as two trainings; '
                    'give one of them, or different labels.'
                )
        others.append(result)


def _tested(result: RunResult) -> tuple[str, object] | None:
    """What a result is of, in a word and so that it can be compared; None where that is not known."""
    report = result.report
    if report and report.detector:
        return 'training-free detector', report.detector
    sha256 = report and report.checkpoint and report.checkpoint.sha256
    return ('checkpoint', sha256) if sha256 else None


def _differences(a: MetricsFile, b: MetricsFile) -> list[str]:
    if a.training and b.training:
        theirs = b.training.digests  # what only one says was not recorded yet by the other's version
        found = [k for k, digest in a.training.digests.items() if theirs.get(k, digest) != digest]
    else:
        names = [Path(r.config).name for r in (a, b) if r.config]
        found = [f'config ({", ".join(names)})'] if len(set(names)) > 1 else []
    one, two = Averaging.of(a), Averaging.of(b)
    found += [f'views ({one.views}, {two.views})'] if one.views != two.views else []
    found += [f'scales ({one.scales_text}; {two.scales_text})'] if one[1:] != two[1:] else []
    return found + (['detector'] if a.detector != b.detector else [])


def _by_dataset(runs: Sequence[_Run]) -> dict[str, list[_Run]]:
    groups: dict[str, list[_Run]] = {}
    for run in runs:
        if run.result.metrics:
            groups.setdefault(run.result.dataset, []).append(run)
    return groups


def _protocols(runs: Sequence[_Run]) -> dict[str, str]:
    """Protocols in use, ``native`` first, each with what it reproduces."""
    used: dict[str, str] = {}
    for run in runs:
        for name in run.result.metrics:
            used[name] = run.result.details(name).protocol or (
                PROTOCOLS[name].reproduces if name in PROTOCOLS else 'a protocol of their own'
            )
    return dict(sorted(used.items(), key=lambda item: item[0] != 'native'))


def _config_name(path: str | None) -> str | None:
    """A config's path, or only its name where it comes with the package."""
    if path and SHIPPED.resolve() in Path(path).resolve().parents:
        return Path(path).stem
    return path


def _describe(run: _Run) -> dict:
    report = run.report
    checkpoint, training = report.checkpoint or CheckpointInfo(), report.training or TrainingInfo()
    detector = report.detector
    facts = {
        'data': run.result.dataset if run.result.report else 'not tested yet',
        'config': _config_name(report.config),
        'predictions': report.predictions,
        'checkpoint': checkpoint.path,
        'sha256': (checkpoint.sha256 or '')[:12],
        'seed': None if training.seed is None else str(training.seed),
        'recipe': training.recipe,
        'epoch': training.epoch,
        'stopped early': training.stopped,
        'detector': '{title}; {formula} (rule {rule})'.format(**detector) if detector else None,
        'protocols': ', '.join(report.results),
        'threshold': report.threshold_text or (None if detector else "the protocols' own"),
        'components': report.least_text,
        'views': str(Averaging.of(report).views),
        'scales': Averaging.of(report).scales_text,
        'versions': ', '.join(f'{k} {v}' for k, v in report.versions.items()),
    }
    return {'label': run.label, 'facts': {k: v for k, v in facts.items() if v}}


def _describe_set(
    dataset: str, runs: Sequence[_Run], columns: Sequence[str], folder: Path, taken: set[str]
) -> dict:
    """What the page says about the methods that were tested on one set of images, with tables as files under
    stems that are not ``taken``."""
    unlike = _unlike(runs)
    tables = [_table(dataset, protocol, runs, columns, not unlike) for protocol in _protocols(runs)]
    protocol = next(iter(_protocols(runs)))
    if len(tables) > 1:
        rows = {
            f'{run.label}, {name}': run.result.metrics[name]
            for run in runs
            for name in _protocols(runs)
            if name in run.result.metrics
        }
        # numbers of different protocols measure different things: none of them is the best
        caption = f'{dataset}: every protocol, not comparable with each other'
        tables.append(ResultTable(caption, '', rows, columns, ranked=False))
    return {
        'name': dataset,
        'about': about_lists(runs[0].report.dataset.name, runs[0].report.dataset.split_set),
        'protocol': protocol,
        'verdict': '' if unlike else verdict(protocol, _methods(runs, protocol)),
        'warnings': unlike + _differently_made(runs),
        'tables': [{'table': t, 'stem': f'tables/{_write(t, folder, taken)}'} for t in tables],
    }


def _write(table: ResultTable, folder: Path, taken: set[str]) -> str:
    stem = unused(slug(f'{table.caption} {table.protocol}'), taken)
    table.write(folder, stem)
    return stem


def _methods(runs: Sequence[_Run], protocol: str) -> dict[str, list[RunResult]]:
    """Method → its runs under a protocol; the label says how many, where there are several."""
    methods: dict[str, list[RunResult]] = {}
    for run in runs:
        if protocol in run.result.metrics:
            methods.setdefault(run.method, []).append(run.result)
    return {f'{m} ({len(found)} runs)' if len(found) > 1 else m: found for m, found in methods.items()}


def _table(
    dataset: str, protocol: str, runs: Sequence[_Run], columns: Sequence[str], comparable: bool
) -> ResultTable:
    meaning, tested = _protocols(runs)[protocol], runs[0].report.dataset
    about = about_lists(tested.name, tested.split_set)
    costs = [r.result.cost for r in runs]
    measured = measured_like(costs)
    methods = _methods(runs, protocol)
    rows = {m: _mean(found, protocol) | _cost(found, measured) for m, found in methods.items()}
    return ResultTable(
        dataset,
        protocol,
        rows,
        columns,
        intervals={r.label: r.result.details(protocol).intervals or {} for r in runs},
        ranked=comparable,
        notes=[
            f'{meaning[:1].upper()}{meaning[1:]}.',
            about,
            *_how_made([r.report for r in runs]),
            *([f'{said}.'] if 'MACs' in columns and (said := how_measured(costs)) else []),
        ],
    )


def _how_made(reports: Sequence[MetricsFile]) -> list[str]:
    """What a caption says of trainings that are alike, and of thresholds of training-free detectors."""
    trained = [r.training for r in reports if r.training]
    notes = []
    choices = {(t.epoch or '').partition(', ')[2].replace('chosen by nothing', 'the last') for t in trained}
    for head, said in (('Training', {t.recipe for t in trained}), ('Epoch', choices)):
        if len(said) == 1 and (text := said.pop()):
            notes.append(f'{head}: {text}.')
    if stopped := sorted({t.stopped for t in trained if t.stopped}):
        notes.append(f'Stopped early by a hook {", ".join(stopped)}.')
    if seeds := sorted({t.seed for t in trained if t.seed is not None}):
        notes.append(f'Seed{"" if len(seeds) == 1 else "s"} {", ".join(map(str, seeds))}.')
    if rules := sorted({r.detector['rule'] for r in reports if r.detector}):
        notes.append(f'Training-free detectors: {" or ".join(rules)} of each score map.')
    return notes


def _unlike(runs: Sequence[_Run]) -> list[str]:
    """Why rows of one table must not be compared; empty where they may."""
    found = [{r.report.dataset.split_sha256 for r in runs}]
    # sets of one's own may share a folder's name and ids
    for protocol in _protocols(runs):
        numbers = [r.result.metrics.get(protocol, {}) for r in runs]
        found += [{n.get('targets') for n in numbers}, {n.get('pixels') for n in numbers}]
    if any(len(each - {None}) > 1 for each in found):
        return [
            'Not comparable: the runs were not tested on the same images at the same size, so nothing is '
            'marked as best.'
        ]
    return []


def _differently_made(runs: Sequence[_Run]) -> list[str]:
    """What else than the method differs between rows that may be compared."""
    reports = [r.report for r in runs]
    found = []
    if len({Averaging.of(r) for r in reports}) > 1:
        found.append('Some rows look at each image in several views or scales, at as many times the cost.')
    if len({r.training.recipe for r in reports if r.training and r.training.recipe}) > 1:
        found.append(
            'The networks were not trained by one recipe: the table compares network and training together.'
        )
    return found


def _mean(seeds: Sequence[RunResult], protocol: str) -> dict:
    numbers = [r.metrics[protocol] for r in seeds]
    return mean_std(numbers) if len(numbers) > 1 else dict(numbers[0])


def _cost(seeds: Sequence[RunResult], measured: Cost) -> dict:
    """The cost of a method: a fact of the network, not of a seed."""
    return {k: v for r in seeds for k, v in r.cost.columns(measured).items()}


def _costs(tables: Sequence[ResultTable], figures: _FigureFolder) -> list[_Shown]:
    shown = []
    for table in tables:
        points = table.cost_points('IoU') if table.ranked else {}
        if len(points) > 1:
            figure = draw_cost(points, table.protocol, 'IoU', dataset=table.caption)
            caption = (
                f'Accuracy and cost on {table.caption}, protocol {table.protocol}: IoU against '
                'multiply-accumulates (MACs) of one image; bars: standard deviation over runs.'
            )
            shown.append(figures.add(figure, f'cost {table.caption} {table.protocol}', caption))
    return shown


def _training(runs: Sequence[_Run], figures: _FigureFolder) -> list[_Shown]:
    trained = {r.label: r.result.scalars for r in runs if r.result.scalars}
    if not trained:
        return []
    caption = (
        'Training loss and learning rate over epochs, and metrics on validation images after each epoch '
        '(fractions; of several runs the first metric that they have).'
    )
    return [figures.add(draw_training(trained), 'training', caption)]


def _curves(dataset: str, runs: Sequence[_Run], figures: _FigureFolder) -> list[dict]:
    groups = []
    for protocol in _protocols(runs):
        shown = []
        for key, draw, caption in _CURVES:
            curves = {r.label: getattr(r.result.details(protocol), key) for r in runs}
            curves = {label: curve for label, curve in curves.items() if curve and has_point(curve)}
            if not curves:
                continue
            numbers = {r.label: r.result.metrics.get(protocol, {}) for r in runs}
            more: dict[str, Any] = {}
            if key == 'roc':
                more['areas'] = {label: found.get('AUC') for label, found in numbers.items()}
            elif key in ('pd_fa', 'ranked'):
                more['pixels'] = max((found.get('pixels') or 0 for found in numbers.values()), default=0)
            figure = draw(curves, protocol, dataset=dataset, **more)
            about = f'{dataset}, protocol {protocol}: {caption}'
            shown.append(figures.add(figure, f'{key} {dataset} {protocol}', about))
        if shown:
            groups.append({'head': f'{dataset}, protocol {protocol}', 'figures': shown})
    return groups


def _strata(dataset: str, runs: Sequence[_Run], figures: _FigureFolder) -> list[_Shown]:
    shown = []
    for protocol in _protocols(runs):
        for key, what, metrics in _STRATA:
            found = {r.label: r.result.details(protocol).strata.get(key) or [] for r in runs}
            strata = {m: rows for m, rows in found.items() if any(row.get('targets') for row in rows)}
            if strata:
                meaning = '; '.join(_STRATA_WORDS[m] for m in metrics)
                caption = (
                    f'{dataset}, protocol {protocol}, by {what}. {meaning}. n: number of targets; classes '
                    'without targets are left out.'
                )
                figure = draw_strata(strata, protocol, what, metrics, dataset=dataset)
                shown.append(figures.add(figure, f'by {key} {dataset} {protocol}', caption))
    return shown


def _galleries(runs: Sequence[_Run], count: int) -> list[dict]:
    galleries = []
    most = _GALLERY_BYTES // max(1, 2 * count * len(runs))
    for run in runs:
        for protocol in list(_protocols([run]))[:1]:
            worst, best = draw_gallery(run.result, protocol, count, most)
            if worst or best:
                galleries.append({'label': run.label, 'protocol': protocol, 'worst': worst, 'best': best})
    return galleries


def _telling_images(runs: Sequence[_Run], count: int) -> list[str]:
    """Images with targets that all runs can draw: the worst, the best, then those between, by mean IoU."""
    protocol = next(iter(_protocols(runs)))
    ious: dict[str, list[float]] = {}
    for run in runs:
        for row in run.result.rows(protocol):
            if row.get('targets', 0) > 0 and can_draw(run.result, row['name']):
                ious.setdefault(row['name'], []).append(row['IoU'])
    known = {name: float(np.mean(v)) for name, v in ious.items() if len(v) == len(runs)}
    rows = [{'name': name, 'IoU': iou, 'targets': 1.0} for name, iou in known.items()]
    worst, best = rank_images(rows, (count + 1) // 2)
    return [r['name'] for r in worst + best][:count]


def _drawable(runs: Sequence[_Run]) -> list[_Run]:
    return [r for r in runs if any(can_draw(r.result, name) for name in r.result.scores)]


def _grid(dataset: str, runs: Sequence[_Run], figures: _FigureFolder) -> list[_Shown]:
    runs = _drawable(runs)
    ids = _telling_images(runs, 4) if runs else []
    if not ids:
        return []
    caption = (
        f'{dataset}: images with the lowest and the highest mean IoU of these methods. Above, the image '
        f'(contrast stretched) with hits, misses and false alarms of each method as it was scored; '
        'below, the places framed and lettered in the first picture, with a contrast of their own; full '
        'line: truth, dashed: prediction.'
    )
    rows = grid_rows(runs[0].result.material, {r.label: r.result for r in runs}, ids)
    return [figures.add(draw_grid(rows, show='image', threshold=THRESHOLD), f'grid {dataset}', caption)]


def _surfaces(dataset: str, runs: Sequence[_Run], figures: _FigureFolder) -> list[_Shown]:
    runs = _drawable(runs)
    shown = []
    for name in _telling_images(runs, 2) if runs else []:
        image, truth = runs[0].result.material.read(name)
        maps = {'image': stretch(image, 0, 100) / 255.0, 'truth': (truth.labels > 0).astype(float)}
        for run in runs:
            maps[run.label] = run.result.score_map(name, image.shape[:2])
        heights = {'image': 'grey, 0–1', 'truth': 'target'}
        figure = draw_surfaces(maps, f'{dataset}: {name}', heights=heights)
        caption = (
            f'{dataset}, image {name}, as surfaces: the image, its grey values brought to 0–1 by its own '
            'minimum and maximum; the truth; and the score map of each method as it was written, 0–1. A cell '
            'is the highest value of its block of pixels.'
        )
        shown.append(figures.add(figure, f'surface {dataset} {name}', caption))
    return shown
