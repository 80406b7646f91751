"""What the files of tested images are called."""

from pathlib import Path

from mmseg.structures import SegDataSample


def name_of(sample: SegDataSample) -> str:
    """An image's id in our data sets, the name of its file without the ending in others."""
    meta = sample.metainfo
    return str(meta.get('img_id') or Path(meta['img_path']).stem)
