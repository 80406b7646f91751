#!/usr/bin/env python
"""Draw the pictures of the documentation anew: ``make demo``, then ``python docs/build/images.py``."""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, Rectangle

from madnet.datasets import SyntheticSIRSTDataset
from madnet.evaluation.components import Components, find_components
from madnet.evaluation.matching import match_components
from madnet.evaluation.rules import half
from madnet.files import write_whole
from madnet.images import encode_png, read_scores
from madnet.visualization.figure import new_figure, paper_style, save_picture
from madnet.visualization.overlay import draw_overlay
from madnet.visualization.palette import PAPER

IMAGES = Path(__file__).resolve().parents[1] / 'images'
RADIUS = 3.0
TRUTH, PREDICTION = '#0072b2', '#d55e00'

# Truth and prediction of each part, as (x, y, width, height) of rectangles of pixels on a field of 15 × 13.
CASES = (
    ([(6, 5, 3, 3)], [(7, 5, 3, 2)]),
    ([(3, 5, 3, 2)], [(8, 6, 2, 2)]),
    ([(4, 3, 3, 3)], [(4, 3, 3, 3), (10, 8, 3, 2)]),
)


def field(rectangles: list[tuple[int, int, int, int]]) -> np.ndarray:
    """(13, 15) bool with rectangles of ones."""
    out = np.zeros((13, 15), bool)
    for x, y, width, height in rectangles:
        out[y : y + height, x : x + width] = True
    return out


def draw_pixels(axes: Axes, components: Components, colour: str, hatched: bool) -> None:
    """Fill or hatch the pixels of components, and mark their centroids."""
    look = {'facecolor': 'none', 'hatch': '////'} if hatched else {'facecolor': colour, 'alpha': 0.35}
    for y, x in np.argwhere(components.labels):
        axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, edgecolor=colour, linewidth=0.6, **look))
    axes.plot(
        *components.centroids.T, 'x' if hatched else '+', color=colour, markersize=7, markeredgewidth=1.6
    )


def draw_matching(path: Path) -> None:
    """A matched target, a missed one with a false alarm beside it, and a false alarm far from any."""
    with paper_style():
        figure = new_figure('double', 3.1)
        for k, (truth, pred) in enumerate(CASES):
            truth, pred = find_components(field(truth)), find_components(field(pred))
            match = match_components(truth, pred, radius=RADIUS)
            axes = figure.add_subplot(1, len(CASES), k + 1)
            draw_pixels(axes, truth, TRUTH, hatched=False)
            draw_pixels(axes, pred, PREDICTION, hatched=True)
            for x, y in truth.centroids:
                axes.add_patch(Circle((x, y), RADIUS, fill=False, color=TRUTH, linestyle='--', linewidth=1))
            for t, p in match.pairs:
                axes.plot(*np.stack([truth.centroids[t], pred.centroids[p]]).T, color='black', linewidth=1)
            axes.set(xlim=(-0.5, 14.5), ylim=(12.5, -0.5), aspect='equal')
            axes.set_xticks(np.arange(-0.5, 15), [])
            axes.set_yticks(np.arange(-0.5, 13), [])
            axes.tick_params(length=0)
            for spine in axes.spines.values():
                spine.set(visible=True, color='#d8d8d8')
            axes.set_title(told(k, truth, pred, match), fontsize=8)
        handles = [
            Patch(facecolor=TRUTH, alpha=0.35, label='truth, + its centroid'),
            Patch(facecolor='none', edgecolor=PREDICTION, hatch='////', label='prediction, × its centroid'),
            Line2D([], [], color=TRUTH, linestyle='--', label=f'{RADIUS:g} pixels around a target'),
        ]
        figure.legend(handles=handles, loc='outside lower center', ncols=3)
        save_picture(figure, path, dpi=200, bbox_inches='tight')


def told(case: int, truth: Components, pred: Components, match) -> str:
    """The title of a part, from what the matching made of it."""
    hits, missed, false = len(match.pairs), len(match.missed), len(match.false)
    if case == 0:
        words = f'Matched\ncentroids {match.distances[0]:.1f} px apart'
    elif case == 1:
        apart = np.linalg.norm(truth.centroids[0] - pred.centroids[0])
        words = f'Missed, and a false alarm\ncentroids {apart:.1f} px apart'
    else:
        words = f'Matched, and a false alarm\nits {pred.areas[match.false[0]]} pixels count for Fa'
    return f'{words}\nPd {hits}/{hits + missed}, false alarms {false}'


def draw_montage(path: Path, scores: Path, indices: tuple[int, ...]) -> None:
    """Overlays of synthetic test scenes side by side, with the score maps that a test has kept."""
    scenes = SyntheticSIRSTDataset(length=max(indices) + 1, split='test')
    overlays = []
    for index in indices:
        image, mask = scenes.read_sample(index)
        name = scenes.image_ids[index]
        score = read_scores(scores / f'{name}.png')
        truth, pred = find_components(half(mask)), find_components(score > 0.5)
        match = match_components(truth, pred, radius=RADIUS)
        overlays.append(
            draw_overlay(image, truth, pred, match, title=f'MAD-Net, {name}', max_insets=3, view_size=512)
        )
    height = max(o.shape[0] for o in overlays)
    gap = np.full((height, 12, 3), PAPER, np.uint8)
    parts = []
    for overlay in overlays:
        padded = np.full((height, overlay.shape[1], 3), PAPER, np.uint8)
        padded[: overlay.shape[0]] = overlay
        parts += [padded, gap]
    write_whole(path, encode_png(np.concatenate(parts[:-1], axis=1)[..., ::-1]))


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--scores', type=Path, default=Path('work_dirs/demo/scores'), help='what make demo leaves'
    )
    parser.add_argument(
        '--scenes', type=int, nargs='+', default=[5, 44, 37], help='test scenes of the montage'
    )
    args = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    draw_matching(IMAGES / 'matching.png')
    draw_montage(IMAGES / 'overview.png', args.scores, tuple(args.scenes))


if __name__ == '__main__':
    main()
