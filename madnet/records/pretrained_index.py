"""The registry of weights: ``index.json`` and the files that it names, all in ``madnet/pretrained``.

Weights of this project that ship lie beside it; others, and what other projects published, lie at an address
or with whoever has them, and are known by their SHA-256.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from madnet.errors import UserError, nearest
from madnet.files import cache_folder, read_json
from madnet.records.reading import Record, decode

#: Where the registry lies.
FOLDER = Path(__file__).parents[1] / 'pretrained'
INDEX = 'index.json'
SCHEMA = 1


@dataclass
class TrainingPart(Record):
    """A part of a data set that weights were trained on, with the SHA-256 of its ids as far as known."""

    dataset: str
    split: str = 'trainval'
    split_set: str | None = None
    images: int | None = None
    sha256: str | None = None


@dataclass
class Claim(Record):
    """What weights are said to reach.

    Attributes:
        dataset: Name in the catalogue.
        values: Metric → number as tables have it: percent, Fa in units of 1e-6.
        split: Part of the data set.
        split_set: Its lists; None for the catalogue's own choice.
        protocol: By which it is measured: a name, or arguments of
            :func:`~madnet.evaluation.protocols.make_protocol`.
        views: Views of each image that are averaged.
        source: Where it stands.
        note: What else is to be known of it.
    """

    dataset: str
    values: dict[str, float]
    split: str = 'test'
    split_set: str | None = None
    protocol: Any = 'native'
    views: int = 1
    source: str = ''
    note: str = ''


@dataclass
class PretrainedEntry(Record):
    """One network with its weights.

    Attributes:
        name: What it is loaded by.
        config: JSON file of ``model``, ``pipeline`` (the arguments of ``ImagePipeline``) and
            ``channels_last``.
        weights: The file of the weights: beside the index, or in the cache, where it may be missing.
        sha256: Hash of that file, in hex.
        size: Its bytes.
        parameters: Number of weights.
        dtype: ``'float32'`` or ``'float16'``, as stored; networks always compute in float32.
        about: What it is, in one line.
        licence: Of the weights.
        source: What it was made from: ``config``, ``checkpoint_sha256``; where half precision was checked,
            by which numbers.
        card: Model card in Markdown, of weights that ship.
        address: Where the file is fetched from; None for weights that ship, and where none is known.
        converter: Whose key names it has, a key of :data:`~madnet.models.checkpoints.CONVERTERS`; None for
            ours.
        origin: Repository and path of what others published.
        data: What it was trained on.
        claims: What it is said to reach, by whoever made it.
    """

    name: str
    config: Path
    weights: Path
    sha256: str
    size: int
    parameters: int
    dtype: str
    about: str
    licence: str
    source: dict[str, Any]
    card: Path | None = None
    address: str | None = None
    converter: str | None = None
    origin: str | None = None
    data: list[TrainingPart] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    @property
    def ships(self) -> bool:
        """Whether the weights come with the package."""
        return self.address is None and self.converter is None

    def read_card(self) -> str:
        """The model card: what it was trained on, how, how well it does, where it fails.

        Raises:
            UserError: It has none, as weights of others do.
        """
        if self.card is None:
            raise UserError(f'{self.name}: has no card: {self.about}, published as {self.origin}.')
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


def list_registered() -> tuple[str, ...]:
    """The names of all known weights, those that ship first."""
    shipped = list_pretrained()
    return (*shipped, *(name for name in read_index(FOLDER) if name not in shipped))


def list_pretrained(folder: Path | None = None) -> tuple[str, ...]:
    """The names of the networks that ship with their weights.

    Args:
        folder: Another folder with an ``index.json``; None for the package's own.
    """
    records = read_index(folder or FOLDER)
    return tuple(name for name, record in records.items() if _ships(record))


def _ships(record: Any) -> bool:
    return isinstance(record, dict) and record.get('address') is None and record.get('converter') is None


def get_pretrained(name: str, folder: Path | None = None) -> PretrainedEntry:
    """The entry of known weights; see :func:`list_registered` for the folder.

    Raises:
        UserError: There is none of this name; says which there are.
    """
    folder = folder or FOLDER
    records = read_index(folder)
    if name not in records:
        shipped = list_pretrained(folder)
        known = f'shipped are {", ".join(shipped)}' if shipped else 'none is shipped with this version'
        others = [other for other in records if other not in shipped]
        known += f'; known are also {", ".join(others)}' if others else ''
        raise UserError(f'no shipped weights {name!r}: {known}.{nearest(name, records)}')
    return entry_of(name, records[name], folder)


def registered_as(sha256: str | None) -> PretrainedEntry | None:
    """The entry of a file of weights, by the SHA-256 of its bytes; None where it is not in the registry."""
    entries = map(get_pretrained, list_registered() if sha256 else ())
    return next((entry for entry in entries if entry.sha256 == sha256), None)


def entry_of(name: str, record: Any, folder: Path) -> PretrainedEntry:
    """The entry of a record of a folder's index.

    Raises:
        UserError: The record lacks something, or names what it may not.
    """
    path = folder / INDEX
    if isinstance(record, dict):
        record = {**record, 'name': name}
    entry = decode(PretrainedEntry, record, str(path), name)
    entry.config = _beside(path, f'{name}.config', entry.config)
    entry.weights = _beside(path, f'{name}.weights', entry.weights)
    if entry.ships or entry.card is not None:
        entry.card = _beside(path, f'{name}.card', entry.card)
    if not entry.ships:
        entry.weights = cache_folder('weights') / f'{entry.sha256[:12]}-{entry.weights.name}'
    return entry


def _beside(index: Path, key: str, name: Path | None) -> Path:
    if name is None or name.name != str(name):
        raise UserError(f'{index}: key {key!r}: found {str(name)!r}, expected the name of a file beside.')
    return index.parent / name
