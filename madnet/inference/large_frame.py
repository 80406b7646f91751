"""Frames that memory should not hold: read, scored and written in bands, from top to bottom."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from madnet.evaluation.component_bands import ComponentBands, Piece
from madnet.evaluation.components import Components, find_components
from madnet.files import replacing, write_whole
from madnet.images import Windows, encode_png
from madnet.images.png_rows import PngRows
from madnet.images.score_maps import sixteen_bits
from madnet.progress import progress_bar
from madnet.visualization.findings import Finding, list_findings
from madnet.visualization.insets import InsetPainter, crop_window
from madnet.visualization.overlay import draw_overview

from .base_predictor import BasePredictor
from .inputs import Frame
from .outputs import PER_IMAGE, rank_notes, target_row, yolo_text
from .prediction import Maps, Target

#: Pixels around a target that are looked at to describe it.
_AROUND = 32
#: Longer side, in pixels, of the reduced copy that a picture shows.
_OVERVIEW = 2048
#: Pixels that are read at once for it.
_BAND = 2**22


def predict_large(
    predictor: BasePredictor, frame: Frame, out: Path, kinds: Iterable[str], name: str
) -> dict[str, Any]:
    """Predict a frame in tiles without ever holding it, its score map or its mask whole, and write its files.

    The files are those of a frame that is predicted whole, to rounding, except that the overlay shows a
    reduced copy of the frame. None appears before all are whole.

    Args:
        predictor: With a ``tiling``.
        frame: A frame of a file.
        out: Folder for the results.
        kinds: Of :data:`~madnet.inference.outputs.PER_IMAGE`; others are left out.
        name: Of the files.

    Returns:
        As :func:`~madnet.inference.outputs.record`.

    Raises:
        UserError: The frame cannot be read, a file cannot be written, or far too much scores above the
            threshold.
    """
    windows = predictor.windows(frame)
    height, width = windows.height, windows.width
    paths = {
        kind: out / PER_IMAGE[kind][0] / f'{name}{PER_IMAGE[kind][1]}' for kind in kinds if kind in PER_IMAGE
    }
    components, highest, dropped = ComponentBands(predictor.threshold), 0.0, 0
    found: list[tuple[Target, Piece]] = []
    with ExitStack() as files:
        rows: list[Any] = [
            _ROWS[kind](files.enter_context(_writing(path)), height, width, predictor.threshold)
            for kind, path in paths.items()
            if kind in _ROWS
        ]

        def settle(pieces: list[Piece]) -> int:
            targets = [(describe(predictor, windows, frame, piece), piece) for piece in pieces]
            found.extend((target, piece) for target, piece in targets if target is not None)
            gone = [piece for target, piece in targets if target is None]
            for part in rows:
                part.settle(components.open_from, gone)
            return len(gone)

        assert predictor.tiling is not None
        tiles = predictor.tiling.windows(height, width)
        bar = files.enter_context(progress_bar(total=len(tiles), what=name, unit='tile'))
        for scores in predictor.bands(windows, str(frame), bar.update):
            highest = max(highest, float(scores.max()))
            for part in rows:
                part.add(scores)
            dropped += settle(components.add(scores))
        dropped += settle(components.finish())
        for part in rows:
            part.finish()
        found.sort(key=lambda both: both[1].first)
        if 'yolo' in paths:
            write_whole(paths['yolo'], yolo_text([target for target, _ in found], height, width))
        if 'overlays' in paths:
            write_whole(paths['overlays'], encode_png(_overview(windows, found, name)[..., ::-1]))
    return {
        'name': name,
        'file': str(frame.path),
        'width': width,
        'height': height,
        'highest_score': highest,
        'too_small': dropped,
        'targets': [
            target_row(number, target, piece.ys, piece.xs, (height, width))
            for number, (target, piece) in enumerate(found, 1)
        ],
    }


def describe(predictor: BasePredictor, windows: Windows, frame: Frame, piece: Piece) -> Target | None:
    """A component as a target, described by its own surroundings; None where the limits leave it out."""
    if len(piece.ys) < predictor.least.min_area:
        return None
    x0, y0, x1, y1 = piece.box
    left, top = max(0, x0 - _AROUND), max(0, y0 - _AROUND)
    rows = slice(top, min(windows.height, y1 + _AROUND))
    columns = slice(left, min(windows.width, x1 + _AROUND))
    scores = np.zeros((rows.stop - top, columns.stop - left), np.float32)
    scores[piece.ys - top, piece.xs - left] = piece.scores
    around = predictor.as_prediction(frame.path.stem, Maps(scores), frame.path, windows.read(rows, columns))
    for target in around.targets:
        x0, y0, x1, y1 = target.box
        box = (x0 + left, y0 + top, x1 + left, y1 + top)
        return replace(target, x=target.x + left, y=target.y + top, box=box)
    return None


@contextmanager
def _writing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes its name when it is whole."""
    with replacing(path) as temporary, temporary.open('wb') as file:
        yield file


