#!/usr/bin/env python
"""Write docs/zoo.md from the metafiles of the networks, configs/*/metafile.yaml."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import yaml

from madnet.classical.detectors import DETECTORS
from madnet.datasets.catalogue import known_datasets
from madnet.errors import UserError, nearest
from madnet.experiments.networks import read_metafile
from madnet.files import read_json, write_whole
from madnet.records import COLUMNS, SHORT, Costs, as_text, markdown_table

COSTS = 'experiments/costs/costs.json'
RULE = 'mean+12std'

_INTRODUCTION = """\
# All networks: what they cost, what is verified, what they reach

<!-- Made by `python docs/build/zoo.py` from `configs/<network>/metafile.yaml`; edit those, not this page. -->

Please cite the paper of each network that you use: [Cite](cite.md) has them by the folders of configs.

## Networks

A config without an ending is the recipe common to all, `_published` the authors' recipe and form,
`_toolbox` that of BasicIRSTD. Parameters and multiply-accumulates (of convolutions, matrix products and
selective scans, for one image) are counted here on the network of that config; beside them stands what was
counted in the published code, where its form is the same. *Parity*: published weights, converted, give the
published network's outputs to a relative error of 1e-4 or less, in the test that is linked; *modules*: so
does every module, and the whole network equals a plain reference in the tests, since the published whole
does not run as it is.
"""

_MEASURED = """\
## Measured here

Protocol `native`, and IoU / nIoU under `abc` beside it ([metrics](metrics.md)); mean ± standard
deviation where there are several seeds. *Views*: test-time augmentation over N flipped and turned copies.
What each training was, its plan and logs lie with the evidence; [results](results.md) sums up. Networks
without a row have not been trained here yet.
"""

_QUOTED = """\
## Quoted from papers and repositories: not measured here, not comparable

Numbers of one network on one data set differ by up to 15 points between sources, because splits, resolution,
threshold, metric code and the choice of the epoch differ. Compare with them only what was trained on the same
split and scored under the same protocol ([metrics](metrics.md)), and mind:

* F1 must equal 2·IoU / (1 + IoU). Where it is off by more than 0.1, what follows from the IoU stands behind
  the arrow.
* The best epoch *on the test images* was reported wherever it says so, and mostly where nothing is said.
* NUAA-SIRST is split in three ways; 44 of the 86 test images of one are training images of another.
* What published weights reach when they are scored again stands in [claims](claims.md).
* Runs on NUAA-SIRST vary by one to two points of IoU with the seed alone.
* For SCTransNet and the classical detectors nothing is quoted.
"""


def read_metafiles(root: Path) -> dict[str, dict]:
    """Folder of configs → its metafile, the two of this project's title first."""
    folders = sorted(path.parent for path in (root / 'configs').glob('*/metafile.yaml'))
    folders.sort(key=lambda folder: folder.name not in ('madnet', 'mim'))
    return {folder.name: read_metafile(folder) for folder in folders}


def make_page(root: Path) -> str:
    """The text of docs/zoo.md from the files of a checkout."""
    metafiles = read_metafiles(root)
    parts = [_INTRODUCTION, *_networks(metafiles), *_measured(metafiles)]
    parts += ['## Classical detectors\n', *_classical(root, metafiles['classical'])]
    parts += [_QUOTED, *_quoted(root, metafiles)]
    return '\n'.join(parts)


