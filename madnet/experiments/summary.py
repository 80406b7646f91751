"""From finished runs to tables, a plot, and ``zoo.json``."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from madnet.evaluation.bootstrap import mean_std
from madnet.evaluation.protocols import PROTOCOLS
from madnet.experiments.plan import Plan, Run, as_pairs
from madnet.experiments.running import read_json, read_metrics, read_record, state_of, with_views
from madnet.experiments.systems import load_systems
from madnet.files import write_json
from madnet.records import COST, Comparison, Cost, ResultTable
from madnet.visualization.cost_plot import draw_cost
from madnet.visualization.figure import save_figure

#: The columns of a comparison: the metrics of the field's tables, and what they cost.
COLUMNS = ('IoU', 'nIoU', 'F1', 'Pd', 'Fa', *COST)
METRICS = (*COLUMNS[: -len(COST)], 'precision', 'recall', 'AUC', 'targets')

_GIVEN = 'given weights'
_CHOSEN = {
    'val': 'best epoch on validation images',
    'test': 'best epoch on the TEST images, as published',
    'last': 'last epoch',
}


def summarise(plan: Plan, runs: Sequence[Run]) -> dict:
    """Everything that the tables, the plot and ``docs/zoo.md`` need, as ``zoo.json`` holds it.

    Returns:
        ``kind`` ('zoo'), ``made``, ``machine``, ``versions``, ``plan`` and ``rows``, one for each network,
        data set and number of views: ``network``, ``label``, ``views``, ``dataset`` (as ``metrics.json``
        describes it), ``config``, ``recipe``, ``chosen`` (how the tested epoch was chosen), ``epochs``,
        ``rule`` (threshold of a detector without training), ``seeds``, ``minutes`` of all seeds, ``results``
        (protocol → metric → [mean, standard deviation or null, seeds]), ``cost`` (of all views), ``folders``
        of the finished tests and ``failed`` (run → error).
    """
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.dataset, run.network), []).append(run)
    rows = [row for group in groups.values() for row in _rows(plan, group)]
    versions = next((report.get('versions') for run in runs for report in read_metrics(run).values()), {})
    return {
        'kind': 'zoo',
        'made': date.today().isoformat(),
        'machine': f'{platform.machine()} {platform.system()}',
        'versions': versions,
        'plan': {
            k: getattr(plan, k)
            for k in ('datasets', 'seeds', 'recipe', 'protocols', 'options', 'views', 'amp', 'size')
        },
        'rows': rows,
        'failed': {r.name: read_record(r).get('error') for r in runs if state_of(r) == 'failed'},
    }


def _rows(plan: Plan, runs: Sequence[Run]) -> list[dict]:
    reports = {run: read_metrics(run) for run in runs}
    return [
        _row(plan, views, {run: tests[views] for run, tests in reports.items() if views in tests})
        for views in runs[0].tests()
        if any(views in tests for tests in reports.values())
    ]


def _row(plan: Plan, views: int | None, tested: dict[Run, dict]) -> dict:
    done, reports = list(tested), list(tested.values())
    first = done[0]
    results = {}
    for protocol in first.protocols.split(','):
        numbers = mean_std([report['results'][protocol] for report in reports])
        results[protocol] = {k: numbers[k] for k in METRICS if k in numbers}
    cost = read_json(Path(first.folder).parent / 'cost.json')
    averaged = reports[0].get('views', 1)
    return {
        'network': first.network,
        'label': first.label + with_views(averaged),
        'views': averaged,
        'dataset': reports[0]['dataset'],
        'config': first.config,
        'recipe': plan.recipe if first.seed is not None else None,
        **training_of(first),
        'seeds': [run.seed for run in done if run.seed is not None],
        'minutes': sum(read_record(run).get('minutes', 0) for run in done),
        'results': results,
        'cost': Cost.from_json(cost).of_views(averaged).to_json(),
        'folders': [str(run.tests()[views].relative_to(plan.work_dir)) for run in done],
    }


def training_of(run: Run) -> dict:
    """How the tested epoch of a run was chosen and of how many; of a detector, its ``rule``."""
    from madnet.engine.cli import parse_options
    from madnet.engine.config import load_config, selection_of

    cfg = load_config(run.config, parse_options(list(run.options)))
    if run.seed is not None:
        epochs, selection = cfg.train_cfg.get('max_epochs'), selection_of(cfg)
        if epochs is not None and cfg.train_cfg.get('val_interval', 1) >= epochs:
            selection = 'last'  # the only epoch that validation sees
        return {'chosen': _CHOSEN[selection], 'epochs': epochs}
    rule = None if run.checkpoint else cfg.model.get('rule')
    return {'chosen': _GIVEN if run.checkpoint else None, 'epochs': None, 'rule': rule}


def write_summary(summary: dict, folder: Path) -> list[Path]:
    """Write ``zoo.json``, ``zoo.md`` (all tables and plots), ``tables/*.{md,csv,tex}``, ``figures/cost_*``.

    Returns:
        ``zoo.md`` and ``zoo.json``.
    """
    page = ['# Comparison', '']
    for table, stem in tables_of(summary):
        for ending, text in (
            ('md', table.markdown()),
            ('csv', table.csv()),
            ('tex', table.latex(f'tab:{stem}')),
        ):
            path = folder / 'tables' / f'{stem}.{ending}'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding='utf-8')
        page += [table.markdown()]
        points = _points(table)
        if points:
            figure = draw_cost(points, table.protocol, 'IoU', references(points))
            save_figure(figure, folder / 'figures' / f'cost_{stem}')
            page += [f'![IoU against multiply-accumulates](figures/cost_{stem}.png)', '']
    page += [f'* failed: {name}: {error}' for name, error in summary['failed'].items()]
    path = folder / 'zoo.md'
    path.write_text('\n'.join(page).rstrip() + '\n', encoding='utf-8')
    return [path, write_json(folder / Comparison.FILE, summary)]


def tables_of(summary: dict) -> list[tuple[ResultTable, str]]:
    """One table for each data set and protocol, with a stem for file names."""
    groups: dict[tuple, list[dict]] = {}
    for row in summary['rows']:
        told = row['dataset']
        key = (told.get('name'), told.get('split_set'), told.get('split'), told.get('images'))
        groups.setdefault(key, []).append(row)
    tables = []
    for (name, split_set, split, images), rows in groups.items():
        what = ' '.join(filter(None, (name, split_set, split)))
        caption = f'{what}, {images} images; {_told(summary, rows)}'
        for protocol in sorted({p for r in rows for p in r['results']}, key=list(PROTOCOLS).index):
            lines = {
                _line_label(row, summary): _values(row['results'][protocol]) | row['cost']
                for row in rows
                if protocol in row['results']
            }
            stem = f'{name}_{protocol}'.lower().replace('-', '_')
            tables.append((ResultTable(caption, protocol, lines, COLUMNS, head='network'), stem))
    return tables


def _line_label(row: dict, summary: dict) -> str:
    done, wanted = len(row['seeds']), len(summary['plan']['seeds'])
    return f'{row["label"]} ({done} of {wanted} seeds)' if 0 < done < wanted else row['label']


def _values(numbers: dict) -> dict:
    return {k: (mean, std) if n > 1 else mean for k, (mean, std, n) in numbers.items()}


def _told(summary: dict, rows: Sequence[dict]) -> str:
    """How these numbers came about, in one clause each."""
    trained = [row for row in rows if row['epochs']]
    parts = []
    if trained:
        epochs = sorted({row['epochs'] for row in trained})
        budget = ' to '.join(map(str, epochs if len(epochs) < 2 else (epochs[0], epochs[-1])))
        budget += ' epoch' if epochs == [1] else ' epochs'
        chosen = ', '.join(sorted({row['chosen'] for row in trained}))
        parts += [f'recipe "{summary["plan"]["recipe"]}", {budget}', chosen]
        others = [o for o in as_pairs(summary['plan'].get('options', ())) if 'max_epochs=' not in o]
        if others:
            parts.append(f'with {", ".join(others)}')
        seeds = summary['plan']['seeds']
        parts.append(
            f'mean ± standard deviation over seeds {", ".join(map(str, seeds))}'
            if len(seeds) > 1
            else f'one seed ({seeds[0]})'
        )
    if any(row['chosen'] == _GIVEN for row in rows):
        parts.append(_GIVEN)
    rules = sorted({row['rule'] for row in rows if row.get('rule')})
    if rules:
        parts.append(f'detectors without training: {" or ".join(rules)} of each score map')
    costs = [row['cost'] for row in rows if row['cost']]
    cost = next((c for c in costs if 'latency' in c), costs[0] if costs else None)
    if cost:
        parts.append(f'MACs of one {cost["size"]}×{cost["size"]} image')
        if 'latency' in cost:
            parts[-1] += f', latency of it on {cost["device"]}'
    return '; '.join(parts)


def _points(table: ResultTable) -> dict[str, tuple[float, float, float | None]]:
    points = {}
    for label, row in table.rows.items():
        value = row.get('IoU')
        mean, std = value if isinstance(value, tuple) else (value, None)
        if row.get('MACs') and mean is not None and math.isfinite(mean):
            points[label] = (row['MACs'], mean, std)
    return points


def references(points: dict) -> dict[str, float]:
    """Published costs of light networks that are not built here, as far as they fall among the points."""
    highest = max(macs for macs, *_ in points.values())
    listed = load_systems()['references']
    return {f'{r["name"]} (published)': r['MACs'] for r in listed if r['MACs'] < 2 * highest}
