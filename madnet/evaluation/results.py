"""Results on disk: ``metrics.json`` and ``per_image.csv``."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path


def write_results(
    folder: str | os.PathLike, report: Mapping, per_image: Iterable[Mapping]
) -> tuple[Path, Path]:
    """Write ``metrics.json`` and ``per_image.csv`` under a folder, made where it is missing.

    Args:
        folder: Where to.
        report: What ``metrics.json`` shall hold; NaN and infinity, which JSON has no word for, become null.
        per_image: Rows with equal keys; NaN becomes an empty cell.

    Returns:
        The two paths.
    """
    table = Path(folder) / 'per_image.csv'
    metrics = write_json(Path(folder) / 'metrics.json', report)
    rows = list(per_image)
    with table.open('w', newline='', encoding='utf-8') as file:
        if rows:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows({k: '' if _undefined(v) else v for k, v in row.items()} for row in rows)
    return metrics, table


def write_json(path: Path, content: Mapping) -> Path:
    """Write strict JSON, NaN and infinity as null, its folder made where it is missing; returns the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_jsonable(content), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + '\n', encoding='utf-8')
    return path


def _undefined(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _jsonable(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(v) for v in value]
    if hasattr(value, 'tolist'):
        return _jsonable(value.tolist())
    return None if _undefined(value) else value
