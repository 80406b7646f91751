"""A threshold in place of the protocols' own: a number, or the best one of another part of the data."""

import math
from collections.abc import Iterable
from dataclasses import asdict

from madnet.errors import UserError
from madnet.evaluation.evaluator import Evaluator
from madnet.evaluation.protocols import ProtocolLike, get_protocol

_PARTS = ('prediction', 'niou_prediction', 'f1_prediction', 'target_prediction')


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


def refuse_same_part(chosen_on: str, scored: Iterable[str | None]) -> None:
    """Raise a UserError where a threshold would be chosen on images that it is then scored on."""
    apart = [{'fit', 'val'}, *({'test', part} for part in ('train', 'val', 'trainval', 'fit'))]
    if any({chosen_on, part} not in apart for part in scored if part is not None):
        raise UserError(
            f'--threshold best:{chosen_on}: these images are scored too, and a threshold that was chosen on '
            'them flatters the numbers; choose it on another part, such as best:val.'
        )


def choose_threshold(counted: Evaluator, part: str) -> tuple[float, str]:
    """The threshold of the best IoU, by ``native``, over all images, and where it was found, in words.

    Raises:
        UserError: There is no target in them.
    """
    value, best = counted.counted('native').histogram.best_threshold()
    if math.isnan(best):
        raise UserError(f'--threshold best:{part}: the {len(counted)} images of this part have no target.')
    return value, f'{part!r}, {len(counted)} images, IoU {100 * best:.2f} there'


def at_threshold(protocol: ProtocolLike, threshold: float) -> dict[str, object]:
    """A protocol, as parts for ``make_protocol``, with another threshold wherever it binarises scores.

    Its name stays: results say the threshold beside it.
    """
    protocol = get_protocol(protocol)
    about = f'{protocol.reproduces}; threshold {threshold:g} in place of its own'
    return {**asdict(protocol), **dict.fromkeys(_PARTS, threshold), 'reproduces': about.lstrip('; ')}
