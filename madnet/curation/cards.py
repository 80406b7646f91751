"""A small picture of an image with a zoom on its targets, and what a gallery says beside it."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from madnet.evaluation.components import Components
from madnet.evaluation.strata import local_scr
from madnet.files import write_whole
from madnet.images import encode_jpeg, luma
from madnet.visualization.findings import Finding, list_findings
from madnet.visualization.insets import InsetPainter
from madnet.visualization.marks import draw_mark
from madnet.visualization.palette import PAPER
from madnet.visualization.stretch import stretch

WIDTH = 288  # pixels of a card; three insets of 32 × 32 pixels, three times enlarged, fill it
_ZOOM = 3
_INSETS = 3


def draw_card(image: np.ndarray, targets: Components, as_it_is: bool = False) -> np.ndarray:
    """An image, (H, W) or (H, W, C), with its targets marked, and below it the three largest enlarged.

    Grey values 0 to 255 may be shown ``as_it_is`` instead of spread over what the eye can see; insets are
    spread all the same. Gives (height, WIDTH, 3) RGB uint8.
    """
    findings = list_findings(targets, None)
    if as_it_is:
        grey = np.clip(np.rint(luma(image)), 0, 255).astype(np.uint8)
    else:
        grey = stretch(image)
    rows = [_main(grey, findings)]
    if findings:
        painter = InsetPainter(image, targets, None, findings, zoom=_ZOOM)
        insets = [painter.image_crop(finding) for finding in findings[:_INSETS]]
        blank = np.full_like(insets[0], PAPER)
        rows.append(np.concatenate([*insets, *[blank] * (_INSETS - len(insets))], axis=1))
    return np.concatenate(rows)


def _main(grey: np.ndarray, findings: Sequence[Finding]) -> np.ndarray:
    """The whole image in a frame of the card's width, with brackets around its targets."""
    height, width = grey.shape
    scale = WIDTH / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    picture = cv2.cvtColor(cv2.resize(grey, size, interpolation=how), cv2.COLOR_GRAY2RGB)
    for finding in findings:
        x0, y0, x1, y1 = (scale * v for v in finding.box)
        centre = round((x0 + x1) / 2), round((y0 + y1) / 2)
        reach = round((x1 - x0) / 2) + 5, round((y1 - y0) / 2) + 5
        draw_mark(picture, finding.kind.mark, centre, reach, finding.kind.colour)
    frame = np.full((size[1], WIDTH, 3), PAPER, np.uint8)
    left = (WIDTH - size[0]) // 2
    frame[:, left : left + size[0]] = picture
    return frame


def save_card(
    folder: Path,
    name: str,
    part: str,
    image_id: str,
    image: np.ndarray,
    targets: Components,
    as_it_is: bool = False,
) -> dict:
    """Draw a card into ``folder/pictures/<name>.jpg``; returns what the page needs to know of it."""
    picture = draw_card(image, targets, as_it_is)
    file = f'pictures/{name}.jpg'
    write_whole(folder / file, encode_jpeg(picture[..., ::-1]))
    scr = local_scr(image, targets)
    order = np.argsort(-targets.areas, kind='stable')
    return {
        'id': image_id,
        'part': part,
        'file': file,
        'shown': [picture.shape[1], picture.shape[0]],
        'size': [image.shape[1], image.shape[0]],
        'grey': [float(f'{image.min():.4g}'), float(f'{image.max():.4g}')],
        'targets': [
            [int(targets.areas[i]), round(float(scr[i]), 2) if np.isfinite(scr[i]) else None] for i in order
        ],
    }