def write_costs(root: Path, names: Collection[str] = ()) -> Path:
    """Measure parameters and MACs of every model of the metafiles that has them, or of ``names`` alone.

    On NUDT-SIRST, whose images have the side of 256 that costs are given for.
    """
    from madnet.engine.config import load_config
    from madnet.experiments.cost import measure_cost

    listed = [model for metafile in read_metafiles(root).values() for model in metafile['Models']]
    models = {model['Name']: model for model in listed if 'Metadata' in model}
    for name in names:
        if name not in models:
            raise UserError(
                f'--costs: no network {name!r} with Metadata in a metafile.{nearest(name, models)}'
            )
    costs = Costs.read(root / COSTS).networks if names else {}
    for name in names or models:
        cfg = load_config(root / models[name]['Config'], dataset='nudt')
        cost = costs[name] = measure_cost(cfg, models[name]['Metadata']['Size'])
        # seconds belong to a machine, not to a network
        cost.latency = cost.device = None
        print(f'{name}: Parameters: {cost.parameters}, MACs: {cost.MACs}', flush=True)
    return Costs(costs).write(root / COSTS)


def _networks(metafiles: Mapping[str, dict]) -> Iterator[str]:
    head = ['config', 'form', 'parameters here', 'published', 'GMACs here', 'published', 'input']
    for folder, metafile in metafiles.items():
        models = [model for model in metafile['Models'] if 'Metadata' in model]
        if not models:
            continue
        [collection] = metafile['Collections']
        paper = collection['Paper']
        about = f'[{paper["Title"]}]({paper["URL"]})' if 'URL' in paper else paper['Title']
        yield f'### {collection["Name"]}\n'
        parity = collection.get('Parity')
        by = f'{paper["By"]}. ' if 'By' in paper else ''
        yield f'{about}. {by}' + (f'Parity: [{parity["Of"]}](../{parity["Test"]}).\n' if parity else '\n')
        yield markdown_table(head, [_network(folder, model) for model in models], right=range(2, 6))


def _network(folder: str, model: Mapping) -> list[str]:
    ours, published = model['Metadata'], model.get('Published', {})
    form = model.get('Form', '')
    dead = published.get('Without Effect')
    if dead:
        form = '; '.join(filter(None, (form, f'{dead:,} published parameters without effect are not built')))
    name = f'[`{model["Name"]}`](../{model["Config"]})'
    return [
        name + (f' ([weights](../{model["Weights"]}))' if 'Weights' in model else ''),
        form,
        f'{ours["Parameters"]:,}',
        f'{published["Parameters"]:,}' if published else '–',
        f'{ours["MACs"] / 1e9:.3f}',
        f'{published["MACs"] / 1e9:.3f}' if 'MACs' in published else '–',
        f'{ours["Channels"]}×{ours["Size"]}²',
    ]


def _measured(metafiles: Mapping[str, dict]) -> Iterator[str]:
    yield _MEASURED
    by_row: dict[tuple, dict[str, dict]] = {}
    for metafile in metafiles.values():
        for model in metafile['Models']:
            for result in model.get('Results', ()):
                key = (result['Dataset'], model['Name'], result['Row'], result['Evidence'])
                by_row.setdefault(key, {})[result['Protocol']] = result
    for dataset in known_datasets():
        rows = [
            _result(name, evidence, found)
            for (where, name, _, evidence), found in by_row.items()
            if where == dataset
        ]
        if rows:
            yield f'### {dataset}\n'
            heads = [COLUMNS[k].head for k in SHORT]
            head = ['network', 'training', 'seeds', 'views', *heads, '`abc` IoU / nIoU', 'evidence']
            yield markdown_table(head, rows, right=range(2, 10))


def _result(name: str, evidence: str, found: Mapping[str, dict]) -> list[str]:
    native, abc = found['native'], found.get('abc')
    return [
        f'`{name}`',
        native['Training'],
        str(len(native.get('Seeds', [0]))),
        str(native['Views']),
        *(_spread(native, k) for k in SHORT),
        ' / '.join(_spread(abc, k) for k in ('IoU', 'nIoU')) if abc else '–',
        f'[{Path(evidence).parent.name}](../{evidence})',
    ]


def _spread(result: Mapping, key: str) -> str:
    value, deviation = result['Metrics'].get(key), result.get('Deviations', {}).get(key)
    if value is None:
        return '–'
    return f'{value:.2f}' if deviation is None else f'{value:.2f} ± {deviation:.2f}'


