#!/usr/bin/env python
"""Writes the measured tables of docs/classical.md and experiments/classical/*.md from the JSON files there.

The files are kept as they were measured: data set → ``methods`` → ``rules`` (metrics by threshold rule),
``curves`` (without a threshold), ``seconds`` of CPU time an image.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from madnet.files import read_json, write_whole
from madnet.records import SHORT, as_text, column, markdown_table

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


def methods(parts: Mapping[str, dict]) -> Iterator[tuple[str, str, list[dict | None]]]:
    """Name and title of each method, and its results on each set."""
    for name in dict.fromkeys(name for part in parts.values() for name in part['methods']):
        entries = [part['methods'].get(name) for part in parts.values()]
        yield name, next(e['title'] for e in entries if e), entries


def table(parts: Mapping[str, dict], rule: str) -> str:
    """One row per method, one column per data set, under one rule."""
    rows = [
        [title, *(cell(e['rules'][rule]) if e else '–' for e in entries)]
        for _, title, entries in methods(parts)
    ]
    heads = [f'{name}: {part["images"]} images' for name, part in parts.items()]
    return markdown_table([f'`{rule}`', *heads], rows, range(1, 1 + len(heads)))


def costs(parts: Mapping[str, dict]) -> str:
    """AUC and seconds, and beside them the seconds of another implementation on the first set."""
    heads = [f'{name}: AUC %, s/image' for name in parts] + [f'{SETS[0]}: s/image, another implementation']
    rows = []
    for name, title, entries in methods(parts):
        cells = [f'{as_text("AUC", e["curves"]["AUC"])}, {e["seconds"]:.2g}' if e else '–' for e in entries]
        rows.append([title, *cells, f'{THEIRS[name]:.2g}' if name in THEIRS else '–'])
    return markdown_table(['method', *heads], rows, range(1, 1 + len(heads)))


def as_markdown(part: Mapping) -> str:
    """All columns of one data set."""
    rows, curves = [], []
    for entry in part['methods'].values():
        for rule, numbers in entry['rules'].items():
            cells = [as_text(m, numbers[m]) for m in SHORT]
            rows.append([entry['title'], rule, *cells, f'{entry["seconds"]:.2g}'])
        found, oracle = entry['curves'], entry['curves']['oracle']
        auc = [as_text('AUC', found[key]) for key in ('AUC', 'AUC_per_image')]
        best = [f'{oracle["threshold"]:.3f}', as_text('IoU', oracle['IoU'])]
        curves.append([entry['title'], *auc, *best, str(entry['constant_maps'])])
    head = ['method', 'rule', *(column(m).title for m in SHORT), 's/image']
    curve_head = ['method', 'AUC %', 'AUC per image %', 'best t', 'IoU % there', 'constant maps']
    targets = next(iter(next(iter(part['methods'].values()))['rules'].values()))['targets']
    return (
        f'# {part["name"]}, {part["split"]}: {part["images"]} images, {targets} targets\n\n'
        f'{markdown_table(head, rows, range(2, 8))}\n'
        'Without a rule, on the min-max scale of each image; the best threshold is chosen on these very '
        f'images (an oracle).\n\n{markdown_table(curve_head, curves, range(1, 6))}'
    )


def main() -> None:
    """Rewrite the tables."""
    parts = {}
    for name in SETS:
        path = ROOT / 'experiments' / 'classical' / f'{name}.json'
        if path.is_file():
            (parts[name],) = read_json(path).values()
            write_whole(path.with_suffix('.md'), as_markdown(parts[name]))
    text = '\n'.join([*(table(parts, rule) for rule in RULES), costs(parts)])
    page = ROOT / 'docs' / 'classical.md'
    before, rest = page.read_text(encoding='utf-8').split(BEGIN)
    after = rest.split(END)[1]
    write_whole(page, f'{before}{BEGIN}{text}{END}{after}')


if __name__ == '__main__':
    main()
