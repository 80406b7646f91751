"""A report of one or many results: a self-contained page, tables and figures for a paper."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from madnet.errors import UserError
from madnet.evaluation.bootstrap import mean_std
from madnet.evaluation.protocols import PROTOCOLS
from madnet.files import write_whole
from madnet.records import COST, HEADLINE, CheckpointInfo, MetricsFile, ResultTable, TrainingInfo, slug
from madnet.visualization.cost_plot import draw_cost
from madnet.visualization.curve_plots import draw_pd_fa, draw_pr, draw_roc, draw_strata, draw_training
from madnet.visualization.figure import save_figure
from madnet.visualization.gallery import can_draw, draw_gallery, rank_images
from madnet.visualization.grid import grid_rows
from madnet.visualization.material import read_score_map
from madnet.visualization.page import render_page
from madnet.visualization.panels import draw_grid
from madnet.visualization.run_results import RunResult
from madnet.visualization.stretch import stretch
from madnet.visualization.surface import draw_surfaces

_CURVES = (
    ('roc', draw_roc, 'ROC of pixels; the false positive rate is logarithmic.'),
    ('pr', draw_pr, 'Precision and recall of pixels, over lines of equal F1.'),
    ('pd_fa', draw_pd_fa, 'Detection probability of targets against the false-alarm rate, over thresholds.'),
)
_STRATA = (
    ('size', 'target size', ('Pd', 'IoU')),
    ('scr', 'local signal-to-clutter ratio', ('Pd', 'IoU')),
    ('count', 'targets in the image', ('Pd', 'nIoU')),
)


@dataclass(frozen=True)
class _Shown:
    """A figure as the page needs it: where it lies, what it says, its bytes."""

    stem: str
    caption: str
    png: bytes


def build_report(
    results: Sequence[RunResult],
    out_dir: str | os.PathLike,
    *,
    title: str = 'Infrared small target detection: results',
    gallery: int = 4,
) -> Path:
    """Write ``index.html``, ``tables/*.{md,csv,tex}`` and ``figures/*.{pdf,png}``.

    The page holds all it shows: tables for each data set and protocol, accuracy against cost, training
    curves, ROC, PR and Pd-Fa curves, metrics by class of target, the worst and best images, a qualitative
    grid and surfaces of score maps. Sections for which the results hold nothing are left out. Results of one
    label are seeds of one method: tables give their mean ± standard deviation.

    Args:
        results: Of :func:`~madnet.visualization.run_results.load_results`.
        out_dir: Made where it is missing.
        title: Of the page.
        gallery: So many of the worst and of the best images of each result.

    Returns:
        Path of the page.

    Raises:
        UserError: No result, results under one label that differ in more than the seed, or a file that
            belongs to one can't be read.
    """
    if not results:
        raise UserError('nothing to report: give at least one metrics.json or the folder that holds one')
    _refuse_mixed(results)
    out = Path(out_dir)
    results = _numbered(results)
    sets = _by_dataset(results)
    figures = _FigureFolder(out)
    tables = [t for name, group in sets.items() for t in _write_tables(name, group, out / 'tables')]
    page = {
        'runs': [_describe(r) for r in results],
        'protocols': _protocols(results),
        'tables': tables,
        'training': _training(results, figures),
        'cost': _costs([t['table'] for t in tables], figures),
        'curves': [s for name, group in sets.items() for s in _curves(name, group, figures)],
        'strata': [s for name, group in sets.items() for s in _strata(name, group, figures)],
        'gallery': _galleries(results, gallery),
        'grids': [s for name, group in sets.items() for s in _grid(name, group, figures)],
        'surfaces': [s for name, group in sets.items() for s in _surfaces(name, group, figures)],
    }
    return write_whole(out / 'index.html', render_page('report.html', title, **page))


class _FigureFolder:
    """Saves figures under ``figures/`` and keeps their PNG for the page."""

    def __init__(self, out: Path):
        self.out = out

    def add(self, figure: Figure, stem: str, caption: str) -> _Shown:
        stem = f'figures/{slug(stem)}'
        _, png = save_figure(figure, self.out / stem)
        return _Shown(stem, caption, png.read_bytes())


@dataclass(frozen=True)
class _Run:
    """A result with a label of its own; ``method`` is shared by the seeds of one method."""

    label: str
    method: str
    result: RunResult


def _numbered(results: Sequence[RunResult]) -> list[_Run]:
    count, seen = Counter(r.label for r in results), Counter()
    runs = []
    for result in results:
        seen[result.label] += 1
        number = f' #{seen[result.label]}' if count[result.label] > 1 else ''
        runs.append(_Run(result.label + number, result.label, result))
    return runs


def _refuse_mixed(results: Sequence[RunResult]) -> None:
    """Raise a UserError where results under one label on the same images are no seeds of one recipe."""
    first: dict[tuple[str, str], RunResult] = {}
    for result in results:
        if result.report is None:
            continue
        other = first.setdefault((result.label, result.dataset), result)
        differing = _differences(other.report, result.report)
        if differing:
            raise UserError(
                f'{other.path} and {result.path} are both called {result.label!r}, but differ in more than '
                f'the seed: {", ".join(differing)}. Their mean would be of no method; give them two labels.'
            )


def _differences(a: MetricsFile, b: MetricsFile) -> list[str]:
    if a.training and b.training:
        parts = {**a.training.digests, **b.training.digests}
        found = [k for k in parts if a.training.digests.get(k) != b.training.digests.get(k)]
    else:
        names = [Path(r.config).name if r.config else None for r in (a, b)]
        found = [f'config ({", ".join(names)})'] if all(names) and names[0] != names[1] else []
    found += [f'views ({a.views}, {b.views})'] if (a.views or 1) != (b.views or 1) else []
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


def _describe(run: _Run) -> dict:
    report = run.result.report or MetricsFile(results={})
    checkpoint, training = report.checkpoint or CheckpointInfo(), report.training or TrainingInfo()
    facts = {
        'data': run.result.dataset if run.result.report else 'not tested yet',
        'config': report.config,
        'predictions': report.predictions,
        'checkpoint': checkpoint.path,
        'sha256': (checkpoint.sha256 or '')[:12],
        'seed': None if training.seed is None else str(training.seed),
        'recipe': training.recipe,
        'epoch': training.epoch,
        'versions': ', '.join(f'{k} {v}' for k, v in report.versions.items()),
    }
    return {'label': run.label, 'facts': {k: v for k, v in facts.items() if v}}


def _write_tables(dataset: str, runs: Sequence[_Run], folder: Path) -> list[dict]:
    tables = []
    for protocol in _protocols(runs):
        rows, intervals = {}, {}
        tested = [r for r in runs if protocol in r.result.metrics]
        methods: dict[str, list[_Run]] = {}
        for run in tested:
            methods.setdefault(run.method, []).append(run)
        for method, seeds in methods.items():
            name = f'{method} ({len(seeds)} runs)' if len(seeds) > 1 else method
            rows[name] = _mean(seeds, protocol) | _cost(seeds)
        for run in tested:
            intervals[run.label] = run.result.details(protocol).intervals or {}
        tables.append(ResultTable(dataset, protocol, rows, (*HEADLINE, *COST), intervals=intervals))
    if len(tables) > 1:
        rows = {
            f'{run.label}, {protocol}': run.result.metrics[protocol]
            for run in runs
            for protocol in _protocols(runs)
            if protocol in run.result.metrics
        }
        # numbers of different protocols measure different things: none of them is the best
        tables.append(ResultTable(f'{dataset}, protocols side by side', 'in each row', rows, ranked=False))
    return [{'table': t, 'stem': f'tables/{t.write(folder)}'} for t in tables]


def _mean(seeds: Sequence[_Run], protocol: str) -> dict:
    numbers = [r.result.metrics[protocol] for r in seeds]
    return mean_std(numbers) if len(numbers) > 1 else dict(numbers[0])


def _cost(seeds: Sequence[_Run]) -> dict:
    """The cost of a method: a fact of the network, not of a seed."""
    return {k: v for r in seeds for k, v in r.result.cost.columns().items()}


def _costs(tables: Sequence[ResultTable], figures: _FigureFolder) -> list[_Shown]:
    shown = []
    for table in tables:
        points = table.cost_points('IoU') if table.ranked else {}
        if len(points) > 1:
            caption = (
                f'{table.caption}. IoU against multiply-accumulates; bars: standard deviation over runs.'
            )
            figure = draw_cost(points, table.protocol, 'IoU')
            shown.append(figures.add(figure, f'cost {table.caption} {table.protocol}', caption))
    return shown


def _training(runs: Sequence[_Run], figures: _FigureFolder) -> list[_Shown]:
    trained = {r.label: r.result.scalars for r in runs if r.result.scalars}
    if not trained:
        return []
    caption = 'Training loss, learning rate, and validation metrics after each epoch.'
    return [figures.add(draw_training(trained), 'training', caption)]


def _curves(dataset: str, runs: Sequence[_Run], figures: _FigureFolder) -> list[dict]:
    groups = []
    for protocol in _protocols(runs):
        shown = []
        for key, draw, caption in _CURVES:
            curves = {r.label: getattr(r.result.details(protocol), key) for r in runs}
            curves = {label: curve for label, curve in curves.items() if curve}
            if curves:
                shown.append(
                    figures.add(
                        draw(curves, protocol), f'{key} {dataset} {protocol}', f'{dataset}. {caption}'
                    )
                )
        if shown:
            groups.append({'head': f'{dataset}, protocol {protocol}', 'figures': shown})
    return groups


def _strata(dataset: str, runs: Sequence[_Run], figures: _FigureFolder) -> list[_Shown]:
    shown = []
    for protocol in _protocols(runs):
        for key, what, metrics in _STRATA:
            strata = {r.label: r.result.details(protocol).strata.get(key) for r in runs}
            strata = {
                label: rows for label, rows in strata.items() if any(row.get('targets') for row in rows or ())
            }
            if strata:
                caption = f'{dataset}. By {what}; n is the number of targets, bars are in percent.'
                figure = draw_strata(strata, protocol, what, metrics)
                shown.append(figures.add(figure, f'by {key} {dataset} {protocol}', caption))
    return shown


def _galleries(runs: Sequence[_Run], count: int) -> list[dict]:
    galleries = []
    for run in runs:
        for protocol in list(_protocols([run]))[:1]:
            worst, best = draw_gallery(run.result, protocol, count)
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
    rows = [
        {'name': name, 'IoU': float(np.mean(v)), 'targets': 1.0}
        for name, v in ious.items()
        if len(v) == len(runs)
    ]
    worst, best = rank_images(rows, (count + 1) // 2)
    return [r['name'] for r in worst + best][:count]


def _drawable(runs: Sequence[_Run]) -> list[_Run]:
    return [r for r in runs if any(can_draw(r.result, name) for name in r.result.scores)]


def _grid(dataset: str, runs: Sequence[_Run], figures: _FigureFolder) -> list[_Shown]:
    runs = _drawable(runs)
    ids = _telling_images(runs, 4) if runs else []
    if not ids:
        return []
    maps = {r.label: r.result.scores for r in runs}
    caption = (
        f'{dataset}. Images with the lowest and the highest mean IoU of these methods, score maps marked.'
    )
    return [figures.add(draw_grid(grid_rows(runs[0].result.material, maps, ids)), f'grid {dataset}', caption)]


def _surfaces(dataset: str, runs: Sequence[_Run], figures: _FigureFolder) -> list[_Shown]:
    runs = _drawable(runs)
    shown = []
    for name in _telling_images(runs, 2) if runs else []:
        image, truth = runs[0].result.material.read(name)
        maps = {'image': stretch(image, 0, 100) / 255.0, 'truth': (truth.labels > 0).astype(float)}
        for run in runs:
            maps[run.label] = read_score_map(run.result.scores[name], image.shape[:2])
        figure = draw_surfaces(maps, name)
        shown.append(
            figures.add(figure, f'surface {dataset} {name}', f'{dataset}, {name}. Score maps as surfaces.')
        )
    return shown
