#!/usr/bin/env python
"""Write docs/zoo.md: what is known, verified and measured of each system, and, apart, what papers say."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from madnet.classical.detectors import DETECTORS
from madnet.datasets.catalogue import known_datasets
from madnet.errors import UserError
from madnet.experiments.cost import measure_cost
from madnet.experiments.summary import tables_of
from madnet.experiments.systems import load_systems, system_of
from madnet.files import write_json
from madnet.records import COLUMNS, ResultTable

COSTS = 'experiments/costs/costs.json'
_METRICS = ('IoU', 'nIoU', 'F1', 'Pd', 'Fa')

_INTRODUCTION = """\
# The zoo: every system, what it costs, what is verified, what it reaches

*Made by `python docs/build/zoo.py` of [systems.yaml](../madnet/experiments/systems.yaml) and of the results
under [experiments](../experiments); edit those, not this page.
[add_a_network.md](add_a_network.md) adds a row.*
"""

_NETWORKS = """\
## Networks

The name is that of the configs: `configs/zoo/<name>_<data set>.py` is the paper's recipe (for MAD-Net
and MiM-ISTD `configs/<name>_<data set>.py`); `configs/zoo/modern/` and `configs/modern/` hold one recipe
common to all. A note says where the paper's recipe needs another form of the network than the row's.
Parameters and multiply-accumulates (of convolutions, matrix products and selective scans, for one image) are
measured here on `configs/_base_/models/<name>.py`; beside them stands what was counted in the published code.
*Parity*: published weights, converted, give the published network's outputs to a relative error of 1e-4 or
less, in the test that is linked; *modules*: of every module, and the whole network equals a plain reference
in the tests, since the published whole does not run as it is. *Measured here*: trained and tested, see below.
"""

_QUOTED = """\
## Quoted from papers and repositories: not measured here, not comparable

Numbers of one network on one data set differ by up to 15 points between sources, because splits, resolution,
threshold, metric code and the choice of the epoch differ. Compare with them only what was trained on the same
split and scored under the same protocol ([metrics.md](metrics.md)), and mind:

* F1 must equal 2·IoU / (1 + IoU). Where it is off by more than 0.1, what follows from the IoU stands behind
  the arrow.
