"""The table of leaving one set out, from the records of its runs.

    python experiments/generalise/table.py work_dirs/generalise [experiments/generalise/results.md]

prints it, and writes it where a file is named: for each part of the recipe IoU / nIoU on every left-out set,
their mean, the change against the first row, the numbers on SIRST-AUG after a training that has not seen its
scenes (without NUAA-SIRST), and the false components of a frame without targets, over all three sets.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from madnet.experiments.plan import read_plan
from madnet.experiments.summary import summarise
from madnet.files import write_whole
from madnet.records import ComparisonRow, markdown_table

LEFT_OUT = {'nuaa': 'NUAA-SIRST', 'nudt': 'NUDT-SIRST', 'irstd1k': 'IRSTD-1K'}
HEAD = [
    'recipe', 'seeds', *LEFT_OUT.values(), 'mean IoU / nIoU', 'change', 'Pd', 'Fa', 'SIRST-AUG',
    'false components a frame',
]  # fmt: skip

Found = Mapping[tuple[str, str], ComparisonRow]


def number(found: Found, left_out: str, tested: str, metric: str) -> float:
    """A metric's mean over the seeds."""
    return found[left_out, tested].results['native'][metric].mean


def cells(found: Found, first: Found | None) -> list[str]:
    """A line after its first two cells.

    Args:
        found: (left-out set, name of the set that was tested) → what came out.
        first: Those of the first line; None where it is not whole.
    """
    own = {m: [number(found, k, v, m) for k, v in LEFT_OUT.items()] for m in ('IoU', 'nIoU', 'Pd', 'Fa')}
    mean = {m: sum(values) / len(values) for m, values in own.items()}
    free = [number(found, k, f'{k}_target_free', 'false_per_image') for k in LEFT_OUT]
    change = '–'
    if first and first is not found:
        before = [sum(number(first, k, v, m) for k, v in LEFT_OUT.items()) / 3 for m in ('IoU', 'nIoU')]
        change = ' / '.join(
            f'{100 * (mean[m] - b):+.1f}' for m, b in zip(('IoU', 'nIoU'), before, strict=True)
        )
    aug = (100 * number(found, 'nuaa', 'SIRST-AUG', m) for m in ('IoU', 'nIoU'))
    return [
        *(f'{100 * i:.1f} / {100 * n:.1f}' for i, n in zip(own['IoU'], own['nIoU'], strict=True)),
        f'{100 * mean["IoU"]:.1f} / {100 * mean["nIoU"]:.1f}',
        change,
        f'{100 * mean["Pd"]:.1f}',
        f'{1e6 * mean["Fa"]:.0f}',
        ' / '.join(f'{value:.1f}' for value in aug),
        f'{sum(free) / len(free):.2f}',
    ]


def table(work_dir: str) -> str:
    """The table in Markdown; of what is not whole, how many of its runs are done."""
    plan = read_plan(Path(__file__).with_name('plan.yaml'), work_dir=work_dir)
    runs = plan.runs()
    rows: dict[str, dict[tuple[str, str], ComparisonRow]] = {}
    labels: dict[str, str] = {}
    for run in runs:
        rows.setdefault(run.network, {})
        labels[run.network] = run.label
    for row in summarise(plan, runs).rows:
        rows[row.network][Path(row.folders[0]).parts[1], row.dataset.name] = row
    whole = {name for name, found in rows.items() if len(found) == 3 * len(LEFT_OUT)}
    first_name = next(iter(rows))
    first = rows[first_name] if first_name in whole else None
    lines = []
    for name, found in rows.items():
        seeds = min((len(row.seeds) for row in found.values()), default=0)
        if name in whole:
            lines.append([labels[name], str(seeds), *cells(found, first)])
        else:
            done = len({left_out for left_out, _ in found})
            lines.append([labels[name], f'{done} of {len(LEFT_OUT)} sets', *['–'] * (len(HEAD) - 2)])
    return markdown_table(HEAD, lines, right=range(1, len(HEAD)))


def main() -> None:
    """Print it, and write it where asked."""
    text = table(sys.argv[1])
    print(text)
    if len(sys.argv) > 2:
        write_whole(Path(sys.argv[2]), text)


if __name__ == '__main__':
    main()
