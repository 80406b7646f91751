"""What a table of results says, in sentences: who is best, by how much, and whether that may be chance."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from madnet.evaluation.bootstrap import mean_std, paired_bootstrap
from madnet.records import as_text, column
from madnet.records.columns import is_known, may_lead, mean_of, value_of
from madnet.records.metrics_file import FEWEST_IMAGES
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
    parts = [said.strip()]
    if not _too_few(protocol, methods[first][0]):
        parts += [_other_leaders(protocol, methods, means, first), _by_rank(protocol, methods, first)]
    return ' '.join(filter(None, parts))


def _certainty(protocol: str, first: Sequence[RunResult], second: Sequence[RunResult]) -> str:
    """Whether the lead of one method over another is more than chance."""
    if _too_few(protocol, first[0]):
        return f'So few images, {_images(protocol, first[0])}, cannot tell whether that holds for others.'
    if len(first) > 1 or len(second) > 1:
        a, b = (mean_std([run.metrics[protocol] for run in runs])['IoU'] for runs in (first, second))
        spread = math.sqrt(sum(s**2 for _, s, n in (a, b) if n > 1))
        return f'The runs of the two spread by {100 * spread:.2f} points (root of the summed variances): ' + (
            'the lead is larger.' if a[0] - b[0] > spread else 'the lead is no larger.'
        )
    interval = _paired_interval(protocol, first[0], second[0])
    if interval is None:
        there = all(_by_image(protocol, run) for run in (first[0], second[0]))
        why = '' if there else ': it takes per_image.csv of both runs'
        return f'Whether that is more than chance cannot be said{why}.'
    words = f'{_points("IoU", interval)} (95 % interval, paired bootstrap over images)'
    if interval[0] > 0:
        return f'That is more than chance among such images: {words}.'
    return f'That may be chance: the interval holds 0, {words}.'


def _images(protocol: str, run: RunResult) -> int | None:
    """How many were scored, as far as it is known."""
    return run.metrics[protocol].get('images') or len(run.rows(protocol)) or None


def _too_few(protocol: str, run: RunResult) -> bool:
    """Whether so few images were scored that a lead says nothing."""
    images = _images(protocol, run)
    return images is not None and images < FEWEST_IMAGES


def _points(key: str, interval: tuple[float, float]) -> str:
    scale, unit = (1e6, 'pixels per million') if key == 'Fa' else (100, 'points')
    low, high = (round(scale * end, 2) + 0.0 for end in interval)  # the sum has no −0.00
    return f'{low:.2f} to {high:.2f} {unit}'


def _paired_interval(
    protocol: str, first: RunResult, second: RunResult, key: str = 'IoU'
) -> tuple[float, float] | None:
    """95 % interval of how far the first is ahead; None where the images' counts are not at hand for both, or
    do not add up to what was scored."""
    a, b = (_by_image(protocol, run) for run in (second, first))
    if not a or a.keys() != b.keys() or not {'TP', 'FP', 'FN', 'pixels'} <= next(iter(a.values())).keys():
        return None
    found = paired_bootstrap(_counts([a[name] for name in a]), _counts([b[name] for name in a]))[key]
    scored = [run.metrics[protocol].get(key) for run in (second, first)]
    # a protocol whose metric is no quotient of these sums has another interval
    for ours, theirs in zip((found['a'], found['b']), scored, strict=True):
        if theirs is None or not abs(ours - theirs) <= _SAME * (theirs if key == 'Fa' else 1):
            return None
    interval = found['interval']
    if not isinstance(interval, tuple):
        return None
    low, high = interval
    return (-high, -low) if column(key).better == 'lower' else (low, high)


def _by_image(protocol: str, run: RunResult) -> dict[tuple[str, str], Mapping]:
    """The rows of a protocol by image; of several sets, which may have images of one name, by set too."""
    several = bool(run.report and run.report.sets)
    return {
        (row.get('dataset', '') if several else '', row['name']): row
        for row in run.per_image
        if row.get('protocol', protocol) == protocol
    }


def _counts(rows: Sequence[Mapping]) -> dict[str, np.ndarray]:
    """Columns that :func:`~madnet.evaluation.bootstrap.paired_bootstrap` resamples, of ``per_image.csv``."""
    names = ('TP', 'FP', 'FN', 'IoU', 'targets', 'matched', 'false_pixels', 'pixels')
    table = {name: np.array([row[name] for row in rows], float) for name in names}
    return table | {'intersection': table['TP'], 'union': table['TP'] + table['FP'] + table['FN']}


def _other_leaders(
    protocol: str, methods: Mapping[str, Sequence[RunResult]], means: Mapping[str, Mapping], first: str
) -> str:
    """Who is ahead by the other metrics: the first by IoU only where that can be tested, against the next."""
    leaders: dict[str, list[str]] = {}
    for key in _OTHERS:
        known = {
            m: value for m, v in means.items() if (value := _value(v, key)) is not None and may_lead(v, key)
        }
        if len(known) < 2:
            continue
        sign = -1 if column(key).better == 'lower' else 1
        order = sorted(known, key=lambda m: (-sign * known[m], m != first))
        best, next_best = order[0], order[1] if order[0] == first else first
        tested = _tested(protocol, methods[best], methods[next_best], key)
        tied = known[best] == known.get(next_best)
        if best != first or (tested and not tied):
            told = '; '.join(part for part in (_text(means[best], key), tested) if part)
            leaders.setdefault(best, []).append(f'{key} ({told})')
    parts = [f'{label} by {", ".join(keys)}' for label, keys in leaders.items()]
    return f'Ahead by other metrics: {"; ".join(parts)}.' if parts else ''


def _tested(protocol: str, first: Sequence[RunResult], second: Sequence[RunResult], key: str) -> str:
    """Whether a lead by a metric is more than chance; empty where that is not known."""
    if len(first) > 1 or len(second) > 1:
        return ''
    interval = _paired_interval(protocol, first[0], second[0], key)
    if interval is None:
        return ''
    low = interval[0]
    return f'{"more than" if low > 0 else "may be"} chance, {_points(key, interval)}'


def _by_rank(protocol: str, methods: Mapping[str, Sequence[RunResult]], first: str) -> str:
    """Who finds more targets than the first by IoU at some smaller Fa, over the rank of detections: the three
    that are ahead by most."""
    mine = _ranked(protocol, methods[first])
    leads = []
    for label, runs in methods.items():
        theirs = _ranked(protocol, runs)
        if label == first or mine is None or theirs is None:
            continue
        # where the first shows all of its detections the table compares them already
        budgets = np.unique(np.concatenate([mine[0], theirs[0]]))
        budgets = budgets[budgets < mine[0].max()]
        a, b = (np.array([_found(curve, fa) for fa in budgets]) for curve in (mine, theirs))
        if not len(budgets) or (b - a).max() <= 0:
            continue
        k = int(np.argmax(b - a))
        fa = f'at Fa up to {1e6 * budgets[k]:.2f} pixels per million'
        limit = fa if budgets[k] else 'without a false alarm'
        words = f'{label} finds {100 * b[k]:.2f} % of targets {limit}, {first} {100 * a[k]:.2f} %'
        leads.append((a[k] - b[k], words))
    if not leads:
        return ''
    said = '; '.join(words for _, words in sorted(leads)[:3])
    return f'With fewer false alarms, over the rank of detections: {said}.'


def _ranked(protocol: str, runs: Sequence[RunResult]) -> tuple[np.ndarray, np.ndarray] | None:
    """Fa and Pd over the rank of detections; None for several runs, which have several curves."""
    curve = runs[0].details(protocol).ranked
    if len(runs) > 1 or not curve:
        return None
    fa, pd = (np.array(curve[key], float) for key in ('Fa', 'Pd'))
    known = ~np.isnan(fa) & ~np.isnan(pd)
    return (fa[known], pd[known]) if known.any() else None


def _found(curve: tuple[np.ndarray, np.ndarray], budget: float) -> float:
    """The largest Pd of a curve at a Fa up to a budget."""
    return float(np.max(curve[1][curve[0] <= budget], initial=0))


def _others(metrics: Mapping) -> str:
    known = [f'{key} {_text(metrics, key)}' for key in _OTHERS if _value(metrics, key) is not None]
    return f'{", ".join(known)}.' if known else ''


def _value(metrics: Mapping, key: str) -> float | None:
    value = value_of(metrics, key)
    return mean_of(value) if is_known(value) else None


def _text(metrics: Mapping, key: str) -> str:
    unit = {'%': ' %', '×1e-6': ' pixels per million'}.get(column(key).unit, '')
    mean, std, n = metrics[key]
    return as_text(key, (mean, std, n) if n > 1 else mean) + unit


def _interval(ends: Sequence[float | None] | None) -> str:
    if not ends or not all(map(is_known, ends)):
        return ''
    return f' (95 % interval over images: {as_text("IoU", ends[0])} to {as_text("IoU", ends[1])} %)'
