"""What a table of results says, in sentences: who is best, by how much, and whether that may be chance."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from madnet.evaluation.bootstrap import mean_std, paired_bootstrap
from madnet.records import as_text, column
from madnet.records.columns import is_known, may_lead
from madnet.visualization.run_results import RunResult

_OTHERS = ('nIoU', 'Pd', 'Fa')
#: So near to each other the table's number and that of the images' counts are one.
_SAME = 1e-6


def verdict(protocol: str, methods: Mapping[str, Sequence[RunResult]]) -> str:
    """One paragraph on methods that were tested on the same images.

    Args:
        protocol: By whose IoU they are compared.
        methods: Label → its runs: one, or several seeds.

    Returns:
        Empty where no method has an IoU under this protocol.
    """
    means = {label: mean_std([run.metrics[protocol] for run in runs]) for label, runs in methods.items()}
    order = sorted(
        (m for m in means if _value(means[m], 'IoU') is not None), key=lambda m: -means[m]['IoU'][0]
    )
    if not order:
        return ''
    first = order[0]
    if len(order) == 1:
        alone = methods[first][0].details(protocol).intervals or {}
        interval = _interval(alone.get('IoU'))
        return f'{first}: IoU {_text(means[first], "IoU")}{interval}. {_others(means[first])}'.strip()
    second = order[1]
    lead = means[first]['IoU'][0] - means[second]['IoU'][0]
    if as_text('IoU', means[first]['IoU'][0]) == as_text('IoU', means[second]['IoU'][0]):
        said = f'{first} and {second} share the highest IoU, {_text(means[first], "IoU")}.'
    else:
        said = (
            f'{first} has the highest IoU of {len(order)} methods: {_text(means[first], "IoU")}, '
            f'{100 * lead:.2f} points more than {second}. '
            + _certainty(protocol, methods[first], methods[second])
        )
    return f'{said} {_other_leaders(means, first)}'.strip()


def _certainty(protocol: str, first: Sequence[RunResult], second: Sequence[RunResult]) -> str:
    """Whether the lead of one method over another is more than chance."""
    if len(first) > 1 or len(second) > 1:
        a, b = (mean_std([run.metrics[protocol] for run in runs])['IoU'] for runs in (first, second))
        spread = math.sqrt(sum(s**2 for _, s, n in (a, b) if n > 1))
        return f'The runs of the two spread by {100 * spread:.2f} points (root of the summed variances): ' + (
            'the lead is larger.' if a[0] - b[0] > spread else 'the lead is no larger.'
        )
    interval = _paired_interval(protocol, first[0], second[0])
    if interval is None:
        return 'Whether that is more than chance cannot be said: it takes per_image.csv of both runs.'
    low, high = (100 * end for end in interval)
    words = f'{low:.2f} to {high:.2f} points (95 % interval, paired bootstrap over images)'
    if low > 0:
        return f'That is more than chance among such images: {words}.'
    return f'That may be chance: the interval holds 0, {words}.'


def _paired_interval(protocol: str, first: RunResult, second: RunResult) -> tuple[float, float] | None:
    """95 % interval of the difference in IoU; None where the images' counts are not at hand for both."""
    a, b = (
        {row['name']: row for row in run.per_image if row.get('protocol', protocol) == protocol}
        for run in (second, first)
    )
    if not a or a.keys() != b.keys() or not {'TP', 'FP', 'FN', 'pixels'} <= next(iter(a.values())).keys():
        return None
    found = paired_bootstrap(_counts([a[name] for name in a]), _counts([b[name] for name in a]))
    scored = [run.metrics[protocol]['IoU'] for run in (second, first)]
    # a protocol whose IoU is no quotient of these sums has another interval
    if any(abs(x - y) > _SAME for x, y in zip((found['IoU']['a'], found['IoU']['b']), scored, strict=True)):
        return None
    interval = found['IoU']['interval']
    return interval if isinstance(interval, tuple) else None


def _counts(rows: Sequence[Mapping]) -> dict[str, np.ndarray]:
    """Columns that :func:`~madnet.evaluation.bootstrap.paired_bootstrap` resamples, of ``per_image.csv``."""
    names = ('TP', 'FP', 'FN', 'IoU', 'targets', 'matched', 'false_pixels', 'pixels')
    table = {name: np.array([row[name] for row in rows], float) for name in names}
    return table | {'intersection': table['TP'], 'union': table['TP'] + table['FP'] + table['FN']}


def _other_leaders(means: Mapping[str, Mapping], first: str) -> str:
    """Who leads by the other metrics, where that is not the first by IoU."""
    leaders: dict[str, list[str]] = {}
    for key in _OTHERS:
        known = {
            m: value for m, v in means.items() if (value := _value(v, key)) is not None and may_lead(v, key)
        }
        if len(known) > 1:
            sign = -1 if column(key).better == 'lower' else 1
            best = max(known, key=lambda m: (sign * known[m], m == first))
            if best != first:
                leaders.setdefault(best, []).append(key)
    parts = [
        f'{label} by {" and ".join(f"{key} ({_text(means[label], key)})" for key in keys)}'
        for label, keys in leaders.items()
    ]
    if parts:
        return f'Ahead by other metrics: {"; ".join(parts)}.'
    return (
        'It leads by nIoU, Pd and Fa too.'
        if all(_value(means[first], k) is not None for k in _OTHERS)
        else ''
    )


def _others(metrics: Mapping) -> str:
    known = [f'{key} {_text(metrics, key)}' for key in _OTHERS if _value(metrics, key) is not None]
    return f'{", ".join(known)}.' if known else ''


def _value(metrics: Mapping, key: str) -> float | None:
    value = metrics.get(key)
    return value[0] if value and is_known(value) else None


def _text(metrics: Mapping, key: str) -> str:
    unit = {'%': ' %', '×1e-6': ' pixels per million'}.get(column(key).unit, '')
    mean, std, n = metrics[key]
    return as_text(key, (mean, std, n) if n > 1 else mean) + unit


def _interval(ends: Sequence[float | None] | None) -> str:
    if not ends or not all(map(is_known, ends)):
        return ''
    return f' (95 % interval over images: {as_text("IoU", ends[0])} to {as_text("IoU", ends[1])} %)'
