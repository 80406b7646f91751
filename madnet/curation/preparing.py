"""From what people download to a data set that trains."""

import shutil
from pathlib import Path

from madnet import __version__
from madnet.curation.inspection import Inspection, as_text, inspect
from madnet.curation.mending import NOT_MENDED, changes_text, write_mended
from madnet.curation.unpacking import find_root, unpack
from madnet.curation.writing import NewSet, fresh_folder
from madnet.datasets.catalogue import find_entry
from madnet.datasets.layouts import layouts_in_words, read_folder
from madnet.datasets.locate import range_of_set
from madnet.datasets.sirst_dataset import SIRSTDataset
from madnet.errors import UserError, expect_number
from madnet.fetching import download_folder, fetch, is_url
from madnet.files import sha256_of
from madnet.images import check_value_range
from madnet.images.values import ValueRange


def prepare(
    name: str,
    source: str,
    out: str,
    sha256: str | None = None,
    split_set: str | None = None,
    test_share: float = 0.2,
    limit_gb: float = 64,
    value_range: ValueRange = None,
) -> int:
    """Bring a data set into ``images/``, ``masks/``, ``splits/`` and ``dataset.json``, whole or not at all,
    and print what was found and done.

    Args:
        name: Of the catalogue, or one's own.
        source: A folder, a zip or tar file, or an http(s) address.
        out: The new folder.
        sha256: What the archive's hash has to be.
        split_set: Keep these lists only.
        test_share: See :func:`~madnet.curation.mending.write_mended`.
        limit_gb: GB that an archive may unpack to.
        value_range: Grey values that become black and white, which every command takes from ``dataset.json``
            then; ``'auto'`` measures them on training images; None for those of the source, if it has any.

    Returns:
        1 where the copy lacks or still has what only a person can judge, else 0.

    Raises:
        UserError: The source can't be had, is refused, or holds no data set that can be read.
    """
    expect_number(test_share, '--test-share', least=0, below=1)
    expect_number(limit_gb, '--limit-gb', above=0)
    if not name.strip() or '/' in name or not name.isprintable():
        raise UserError(f'NAME: found {name!r}, expected a word, such as mine, or a name of the catalogue.')
    grey = check_value_range(value_range, '--value-range')
    entry = find_entry(name)
    name = entry.name if entry else name
    with fresh_folder(out) as folder:
        made = {'by': 'madnet dataset prepare', 'madnet': __version__, 'source': source}
        path = fetch(source, download_folder(), sha256) if is_url(source) else Path(source).expanduser()
        unpacked = folder / '.unpacked'
        if path.is_file():
            made['archive_sha256'] = sha256_of(path)
            if sha256 and made['archive_sha256'] != sha256.lower():
                raise UserError(f'{path}: SHA-256 {made["archive_sha256"]}, expected {sha256}.')
            unpacked.mkdir()
            unpack(path, unpacked, int(limit_gb * 1e9))
        elif not path.is_dir():
            raise UserError(f'{source}: no folder, no file, and no http(s) address.')
        elif sha256:
            raise UserError(f'--sha256 is of an archive; {source} is a folder.')
        root = _root(unpacked if path.is_file() else path, name, source)
        found = inspect(str(root.absolute()), split_set, name)
        _refuse_several(found)
        new = NewSet(folder)
        changes = write_mended(found, new, test_share)
        if entry:
            made |= {'licence': entry.licence, 'citation': entry.citation, 'published_at': entry.source}
        if grey == 'auto':
            written = next(iter(new.lists), None) if split_set else None  # a/b is a_b there
            grey = SIRSTDataset(folder, 'trainval', name, written, lazy_init=True).measured_range()
        grey = grey or range_of_set(found.folder.root)
        new.finish(name, grey, made=made, changes=changes)
        report = as_text(found)
        if path.is_file():
            report = report.replace(str(unpacked), source)
            try:
                shutil.rmtree(unpacked)
            except OSError as e:  # whose path is from the folder that it was in
                raise OSError(e.errno, e.strerror, str(unpacked)) from None
    said = f'\n  grey values {grey[0]:g} to {grey[1]:g} are black to white' if isinstance(grey, tuple) else ''
    done = changes_text(new, changes, out)
    print(f'{report}\n\n{done}{said}')
    return int(NOT_MENDED in done)


def _root(folder: Path, name: str, source: str) -> Path:
    roots = find_root(folder, lambda path: read_folder(path) is not None)
    entry = find_entry(name)
    named = [p for p in roots if p.name == name or (entry and find_entry(p.name) is entry)]
    if len(roots) > 1 and len(named) != 1:
        there = ', '.join(str(p.relative_to(folder)) for p in roots)
        raise UserError(f'{source}: holds {len(roots)} data sets ({there}); give the folder of one of them.')
    if not roots:
        raise UserError(
            f'{source}: no data set in a layout that can be read; layouts that would do (X is an image id): '
            f'{layouts_in_words()}. Boxes instead of masks: madnet dataset convert.'
        )
    return (named or roots)[0]


def _refuse_several(found: Inspection) -> None:
    """A set of one's own with several lists would not know which of them to train by."""
    if not found.entry and len(found.splits) > 1:
        raise UserError(
            f'{found.name}: holds lists of several authors; name one by --split-set: '
            f'{", ".join(found.splits)}.'
        )
