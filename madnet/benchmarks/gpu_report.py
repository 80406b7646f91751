"""What the measurements of a graphics card say: goals, and a page."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from madnet.benchmarks.gpu_parts import FORMS
from madnet.files import write_json, write_whole
from madnet.records import markdown_table


@dataclass(frozen=True)
class Goal:
    """Something that is to be reached.

    Attributes:
        name: What.
        least: The value to reach.
        found: The value in the figures of the parts; raises KeyError where it was not measured.
    """

    name: str
    least: float
    found: Callable[[Mapping[str, dict]], float]


def _faster(what: str) -> Callable[[Mapping[str, dict]], float]:
    def ratio(figures: Mapping[str, dict]) -> float:
        ours = [
            figures[f'step, {what}, {form}'].get('ms', float('inf')) for form in FORMS if 'captured' in form
        ]
        return figures[f'step, {what}, published']['ms'] / min(ours)

    return ratio


def _against_mamba(which: str) -> Callable[[Mapping[str, dict]], float]:
    """Kernel time of mamba_ssm's scan over ours, the worst of scans whose name begins with ``which``."""

    def ratio(figures: Mapping[str, dict]) -> float:
        ratios = []
        for scan in figures['scan, speed']['scans']:
            ours, theirs = (scan['measured'][name] for name in ('triton', 'mamba_ssm'))
            if scan['scan'].startswith(which):
                ratios += [theirs[k]['kernel'] / ours[k]['kernel'] for k in ('forward', 'with_backward')]
        return min(ratios)

    return ratio


def _share_of_the_bound(figures: Mapping[str, dict]) -> float:
    """The least time possible over that of the forward scans at 1024², all taken together."""
    scans = [scan for scan in figures['scan, speed']['scans'] if scan['size'] == 1024]
    least = sum(scan['times'] * max(scan['bound'].values()) for scan in scans)
    return least / sum(scan['times'] * scan['measured']['triton']['forward']['kernel'] for scan in scans)


GOALS = (
    Goal('scan: times as fast as mamba_ssm, worst shape', 1, _against_mamba('')),
    Goal('scan, inner: times as fast as mamba_ssm, worst shape', 2, _against_mamba('inner')),
    Goal('scan at 1024²: share of the binding limit', 0.5, _share_of_the_bound),
    Goal('width 16: times as fast as the published form', 5, _faster('width 16')),
    Goal('width 16: crops a second', 1500, lambda f: f['step, width 16, captured']['images/s']),
    Goal('width 4: crops a second', 6000, lambda f: f['step, width 4, captured']['images/s']),
    Goal('MiM: times as fast as the published form', 3, _faster('MiM')),
    Goal(
        'share of the bare step in a step of the whole tool',
        0.9,
        lambda f: f['step, width 16, captured']['ms'] / f['whole training']['ms'],
    ),
    Goal(
        'digits that eager and captured losses share, first ten steps',
        5,
        lambda f: -torch.tensor(max(f['same losses']['of the first ten'], 1e-12)).log10().item(),
    ),
    Goal('NUAA-SIRST: tests in a quarter of a minute', 1, lambda f: 15 / f['test, nuaa']['seconds, fp32']),
)


def judge(figures: Mapping[str, dict]) -> list[tuple[str, float, float | None]]:
    """Goal, value to reach, and value found, None where it was not measured."""
    rows: list[tuple[str, float, float | None]] = []
    for goal in GOALS:
        try:
            rows.append((goal.name, goal.least, goal.found(figures)))
        except (KeyError, TypeError, ValueError, ZeroDivisionError):  # a part that left some of it out
            rows.append((goal.name, goal.least, None))
    return rows


def write_report(report: dict, folder: Path) -> None:
    """Judge the figures of the parts, and write ``report.json``, ``report.md`` and ``steps.png``."""
    goals = judge(report['parts'])
    report['goals'] = [{'goal': name, 'least': least, 'found': found} for name, least, found in goals]
    write_json(folder / 'report.json', report)
    write_whole(folder / 'report.md', as_markdown(report))
    _plot(report['parts'], folder / 'steps.png')


def as_markdown(report: dict) -> str:
    """The report as a page."""
    machine = ', '.join(f'{key} {value:.4g}' if isinstance(value, float) else f'{key} {value}'
                        for key, value in report['machine'].items())  # fmt: skip
    goals = [
        (g['goal'], f'{g["least"]:g}', *_verdict(g['found'], g['least'])) for g in report['goals']
    ]  # fmt: skip
    figures = [(name, *_in_short(content)) for name, content in report['parts'].items()]
    return (
        f'# What this machine does with madnet\n\n{machine}; at most {report["minutes"]:g} minutes.\n\n'
        + markdown_table(['goal', 'least', 'found', 'met'], goals, right=(1, 2))
        + '\n'
        + markdown_table(['part', 'state', 'figures'], figures)
        + '\nEach part’s output is in `parts/`; all figures are in `report.json`.\n'
    )


def _verdict(found: float | None, least: float) -> tuple[str, str]:
    if found is None:
        return '–', 'not measured'
    return f'{found:.4g}', 'yes' if found >= least else 'no'


def _in_short(content: dict) -> tuple[str, str]:
    numbers = (
        f'{key} {value:.4g}' if isinstance(value, float) else f'{key} {value}'
        for key, value in content.items()
        if key != 'state' and isinstance(value, int | float | str)
    )
    return content['state'].replace('|', '/'), ', '.join(numbers)


def _plot(figures: Mapping[str, dict], path: Path) -> None:
    """Milliseconds of a step, by network and form."""
    from matplotlib.figure import Figure

    from madnet.visualization.figure import save_picture

    steps = {
        name: content['ms']
        for name, content in figures.items()
        if name.startswith('step') and 'ms' in content
    }
    if not steps:
        return
    figure = Figure(figsize=(6, 0.6 + 0.25 * len(steps)), layout='constrained')
    axes = figure.subplots()
    axes.barh([name.removeprefix('step, ') for name in steps], list(steps.values()))
    axes.invert_yaxis()
    axes.set_xlabel('ms a step')
    save_picture(figure, path, dpi=150)
