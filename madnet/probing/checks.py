"""What a user may expect of a detector, and whether a probe has found it so."""

from collections.abc import Callable, Sequence

from madnet.probing.plants import BRIGHT, PLAIN
from madnet.records import ProbeCheck, ProbeFile, ProbePoint


def check(probe: ProbeFile) -> list[ProbeCheck]:
    """One entry for each expectation whose sweep was run."""
    return [found for expectation in _EXPECTATIONS for found in [expectation(probe)] if found]


def _frame(probe: ProbeFile) -> ProbeCheck | None:
    points = _between(probe, 'frame', 128, 1024)
    expected = (
        f'a target of {PLAIN:g} grey levels on a quiet background is found in every frame from 128² to 1024²'
    )
    lost = [(p.targets - p.found, f'{p.value:g}²') for p in points]
    return _of_counts(expected, 'lost', lost, sum(p.targets for p in points))


def _two(probe: ProbeFile) -> ProbeCheck | None:
    points = _between(probe, 'two', 6, float('inf'))
    expected = f'both of two targets of {BRIGHT:g} grey levels are found from 6 px apart'
    lost = [((p.pairs or 0) - (p.pairs_found or 0), f'{p.value:g} px') for p in points]
    return _of_counts(expected, 'pairs without one or both', lost, sum(p.pairs or 0 for p in points))


def _gain(probe: ProbeFile) -> ProbeCheck | None:
    sweep = probe.sweep('gain')
    before = sweep.reference.pd if sweep and sweep.reference else None
    if before is None:
        return None
    found_at = {p.value: p.pd for p in _between(probe, 'gain', 0.5, 2) if p.pd is not None}
    changes = {value: 100 * (pd - before) for value, pd in found_at.items()}
    if not changes:
        return None
    expected = 'a gain of 0.5 to 2 changes Pd by less than 2 points'
    if not before and not any(changes.values()):  # what finds nothing has nothing to lose
        return ProbeCheck(expected, 'finds no target unchanged', None)
    worst = max(changes, key=lambda gain: abs(changes[gain]))
    change = f'{changes[worst]:+.1f}'.replace('-', '−')
    found = f'largest change {change} points, at gain {worst:g}' if changes[worst] else 'no change'
    return ProbeCheck(expected, found, abs(changes[worst]) < 2)


def _hot_pixels(probe: ProbeFile) -> ProbeCheck | None:
    points = _between(probe, 'hot_pixels', 1, float('inf'))
    alarmed = [(p.defects_alarmed or 0, f'{p.value:g} in a frame') for p in points]
    return _of_counts('hot pixels give no alarm', 'alarmed', alarmed, sum(p.defects or 0 for p in points))


_EXPECTATIONS: tuple[Callable[[ProbeFile], ProbeCheck | None], ...] = (_frame, _two, _gain, _hot_pixels)


def _between(probe: ProbeFile, key: str, low: float, high: float) -> list[ProbePoint]:
    sweep = probe.sweep(key)
    return [p for p in sweep.points if low <= p.value <= high] if sweep else []


def _of_counts(expected: str, what: str, counts: Sequence[tuple[int, str]], total: int) -> ProbeCheck | None:
    """A check that all counts are 0."""
    if not counts:
        return None
    some = sum(count for count, _ in counts)
    where = ', '.join(f'{count} at {value}' for count, value in counts if count)
    found = f'{some} of {total} {what}' + (f': {where}' if some else '')
    return ProbeCheck(expected, found, some == 0 if total else None)
