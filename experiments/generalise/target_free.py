"""Frames without targets: the quarters of test images that no target comes near, as data sets of their own.

    python experiments/generalise/target_free.py work_dirs/generalise/target_free

writes a folder for each data set under the one given, ``nuaa_target_free`` and so on, each with a test list.
A quarter is half as high and half as wide as its image. Nothing is drawn at random: of more than 200 quarters
every so many-th is taken, in the order of the images' ids.
"""

import sys
from itertools import product
from pathlib import Path

import numpy as np

from madnet.curation.writing import NewSet, fresh_folder
from madnet.datasets import SIRSTDataset
from madnet.images import encode_png

SETS = {'nuaa': 'NUAA-SIRST', 'nudt': 'NUDT-SIRST', 'irstd1k': 'IRSTD-1K'}
MARGIN = 16  # pixels between a quarter and the nearest target
MOST = 200


def quarters(mask: np.ndarray) -> list[tuple[slice, slice]]:
    """The quarters of a mask (H, W) that hold nothing within ``MARGIN`` pixels, row by row."""
    height, width = (n // 2 for n in mask.shape)
    free = []
    for top, left in product((0, mask.shape[0] - height), (0, mask.shape[1] - width)):
        around = mask[
            max(0, top - MARGIN) : top + height + MARGIN, max(0, left - MARGIN) : left + width + MARGIN
        ]
        if not around.any():
            free.append(np.s_[top : top + height, left : left + width])
    return free


def write(name: str, folder: Path) -> int:
    """Write the quarters of a data set's test images; returns their number."""
    dataset = SIRSTDataset(name=name, split='test')
    order = sorted(range(len(dataset)), key=dataset.image_ids.__getitem__)
    found = []
    for index in order:
        _, mask = dataset.read_sample(index)
        found += [(index, k, where) for k, where in enumerate(quarters(mask))]
    chosen = found[:: -(-len(found) // MOST)]
    with fresh_folder(folder) as temporary:
        made, ids = NewSet(temporary), []
        for index, k, where in chosen:
            image, _ = dataset.read_sample(index)
            ids.append(f'{dataset.image_ids[index]}_{k}')
            quarter = np.ascontiguousarray(image[where])
            made.add(ids[-1], encode_png(quarter), '.png', np.zeros(quarter.shape[:2], bool))
        made.add_lists('quarters', {'test': ids})
        made.finish(folder.name, about=f'quarters of the test images of {name} without targets')
    return len(chosen)


def main() -> None:
    """Write all of them."""
    for short, name in SETS.items():
        folder = Path(sys.argv[1], f'{short}_target_free')
        print(f'{folder}: {write(name, folder)} frames')


if __name__ == '__main__':
    main()
