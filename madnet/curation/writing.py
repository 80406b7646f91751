"""A new data set's folder: written beside its name, and put in place whole."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from madnet.datasets.locate import RECORD
from madnet.datasets.splits import clean_id, ids_sha256
from madnet.errors import UserError
from madnet.files import what_to_do, write_json
from madnet.images import encode_png
from madnet.images.values import ValueRange
from madnet.records import few_images_text
from madnet.text import encodable

_UNFINISHED = '.writing-'
#: Where a part for tests was to be cut by a hash and it, or what it leaves, would have no image.
TOO_FEW = 'too few images to set a test part aside'


@contextmanager
def fresh_folder(out: str | os.PathLike) -> Iterator[Path]:
    """A temporary folder that becomes ``out`` at the end, and is gone after a failure.

    It lies beside ``out``; where there is an empty folder of this name already, in it: that may be a mount
    point or the current folder, which no other takes the place of, and only there may be space.

    Raises:
        UserError: ``out`` is there and not an empty folder, or cannot be written.
    """
    out = Path(out)
    there = out.is_dir() and not out.is_symlink()
    # what somebody keeps there says more than what a killed process left beside it
    held = min(out.iterdir(), key=_is_unfinished, default=None) if there else None
    if held is not None and _is_unfinished(held):
        raise UserError(
            f'{held}: what another try writes there, or has left where it was killed; if none is running, '
            'remove it.'
        )
    if held is not None or (os.path.lexists(out) and not there):
        holds = f' and holds {held.name}' if held else ''
        raise UserError(f'{out}: is there already{holds}; name a new folder, or an empty one.')
    temporary = (out if there else out.parent).absolute() / f'{_UNFINISHED}{secrets.token_hex(6)}'
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if there:
            _move_up(temporary)
        else:
            os.replace(temporary, out)
    except OSError as error:
        if error.filename and not str(error.filename).startswith(str(temporary)):
            raise  # of a file that is read
        raise UserError(
            f'{out}: cannot be written ({error.strerror or error}). {what_to_do(error.errno)}'
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_unfinished(path: Path) -> bool:
    return path.name.startswith(_UNFINISHED)


def _move_up(folder: Path) -> None:
    """Move what a folder holds to where it lies itself: all, the record last, or nothing."""
    with ExitStack() as back:
        for path in sorted(folder.iterdir(), key=lambda path: path.name == RECORD):
            moved = folder.parent / path.name
            path.rename(moved)
            back.callback(moved.rename, path)
        back.pop_all()


class NewSet:
    """Files of a data set in the making: ``images/``, ``masks/``, ``splits/`` and :data:`RECORD`."""

    def __init__(self, folder: Path):
        self.folder = folder
        #: File, from the set's folder → SHA-256.
        self.files: dict[str, str] = {}
        #: Lists → split → ids.
        self.lists: dict[str, dict[str, list[str]]] = {}
        self.images = 0
        self._sources: dict[str, Path] = {}

    def put(self, name: str, data: bytes) -> None:
        """Write a file.

        Raises:
            UserError: The name would lie outside of the set's folder, or is taken.
        """
        path = PurePosixPath(name)
        if path.is_absolute() or '..' in path.parts or '\\' in name or not path.parts:
            raise UserError(f'{name!r}: not a name within the data set; expected no "..", no root, no \\.')
        if encodable(name) != name:
            raise UserError(
                f'{name!r}: not a name in UTF-8, as lists of a data set need it; rename the file.'
            )
        if path.suffix.lower() == '.raw':
            raise UserError(
                f'{name}: raw pixels, of which a copy would be nothing without their description; turn them '
                'into PNG, TIFF or .npy first.'
            )
        if name in self.files:
            raise UserError(f'{name}: two images of the data set have this name.')
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        self.files[name] = hashlib.sha256(data).hexdigest()

    def copy(self, name: str, source: Path) -> bool:
        """Write a copy of an image's file, once where it comes again; returns whether it is new.

        Raises:
            UserError: As :meth:`put`: another file has this name.
        """
        new = self._sources.get(name) != source
        if new:
            self.put(name, source.read_bytes())
            self._sources[name] = source
            self.images += 1
        return new

    def add(self, image_id: str, image: bytes, suffix: str, mask: np.ndarray, part: str = '') -> None:
        """Write an image, the bytes of a file with this suffix, and its mask (H, W) bool, in the folder of a
        part where it has one; the id may hold slashes."""
        before = f'{part}/' if part else ''
        self.put(f'{before}images/{image_id}{suffix}', image)
        self.put(f'{before}masks/{image_id}.png', encode_png(np.where(mask, 255, 0).astype(np.uint8)))
        self.images += 1

    def add_lists(self, name: str, lists: Mapping[str, Sequence[str]]) -> None:
        """Write lists of ids: split → ids.

        Raises:
            UserError: A split without ids; an id that nobody would read from a list as it is.
        """
        empty = next((split for split, ids in lists.items() if not ids), None)
        if empty is not None:
            raise UserError(
                f'lists {name}: found no image for {empty} that can be used, expected at least one; mend the '
                'images of this part (madnet dataset check says what is wrong), or take its list away.'
            )
        bad = next((i for ids in lists.values() for i in ids if clean_id(i) != i), None)
        if bad is not None:
            raise UserError(
                f'{bad!r}: not an id that a list can hold; rename the image and its mask, without spaces at '
                'the ends and with one ending.'
            )
        name = name.replace('/', '_')
        self.lists[name] = {split: list(ids) for split, ids in lists.items()}
        for split, ids in self.lists[name].items():
            self.put(f'splits/{name}/{split}.txt', ''.join(f'{i}\n' for i in ids).encode())

    def lists_in_words(self) -> list[str]:
        """A line for each list, with the number of images of its splits; a warning of a small test part."""
        counts = {
            n: ', '.join(f'{s} {len(ids)}' for s, ids in parts.items()) for n, parts in self.lists.items()
        }
        lines = [f'  lists {name}: {text}' for name, text in counts.items()]
        tests = [len(parts['test']) for parts in self.lists.values() if 'test' in parts]
        few = few_images_text(min(tests, default=None))
        return [*lines, f'  {few}'] if few else lines

    def finish(self, name: str, value_range: ValueRange = None, **about: Any) -> None:
        """Write :data:`RECORD`; ``about`` says where the data are from and what was done."""
        splits = {
            lists: {s: {'images': len(ids), 'ids_sha256': ids_sha256(ids)} for s, ids in parts.items()}
            for lists, parts in self.lists.items()
        }
        grey = {} if value_range is None else {'value_range': value_range}
        record = {'schema': 1, 'kind': 'dataset', 'name': name, 'images': self.images, **grey, **about}
        write_json(self.folder / RECORD, {**record, 'splits': splits, 'sha256': self.files})
