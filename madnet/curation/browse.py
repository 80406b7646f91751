"""A gallery of images with a zoom on their targets; what a network will see."""

from pathlib import Path
from typing import Any

import numpy as np
from mmseg.registry import DATASETS

from madnet.config_files import find_config_file
from madnet.curation.cards import save_card
from madnet.curation.sources import open_parts, walk
from madnet.datasets.wrappers import inner_datasets, kind_of
from madnet.engine.cli import parse_options
from madnet.engine.config import load_config
from madnet.engine.sample_names import name_of
from madnet.errors import UserError
from madnet.evaluation.components import find_components
from madnet.files import write_whole
from madnet.progress import progress_bar
from madnet.visualization.page import render_page

PAGE = 'index.html'
#: How many images of a config are shown by default, and in how many epochs.
CONFIG_IMAGES, CONFIG_EPOCHS = 32, 3


def browse(
    source: str | None = None,
    split: str | None = None,
    images: int | None = None,
    config: str | None = None,
    epochs: int | None = None,
    cfg_options: list[str] | None = None,
    out: str = 'dataset_gallery',
    **reading,
) -> None:
    """Draw the pictures, and write the page last.

    Raises:
        UserError: Nothing to show, options that contradict each other, or a file that cannot be read.
    """
    for option, value in (('--images', images), ('--epochs', epochs)):
        if value is not None and value < 1:
            raise UserError(f'{option}: found {value}, expected 1 or more.')
    if config is None:
        if source is None:
            raise UserError('found no data set: give a name such as nuaa, a folder, or --config.')
        if epochs is not None or cfg_options:
            raise UserError('--epochs and --cfg-options say how a config is shown: add --config CONFIG.')
        title, about, cards = _images(source, split, images, Path(out), **reading)
    else:
        if split is not None:
            raise UserError(
                '--split: with --config, the config chooses its training part; '
                'change it by --cfg-options selection=last or test.'
            )
        count = images or CONFIG_IMAGES
        options = parse_options(cfg_options, **reading)
        title, about, cards = _samples(config, source, options, count, epochs or CONFIG_EPOCHS, Path(out))
    page = write_whole(Path(out, PAGE), render_page('browse.html', title, about=about, cards=cards))
    print(f'{len(cards):,} pictures\npage  {page}')


def _images(
    source: str, split: str | None, limit: int | None, out: Path, **reading
) -> tuple[str, str, list[dict]]:
    """Title, a sentence, and the cards of a data set's images."""
    parts = open_parts([source], split.split(',') if split else (), **reading)
    cards = [
        save_card(out, f'{part.split}_{n:06d}', part.split, s.image_id, s.pixels, s.targets)
        for part in parts
        for n, s in enumerate(walk(part, limit))
    ]
    about = 'Grey values are spread for the eye, in each image and in each inset anew.'
    return f'{parts[0].set_name}: images and targets', about, cards


def _samples(
    config: str, source: str | None, options: dict[str, Any], count: int, epochs: int, out: Path
) -> tuple[str, str, list[dict]]:
    """Title, a sentence, and the cards of samples as a config's training pipeline gives them."""
    cfg = load_config(find_config_file(config), options, source)
    if not cfg.get('train_dataloader'):
        raise UserError(f'config {config}: has no training data (train_dataloader), so nothing to show.')
    for inner in inner_datasets(cfg.train_dataloader.dataset):
        if 'cache' in inner:
            inner.cache = False  # a few images are read, not all
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    chosen = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int).tolist()
    cards = []
    for index in progress_bar(chosen, what='training samples'):
        for epoch in range(epochs):
            for inner in inner_datasets(dataset):
                if hasattr(inner, 'set_epoch'):
                    inner.set_epoch(epoch)
            sample = dataset[index]
            image = sample['inputs'].numpy().transpose(1, 2, 0)
            truth = sample['data_samples'].gt_sem_seg.data[0].numpy() == 1
            name = f'sample_{index:06d}_{epoch}'
            image_id = name_of(sample['data_samples'].metainfo) or f'sample {index}'
            image = image[..., 0] if image.shape[2] == 1 else image
            cards.append(
                save_card(out, name, f'epoch {epoch + 1}', image_id, image, find_components(truth), True)
            )
    steps = dict.fromkeys(
        kind_of(step)
        for inner in inner_datasets(cfg.train_dataloader.dataset)
        for step in inner.get('pipeline') or ()
    )
    about = (
        f'Samples as they leave the training pipeline: {", ".join(steps)}. Without a step: --cfg-options '
        'replace_steps.NAME=None; the images before all of them: madnet dataset browse SET. Grey '
        f'values 0 to 255 are shown as they are, insets spread for the eye. {_normalising(cfg)}'
    )
    names = dict.fromkeys(getattr(d, 'dataset_name', type(d).__name__) for d in inner_datasets(dataset))
    return f'{Path(config).stem} on {" + ".join(names)}: training samples', about, cards


def _normalising(cfg) -> str:
    preprocessor = (cfg.get('model') or {}).get('data_preprocessor') or {}
    mean, std = preprocessor.get('mean'), preprocessor.get('std')
    if mean is None or std is None:
        return 'The network takes them so.'
    words = [', '.join(f'{v:g}' for v in values) for values in (mean, std)]
    return f'The network takes them less the mean {words[0]} and over the deviation {words[1]}.'
