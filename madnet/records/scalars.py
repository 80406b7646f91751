"""mmengine's ``scalars.json``: what a training logged."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from madnet.errors import UserError
from madnet.files import read_text


def read_scalars(path: str | os.PathLike) -> list[dict[str, Any]]:
    """The records of mmengine's ``vis_data/scalars.json``: one JSON object a line.

    Raises:
        UserError: The file can't be read, or a line in the middle is no JSON object.
    """
    path = Path(path)
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f'{path}: not readable as scalars.json ({type(e).__name__})') from None
    records = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError:
            if number == len(lines):
                break  # a run that was killed leaves half a line
            raise UserError(f'{path}, line {number}: found {line[:40]!r}, expected a JSON object') from None
        if isinstance(record, dict):
            records.append(record)
    return records


def merge_scalars(parts: Sequence[Sequence[Mapping]]) -> list[Mapping]:
    """Scalars of a run and of its resumptions: what was run twice counts as it was the last time."""
    merged: dict[tuple, Mapping] = {}
    for part in parts:
        for record in part:
            merged['loss' in record, record.get('step')] = record
    return sorted(merged.values(), key=lambda r: r.get('step') or 0)
