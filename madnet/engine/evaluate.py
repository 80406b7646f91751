"""What ``tools/evaluate.py`` does: score or compare folders, print, write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import madnet
from madnet.datasets.catalogue import find_entry, identify_split, known_datasets, split_ids
from madnet.datasets.sirst_dataset import SIRSTDataset
from madnet.datasets.splits import ids_sha256
from madnet.engine.config.dataset import find_sources
from madnet.errors import UserError
from madnet.evaluation.folders import compare_folders, score_folder
from madnet.evaluation.protocols import get_protocols
from madnet.evaluation.thresholds import at_threshold, choose_threshold, parse_threshold, refuse_same_part
from madnet.files import plain, write_json
from madnet.records import MetricsFile, as_text, column, metrics_text, text_table, write_results

_SHOWN = 10


def evaluate_folder(
    pred_dir: str,
    mask_dir: str | None,
    protocols: str,
    out: str | None,
    dataset: str | None = None,
    split: str = 'test',
    threshold: str | float | None = None,
    **options,
) -> MetricsFile:
    """Score a folder, print the table, write ``metrics.json`` and ``per_image.csv`` under ``out`` if given.

    Args:
        pred_dir: Score maps.
        mask_dir: Masks; None for those of the data set.
        protocols: Names with commas, or ``'all'``.
        out: Folder, or None.
        dataset: A name of the catalogue or a folder, whose split says which images are scored.
        split: Which part of it.
        threshold: Probability above which is target, in place of the protocols' own; ``'best:val'`` for the
            one with the best IoU on the maps of that part of the data set, which lie in ``pred_dir`` too.
        **options: Of :func:`~madnet.evaluation.folders.score_folder`.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        UserError: As :func:`~madnet.evaluation.folders.score_folder`; no masks, or a threshold that is none.
    """
    chosen, found = get_protocols(protocols), {}
    value, part = parse_threshold(threshold)
    if part is not None:
        if dataset is None:
            raise UserError(f'--threshold best:{part}: needs --dataset, which says what images these are.')
        refuse_same_part(part, [split])
        masks, those = _choose_images(mask_dir, dataset, part, options)
        counted = score_folder(pred_dir, masks, 'native', **those)[0]
        value, found['threshold_chosen_on'] = choose_threshold(counted, part)
    if value is not None:
        found['threshold'] = value
        chosen = get_protocols([at_threshold(p, value) for p in chosen])
    masks, options = _choose_images(mask_dir, dataset, split, options)
    evaluator, left_out = score_folder(pred_dir, masks, chosen, **options)
    mask_dir = mask_dir or dataset
    content = {
        'predictions': str(pred_dir),
        'masks': str(mask_dir),
        'dataset': _describe(evaluator.names, mask_dir),
        **found,
        'results': evaluator.compute(),
        'details': evaluator.details(),
        'left_out': left_out,
        'versions': {'madnet': madnet.__version__, 'numpy': np.__version__},
    }
    report = MetricsFile.from_json(plain(content))
    print(f'{pred_dir}: {len(evaluator)} images' + (f', {len(left_out)} left out' if left_out else ''))
    if report.threshold_text:
        print(report.threshold_text)
    print(metrics_text(report.results))
    if out:
        for path in write_results(out, report, evaluator.per_image()):
            print(f'written {path}')
    return report


def _choose_images(
    mask_dir: str | None, dataset: str | None, split: str, options: dict[str, Any]
) -> tuple[str | dict[str, Path], dict[str, Any]]:
    """Masks, and the options with the ids and images of a split of a data set where one is named."""
    if dataset is None:
        if mask_dir is None:
            raise UserError('expected MASK_DIR, or --dataset to take the masks of.')
        return mask_dir, {'mended': _mended(Path(mask_dir)), **options}
    if mask_dir is not None:
        entry = find_entry(dataset)
        if entry is None:
            raise UserError(
                f'--dataset {dataset}: beside MASK_DIR expected a data set of the catalogue, for its lists '
                f'({", ".join(known_datasets())}); give --ids for lists of your own.'
            )
        ids = options.get('ids') or split_ids(entry.name, split)
        return mask_dir, {'mended': _mended(Path(mask_dir)), **options, 'ids': ids}
    sources = find_sources(dataset)
    if len(sources) != 1:
        raise UserError(f'--dataset {dataset}: expected one data set; folders of maps are scored one by one.')
    data = SIRSTDataset(**sources[0].arguments, split=split)
    samples = {info['img_id']: info for info in map(data.get_data_info, range(len(data)))}
    images, masks = (
        {i: Path(info[key]) for i, info in samples.items()} for key in ('img_path', 'seg_map_path')
    )
    more = {'ids': options.get('ids') or [*samples], 'image_dir': options.get('image_dir') or images}
    return masks, {**options, **more}


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


def compare(
    dir_a: str,
    dir_b: str,
    mask_dir: str | None,
    protocol: str,
    out: str | None,
    dataset: str | None = None,
    split: str = 'test',
    **options,
) -> dict:
    """Compare two folders, print the test and the images that differ most, write ``compare.json`` if asked.

    Args:
        dir_a: Score maps of A.
        dir_b: Score maps of B.
        mask_dir, dataset, split: As of :func:`evaluate_folder`.
        protocol: One name.
        out: Folder, or None.
        **options: Of :func:`~madnet.evaluation.folders.compare_folders`.

    Returns:
        What ``compare.json`` holds.
    """
    masks, options = _choose_images(mask_dir, dataset, split, options)
    report = compare_folders(dir_a, dir_b, masks, protocol, **options)
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
