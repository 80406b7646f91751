"""A network as a folder that a model hub takes as it is: weights, config and card."""

import os
from pathlib import Path
from typing import Any

import yaml

from madnet.errors import UserError
from madnet.files import expect_new, write_json, write_whole
from madnet.pretrained import get_pretrained, list_registered
from madnet.records import PretrainedEntry

from .export import export_network, licence_of
from .predictor import Predictor

#: The files of such a folder, by the names that hubs know.
WEIGHTS, CONFIG, CARD = 'model.safetensors', 'config.json', 'README.md'


def save_pretrained(
    model: str | os.PathLike,
    folder: str | os.PathLike,
    checkpoint: str | os.PathLike | None = None,
    card: str | os.PathLike | None = None,
    dataset: str | None = None,
    licence: str | None = None,
    force: bool = False,
) -> Path:
    """Write a network for a model hub; :class:`~madnet.inference.Predictor` takes the folder back.

    ``model.safetensors`` holds the weights in single precision and what the network is built from;
    ``config.json`` says that again for whoever lists models; ``README.md`` is the card, behind a head of YAML
    with licence, tags and results. The weights are compared with the network before they are written.

    Args:
        model: A name of the registry, or a config file.
        folder: Where to; made where it is missing.
        checkpoint: The weights that belong to a config file.
        card: Markdown; None for the registry's, or for one that says what is known.
        dataset: As of :class:`~madnet.inference.Predictor`, for a config file.
        licence: Of the weights; None for what :func:`~madnet.inference.export.licence_of` says.
        force: Whether to replace those of the three files that are there.

    Returns:
        The folder.

    Raises:
        UserError: No such network, a checkpoint that does not fit, a file that is there already, or a folder
            that cannot be written to.
    """
    folder = Path(folder)
    expect_new(*(folder / name for name in (WEIGHTS, CONFIG, CARD)), force=force)
    entry = get_pretrained(str(model)) if str(model) in list_registered() and checkpoint is None else None
    predictor = Predictor(model, checkpoint, device='cpu', dataset=dataset)
    if predictor.detector.description is None:
        raise UserError(f'{model}: has no weights, so there is nothing to save.')
    licence = licence or licence_of(predictor)
    text = _card_text(predictor.name, entry, card)
    export_network(predictor, folder / WEIGHTS, 'torch', licence=licence)
    about = {
        'library': 'madnet',
        'name': predictor.name,
        'licence': licence,
        **predictor.detector.description,
    }
    write_json(folder / CONFIG, about)
    head = yaml.safe_dump(_head(predictor.name, entry, licence), sort_keys=False, allow_unicode=True)
    write_whole(folder / CARD, f'---\n{head}---\n{text}')
    return folder


def _card_text(name: str, entry: PretrainedEntry | None, card: str | os.PathLike | None) -> str:
    if card is not None:
        try:
            return Path(card).read_text(encoding='utf-8')
        except (OSError, UnicodeDecodeError) as e:
            raise UserError(f'card {card}: cannot be read ({getattr(e, "strerror", None) or e}).') from None
    if entry is not None and entry.card is not None:
        return entry.read_card()
    about = f'{entry.about}; published as {entry.origin}.' if entry else 'Nothing else was stated of it.'
    return (
        f'# {name}\n\nA network that finds small targets in infrared frames. {about}\n\n'
        f"    from madnet.inference import Predictor\n    Predictor('this folder')('scene.png').targets\n"
    )


def _head(name: str, entry: PretrainedEntry | None, licence: str) -> dict[str, Any]:
    """What hubs read at the top of a card."""
    known = licence.lower() in ('apache-2.0', 'mit', 'bsd-3-clause', 'cc-by-4.0', 'cc-by-nc-4.0')
    head: dict[str, Any] = (
        {'license': licence.lower()} if known else {'license': 'other', 'license_name': licence}
    )
    head |= {
        'library_name': 'madnet',
        'pipeline_tag': 'image-segmentation',
        'tags': ['infrared-small-target-detection', 'image-segmentation', 'safetensors'],
    }
    if entry is not None and entry.claims:
        head['model-index'] = [{'name': name, 'results': [_result(claim) for claim in entry.claims]}]
    return head


def _result(claim: Any) -> dict[str, Any]:
    protocol = claim.protocol if isinstance(claim.protocol, str) else claim.protocol.get('name', 'custom')
    views = f', {claim.views} views' if claim.views > 1 else ''
    return {
        'task': {'type': 'image-segmentation', 'name': 'infrared small target detection'},
        'dataset': {
            'name': ' '.join(filter(None, (claim.dataset, claim.split_set))),
            'type': claim.dataset.lower(),
            'split': claim.split,
        },
        'metrics': [
            {'type': key, 'name': f'{key} ({protocol}{views})', 'value': value}
            for key, value in claim.values.items()
        ],
    }
