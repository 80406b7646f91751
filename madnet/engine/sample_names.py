"""What images of a test go by, in tables and as names of files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def name_of(meta: Mapping[str, Any]) -> str:
    """An image's id in our data sets, the name of its file without the ending in others; '' for neither.

    Args:
        meta: What a data set or a sample says of the image, by key.
    """
    return str(meta.get('img_id') or Path(meta.get('img_path') or '').stem)
