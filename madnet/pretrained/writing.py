"""From a checkpoint to an entry of the registry of weights: a trained one that ships, or a published one."""

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmseg.registry import DATASETS
from torch import nn

from madnet.classical.detectors import DETECTORS
from madnet.config_files import find_config_file
from madnet.datasets.image_pipeline import ImagePipeline
from madnet.datasets.sirst_dataset import TargetDataset
from madnet.datasets.wrappers import sets_of
from madnet.engine.building import build_model
from madnet.engine.checkpoint import load_weights, recorded_statistics
from madnet.engine.checkpoint_file import find_checkpoint, read_checkpoint, read_registered, taking
from madnet.engine.cli import parse_options
from madnet.engine.config import load_config
from madnet.engine.training_record import read_as_trained
from madnet.errors import UserError, nearest
from madnet.evaluation import evaluate
from madnet.files import expect_writable, read_json, sha256_of, write_json, write_whole
from madnet.models.checkpoints import CONVERTERS
from madnet.pretrained.network_file import describe_network, halved, say_modules
from madnet.pretrained.verify import check_claims
from madnet.records import pretrained_index as index

#: Headings that a model card must have.
CARD_SECTIONS = ('Data', 'Recipe', 'Numbers', 'Cost', 'Limits')
#: What a file of facts may say of weights; see :class:`~madnet.records.PretrainedEntry`.
FACTS = ('about', 'licence', 'data', 'claims', 'address', 'converter', 'origin')
#: Bytes that all shipped weights may take together.
MAX_BYTES = 24 * 10**6
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
    facts: str | Path | None = None,
) -> dict[str, Any]:
    """Add a trained network to the registry, with weights that ship.

    Writes ``<name>.safetensors`` (the state dict and nothing else), ``<name>.json`` (model and pipeline),
    ``<name>.md`` (the card), and last the entry in ``index.json``; a name that is there already is replaced.

    Args:
        name: What it will be loaded by: small letters, digits and underscores.
        config: The config that it was trained with.
        checkpoint: Its weights.
        card: Model card in Markdown: a heading, then a section for each of :data:`CARD_SECTIONS`.
        half: Store weights in half precision, as :func:`~madnet.pretrained.network_file.halved`. Images of
            ``check_split`` are scored with both; the entry records both numbers.
        check_split: Part of each of the config's data sets to score; never one that will be reported.
        folder: Where the registry lies; None for the package's own.
        options: ``KEY=VALUE`` pairs that override the config.
        trust_checkpoint: Whether the checkpoint may hold pickled objects.
        facts: JSON file of what else the entry says, :data:`FACTS`.

    Returns:
        The record in ``index.json``.

    Raises:
        UserError: The name, the index, the card, the facts or the checkpoint will not do; half precision
            costs more than :data:`MAX_LOSS`; all weights together are larger than :data:`MAX_BYTES`.
    """
    import safetensors.torch

    folder = folder or index.FOLDER
    _check_name(folder, name)
    expect_writable(folder / index.INDEX)
    card_text = _checked_card(Path(card))
    saved = read_checkpoint(checkpoint, trust_checkpoint)
    cfg = load_config(find_config_file(config), parse_options(options), statistics=recorded_statistics(saved))
    read_as_trained(cfg, saved)
    model = build_model(cfg)
    load_weights(model, saved, checkpoint)
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    source: dict[str, Any] = {
        'config': Path(config).name,
        'checkpoint_sha256': sha256_of(find_checkpoint(checkpoint)),
    }
    if half:
        state = halved(state)
        source['half_precision'] = _check_half(cfg, model, state, check_split)
    weights = safetensors.torch.save(state, {'name': name})
    _check_size(folder, name, len(weights))
    record = {
        'config': f'{name}.json',
        'weights': f'{name}.safetensors',
        'sha256': hashlib.sha256(weights).hexdigest(),
        'size': len(weights),
        'card': f'{name}.md',
        'parameters': sum(p.numel() for p in model.parameters()),
        'dtype': 'float16' if half else 'float32',
        'about': card_text.strip().splitlines()[0].strip('# '),
        'licence': 'not stated',
        **_read_facts(facts),
        'source': source,
    }
    entry = index.entry_of(name, record, folder)
    check_claims(entry.claims, facts)
    if not entry.ships:
        raise UserError(f'{facts}: has an address or a converter, which shipped weights do not have.')
    _write_description(entry, cfg)
    write_whole(entry.weights, weights)
    write_whole(folder / record['card'], card_text)
    return _write_record(folder, name, record)


