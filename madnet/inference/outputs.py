"""Predictions on disk: pictures, tables, and labels for other programs."""

import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from madnet.errors import UserError, nearest
from madnet.evaluation.components import run_lengths
from madnet.files import json_text, write_whole
from madnet.images import encode_png
from madnet.images.score_maps import sixteen_bits
from madnet.text import csv_text
from madnet.visualization.overlay import draw_overlay

from .prediction import Prediction, Target

_KNOWN = ('logit', 'mean_logit', 'scr', 'rank')
#: What tables in CSV have of a target, as :func:`target_cells` gives it.
TARGET_COLUMNS = ('x', 'y', 'x0', 'y0', 'x1', 'y1', 'area', 'peak', 'mean', *_KNOWN)
#: Columns of ``targets.csv``.
COLUMNS = ('image', 'number', *TARGET_COLUMNS)


def _scores_png(prediction: Prediction) -> bytes:
    return encode_png(sixteen_bits(prediction.score_map))


def _mask_png(prediction: Prediction) -> bytes:
    return encode_png(prediction.mask.astype(np.uint8) * np.uint8(255))


def _overlay_png(prediction: Prediction) -> bytes:
    assert prediction.image is not None  # detectors keep it
    picture = draw_overlay(
        prediction.image,
        pred=prediction.components,
        score=prediction.score_map,
        notes=rank_notes(prediction.targets),
        title=prediction.name,
    )
    return encode_png(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), enlarged=True)


def rank_notes(targets: Iterable[Target]) -> list[str]:
    """Words on each target for a picture: by what it is told from others, where scores are all the same."""
    return [f'rank {target.rank:.1f}' for target in targets]


def _scores_npy(prediction: Prediction) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, prediction.score_map)
    return buffer.getvalue()


def _yolo(prediction: Prediction) -> bytes:
    return yolo_text(prediction.targets, *prediction.score_map.shape)


def yolo_text(targets: Iterable[Target], height: int, width: int) -> bytes:
    """A line for each target: class 0, centre and size of its box in 0–1, peak score."""
    lines = []
    for target in targets:
        x0, y0, x1, y1 = target.box
        centre = (x0 + x1) / 2 / width, (y0 + y1) / 2 / height
        numbers = (*centre, (x1 - x0) / width, (y1 - y0) / height, target.peak)
        lines.append('0 ' + ' '.join(f'{n:.6f}' for n in numbers) + '\n')
    return ''.join(lines).encode()


#: Files for each image: format → (folder, ending, content).
PER_IMAGE: dict[str, tuple[str, str, Callable[[Prediction], bytes]]] = {
    'scores': ('scores', '.png', _scores_png),
    'masks': ('masks', '.png', _mask_png),
    'overlays': ('overlays', '.png', _overlay_png),
    'npy': ('npy', '.npy', _scores_npy),
    'yolo': ('labels', '.txt', _yolo),
}


def record(prediction: Prediction, name: str) -> dict[str, Any]:
    """What the tables keep of a prediction, so that its maps need not stay in memory."""
    shape = prediction.score_map.shape
    return {
        'name': name,
        'file': None if prediction.path is None else str(prediction.path),
        'width': shape[1],
        'height': shape[0],
        'highest_score': float(prediction.score_map.max()),
        'too_small': prediction.too_small,
        'targets': [
            target_row(number, target, *pixels, shape)
            for number, (target, pixels) in enumerate(
                zip(prediction.targets, prediction.components.pixels(), strict=True), 1
            )
        ],
    }


def target_row(number: int, target: Target, ys: np.ndarray, xs: np.ndarray, shape: tuple[int, int]) -> dict:
    """What the tables keep of a target, the pictures' number before it; ``rle`` for COCO."""
    return {'number': number, **target.to_dict(), 'rle': run_lengths(ys, xs, shape)}


def target_cells(target: Mapping[str, Any]) -> list:
    """Columns :data:`TARGET_COLUMNS` of a target's :meth:`~madnet.inference.prediction.Target.to_dict`; empty
    where a number is not known."""
    place, scores = (f'{target[key]:.3f}' for key in 'xy'), (f'{target[key]:.5f}' for key in ('peak', 'mean'))
    known = ('' if math.isnan(target[key]) else f'{target[key]:.3f}' for key in _KNOWN)
    return [*place, *target['box'], target['area'], *scores, *known]


