"""What ``tools/evaluate.py`` does: score or compare folders, print, write."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import madnet
from madnet.datasets.catalogue import find_entry, identify_split
from madnet.datasets.splits import ids_sha256
from madnet.evaluation.folders import compare_folders, score_folder
from madnet.files import plain, write_json
from madnet.records import MetricsFile, as_text, column, metrics_text, text_table, write_results

_SHOWN = 10


def evaluate_folder(pred_dir: str, mask_dir: str, protocols: str, out: str | None, **options) -> MetricsFile:
    """Score a folder, print the table, write ``metrics.json`` and ``per_image.csv`` under ``out`` if given.

    Args:
        pred_dir: Score maps.
        mask_dir: Masks.
        protocols: Names with commas, or ``'all'``.
        out: Folder, or None.
        **options: Of :func:`~madnet.evaluation.folders.score_folder`.

    Returns:
        What ``metrics.json`` holds.
    """
    options = {'mended': _mended(Path(mask_dir)), **options}
    evaluator, left_out = score_folder(pred_dir, mask_dir, protocols, **options)
    content = {
        'predictions': str(pred_dir),
        'masks': str(mask_dir),
        'dataset': _describe(evaluator.names, mask_dir),
        'results': evaluator.compute(),
        'details': evaluator.details(),
        'left_out': left_out,
        'versions': {'madnet': madnet.__version__, 'numpy': np.__version__},
    }
    report = MetricsFile.from_json(plain(content))
    print(f'{pred_dir}: {len(evaluator)} images' + (f', {len(left_out)} left out' if left_out else ''))
    print(metrics_text(report.results))
    if out:
        for path in write_results(out, report, evaluator.per_image()):
            print(f'written {path}')
    return report


def _mended(mask_dir: Path) -> dict[str, Path]:
    """Masks that the catalogue knows to be wrong in a release, where the folder is one's and the right ones
    lie in it: what a data set reads instead."""
    for root in list(mask_dir.resolve().parents)[:2]:
        entry = find_entry(root.name)
        if entry:
            return {i: root / fix for i, fix in entry.mask_fixes.items() if (root / fix).is_file()}
    return {}


def _describe(names: list[str], mask_dir: str) -> dict:
    """The images as ``metrics.json`` names them: a known split where these are its ids, else the folder."""
    known = identify_split(names) or {'name': str(mask_dir)}
    return {**known, 'images': len(names), 'split_sha256': ids_sha256(names)}


def compare(dir_a: str, dir_b: str, mask_dir: str, protocol: str, out: str | None, **options) -> dict:
    """Compare two folders, print the test and the images that differ most, write ``compare.json`` if asked.

    Args:
        dir_a: Score maps of A.
        dir_b: Score maps of B.
        mask_dir: Masks.
        protocol: One name.
        out: Folder, or None.
        **options: Of :func:`~madnet.evaluation.folders.compare_folders`.

    Returns:
        What ``compare.json`` holds.
    """
    options = {'mended': _mended(Path(mask_dir)), **options}
    report = compare_folders(dir_a, dir_b, mask_dir, protocol, **options)
    print(f'A {dir_a}\nB {dir_b}\n{len(report["images"])} images, protocol {report["protocol"]}')
    rows = [['', 'A', 'B', 'B − A', '95 % interval', 'p']]
    for metric, numbers in report['metrics'].items():
        low, high = (as_text(metric, v) for v in numbers['interval'])
        cells = [as_text(metric, numbers[k]) for k in ('a', 'b', 'difference')]
        rows.append([column(metric).title, *cells, f'{low} … {high}', f'{numbers["p"]:.4f}'])
    print(text_table(rows))
    differing = [row for row in report['images'] if row['difference']][:_SHOWN]
    if differing:
        print('\nwhere they differ most')
        rows = [[r['name'], *(as_text('IoU', r[k]) for k in ('a', 'b', 'difference'))] for r in differing]
        print(text_table([['image, IoU %', 'A', 'B', 'B − A'], *rows]))
    if out:
        print(f'written {write_json(Path(out) / "compare.json", report)}')
    return report