def _classical(root: Path, metafile: Mapping) -> Iterator[str]:
    [model] = metafile['Models']
    sets: dict[str, dict] = {}
    for path in model['Evidence']:
        sets |= {name: part['methods'] for name, part in read_json(root / path).items()}
    yield (
        f'Each is a method of [{model["Config"]}](../{model["Config"]}): `--cfg-options '
        'model.method=<name>`; `madnet test` takes it without a checkpoint. IoU / nIoU in percent on the '
        f'test images, detections by the rule `{RULE}`; [classical](classical.md) says what they compute '
        'and has their other numbers '
        f'([evidence](../{Path(model["Evidence"][0]).parent})).\n'
    )
    rows = []
    for d in DETECTORS.values():
        found = [methods[d.name]['rules'][RULE] if d.name in methods else {} for methods in sets.values()]
        cells = [f'{as_text("IoU", r.get("IoU"))} / {as_text("nIoU", r.get("nIoU"))}' for r in found]
        rows.append([f'`{d.name}`', d.title, d.paper, *cells])
    yield markdown_table(['name', 'detector', 'paper', *sets], rows, right=range(3, 3 + len(sets)))


def _quoted(root: Path, metafiles: Mapping[str, dict]) -> Iterator[str]:
    sources = yaml.safe_load((root / 'configs' / 'sources.yaml').read_text(encoding='utf-8'))
    letters = {source: chr(ord('a') + i) for i, source in enumerate(sources)}
    quotes = [
        (collection['Name'], quote)
        for metafile in metafiles.values()
        for collection in metafile['Collections']
        for quote in collection.get('Quoted', ())
    ]
    quotes.sort(key=lambda line: (line[0].lower(), letters[line[1]['Source']]))
    for dataset in known_datasets():
        if not any(quote['Dataset'] == dataset for _, quote in quotes):
            continue
        here = [(system, q['Source'], q['Metrics']) for system, q in quotes if q['Dataset'] == dataset]
        keys = [k for k in SHORT if any(k in numbers for *_, numbers in here)]
        rows = [
            [system, *(_quoted_cell(k, numbers) for k in keys), f'[{letters[source]}] {source}']
            for system, source, numbers in here
        ]
        yield f'### {dataset}, quoted\n'
        head = ['system', *(COLUMNS[k].head for k in keys), 'source']
        yield markdown_table(head, rows, right=range(1, len(keys) + 1))
        yield from _spread_of_sources(here)
    yield '\n'.join(f'* [{letters[s]}] {s}: {about}.' for s, about in sources.items()) + '\n'


def _quoted_cell(key: str, numbers: Mapping) -> str:
    value = numbers.get(key)
    if value is None:
        return '–'
    iou = numbers['IoU'] / 100
    follows = 100 * 2 * iou / (1 + iou)
    if key == 'F1' and abs(value - follows) > 0.1:
        return f'{value:.2f} → {follows:.2f}'
    return f'{value:.2f}'


def _spread_of_sources(lines: list[tuple[str, str, Mapping]]) -> Iterator[str]:
    by_system: dict[str, list[float]] = {}
    for system, _, numbers in lines:
        by_system.setdefault(system, []).append(numbers['IoU'])
    for system, ious in by_system.items():
        if len(ious) > 1:
            values = ', '.join(f'{v:.2f}' for v in sorted(ious))
            yield f'{system} alone: {values}, {max(ious) - min(ious):.1f} points apart.\n'


def main() -> None:
    """Write the page."""
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--costs',
        nargs='*',
        metavar='NAME',
        help=f'first measure parameters and MACs of these networks, or of all (minutes), into {COSTS}',
    )
    names = parser.parse_args().costs
    if names is not None:
        try:
            print(f'written {write_costs(root, names)}')
        except UserError as e:
            parser.error(str(e))
    print(f'written {write_whole(root / "docs" / "zoo.md", make_page(root))}')


if __name__ == '__main__':
    main()
