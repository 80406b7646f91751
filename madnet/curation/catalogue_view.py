"""The catalogue as people read it, with what lies under ``$MADNET_DATA_ROOT``."""

from madnet.datasets.catalogue import Entry, get_entry, known_datasets
from madnet.datasets.layouts import read_folder
from madnet.datasets.locate import data_home, folders_named
from madnet.files import json_text

_KEYS = (
    'name',
    'short',
    'source',
    'licence',
    'citation',
    'note',
    'unchecked',
    'base_size',
    'images',
    'targets',
)


def print_catalogue(name: str | None = None, json: bool = False) -> None:
    """Print the catalogue, or its entry of this name, as text or as JSON.

    Raises:
        UserError: The catalogue does not know the name.
    """
    rows = catalogue_rows(name)
    if json:
        print(json_text({'data_root': str(data_home()), 'datasets': rows}), end='')
    else:
        print(catalogue_text(rows))


def catalogue_rows(name: str | None = None) -> list[dict]:
    """A dict of plain values for every known data set, or for the one of this name."""
    entries = [get_entry(name)] if name else known_datasets().values()
    return [_row(entry) for entry in entries]


def _row(entry: Entry) -> dict:
    found = []
    for path in folders_named(data_home(), entry.name):
        folder = read_folder(path)
        pairs = [p for part in folder.pairs.values() for p in part.values()] if folder else []
        found.append(
            {
                'folder': str(path),
                'layout': folder.layout.title if folder else None,
                'images': len(pairs),
                'without_mask': sum(p.mask is None for p in pairs),
                'lists': sorted(folder.lists) if folder else [],
            }
        )
    return {
        **{key: getattr(entry, key) for key in _KEYS},
        'split_sets': {key: record.counts for key, record in entry.split_sets.items()},
        'about': {key: record.about for key, record in entry.split_sets.items()},
        'default_split_set': entry.default_split_set,
        'found': found,
    }


def catalogue_text(rows: list[dict]) -> str:
    """The rows of :func:`catalogue_rows` as text: a paragraph each, then how many are found."""
    blocks = [_paragraph(row) for row in rows]
    here = sum(bool(row['found']) for row in rows)
    last = f'{here} of {len(rows)} found under {data_home()} ($MADNET_DATA_ROOT; default datasets/).'
    return '\n\n'.join([*blocks, last])


def _paragraph(row: dict) -> str:
    size = f'{row["images"]:,} images' if row['images'] else 'number of images not stated'
    if row['targets']:
        size += f', {row["targets"]:,} targets'
    lines = [
        f'{row["name"]} (--dataset {row["short"]}): {size}, networks take {row["base_size"]} × '
        f'{row["base_size"]}',
        f'  get it from {row["source"]}',
        f'  licence     {row["licence"]}',
        f'  cite        {row["citation"]}',
    ]
    if row['unchecked']:
        lines.append(f'  not checked {", ".join(row["unchecked"]).replace("_", " ")}: see for yourself')
    if row['note']:
        lines.append(f'  note        {row["note"]}')
    for key, counts in row['split_sets'].items():
        default = ' (default)' if key == row['default_split_set'] and len(row['split_sets']) > 1 else ''
        parts = ', '.join(f'{part} {count}' for part, count in counts.items())
        lines.append(f'  lists       {key}{default}: {parts}. {row["about"][key]}')
    if not row['split_sets']:
        lines.append('  lists       none packaged; those in its folder count')
    for found in row['found']:
        if found['layout'] is None:
            lines.append(f'  found       {found["folder"]}, in no layout that can be read')
            continue
        bare = f', {found["without_mask"]} without mask' if found['without_mask'] else ''
        lines.append(f'  found       {found["folder"]}: {found["images"]:,} images{bare} ({found["layout"]})')
    return '\n'.join([*lines, *([] if row['found'] else ['  found       no'])])
