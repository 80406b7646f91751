"""From a trained checkpoint and its model card to weights that ship with the package."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmseg.registry import DATASETS, MODELS
from torch import nn

from madnet.config_files import find_config_file
from madnet.datasets.image_pipeline import ImagePipeline
from madnet.datasets.sirst_dataset import TargetDataset
from madnet.engine.checkpoint import load_weights, recorded_statistics
from madnet.engine.checkpoint_file import find_checkpoint, read_checkpoint
from madnet.engine.cli import parse_options
from madnet.engine.config import load_config
from madnet.errors import UserError
from madnet.evaluation import evaluate
from madnet.files import sha256_of, write_json, write_whole
from madnet.pretrained.network_file import describe_network
from madnet.records import pretrained_index as index

#: Headings that a model card must have.
CARD_SECTIONS = ('Data', 'Recipe', 'Numbers', 'Cost', 'Limits')
#: Bytes that all shipped weights may take together.
MAX_BYTES = 8 * 2**20
#: What half precision may cost, in IoU and in nIoU (fractions).
MAX_LOSS = 5e-4


def ship_weights(
    name: str,
    config: str | Path,
    checkpoint: str | Path,
    card: str | Path,
    half: bool = False,
    check_split: str = 'val',
    folder: Path | None = None,
    options: list[str] | None = None,
    trust_checkpoint: bool = False,
) -> dict[str, Any]:
    """Add a trained network to the table of shipped weights.

    Writes ``<name>.safetensors`` (the state dict and nothing else), ``<name>.json`` (model and pipeline),
    ``<name>.md`` (the card), and last the entry in ``index.json``; a name that is there already is replaced.

    Args:
        name: What it will be loaded by: small letters, digits and underscores.
        config: The config that it was trained with.
        checkpoint: Its weights.
        card: Model card in Markdown: a heading, then a section for each of :data:`CARD_SECTIONS`.
        half: Store weights in half precision; statistics of normalisation, which are few and may exceed its
            range, stay as they are. Images of ``check_split`` are scored with both; the entry
            records both numbers.
        check_split: Part of the config's data set to score; never one that will be reported.
        folder: Where the table lies; None for the package's own.
        options: ``KEY=VALUE`` pairs that override the config.
        trust_checkpoint: Whether the checkpoint may hold pickled objects.

    Returns:
        The record in ``index.json``.

    Raises:
        UserError: The name, the card or the checkpoint will not do; half precision costs more than
            :data:`MAX_LOSS`; all weights together are larger than :data:`MAX_BYTES`.
    """
    import safetensors.torch

    folder = folder or index.FOLDER
    if not re.fullmatch(r'[a-z][a-z0-9_]*', name):
        raise UserError(f'name {name!r}: expected small letters, digits and underscores.')
    card_text = _checked_card(Path(card))
    saved = read_checkpoint(checkpoint, trust_checkpoint)
    cfg = load_config(find_config_file(config), parse_options(options), statistics=recorded_statistics(saved))
    model = MODELS.build(cfg.model)
    load_weights(model, saved, checkpoint)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    source = {'config': Path(config).name, 'checkpoint_sha256': sha256_of(find_checkpoint(checkpoint))}
    if half:
        state = _halved(state, checkpoint)
        source['half_precision'] = _check_half(cfg, model, state, check_split)
    weights = safetensors.torch.save(state, {'name': name})
    _check_size(folder, name, len(weights))

    record = {
        'config': f'{name}.json',
        'weights': f'{name}.safetensors',
        'sha256': '',
        'card': f'{name}.md',
        'parameters': sum(p.numel() for p in model.parameters()),
        'dtype': 'float16' if half else 'float32',
        'source': source,
    }
    write_json(folder / record['config'], describe_network(cfg))
    write_whole(folder / record['weights'], weights)
    write_whole(folder / record['card'], card_text)
    record['sha256'] = sha256_of(folder / record['weights'])
    content = {'schema': index.SCHEMA, 'models': {**_records(folder), name: record}}
    write_json(folder / index.INDEX, content)
    return record


def _checked_card(path: Path) -> str:
    if not path.is_file():
        raise UserError(f'model card {path}: no such file; its sections are {", ".join(CARD_SECTIONS)}.')
    text = path.read_text(encoding='utf-8')
    headings = {h.strip().lower() for h in re.findall(r'^#+\s*(.+)$', text, re.MULTILINE)}
    missing = [s for s in CARD_SECTIONS if not any(h.startswith(s.lower()) for h in headings)]
    if missing:
        raise UserError(f'model card {path}: lacks the section(s) {", ".join(missing)}.')
    return text


def _halved(state: dict[str, torch.Tensor], checkpoint: str | Path) -> dict[str, torch.Tensor]:
    halved = {}
    for key, value in state.items():
        statistics = key.endswith(('.running_mean', '.running_var'))
        halved[key] = value.half() if value.is_floating_point() and not statistics else value
        if not halved[key].isfinite().all():
            raise UserError(
                f'checkpoint {checkpoint}: {key} is too large for half precision; ship full precision.'
            )
    return halved


def _check_half(cfg: Config, model: nn.Module, halved: dict[str, torch.Tensor], split: str) -> dict[str, Any]:
    """Numbers of full precision, which the model has, and of half precision, which it has afterwards, on a
    part of the config's data set."""
    dataset_cfg = {**cfg.test_dataloader.dataset, 'pipeline': [], 'split': split}
    dataset: TargetDataset = DATASETS.build(dataset_cfg)
    samples = [dataset.read_sample(i) for i in range(len(dataset))]
    masks = [mask for _, mask in samples]
    pipeline = ImagePipeline.from_config(cfg)
    if cfg.get('channels_last'):
        model = model.to(memory_format=torch.channels_last)
    results = {}
    for precision in ('full', 'half'):
        if precision == 'half':
            model.load_state_dict(halved)
        numbers = evaluate([_score(model, pipeline(image)) for image, _ in samples], masks)
        results[precision] = {key: float(numbers[key]) for key in ('IoU', 'nIoU')}
    for key in ('IoU', 'nIoU'):
        loss = results['full'][key] - results['half'][key]
        if not loss <= MAX_LOSS:
            raise UserError(
                f'half precision costs {loss:.4f} of {key} on {dataset.dataset_name} ({split}), more than '
                f'{MAX_LOSS:g}; ship full precision.'
            )
    return {**results, 'dataset': dataset.describe()}


@torch.no_grad()
def _score(model: nn.Module, sample: dict[str, Any]) -> np.ndarray:
    probabilities = model.eval().test_step({key: [value] for key, value in sample.items()})[0].seg_logits.data
    if len(probabilities) != 1:
        raise UserError(
            f'{type(model).__name__} gives {len(probabilities)} maps, expected the probability of a target '
            'alone: wrap the network in IRSTDSegmentor.'
        )
    return probabilities[0].numpy()


def _check_size(folder: Path, name: str, size: int) -> None:
    others = sum(
        (folder / record['weights']).stat().st_size
        for other, record in _records(folder).items()
        if other != name
    )
    if others + size > MAX_BYTES:
        raise UserError(
            f'{name}: {size / 2**20:.1f} MiB beside {others / 2**20:.1f} MiB of other shipped weights, more '
            f'than the {MAX_BYTES / 2**20:.0f} MiB that the package may carry; ship half precision, or less.'
        )


def _records(folder: Path) -> dict[str, dict]:
    return index.read_index(folder) if (folder / index.INDEX).exists() else {}
