"""The images that a method does worst and best on, drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from madnet.evaluation.targets import KEEP_ALL, Least
from madnet.images import encode_webp, read_image
from madnet.text import counted
from madnet.visualization.material import THRESHOLD, detect
from madnet.visualization.overlay import draw_overlay
from madnet.visualization.run_results import RunResult


@dataclass(frozen=True)
class Picture:
    """One image of the gallery: its id, a line about it, and a WebP."""

    name: str
    caption: str
    webp: bytes


def rank_images(rows: Sequence[Mapping], count: int) -> tuple[list[Mapping], list[Mapping]]:
    """The rows of the worst and of the best images, no row in both.

    Images are ordered by IoU; among equals, one with more misses and more false pixels is worse. Images
    without targets can be among the worst, not among the best: nothing was there to be found.
    """
    order = sorted(rows, key=lambda r: (r['IoU'], -_number(r, 'missed'), -_number(r, 'false_pixels')))
    worst = order[: min(count, (len(order) + 1) // 2)]
    best = [r for r in order[len(worst) :] if _number(r, 'targets') > 0]
    return worst, best[::-1][:count]


def draw_gallery(
    result: RunResult, protocol: str, count: int = 4, most: int = 100_000
) -> tuple[list[Picture], list[Picture]]:
    """Pictures of the worst and of the best images of one result, by a protocol's per-image IoU: ``count`` of
    each at most, of ``most`` bytes at most; none without score maps, images and masks, or earlier overlays.

    Raises:
        UserError: A file that is there can't be read.
    """
    rows = [r for r in result.rows(protocol) if has_picture(result, r['name'])]
    worst, best = rank_images(rows, count)
    return [_picture(result, r, most) for r in worst], [_picture(result, r, most) for r in best]


def has_picture(result: RunResult, image_id: str) -> bool:
    """Whether there is a picture of an image, or what it takes to draw one."""
    return can_draw(result, image_id) or image_id in result.overlays


def can_draw(result: RunResult, image_id: str) -> bool:
    """Whether image, mask and score map are at hand, and tell what counted as a target."""
    by_rank = result.report is not None and (result.report.least or {}).get('min_rank')
    return not by_rank and image_id in result.scores and image_id in result.material


def _picture(result: RunResult, row: Mapping, most: int) -> Picture:
    name = row['name']
    if can_draw(result, name):
        image, truth = result.material.read(name)
        score = result.score_map(name, image.shape[:2])
        marks = detect(score, truth, *counted_by(result), image)
        pixels = draw_overlay(image, truth, *marks, score, title=name, max_insets=4)[..., ::-1]
    else:
        pixels = read_image(result.overlays[name])
    parts = [f'IoU {100 * row["IoU"]:.1f} %']
    if np.isfinite(row.get('matched', np.nan)):
        parts.append(f'{row["matched"]:.0f} of {row["targets"]:.0f} targets')
        parts.append(counted(round(row['false_pixels']), 'false-alarm pixel'))
    return Picture(name, ', '.join(parts), encode_webp(pixels, most))


def counted_by(result: RunResult, usual: float = THRESHOLD) -> tuple[float, Least]:
    """Threshold, the usual one where it had no other, and what components had at least."""
    threshold, asked = (result.report.threshold, result.report.least) if result.report else (None, None)
    least = Least(int(asked['min_area']), asked['min_scr'], asked['min_rank']) if asked else KEEP_ALL
    return usual if threshold is None else threshold, least


def _number(row: Mapping, key: str) -> float:
    value = row.get(key, 0)
    return 0.0 if np.isnan(value) else value