def targets_csv(records: Sequence[dict], about: dict) -> bytes:
    """One row for each target, columns :data:`COLUMNS`."""
    cells = ((image['name'], t['number'], *target_cells(t)) for image in records for t in image['targets'])
    return csv_text([COLUMNS, *cells]).encode()


def targets_json(records: Sequence[dict], about: dict) -> bytes:
    """``{"schema": 1, …what was run…, "unreadable": [{"file", "reason"}], "images": [{"name", "file",
    "width", "height", "targets"}]}``; after a stop also ``"not_done": [file]``."""
    images = [
        {**image, 'targets': [{k: v for k, v in t.items() if k != 'rle'} for t in image['targets']]}
        for image in records
    ]
    return json_text({'schema': 1, **about, 'images': images}, indent=1).encode()


def coco_json(records: Sequence[dict], about: dict) -> bytes:
    """A COCO data set of one category, ``target``: box, area and exact pixels of each, with its peak as
    ``score``. Serves as labels and, its ``annotations`` alone, as results."""
    images: list[dict] = []
    annotations: list[dict] = []
    files = [image['file'] or image['name'] for image in records]
    whole, last = Counter(files), Counter(Path(file).name for file in files)
    for number, (image, file) in enumerate(zip(records, files, strict=True), 1):
        if last[Path(file).name] == 1:
            file = Path(file).name
        elif whole[file] > 1:  # a frame of several
            file = image['name']
        images.append({'id': number, 'file_name': file, 'width': image['width'], 'height': image['height']})
        for t in image['targets']:
            x0, y0, x1, y1 = t['box']
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': number,
                    'category_id': 1,
                    'bbox': [x0, y0, x1 - x0, y1 - y0],
                    'area': t['area'],
                    'segmentation': {'size': [image['height'], image['width']], 'counts': t['rle']},
                    'iscrowd': 0,
                    'score': t['peak'],
                }
            )
    about = {k: v for k, v in about.items() if k not in ('unreadable', 'not_done')}
    categories = [{'id': 1, 'name': 'target'}]
    content = {'info': about, 'images': images, 'annotations': annotations, 'categories': categories}
    return json_text(content, indent=1).encode()


#: Files for all images: format → (name, content).
TABLES: dict[str, tuple[str, Callable[[Sequence[dict], dict], bytes]]] = {
    'csv': ('targets.csv', targets_csv),
    'json': ('targets.json', targets_json),
    'coco': ('coco.json', coco_json),
}
#: What a word of ``--format`` stands for.
FORMATS: dict[str, tuple[str, ...]] = {
    'png': ('scores', 'masks', 'overlays'),
    **{name: (name,) for name in (*PER_IMAGE, *TABLES)},
    'all': (*PER_IMAGE, *TABLES),
}


def parse_formats(
    words: str | Iterable[str], known: Mapping[str, tuple[str, ...]] = FORMATS
) -> tuple[str, ...]:
    """The kinds of files that words such as ``'png,csv'`` ask for, each once.

    Raises:
        UserError: An unknown word, or none.
    """
    words = words.split(',') if isinstance(words, str) else list(words)
    kinds: dict[str, None] = {}
    for word in (w.strip() for w in words):
        if word not in known:
            raise UserError(f'--format: found {word!r}, expected {", ".join(known)}.{nearest(word, known)}')
        kinds.update(dict.fromkeys(known[word]))
    return tuple(kinds)


def image_files(
    out: Path, kinds: Iterable[str], prediction: Prediction, name: str
) -> list[tuple[Path, bytes]]:
    """(path, content) of the files of one image under ``out``."""
    chosen = (PER_IMAGE[kind] for kind in kinds if kind in PER_IMAGE)
    return [(out / folder / f'{name}{ending}', content(prediction)) for folder, ending, content in chosen]


def write_tables(out: Path, kinds: Iterable[str], records: Sequence[dict], about: dict) -> list[Path]:
    """Write the files of all images under ``out``, each whole or not at all; returns their paths."""
    paths = []
    for kind in kinds:
        if kind in TABLES:
            name, content = TABLES[kind]
            paths.append(out / name)
            write_whole(paths[-1], content(records, about))
    return paths
