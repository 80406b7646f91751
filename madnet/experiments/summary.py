"""From finished runs to tables, a plot, and ``comparison.json``."""

import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from madnet.datasets.catalogue import about_lists
from madnet.datasets.sources import set_name
from madnet.datasets.wrappers import sets_of
from madnet.evaluation.bootstrap import mean_std
from madnet.evaluation.protocols import PROTOCOLS
from madnet.experiments.plan import Plan
from madnet.experiments.run import Run
from madnet.experiments.running import with_views
from madnet.experiments.state import read_cost, read_metrics, read_record, state_of
from madnet.files import write_whole
from madnet.records import (
    COST,
    SHORT,
    Averaging,
    Comparison,
    ComparisonPlan,
    ComparisonRow,
    MetricsFile,
    ResultTable,
    RunFile,
    Spread,
    how_measured,
    measured_like,
    slug,
)
from madnet.records.result_table import unused

#: Which part of the images chose the epoch → how tables say so.
_CHOSEN = {
    '': 'last epoch',
    'val': 'best epoch on validation images',
    'validation': 'best epoch on validation images',  # of a set that does not call its part so
    'test': 'best epoch on the TEST images, as published',
}

_METRICS = (*SHORT, 'precision', 'recall', 'AUC', 'targets', 'false_per_image')


def summarise(plan: Plan, runs: Sequence[Run]) -> Comparison:
    """Everything that the tables, the plot and ``docs/zoo.md`` need; a row for each network, data set and
    number of views."""
    groups: dict[Path, list[Run]] = {}
    for run in runs:
        groups.setdefault(Path(run.folder).parent, []).append(run)
    reports = [report for run in runs for report in read_metrics(run).values()]
    about: dict[str, Any] = {key: getattr(plan, key) for key in ('recipe', 'options', 'amp', 'size')}
    about |= {key: list(getattr(plan, key)) for key in ('datasets', 'seeds', 'protocols', 'views')}
    return Comparison(
        plan=ComparisonPlan(**about),
        rows=[row for group in groups.values() for row in _rows(plan, group)],
        made=date.today().isoformat(),
        machine=f'{platform.machine()} {platform.system()}',
        versions=reports[0].versions if reports else {},
        failed={r.name: (read_record(r.folder) or RunFile()).error for r in runs if state_of(r) == 'failed'},
    )


def _rows(plan: Plan, runs: Sequence[Run]) -> list[ComparisonRow]:
    reports = {run: read_metrics(run) for run in runs}
    rows = []
    for views in runs[0].tests():
        tested = {run: tests[views] for run, tests in reports.items() if views in tests}
        rows += _rows_of_sets(plan, views, tested) if tested else []
    return rows


def _rows_of_sets(plan: Plan, views: int | None, tested: Mapping[Run, MetricsFile]) -> list[ComparisonRow]:
    """A row, or one for each of several data sets that were tested on."""
    done, reports = list(tested), list(tested.values())
    first = done[0]
    averaging = Averaging.of(reports[0])
    by_set: list[list] = [[(r.sets or {})[name] for r in reports] for name in reports[0].sets or ()]
    by_set = by_set or [reports]
    return [
        ComparisonRow(
            network=first.network,
            label=first.label + with_views(averaging.views) + _trained_on(plan, first),
            dataset=scored[0].dataset,
            config=first.config,
            results={p: _spreads(one.results[p] for one in scored) for p in first.protocols.split(',')},
            cost=read_cost(first).of_all(averaging),
            views=averaging.views,
            recipe=first.recipe,
            chosen=_chosen(first, reports),
            **first.training(),
            stopped=sorted({r.training.stopped for r in reports if r.training and r.training.stopped})
            or None,
            seeds=[run.seed for run in done if run.seed is not None],
            minutes=sum((read_record(run.folder) or RunFile()).minutes for run in done),
            folders=[str(run.tests()[views].relative_to(plan.work_dir)) for run in done],
        )
        for scored in by_set
    ]


def _chosen(run: Run, reports: Sequence[MetricsFile]) -> str | None:
    """How the tested epochs were chosen, by the records of their tests; None where nothing says so."""
    if run.seed is None:
        return 'given weights' if run.checkpoint else None
    said = {r.training.epoch for r in reports if r.training and r.training.epoch}
    # as in "epoch 7 of 60, the best nIoU on 'val'"
    parts = {words.rpartition(' on ')[2].strip("'") if ' on ' in words else '' for words in said}
    ways = {_CHOSEN.get(part, f'best epoch on {part!r} images') for part in parts}
    return ' or '.join(sorted(ways)) or None


def _trained_on(plan: Plan, run: Run) -> str:
    """What tells apart a network's runs on several data sets where all of them are tested on further ones."""
    if not run.test_on or len(plan.datasets) < 2 or (run.seed is None and run.checkpoint is None):
        return ''
    if run.seed is None:
        return f', weights for {Path(run.folder).parent.name}'
    trained = sets_of(run.settings, 'train_dataloader')
    return f', trained on {" + ".join(map(set_name, trained))}'


def _spreads(results: Iterable[Mapping[str, float | None]]) -> dict[str, Spread]:
    numbers = mean_std(list(results))
    return {k: Spread(*numbers[k]) for k in _METRICS if k in numbers}


