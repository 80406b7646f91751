"""Pack a folder of golden numbers, as README.md describes it, into golden.tar.xz: the same bytes each time.

python tests/golden/pack.py FOLDER
"""

import io
import sys
import tarfile
from pathlib import Path

import numpy as np

PACKED = Path(__file__).with_name('golden.tar.xz')


def content_of(path: Path) -> bytes:
    """A file's bytes; of the detectors' without the maps, which are large, and need real images anyway."""
    if path.suffix != '.npz':
        return path.read_bytes()
    with np.load(path) as archive:
        kept = {key: value for key, value in archive.items() if not key.endswith('.map01')}
    content = io.BytesIO()
    np.savez(content, **kept)
    return content.getvalue()


def pack(folder: Path) -> None:
    """Write the archive."""
    with tarfile.open(PACKED, 'w:xz', preset=9) as archive:
        for path in sorted(p for p in folder.rglob('*') if p.is_file() and p.name != 'README.md'):
            content = content_of(path)
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


if __name__ == '__main__':
    pack(Path(sys.argv[1]))