class _Rows:
    """A file that is written row by row, of what does not depend on which components are targets."""

    def settle(self, row: int, dropped: list[Piece]) -> None:
        """It is known above a row which components are no targets."""

    def finish(self) -> None:
        """The last row is there."""


class _ScoreRows(_Rows):
    """Scores as 16 bits in a PNG."""

    def __init__(self, file: BinaryIO, height: int, width: int, threshold: float):
        self._png = PngRows(file, height, width, np.uint16)

    def finish(self) -> None:
        self._png.finish()

    def add(self, scores: np.ndarray) -> None:
        self._png.add(sixteen_bits(scores))


class _ArrayRows(_Rows):
    """Scores as float32 in a ``.npy`` file."""

    def __init__(self, file: BinaryIO, height: int, width: int, threshold: float):
        self._file = file
        header = {'descr': '<f4', 'fortran_order': False, 'shape': (height, width)}
        np.lib.format.write_array_header_1_0(file, header)

    def add(self, scores: np.ndarray) -> None:
        self._file.write(scores.astype('<f4').tobytes())


class _MaskRows(_Rows):
    """The mask, whose rows wait until it is known which of their components are targets."""

    def __init__(self, file: BinaryIO, height: int, width: int, threshold: float):
        self._png = PngRows(file, height, width, np.uint8)
        self._threshold = threshold
        self._first = 0
        self._waiting = np.zeros((0, width), bool)

    def finish(self) -> None:
        self._png.finish()

    def add(self, scores: np.ndarray) -> None:
        self._waiting = np.concatenate([self._waiting, scores > self._threshold])

    def settle(self, row: int, dropped: list[Piece]) -> None:
        for piece in dropped:
            self._waiting[piece.ys - self._first, piece.xs] = False
        done = row - self._first
        self._png.add(self._waiting[:done].astype(np.uint8) * np.uint8(255))
        self._first, self._waiting = row, self._waiting[done:]


_ROWS = {'scores': _ScoreRows, 'npy': _ArrayRows, 'masks': _MaskRows}


def _overview(windows: Windows, found: list[tuple[Target, Piece]], title: str) -> np.ndarray:
    """(H', W', 3) RGB uint8: the frame reduced, with its targets marked, and insets of some."""
    factor = -(-max(windows.height, windows.width) // _OVERVIEW)
    image = _reduced(windows, factor)
    labels = np.zeros(image.shape, np.int32)
    for number, (_, piece) in enumerate(found, 1):
        labels[piece.ys // factor, piece.xs // factor] = number
    boxes = np.array([piece.box for _, piece in found], np.int64).reshape(-1, 4)
    reduced = Components(
        labels,
        np.array([target.area for target, _ in found], np.int64),
        np.array([target.centroid for target, _ in found]).reshape(-1, 2) / factor,
        np.concatenate([boxes[:, :2] // factor, -(-boxes[:, 2:] // factor)], 1),
    )

    def closeup(finding: Finding) -> np.ndarray:
        assert finding.pred is not None
        piece = found[finding.pred][1]
        x0, y0, x1, y1 = crop_window(piece.box, (windows.height, windows.width))
        mask = np.zeros((y1 - y0, x1 - x0), bool)
        mask[piece.ys - y0, piece.xs - x0] = True
        own = find_components(mask)
        findings = list_findings(None, own)
        pixels = windows.read(slice(y0, y1), slice(x0, x1))
        return InsetPainter(pixels, None, own, findings).image_crop(findings[0])

    notes = rank_notes(target for target, _ in found)
    return draw_overview(image, reduced, closeup, notes=notes, title=title)


def _reduced(windows: Windows, factor: int) -> np.ndarray:
    """(⌈H / factor⌉, ⌈W / factor⌉) float32: means over squares."""
    step = max(1, _BAND // windows.width // factor) * factor
    parts = []
    for top in range(0, windows.height, step):
        rows = slice(top, min(top + step, windows.height))
        grey = windows.read(rows, slice(0, windows.width)).mean(axis=2, dtype=np.float32)
        grey = np.pad(grey, [(0, -side % factor) for side in grey.shape], 'edge')
        height, width = (side // factor for side in grey.shape)
        parts.append(grey.reshape(height, factor, width, factor).mean(axis=(1, 3)))
    return np.concatenate(parts)