def write_summary(summary: Comparison, folder: Path) -> dict[str, Path]:
    """Write ``comparison.json``, ``comparison.md`` with all tables and plots, ``tables/`` and ``figures/``,
    and remove the tables and plots that only the ``comparison.json`` from before has.

    Returns:
        ``'page'`` and ``'numbers'`` → their files; ``'tables'`` and ``'plot'`` → their folders, where there
        are any.
    """
    from madnet.visualization.cost_plot import draw_cost  # imports matplotlib
    from madnet.visualization.figure import save_figure

    before = Comparison.read_if_whole(folder / Comparison.FILE)
    page, written = ['# Comparison', ''], {}
    for table, stem in tables_of(summary):
        written['tables'] = folder / 'tables'
        table.write(written['tables'], stem)
        page += [table.markdown()]
        points = table.cost_points('IoU')
        if points:
            words = table.caption.partition(';')[0]
            figure = draw_cost(points, table.protocol, 'IoU', dataset=words)
            written['plot'] = folder / 'figures'
            save_figure(figure, written['plot'] / f'cost_{stem}')
            page += [f'![IoU against multiply-accumulates](figures/cost_{stem}.png)', '']
    page += [f'* failed: {name}: {error}' for name, error in summary.failed.items()]
    written['page'] = write_whole(folder / 'comparison.md', '\n'.join(page).rstrip() + '\n')
    # by name: the folders may hold what others have put there, such as madnet report
    for name in (_files_of(before) if before else set()) - _files_of(summary):
        (folder / name).unlink(missing_ok=True)
    return written | {'numbers': summary.write(folder / Comparison.FILE)}


def _files_of(summary: Comparison) -> set[str]:
    """The files of all tables and plots."""
    tables = tables_of(summary)
    plots = [stem for table, stem in tables if table.cost_points('IoU')]
    return {f'tables/{stem}.{ending}' for _, stem in tables for ending in ('md', 'csv', 'tex')} | {
        f'figures/cost_{stem}.{ending}' for stem in plots for ending in ('pdf', 'png')
    }


def tables_of(summary: Comparison) -> list[tuple[ResultTable, str]]:
    """One table for each data set and protocol, with a stem for file names."""
    groups: dict[tuple, list[ComparisonRow]] = {}
    for row in summary.rows:
        groups.setdefault((row.dataset.words, row.dataset.images), []).append(row)
    tables, taken = [], set[str]()
    for (words, images), rows in groups.items():
        measured = measured_like(row.cost for row in rows)
        caption = f'{words}, {images} images; {_how(summary, rows)}'
        for protocol in (p for p in PROTOCOLS if any(p in r.results for r in rows)):
            lines = {
                _line_label(row, summary): {**row.values(protocol), **row.cost.columns(measured)}
                for row in rows
                if protocol in row.results
            }
            meaning = PROTOCOLS[protocol].reproduces
            about = about_lists(rows[0].dataset.name, rows[0].dataset.split_set)
            notes = [f'{meaning[:1].upper()}{meaning[1:]}.', about]
            table = ResultTable(caption, protocol, lines, (*SHORT, *COST), head='network', notes=notes)
            tables.append((table, unused(slug(f'{words} {protocol}'), taken)))
    return tables


def _line_label(row: ComparisonRow, summary: Comparison) -> str:
    done, wanted = len(row.seeds), len(summary.plan.seeds)
    return f'{row.label} ({done} of {wanted} seeds)' if 0 < done < wanted else row.label


def _how(summary: Comparison, rows: Sequence[ComparisonRow]) -> str:
    """How these numbers came about, in one clause each."""
    plan, parts = summary.plan, []
    trained = [row for row in rows if row.seeds]
    if trained:
        parts.append(f'{_recipes(trained)}, {_lengths(trained)}')
        if chosen := sorted({row.chosen for row in trained if row.chosen}):
            parts.append(', '.join(chosen))
        parts.append(
            f'mean ± standard deviation over seeds {", ".join(map(str, plan.seeds))}'
            if len(plan.seeds) > 1
            else f'one seed ({plan.seeds[0]})'
        )
    if any(row.chosen == 'given weights' for row in rows):
        parts.append('given weights')
    rules = sorted({row.rule for row in rows if row.rule})
    if rules:
        parts.append(f'training-free detectors: {" or ".join(rules)} of each score map')
    if said := how_measured([row.cost for row in rows]):
        parts.append(said)
    return '; '.join(parts)


def _recipes(trained: Sequence[ComparisonRow]) -> str:
    names = sorted({row.recipe for row in trained if row.recipe})
    words = [f'{" and ".join(names)} recipe{"s"[: len(names) - 1]}'] if names else []
    if any(row.recipe is None for row in trained):
        words.append('configs that the plan names')
    return ' and '.join(words)


def _lengths(trained: Sequence[ComparisonRow]) -> str:
    epochs = sorted({row.epochs for row in trained if row.epochs})
    minutes = sorted({row.budget for row in trained if row.budget})
    words = [f'{_span(epochs)} epoch{"" if epochs == [1] else "s"}'] if epochs else []
    if minutes:
        words.append(f'{_span(minutes)} minute{"" if minutes == [1] else "s"} each')
    stopped = sorted({at for row in trained for at in row.stopped or ()})
    return ' or '.join(words) + (f' (stopped early by a hook {", ".join(stopped)})' if stopped else '')


def _span(numbers: Sequence[float]) -> str:
    """Of sorted numbers, the only one or the two ends."""
    return ' to '.join(f'{n:g}' for n in dict.fromkeys((numbers[0], numbers[-1])))
