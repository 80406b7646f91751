"""Data sets that are scored together: what files and the terminal say of each, and of all."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isnan
from typing import Any

from madnet.datasets.sources import set_name
from madnet.datasets.splits import ids_sha256
from madnet.evaluation.evaluator import Evaluator, joined
from madnet.records import MetricsFile, few_images_text, metrics_text
from madnet.text import printable


@dataclass(frozen=True)
class ScoredSet:
    """One data set and its counts.

    Attributes:
        dataset: What ``metrics.json`` says of it: name, split, number of images.
        evaluator: With the counts.
        other_metrics: What metrics beside ours gave, by name; None without any.
    """

    dataset: dict[str, Any]
    evaluator: Evaluator
    other_metrics: dict[str, Any] | None = field(default=None, kw_only=True)


def labels_of(datasets: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names that tell data sets apart: of the set or its folder, with the split or a number where they must.

    Args:
        datasets: Arguments of data sets: ``name``, ``data_root`` or ``type``, and ``split``.
    """
    names = _told_apart([set_name(d) for d in datasets], [d.get('split') or '' for d in datasets])
    while len(set(names)) < len(names):  # again, where a set is called as another with its number
        names = _told_apart(names, [f'#{i}' for i in range(1, len(names) + 1)])
    return names


def _told_apart(names: Sequence[str], marks: Sequence[str]) -> list[str]:
    """Names that occur once as they are, others with their mark."""
    times = Counter(names)
    return [f'{n} {mark}'.strip() if times[n] > 1 else n for n, mark in zip(names, marks, strict=True)]


def everything(sets: Mapping[str, ScoredSet]) -> Evaluator:
    """The counts of all sets together."""
    return joined({label: one.evaluator for label, one in sets.items()})


def content_of(sets: Mapping[str, ScoredSet]) -> dict[str, Any]:
    """``dataset``, ``results``, ``details`` and ``other_metrics`` of ``metrics.json``; of several sets
    those of all images, and ``sets`` with each one's own: what other metrics gave cannot be joined.

    Args:
        sets: By :func:`labels_of`.
    """
    parts = {
        label: {
            'dataset': one.dataset,
            'results': one.evaluator.compute(),
            'details': one.evaluator.details(),
            'other_metrics': one.other_metrics,
        }
        for label, one in sets.items()
    }
    if len(parts) == 1:
        return next(iter(parts.values()))
    every = everything(sets)
    splits = {one.dataset.get('split') for one in sets.values()}
    dataset = {
        'name': ' + '.join(sets),
        'split': splits.pop() if len(splits) == 1 else None,
        'images': len(every),
        'split_sha256': ids_sha256(every.names),
        'trained_on': sum(one.dataset.get('trained_on') or 0 for one in sets.values()) or None,
    }
    return {'dataset': dataset, 'results': every.compute(), 'details': every.details(), 'sets': parts}


def per_image_of(sets: Mapping[str, ScoredSet]) -> list[dict[str, Any]]:
    """Rows of ``per_image.csv``; of several sets with the set's name in each."""
    return [
        {'dataset': label, **row} if len(sets) > 1 else row
        for label, one in sets.items()
        for row in one.evaluator.per_image()
    ]


def detections_of(sets: Mapping[str, ScoredSet]) -> list[dict[str, Any]]:
    """Rows of ``detections.csv``: every predicted component of protocol ``native`` with what is known of it,
    the highest rank first; none where that protocol was not scored."""
    rows = []
    for label, one in sets.items():
        if all(p.name != 'native' for p in one.evaluator.protocols):
            continue
        columns = one.evaluator.predicted('native')
        names = [one.evaluator.names[int(i)] for i in columns.pop('image')]
        for name, *values in zip(names, *(c.tolist() for c in columns.values()), strict=True):
            row = {'name': name, **dict(zip(columns, values, strict=True))}
            row |= {'area': int(row['area']), 'matched': int(row['matched'])}
            rows.append({'dataset': label, **row} if len(sets) > 1 else row)
    # a rank that is not known (NaN) comes last
    return sorted(rows, key=lambda row: (inf if isnan(row['rank']) else -row['rank'], -row['logit']))


def results_text(found: MetricsFile) -> str:
    """The numbers as the terminal shows them, with what they were counted by and what to mind.

    One set has one table; several have one a protocol, with a row for each set and one for all.
    """
    if found.sets is None:
        tables = [metrics_text(found.results)]
    else:
        tables = [
            metrics_text(
                {**{label: one.results[protocol] for label, one in found.sets.items()}, 'all': everything},
                f'protocol {protocol}',
            )
            for protocol, everything in found.results.items()
        ]
    others = [
        f'{label}other metrics  ' + '  '.join(f'{k} {_brief(v)}' for k, v in values.items())
        for label, values in _other_metrics(found)
    ]
    about = (*others, found.budget_text, few_images_text(found.dataset.images))
    return '\n'.join(filter(None, (found.threshold_text, found.least_text, *tables, *about)))


def _other_metrics(found: MetricsFile) -> Iterator[tuple[str, dict[str, Any]]]:
    """What stands before the numbers of other metrics, and they: of each set that has some."""
    sets: Mapping[str, Any] = found.sets or {'': found}
    for label, one in sets.items():
        if one.other_metrics:
            yield label and f'{label}, ', one.other_metrics


def _brief(value: Any) -> str:
    if value is None:
        return '–'
    return f'{value:.6g}' if isinstance(value, float) else printable(str(value))
