"""What the measurements of a graphics card say: goals, and a page."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from madnet.files import write_json, write_whole
from madnet.records import markdown_table


@dataclass(frozen=True)
class Goal:
    """Something that is to be reached.

    Attributes:
        name: What.
        least: The value to reach.
        found: The value in the figures of the parts; raises KeyError where it was not measured, and NotJudged
            where what was measured says nothing of it.
    """

    name: str
    least: float
    found: Callable[[Mapping[str, dict]], float]


class NotJudged(Exception):
    """Why a goal is not judged by what was measured."""


def _captured(figures: Mapping[str, dict], what: str) -> dict:
    """A captured step; raises NotJudged where its capture was given up."""
    found = figures[f'step, {what}, captured']
    if found.get('captured') is False:
        raise NotJudged('no, not captured')
    return found


def _whole(figures: Mapping[str, dict], part: str, names: str) -> list:
    """What a part found of a list; raises NotJudged where it did not reach the end of it."""
    if not figures[part]['whole']:
        raise NotJudged('not measured whole')
    return list(figures[part][names])


def _faster(what: str) -> Callable[[Mapping[str, dict]], float]:
    def ratio(figures: Mapping[str, dict]) -> float:
        published = figures[f'step, {what}, published']['ms']
        steps = [_captured(figures, what)['ms']]
        compiled = figures.get(f'step, {what}, captured, compiled', {})
        if compiled.get('captured') and 'ms' in compiled:
            steps.append(compiled['ms'])
        return published / min(steps)

    return ratio


def _digits(difference: float) -> float:
    return -math.log10(max(difference, 1e-12))


def _right_digits(figures: Mapping[str, dict]) -> float:
    """Of the scans, by the worst of them; one that failed has none."""
    differences = figures['scan, correctness']['differences'].values()
    if any(isinstance(difference, str) or not difference < 1 for difference in differences):
        return 0.0
    _whole(figures, 'scan, correctness', 'differences')
    return _digits(max(differences))


def _against_mamba(which: str) -> Callable[[Mapping[str, dict]], float]:
    """Kernel time of mamba_ssm's scan over ours, the worst of scans whose name begins with ``which``; where
    theirs does not run, out of memory, there is nothing to compare."""

    def ratio(figures: Mapping[str, dict]) -> float:
        ratios = []
        for scan in _whole(figures, 'scan, speed', 'scans'):
            ours, theirs = (scan['measured'][name] for name in ('triton', 'mamba_ssm'))
            if not scan['scan'].startswith(which) or 'failed' in theirs:
                continue
            if 'failed' in ours:
                return 0.0
            for what in ('forward', 'with_backward'):
                if theirs[what]['kernel'] is not None:
                    ratios.append(theirs[what]['kernel'] / ours[what]['kernel'])
        return min(ratios)

    return ratio


def _share_of_the_bound(figures: Mapping[str, dict]) -> float:
    """The least time possible over that of the forward scans at 1024², all taken together."""
    scans = figures['scan, speed']['scans']
    if scans and scans[-1]['size'] <= 1024:  # the next size has not been begun
        _whole(figures, 'scan, speed', 'scans')
    scans = [scan for scan in scans if scan['size'] == 1024]
    least = sum(scan['times'] * max(scan['bound'].values()) for scan in scans)
    return least / sum(scan['times'] * scan['measured']['triton']['forward']['kernel'] for scan in scans)


def _same_digits(figures: Mapping[str, dict]) -> float:
    found = figures['same losses']
    if found.get('captured') is False:
        raise NotJudged('no, not captured')
    if found['steps'] < 50:
        raise NotJudged(f'measured over {found["steps"]} steps')
    return _digits(found['largest relative difference'])


GOALS = (
    Goal('scan: digits that every way shares with the plain loop', 4, _right_digits),
    Goal('scan: times as fast as mamba_ssm, worst shape', 1, _against_mamba('')),
    Goal('scan, inner: times as fast as mamba_ssm, worst shape', 2, _against_mamba('inner')),
    Goal('scan at 1024²: share of the binding limit', 0.5, _share_of_the_bound),
    Goal('width 16: times as fast as the published form', 5, _faster('width 16')),
    Goal('width 16: crops a second', 1500, lambda f: _captured(f, 'width 16')['images/s']),
    Goal('width 4: crops a second', 6000, lambda f: _captured(f, 'width 4')['images/s']),
    Goal('MiM: times as fast as the published form', 3, _faster('MiM')),
    Goal(
        'share of the bare step in a step of the whole tool',
        0.9,
        lambda f: _captured(f, 'width 16')['ms'] / f['whole training']['ms'],
    ),
    Goal(
        'NUDT-SIRST’s published recipe, 124,000 steps of 8 in bf16: times as fast as in 20 minutes',
        1,
        lambda f: 1.2e6 / (124_000 * _captured(f, 'published recipe on NUDT-SIRST')['ms']),
    ),
    Goal('digits that eager and captured losses share, fifty steps', 5, _same_digits),
    Goal('resumed to the bit', 1, lambda f: float(f['same losses']['resumed to the bit'])),
    Goal('NUAA-SIRST: tests in a quarter of a minute', 1, lambda f: 15 / f['test, nuaa']['seconds, fp32']),
)


def judge(figures: Mapping[str, dict]) -> list[dict]:
    """Of each goal ``goal``, ``least`` (the value to reach), ``found`` (None where it was not measured) and
    ``met``, a word or two."""
    rows = []
    for goal in GOALS:
        found = None
        try:
            found = goal.found(figures)
            met = 'yes' if found >= goal.least else 'no'
        except NotJudged as e:
            met = str(e)
        except (KeyError, TypeError, ValueError, ZeroDivisionError):  # a part that left some of it out
            met = 'not measured'
        rows.append({'goal': goal.name, 'least': goal.least, 'found': found, 'met': met})
    return rows


def write_report(report: dict, folder: Path) -> None:
    """Judge the figures of the parts, and write ``report.json``, ``report.md`` and ``steps.png``."""
    report['goals'] = judge(report['parts'])
    write_json(folder / 'report.json', report)
    write_whole(folder / 'report.md', as_markdown(report))
    _plot(report['parts'], folder / 'steps.png')


def as_markdown(report: dict) -> str:
    """The report as a page."""
    machine = ', '.join(f'{key} {value:.4g}' if isinstance(value, float) else f'{key} {value}'
                        for key, value in report['machine'].items())  # fmt: skip
    goals = [
        (g['goal'], f'{g["least"]:g}', '–' if g['found'] is None else f'{g["found"]:.4g}', g['met'])
        for g in report['goals']
    ]
    figures = [(name, *_in_short(content)) for name, content in report['parts'].items()]
    return (
        f'# What this machine does with madnet\n\n{machine}; at most {report["minutes"]:g} minutes.\n\n'
        + markdown_table(['goal', 'least', 'found', 'met'], goals, right=(1, 2))
        + '\n'
        + markdown_table(['part', 'state', 'figures'], figures)
        + '\nEach part’s output is in `parts/`; all figures are in `report.json`.\n'
    )


def _in_short(content: dict) -> tuple[str, str]:
    numbers = (
        f'{key} {value:.4g}' if isinstance(value, float) else f'{key} {value}'
        for key, value in (content | _worst(content)).items()
        if key != 'state' and isinstance(value, int | float | str)
    )
    return content['state'].replace('|', '/'), ', '.join(numbers)


def _worst(content: dict) -> dict:
    """Of many differences the largest; first one that could not be had."""
    differences = content.get('differences')
    if not differences:
        return {}
    size = {where: math.inf if isinstance(value, str) else value for where, value in differences.items()}
    where = max(size, key=size.__getitem__)
    return {f'largest difference ({where})': differences[where]}


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
