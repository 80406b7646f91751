"""Results on disk: ``metrics.json`` and ``per_image.csv``."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from madnet.files import write_json, write_whole


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
    text = io.StringIO(newline='')
    if rows:
        writer = csv.DictWriter(text, rows[0].keys())
        writer.writeheader()
        writer.writerows({k: '' if _undefined(v) else v for k, v in row.items()} for row in rows)
    return metrics, write_whole(table, text.getvalue())


def _undefined(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
