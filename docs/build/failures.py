#!/usr/bin/env python
"""Draw docs/images/failures_<name>.webp: where shipped weights fail on test images, and planted targets.

    MADNET_DATA_ROOT=datasets python docs/build/failures.py madnet_nano

Of each test set the eight images with the most wrong pixels, at their largest miss or false alarm; below,
twenty targets that a probe plants in frames of NUAA-SIRST.
"""

import argparse
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from madnet.datasets.sirst_dataset import SIRSTDataset
from madnet.datasets.sources import find_sources
from madnet.evaluation.components import find_components
from madnet.evaluation.matching import match_components
from madnet.evaluation.rules import half
from madnet.inference import Predictor
from madnet.probing.material import load_material
from madnet.probing.plants import contrast, size, two
from madnet.visualization.figure import new_figure, paper_style, save_picture
from madnet.visualization.findings import list_findings
from madnet.visualization.insets import InsetPainter, crop_window
from madnet.visualization.palette import FALSE_ALARM, HIT, MISSED
from madnet.visualization.stretch import stretch

IMAGES = Path(__file__).resolve().parents[1] / 'images'
SETS = ('nuaa', 'nudt', 'irstd1k', 'sirstaug')
PER_SET, PER_SWEEP, SIDE, RADIUS = 8, 5, 48, 3.0
#: Sweep, its value, and what it is called.
PLANTED = ((contrast, 24, '24 grey levels'), (contrast, 40, '40 grey levels'))
PLANTED += ((two, 6, 'two, 6 px apart'), (size, 120, '120 px'))


def worst(predictor: Predictor, name: str) -> Iterator[tuple[np.ndarray, str]]:
    """Insets of the images with the most wrong pixels, and what to call them."""
    dataset = SIRSTDataset(split='test', **find_sources(name)[0].arguments)
    rows = []
    for index in range(len(dataset)):
        pixels, mask = dataset.read_sample(index)
        wrong = predictor(pixels).mask ^ half(mask)
        rows.append((-int(wrong.sum()), index))
    for _, index in sorted(rows)[:PER_SET]:
        pixels, mask = dataset.read_sample(index)
        found = predictor(pixels)
        truth, pred = find_components(half(mask)), find_components(found.mask)
        findings = list_findings(truth, pred, match_components(truth, pred, radius=RADIUS))
        failed = [f for f in findings if f.kind in (MISSED, FALSE_ALARM)] or findings
        chosen = max(failed, key=lambda f: f.area)
        painter = InsetPainter(found.image, truth, pred, findings, size=SIDE, zoom=4)
        yield painter.image_crop(chosen), f'{dataset.image_ids[index]}\n{chosen.kind.one}'


def planted(predictor: Predictor) -> Iterator[tuple[np.ndarray, str, bool]]:
    """Insets of planted targets, what they are, and whether they are found."""
    material = load_material('nuaa', 'test', 14, 0)
    for sweep, value, words in PLANTED:
        cases = (case for case in sweep.cases(material, value) if len(case.centres))
        for case in islice(cases, PER_SWEEP):
            found = find_components(predictor(case.image).mask)
            centres = case.centres[: 2 if case.in_pairs else 1]
            near = np.linalg.norm(found.centroids[None] - centres[:, None], axis=2) <= RADIUS
            x, y = np.round(centres.mean(0)).astype(int)
            x0, y0, x1, y1 = crop_window((x, y, x + 1, y + 1), case.image.shape, SIDE)
            is_found = bool(near.any(1).all()) and (not case.in_pairs or near.any(0).sum() > 1)
            yield stretch(case.image[y0:y1, x0:x1], 0, 100), words, is_found


def show(axes: Axes, picture: np.ndarray, words: str, colour: str | None = None) -> None:
    """One inset, in a frame of a colour."""
    axes.imshow(picture, cmap='gray', interpolation='nearest')
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(words, fontsize=5.5, pad=2)
    for spine in axes.spines.values():
        spine.set(visible=colour is not None, color=colour, linewidth=2)


def main() -> None:
    """Draw the sheet of the weights that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('names', nargs='+', help='shipped weights')
    for name in parser.parse_args().names:
        predictor = Predictor(name, device='cpu')
        with paper_style():
            figure = new_figure('double', 8.6)
            grid = figure.subplots(7, PER_SET).ravel()
            for axes in grid:
                axes.set_axis_off()
            real = chain.from_iterable(worst(predictor, each) for each in SETS)
            shown = [(picture, words, None) for picture, words in real]
            for picture, words, is_found in planted(predictor):
                kind = HIT if is_found else MISSED
                shown.append((picture, f'{words}\n{"found" if is_found else "missed"}', kind.hex))
            for axes, each in zip(grid, shown, strict=False):
                axes.set_axis_on()
                show(axes, *each)
            print(save_picture(figure, IMAGES / f'failures_{name}.webp', dpi=160))


if __name__ == '__main__':
    main()