* The best epoch *on the test images* was reported wherever it says so, and mostly where nothing is said.
* NUAA-SIRST is split in three ways; 44 of the 86 test images of one are training images of another.
* Runs on NUAA-SIRST vary by one to two points of IoU with the seed alone.
* Of SCTransNet and of the detectors without training nothing is quoted: what is measured here stands above.
"""


def make_page(root: Path) -> str:
    """The text of ``docs/zoo.md`` from the files of a checkout.

    Args:
        root: The checkout; ``systems.yaml`` is the package's, results are ``experiments/**/*.json``.

    Raises:
        UserError: A result is no JSON.
    """
    results = read_results(root / 'experiments')
    costs = next(iter(results.pop('costs', {}).values()), {}).get('networks', {})
    parts = [_INTRODUCTION, _NETWORKS, *_networks(costs, results)]
    parts += ['## Detectors without training\n', *_detectors(results)]
    parts += ['## Measured here\n', *_measured(results), _QUOTED, *_quoted()]
    return '\n'.join(parts)


def read_results(folder: Path) -> dict[str, dict[str, dict]]:
    """Kind (``'zoo'``, ``'classical'``, ``'costs'``) → path as seen from ``docs/`` → content of the file.

    Of comparisons only those on test images: ablations on validation images say nothing beside them.

    Raises:
        UserError: A file is no JSON.
    """
    kinds: dict[str, dict[str, dict]] = {}
    for path in sorted(folder.rglob('*.json')):
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
        except ValueError as e:
            raise UserError(f'{path}: not readable as JSON ({e})') from None
        kind = _kind_of(content)
        if kind is not None:
            kinds.setdefault(kind, {})[f'../{path.relative_to(folder.parent).as_posix()}'] = content
    return kinds


def _kind_of(content: object) -> str | None:
    if not isinstance(content, dict) or not content:
        return None
    # tools/benchmark.py classical --json: data set → what was measured on it
    if all(isinstance(part, dict) and 'methods' in part for part in content.values()):
        return 'classical'
    if content.get('kind') == 'zoo' and not any(row['dataset']['split'] == 'test' for row in content['rows']):
        return None
    return content.get('kind')


def write_costs(root: Path) -> Path:
    """Measure parameters and MACs of every network again; returns the file."""
    networks = {}
    for name, system in load_systems()['networks'].items():
        size = system.get('published', {}).get('size', 256)
        cost = measure_cost(str(root / f'configs/_base_/models/{name}.py'), size=size)
        # seconds belong to a machine, not to a network
        networks[name] = {k: cost[k] for k in ('parameters', 'MACs', 'size', 'channels')}
    return write_json(root / COSTS, {'kind': 'costs', 'networks': networks})


def _networks(costs: Mapping, results: Mapping) -> Iterator[str]:
    head = ['name', 'network', 'paper', 'parameters here', 'published', 'GMACs here', 'published']
    rows, notes = [], []
    for name, system in load_systems()['networks'].items():
        ours, published = costs.get(name, {}), system.get('published', {})
        told = [n for n in (published.get('note'), _dead(published)) if n]
        if told:
            notes.append(f'{len(notes) + 1}. {system["name"]}: {"; ".join(told)}.')
        mark = f' <sup>{len(notes)}</sup>' if told else ''
        size = f'{ours["channels"]}×{ours["size"]}²' if ours else ''
        rows.append(
            [
                f'`{name}`',
                system['name'] + mark,
                '. '.join(filter(None, (_link(system['paper'], system.get('link')), system.get('by')))),
                f'{ours["parameters"]:,}' if ours else '–',
                f'{published["parameters"]:,}' if published else '–',
                f'{ours["MACs"] / 1e9:.3f}' if ours else '–',
                f'{published["MACs"] / 1e9:.3f}' if 'MACs' in published else '–',
                size,
                f'[{system.get("parity_of", "yes")}](../{system["parity"]})' if 'parity' in system else 'no',
                ', '.join(sorted(_sets_of(name, results))) or 'not yet',
            ]
        )
    yield from _table([*head, 'input', 'parity', 'measured here'], rows, right=(3, 4, 5, 6))
    yield '\n'.join(notes) + '\n'


def _dead(published: Mapping) -> str:
    dead = published.get('dead')
    return f'{dead:,} published parameters without effect are not built' if dead else ''


def _zoo_rows(results: Mapping) -> list[dict]:
    return [row for summary in results.get('zoo', {}).values() for row in summary['rows']]


def _sets_of(network: str, results: Mapping) -> set[str]:
    """Data sets that a network was measured on, with the variant where it is one, but not how it was trained
    (``'MAD-Net nano, joint'``)."""
    return {
        row['dataset']['name'] + (f' (as {row["label"].split(",")[0]})' if row['network'] != network else '')
        for row in _zoo_rows(results)
        if system_of(row['network']) == network
    }


def _detectors(results: Mapping) -> Iterator[str]:
    tested = {(row['network'], row['dataset']['name']) for row in _zoo_rows(results)}
    for report in results.get('classical', {}).values():
        tested |= {(name, dataset) for dataset, part in report.items() for name in part['methods']}
    rows = [
        [f'`{d.name}`', d.title, d.paper, ', '.join(sorted(s for n, s in tested if n == d.name)) or 'not yet']
        for d in DETECTORS.values()
    ]
    yield (
        'Each is `configs/classical/<name>_<data set>.py`; `tools/test.py` takes it without a checkpoint. '
        '[classical.md](classical.md) says what they compute, and gives their numbers under other rules.\n'
    )
    yield from _table(['name', 'detector', 'paper', 'measured here'], rows)


def _measured(results: Mapping) -> Iterator[str]:
    if not results:
        yield 'Nothing yet.\n'
    for path, summary in results.get('zoo', {}).items():
        for table, _ in tables_of(summary):
            yield table.markdown()
        yield f'*[{path[3:]}]({path}), {summary["made"]}.*\n'
    for path, report in results.get('classical', {}).items():
        for dataset, part in report.items():
            yield _classical(dataset, part).markdown()
        yield f'*[{path[3:]}]({path}).*\n'


def _classical(dataset: str, part: Mapping) -> ResultTable:
    """The numbers of a data set under the rule that its methods name first."""
    rule = next(iter(next(iter(part['methods'].values()))['rules']))
    rows = {m['title']: m['rules'][rule] for m in part['methods'].values() if rule in m['rules']}
    what = ' '.join(filter(None, (dataset, part.get('split_set'), part.get('split'))))
    caption = f'{what}, {part["images"]} images; detections by rule {rule} of each score map'
    return ResultTable(caption, 'native', rows, _METRICS, head='detector')


def _quoted() -> Iterator[str]:
    sources = load_systems()['quoted']
    for dataset in known_datasets():
        lines = [
            (system, source, dict(zip(source['metrics'], values[dataset], strict=True)))
            for source in sources
            for system, values in source['rows'].items()
            if dataset in values
        ]
        lines.sort(key=lambda line: line[0].lower())
        keys = [k for k in _METRICS if any(numbers.get(k) is not None for *_, numbers in lines)]
        rows = [
            [system, *(_quoted_cell(k, numbers) for k in keys), _named(sources, source)]
            for system, source, numbers in lines
        ]
        yield f'### {dataset}, quoted\n'
        yield from _table(
            ['system', *(COLUMNS[k].head for k in keys), 'source'], rows, right=range(1, len(keys) + 1)
        )
        yield from _spread(dataset, lines)
    yield '\n'.join(f'* {_named(sources, s)}: {s["about"]}.' for s in sources) + '\n'


def _quoted_cell(key: str, numbers: Mapping) -> str:
    value = numbers.get(key)
    if value is None:
        return '–'
    iou = numbers['IoU'] / 100
    follows = 100 * 2 * iou / (1 + iou)
    if key == 'F1' and abs(value - follows) > 0.1:
        return f'{value:.2f} → {follows:.2f}'
    return f'{value:.2f}'


def _named(sources: Sequence, source: Mapping) -> str:
    return f'[{chr(ord("a") + sources.index(source))}] {source["source"]}'


def _spread(dataset: str, lines: Sequence[tuple]) -> Iterator[str]:
    by_system: dict[str, list[float]] = {}
    for system, _, numbers in lines:
        by_system.setdefault(system, []).append(numbers['IoU'])
    for system, ious in by_system.items():
        if len(ious) > 1:
            values = ', '.join(f'{v:.2f}' for v in sorted(ious))
            yield f'{system} alone: {values}, {max(ious) - min(ious):.1f} points apart.\n'


def _link(text: str, target: str | None) -> str:
    return f'[{text}]({target})' if target else text


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> Iterator[str]:
    right = set(right)
    yield _line(head)
    yield _line(['---:' if i in right else '---' for i in range(len(head))])
    yield from map(_line, rows)
    yield ''


def _line(cells: Sequence[str]) -> str:
    return '| ' + ' | '.join(cells) + ' |'


def main() -> None:
    """Write the page."""
    root = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--costs', action='store_true', help='measure parameters and MACs of all networks first (a minute)'
    )
    if parser.parse_args().costs:
        print(f'written {write_costs(root)}')
    page = root / 'docs' / 'zoo.md'
    page.write_text(make_page(root), encoding='utf-8')
    print(f'written {page}')


if __name__ == '__main__':
    main()
