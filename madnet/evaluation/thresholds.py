"""A threshold in place of the protocols' own: a number, or the best one of another part of the data."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from madnet.errors import UserError
from madnet.evaluation.evaluator import Evaluator
from madnet.evaluation.metrics import detections_curve
from madnet.evaluation.protocols import Protocol, ProtocolLike, get_protocol, get_protocols
from madnet.evaluation.ranking import cut_for_budget, within_budget
from madnet.text import score_text

_PARTS = ('prediction', 'niou_prediction', 'f1_prediction', 'target_prediction')


@dataclass(frozen=True)
class OperatingPoint:
    """What detections are counted at.

    Attributes:
        protocols: With the threshold in them, where it is not their own.
        threshold: ``threshold`` and ``threshold_chosen_on`` of ``metrics.json``, where it is not their own.
        budget: Of :func:`choose_rank`; None where none was asked for.
    """

    protocols: Sequence[Protocol]
    threshold: dict[str, Any]
    budget: dict[str, Any] | None

    def said_of(self, counted: Evaluator) -> dict[str, Any]:
        """What ``metrics.json`` says of the threshold, and of the budget, at which images were counted."""
        if self.budget is None:
            return self.threshold
        return {**self.threshold, 'fa_budget': {**self.budget, **at_rank(counted, self.budget['rank'])}}


def choose_operating_point(
    protocols: ProtocolLike | Iterable[ProtocolLike],
    threshold: str | float | None,
    fa_budget: float | None,
    scored: Iterable[str | None],
    score: Callable[[str, Sequence[ProtocolLike]], Evaluator],
) -> OperatingPoint:
    """The threshold and the budget that a user asked for, chosen on another part of the data if need be.

    Args:
        protocols: To score by.
        threshold: Of :func:`parse_threshold`.
        fa_budget: False-alarm pixels over all pixels; None for no budget.
        scored: The parts of the data that are scored then.
        score: From another part, and ``native`` as it is or at the threshold, to the counts by it.

    Raises:
        UserError: Neither can be had, or would be chosen on images that are scored.
    """
    scored, chosen, budget = list(scored), get_protocols(protocols), None
    said: dict[str, Any] = {}
    value, part = parse_threshold(threshold)
    # all that can be refused before minutes of choosing
    if part is not None:
        refuse_same_part(f'--threshold best:{part}', part, scored)
    if fa_budget is not None:
        refuse_no_share(fa_budget)
        refuse_without_native(chosen)
        refuse_same_part(f'--fa-budget {fa_budget:g}', 'val', scored)
    if part is not None:
        value, said['threshold_chosen_on'] = choose_threshold(score(part, ['native']), part)
    if value is not None:
        said['threshold'] = value
        chosen = get_protocols([at_threshold(p, value) for p in chosen])
    if fa_budget is not None:
        native = [p for p in chosen if p.name == 'native']  # the detections are those at the threshold
        budget = choose_rank(score('val', native), fa_budget, 'val')
    return OperatingPoint(chosen, said, budget)


def refuse_limits_beside(threshold: str | float | None, limits: Iterable[str]) -> None:
    """Stop where components would be told apart at 0.5 and counted at another threshold.

    Args:
        threshold: As the user gave it; None for none.
        limits: Names of what components must have at least, such as ``'min_scr'``.

    Raises:
        UserError: There are both.
    """
    if threshold is not None and (named := ['--' + name.replace('_', '-') for name in limits]):
        raise UserError(
            f'--threshold {threshold}: {", ".join(named)} tells components apart at the threshold of 0.5; '
            'leave one of them out.'
        )


def parse_threshold(text: str | float | None) -> tuple[float | None, str | None]:
    """``0.3`` → (0.3, None); ``'best:val'`` → (None, 'val'); None → (None, None).

    Raises:
        UserError: Anything else.
    """
    if text is None:
        return None, None
    word, _, part = str(text).partition(':')
    if word == 'best' and part:
        return None, part
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UserError(
            f'--threshold: found {text!r}, expected a probability in 0–1, or best:val for the one with the '
            'best IoU on the validation part.'
        )
    return value, None


def refuse_same_part(option: str, chosen_on: str, scored: Iterable[str | None]) -> None:
    """Raise a UserError where what an option asks for would be chosen on images that are then scored."""
    apart = [{'fit', 'val'}, *({'test', part} for part in ('train', 'val', 'trainval', 'fit'))]
    if any({chosen_on, part} not in apart for part in scored if part is not None):
        raise UserError(
            f'{option}: is chosen on {chosen_on!r}, whose images are scored too, which flatters the numbers; '
            'choose on one part, such as val, and score another, such as test.'
        )


def choose_threshold(counted: Evaluator, part: str) -> tuple[float, str]:
    """The threshold of the best IoU, by ``native``, over all images, and where it was found, in words.

    Raises:
        UserError: There is no target in them.
    """
    histogram = counted.counted('native').histogram
    assert histogram is not None  # an evaluator with curves
    value, best = histogram.best_threshold()
    if math.isnan(best):
        raise UserError(f'--threshold best:{part}: the {len(counted)} images of this part have no target.')
    return value, f'{part!r}, {len(counted)} images, IoU {100 * best:.2f} there'


def choose_rank(counted: Evaluator, budget: float, part: str) -> dict[str, float | str]:
    """The least rank of detections that keeps to a budget of false alarms, by ``native``.

    Args:
        counted: With the validation images.
        budget: False-alarm pixels over all pixels, in (0, 1].
        part: What these images are, in words.

    Returns:
        ``budget``, ``rank``, and ``chosen_on``, in words.

    Raises:
        UserError: No detection keeps to it.
    """
    curve = detections_curve(counted.counted('native'))
    best = within_budget(curve, budget)
    if not math.isfinite(best['threshold']):
        raise UserError(
            f'--fa-budget {budget:g}: no detection on the {len(counted)} images of {part!r} keeps to it; '
            'allow more.'
        )
    found = '' if math.isnan(best['Pd']) else f'Pd {100 * best["Pd"]:.2f} and '
    on = f'{part!r}, {len(counted)} images, {found}Fa {1e6 * best["Fa"]:.2f}e-6 there'
    return {'budget': budget, 'rank': cut_for_budget(curve, budget), 'chosen_on': on}


def parts_chosen_on(threshold: str | float | None, fa_budget: float | None) -> list[str]:
    """The parts of the data that :func:`choose_operating_point` is going to ask ``score`` for."""
    part = parse_threshold(threshold)[1]
    return ([] if part is None else [part]) + ([] if fa_budget is None else ['val'])


def refuse_no_share(budget: float) -> None:
    """Raise a UserError where a budget is no share of the pixels."""
    if not 0 < budget <= 1:
        raise UserError(f'--fa-budget: found {budget:g}, expected a share of the pixels, such as 1e-5.')


def refuse_without_native(protocols: Iterable[Protocol]) -> None:
    """Raise a UserError where ``native``, which ranks detections, is not among the protocols."""
    if all(p.name != 'native' for p in protocols):
        raise UserError('--fa-budget: works by protocol native; add it to --protocol.')


def at_rank(counted: Evaluator, least: float) -> dict[str, float]:
    """``Pd`` and ``Fa`` by ``native`` of the detections whose rank is ``least`` or more."""
    curve = detections_curve(counted.counted('native'))
    kept = int((curve['threshold'] >= least).sum()) - 1
    return {name: float(curve[name][kept]) for name in ('Pd', 'Fa')}


def at_threshold(protocol: ProtocolLike, threshold: float) -> dict[str, object]:
    """A protocol, as parts for ``make_protocol``, with another threshold wherever it binarises scores.

    Its name stays: results say the threshold beside it.
    """
    protocol = get_protocol(protocol)
    about = f'{protocol.reproduces}; threshold {score_text(threshold)} in place of its own'
    return {**asdict(protocol), **dict.fromkeys(_PARTS, threshold), 'reproduces': about.lstrip('; ')}
