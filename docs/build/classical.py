#!/usr/bin/env python
"""Writes the measured tables of docs/classical.md and experiments/classical/*.md from the JSON files there.

The files come from ``tools/benchmark.py classical --data NAME --json experiments/classical/NAME.json``.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from madnet.benchmarks.classical import as_markdown
from madnet.files import write_whole
from madnet.records import SHORT, ClassicalSet, DetectorResult, as_text, markdown_table, read_classical

ROOT = Path(__file__).resolve().parents[2]
SETS = ('NUAA-SIRST', 'NUDT-SIRST', 'IRSTD-1K', 'SIRST-AUG')
RULES = ('mean+12std', 'minmax0.5')
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


def cell(numbers: Mapping) -> str:
    """IoU / nIoU / F1 / Pd in percent, Fa in 1e-6."""
    parts = [f'{numbers[m] * 100:.1f}' for m in SHORT[:-1]] + [f'{numbers["Fa"] * 1e6:.0f}']
    return ' / '.join(parts)


def methods(parts: Mapping[str, ClassicalSet]) -> Iterator[tuple[str, str, list[DetectorResult | None]]]:
    """Name and title of each method, and its results on each set."""
    for name in dict.fromkeys(name for part in parts.values() for name in part.methods):
        entries = [part.methods.get(name) for part in parts.values()]
        yield name, next(e.title for e in entries if e), entries


def table(parts: Mapping[str, ClassicalSet], rule: str) -> str:
    """One row per method, one column per data set, under one rule."""
    rows = [
        [title, *(cell(e.rules[rule]) if e else '–' for e in entries)] for _, title, entries in methods(parts)
    ]
    heads = [f'{name}: {part.images} images' for name, part in parts.items()]
    return markdown_table([f'`{rule}`', *heads], rows, range(1, 1 + len(heads)))


def costs(parts: Mapping[str, ClassicalSet]) -> str:
    """AUC and seconds, and beside them the seconds of another implementation on the first set."""
    heads = [f'{name}: AUC %, s/image' for name in parts] + [f'{SETS[0]}: s/image, another implementation']
    rows = []
    for name, title, entries in methods(parts):
        cells = [f'{as_text("AUC", e.curves.AUC)}, {e.seconds:.2g}' if e else '–' for e in entries]
        rows.append([title, *cells, f'{THEIRS[name]:.2g}' if name in THEIRS else '–'])
    return markdown_table(['method', *heads], rows, range(1, 1 + len(heads)))


def main() -> None:
    """Rewrite the tables."""
    parts = {}
    for name in SETS:
        path = ROOT / 'experiments' / 'classical' / f'{name}.json'
        if path.is_file():
            (parts[name],) = read_classical(path).values()
            write_whole(path.with_suffix('.md'), '#' + as_markdown(parts[name])[2:])
    text = '\n'.join([*(table(parts, rule) for rule in RULES), costs(parts)])
    page = ROOT / 'docs' / 'classical.md'
    before, rest = page.read_text(encoding='utf-8').split(BEGIN)
    after = rest.split(END)[1]
    write_whole(page, f'{before}{BEGIN}{text}{END}{after}')


if __name__ == '__main__':
    main()
