"""The index of shipped weights: ``index.json`` and the files that it names, all in ``madnet/pretrained``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from madnet.errors import UserError, nearest
from madnet.files import read_json

#: Where the shipped weights lie.
FOLDER = Path(__file__).parents[1] / 'pretrained'
INDEX = 'index.json'
SCHEMA = 1

_KINDS = {
    **dict.fromkeys(('config', 'weights', 'card', 'sha256', 'dtype'), str),
    'parameters': int,
    'source': dict,
}


@dataclass(frozen=True)
class PretrainedEntry:
    """One shipped network.

    Attributes:
        name: What it is loaded by.
        config: JSON file of ``model``, ``pipeline`` (the arguments of ``ImagePipeline``) and
            ``channels_last``.
        weights: Safetensors file of the state dict.
        sha256: Hash of the weights' file, in hex.
        card: Model card in Markdown.
        parameters: Number of weights.
        dtype: ``'float32'`` or ``'float16'``, as stored; networks always compute in float32.
        source: What it was made from: ``config``, ``checkpoint_sha256``; where half precision was checked,
            by which numbers.
    """

    name: str
    config: Path
    weights: Path
    sha256: str
    card: Path
    parameters: int
    dtype: str
    source: dict[str, Any]

    def read_card(self) -> str:
        """The model card: what it was trained on, how, how well it does, where it fails."""
        return self.card.read_text(encoding='utf-8')


def read_index(folder: Path) -> dict[str, dict]:
    """Name → record as in the folder's ``index.json``.

    Raises:
        UserError: The file is missing, damaged, or of a newer kind.
    """
    path = folder / INDEX
    try:
        index = read_json(path)
    except UserError as e:
        raise UserError(f'{e} It is the index of shipped weights: install the package again.') from None
    if not isinstance(index, dict) or not isinstance(index.get('models'), dict):
        raise UserError(
            f'{path}: has no object "models". It is the index of shipped weights: install the package again.'
        )
    if index.get('schema') != SCHEMA:
        raise UserError(f'{path}: schema {index.get("schema")!r}, expected {SCHEMA}; update madnet.')
    return index['models']


def list_pretrained(folder: Path | None = None) -> tuple[str, ...]:
    """The names of the shipped networks.

    Args:
        folder: Another folder with an ``index.json``; None for the package's own.
    """
    return tuple(read_index(folder or FOLDER))


def get_pretrained(name: str, folder: Path | None = None) -> PretrainedEntry:
    """The entry of a shipped network; see :func:`list_pretrained` for the folder.

    Raises:
        UserError: There is none of this name; says which there are.
    """
    folder = folder or FOLDER
    records = read_index(folder)
    if name not in records:
        known = f'shipped are {", ".join(records)}' if records else 'none is shipped with this version'
        raise UserError(f'no shipped weights {name!r}: {known}.{nearest(name, records)}')
    try:
        record = records[name]
        for key, kind in _KINDS.items():
            if not isinstance(record[key], kind):
                raise TypeError(f'{key}: found {record[key]!r}')
        files = {key: folder / record[key] for key in ('config', 'weights', 'card')}
        for key, path in files.items():
            if path.parent != folder or path.name != record[key]:
                raise TypeError(f'{key}: found {record[key]!r}, expected the name of a file beside')
        return PretrainedEntry(name=name, **{**record, **files})
    except (KeyError, TypeError) as e:
        raise UserError(f'{folder / INDEX}: the record {name!r} is damaged ({e}).') from None
