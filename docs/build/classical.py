#!/usr/bin/env python
"""Writes the measured tables of docs/classical.md and experiments/classical/*.md from the JSON files there.

The files come from ``tools/benchmark.py classical --data NAME --json experiments/classical/NAME.json``.
"""

import json
from pathlib import Path

from madnet.benchmarks.classical import as_markdown
from madnet.evaluation.summary import as_text

ROOT = Path(__file__).resolve().parents[2]
SETS = ('NUAA-SIRST', 'NUDT-SIRST', 'IRSTD-1K', 'SIRST-AUG')
RULES = ('mean+12std', 'minmax0.5')
METRICS = ('IoU', 'nIoU', 'F1', 'Pd', 'Fa')
#: CPU seconds an image of NUAA-SIRST of an independent implementation of the same formulas (float64, one
#: core, ±30 %, another machine).
THEIRS = {
    'tophat': 0.001, 'newtophat': 0.003, 'newtophat_9_5_9': 0.002, 'maxmean': 0.018, 'maxmean_5': 0.010,
    'maxmedian': 0.074, 'maxmedian_5': 0.026, 'log': 0.011, 'dog': 0.001, 'lcm': 0.007, 'rlcm': 0.138,
    'mpcm': 0.013, 'mpcm_signed': 0.010, 'hbmlcm': 0.003, 'hbmlcm_5': 0.004, 'tllcm': 0.179, 'tllcm_9': 0.096,
    'wslcm': 0.319, 'admd': 0.008, 'aagd': 0.003, 'aagd_signed': 0.003, 'ipi': 5.243, 'ipialm': 2.365,
    'ript': 0.842, 'pstnn': 0.117, 'nram': 1.604,
}  # fmt: skip
BEGIN, END = '<!-- measured -->\n', '<!-- end of measured -->\n'


def cell(numbers: dict) -> str:
    """IoU / nIoU / F1 / Pd in percent, Fa in 1e-6."""
    parts = [f'{numbers[m] * 100:.1f}' for m in METRICS[:-1]] + [f'{numbers["Fa"] * 1e6:.0f}']
    return ' / '.join(parts)


def table(parts: dict[str, dict], rule: str) -> str:
    """One row per method, one column per data set, under one rule."""
    heads = [f'{name}: {part["images"]} images' for name, part in parts.items()]
    names = list(dict.fromkeys(name for part in parts.values() for name in part['methods']))
    lines = [f'| `{rule}` | {" | ".join(heads)} |', f'|---|{"---:|" * len(heads)}']
    for name in names:
        entries = [part['methods'].get(name) for part in parts.values()]
        title = next(e['title'] for e in entries if e)
        cells = [cell(e['rules'][rule]) if e else '–' for e in entries]
        lines.append(f'| {title} | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def costs(parts: dict[str, dict]) -> str:
    """AUC and seconds, and beside them the seconds of another implementation on the first set."""
    heads = [f'{name}: AUC %, s/image' for name in parts] + [f'{SETS[0]}: s/image, another implementation']
    names = list(dict.fromkeys(name for part in parts.values() for name in part['methods']))
    lines = [f'| method | {" | ".join(heads)} |', f'|---|{"---:|" * len(heads)}']
    for name in names:
        entries = [part['methods'].get(name) for part in parts.values()]
        title = next(e['title'] for e in entries if e)
        cells = [f'{as_text("AUC", e["curves"]["AUC"])}, {e["seconds"]:.2g}' if e else '–' for e in entries]
        cells.append(f'{THEIRS[name]:.2g}' if name in THEIRS else '–')
        lines.append(f'| {title} | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    """Rewrite the tables."""
    parts = {}
    for name in SETS:
        path = ROOT / 'experiments' / 'classical' / f'{name}.json'
        if path.is_file():
            (parts[name],) = json.loads(path.read_text(encoding='utf-8')).values()
            path.with_suffix('.md').write_text('#' + as_markdown(parts[name])[2:], encoding='utf-8')
    text = '\n'.join([*(table(parts, rule) for rule in RULES), costs(parts)])
    page = ROOT / 'docs' / 'classical.md'
    before, rest = page.read_text(encoding='utf-8').split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f'{before}{BEGIN}{text}{END}{after}', encoding='utf-8')


if __name__ == '__main__':
    main()