def register_weights(
    name: str,
    config: str | Path,
    checkpoint: str | Path,
    facts: str | Path,
    folder: Path | None = None,
    options: list[str] | None = None,
) -> dict[str, Any]:
    """Add weights to the registry that lie elsewhere: the file's hash, where from, what is claimed of it.

    Writes ``<name>.json`` (model and pipeline) and the entry in ``index.json``; the weights stay where they
    are.

    Args:
        name, config, folder, options: As of :func:`ship_weights`; the config is the one that the weights are
            tested with.
        checkpoint: The file as it was published, or as it lies at the address.
        facts: JSON file of what the entry says, :data:`FACTS`; with an address or a converter.

    Returns:
        The record in ``index.json``.

    Raises:
        UserError: The name, the index or the facts will not do, or the weights do not fit the config.
    """
    folder = folder or index.FOLDER
    _check_name(folder, name)
    path = find_checkpoint(checkpoint)
    cfg = load_config(config, parse_options(options))
    model = build_model(cfg)
    record = {
        'config': f'{name}.json',
        'weights': path.name,
        'sha256': sha256_of(path) if path.is_file() else '',
        'size': path.stat().st_size if path.is_file() else 0,
        'parameters': sum(p.numel() for p in model.parameters()),
        'dtype': 'float32',
        'about': '',
        'licence': 'not stated',
        'source': {'config': Path(config).name},
        **_read_facts(facts),
    }
    if record.get('address') is None and record.get('converter') is None:
        raise UserError(f'{facts}: has neither an address nor a converter; weights that ship have a card.')
    entry = index.entry_of(name, record, folder)
    check_claims(entry.claims, facts)
    if entry.converter not in {None, *CONVERTERS}:
        raise UserError(
            f'{facts}: converter: found {entry.converter!r}, expected one of {", ".join(CONVERTERS)}.'
            + nearest(str(entry.converter), CONVERTERS)
        )
    with taking(name, path):
        load_weights(model, {'state_dict': read_registered(entry)}, checkpoint)
    _write_description(entry, cfg)
    return _write_record(folder, name, record)


def _write_description(entry: index.PretrainedEntry, cfg: Config) -> None:
    description = describe_network(cfg)
    say_modules(description, entry.name)
    write_json(entry.config, description)


def _check_name(folder: Path, name: str) -> None:
    """Raise where a name will not do, or the index to which it shall be added; nothing is written yet."""
    if not re.fullmatch(r'[a-z][a-z0-9_]*', name):
        raise UserError(f'name {name!r}: expected small letters, digits and underscores.')
    if name == Path(index.INDEX).stem:
        raise UserError(f'name {name!r}: {folder / index.INDEX} is the index itself; take another name.')
    if name in DETECTORS:
        raise UserError(f'name {name!r}: is that of a training-free method; take another name.')
    _records(folder)


def _read_facts(path: str | Path | None) -> dict[str, Any]:
    facts = {} if path is None else read_json(path)
    if not isinstance(facts, dict):
        raise UserError(f'{path}: found a {type(facts).__name__}, expected an object.')
    if unknown := [key for key in facts if key not in FACTS]:
        raise UserError(
            f'{path}: key {unknown[0]!r} is not known, expected {", ".join(FACTS)}.'
            + nearest(unknown[0], FACTS)
        )
    return facts


def _write_record(folder: Path, name: str, record: dict[str, Any]) -> dict[str, Any]:
    models = {**_records(folder), name: record}
    write_json(folder / index.INDEX, {'schema': index.SCHEMA, 'models': models})
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


def _check_half(
    cfg: Config, model: nn.Module, half: dict[str, torch.Tensor], split: str
) -> list[dict[str, Any]]:
    """Numbers of full precision, which the model has, and of half precision, which it has afterwards, on a
    part of each of the config's data sets."""
    pipeline = ImagePipeline.from_config(cfg)
    if cfg.get('channels_last'):
        model = model.to(memory_format=torch.channels_last)
    sets: list[TargetDataset] = [
        DATASETS.build({**each, 'pipeline': [], 'split': split}) for each in sets_of(cfg, 'test_dataloader')
    ]
    checked: list[dict[str, Any]] = [{'dataset': each.describe()} for each in sets]
    for precision in ('full', 'half'):
        if precision == 'half':
            model.load_state_dict(half)
        for dataset, found in zip(sets, checked, strict=True):
            samples = [dataset.read_fitted(i) for i in range(len(dataset))]
            numbers = evaluate(
                [_score(model, pipeline(image)) for image, _ in samples], [m for _, m in samples]
            )
            found[precision] = {key: float(numbers[key]) for key in ('IoU', 'nIoU')}
    for dataset, found in zip(sets, checked, strict=True):
        for key in ('IoU', 'nIoU'):
            loss = found['full'][key] - found['half'][key]
            if not loss <= MAX_LOSS:
                raise UserError(
                    f'half precision costs {loss:.4f} of {key} on {dataset.dataset_name} ({split}), more '
                    f'than {MAX_LOSS:g}; ship full precision.'
                )
    return checked


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
        index.get_pretrained(other, folder).size
        for other in (index.list_pretrained(folder) if _records(folder) else ())
        if other != name
    )
    if others + size > MAX_BYTES:
        raise UserError(
            f'{name}: {size / 1e6:.1f} MB beside {others / 1e6:.1f} MB of other shipped weights, more '
            f'than the {MAX_BYTES / 1e6:.0f} MB that the package may carry; ship half precision, or less.'
        )


def _records(folder: Path) -> dict[str, dict]:
    return index.read_index(folder) if (folder / index.INDEX).exists() else {}
