"""What frames of the left-out camera give without their masks: their statistics, or what is found in them.

    python experiments/generalise/unlabelled.py statistics NAME CONFIG CHECKPOINT OUT.pth --share 0.25
    python experiments/generalise/unlabelled.py masks NAME CONFIG CHECKPOINT FOLDER

The first mixes the means and variances of every BatchNorm with those of 100 training images of the data set
NAME (Li et al., 2016; mixed as by Schneider et al., NeurIPS 2020), and writes the weights with them.
The second makes a data set of all training images of NAME, with what the network finds in them as masks: two
views, components of a local signal-to-clutter ratio of 2 or more.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmseg.structures import SegDataSample  # noqa: F401  (checkpoints hold it)
from torch import Tensor, nn

from madnet.curation.writing import NewSet, fresh_folder
from madnet.datasets import SIRSTDataset
from madnet.images import encode_png
from madnet.inference import Predictor

IMAGES = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('what', choices=('statistics', 'masks'))
    for name in ('name', 'config', 'checkpoint', 'out'):
        parser.add_argument(name)
    parser.add_argument('--share', type=float, default=0.25, help='of the new statistics, 0–1')
    args = parser.parse_args()
    torch.set_num_threads(1)
    dataset = SIRSTDataset(name=args.name, split='trainval')
    if args.what == 'masks':
        write_masks(dataset, Predictor(args.config, args.checkpoint, views=2, min_scr=2.0), Path(args.out))
    else:
        write_statistics(dataset, args.config, args.checkpoint, args.share, args.out)


def write_masks(dataset: SIRSTDataset, predictor: Predictor, folder: Path) -> None:
    """The images with found masks; there is a training list and no other, so nothing tests on it."""
    with fresh_folder(folder) as temporary:
        made, ids = NewSet(temporary), []
        for index, image_id in enumerate(dataset.image_ids):
            image = np.ascontiguousarray(dataset.read_sample(index)[0])
            made.add(image_id, encode_png(image), '.png', predictor(image).mask.astype(bool))
            ids.append(image_id)
        lists = temporary / 'img_idx'
        lists.mkdir()
        (lists / 'train.txt').write_text('\n'.join(ids) + '\n')


def write_statistics(dataset: SIRSTDataset, config: str, checkpoint: str, share: float, out: str) -> None:
    """The checkpoint with mixed statistics."""
    predictor = Predictor(config, checkpoint)
    norms = {n: m for n, m in predictor.model.named_modules() if isinstance(m, nn.BatchNorm2d)}
    sums = {name: [0, 0] for name in norms}

    def note(name: str, _module: nn.Module, inputs: tuple[Tensor]) -> None:
        x = inputs[0].double()
        sums[name][0] += x.mean((0, 2, 3))
        sums[name][1] += x.square().mean((0, 2, 3))

    for name, module in norms.items():
        module.register_forward_pre_hook(partial(note, name))
    chosen = range(0, len(dataset), max(1, len(dataset) // IMAGES))[:IMAGES]
    for index in chosen:
        predictor(np.ascontiguousarray(dataset.read_sample(index)[0]))
    weights = torch.load(checkpoint, map_location='cpu', weights_only=True)
    for name in norms:
        mean, square = (s / len(chosen) for s in sums[name])
        for key, value in (('running_mean', mean), ('running_var', square - mean.square())):
            old = weights['state_dict'][f'{name}.{key}']
            old.lerp_(value.to(old.dtype), share)
    torch.save(weights, out)


if __name__ == '__main__':
    main()
