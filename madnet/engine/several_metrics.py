"""mmengine's evaluator of several metrics, which says whose numbers have the names of another's, and gives
what logs can hold."""

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from mmengine.evaluator import Evaluator

from madnet.engine.irstd_metric import IRSTDMetric
from madnet.errors import UserError
from madnet.files import plain


class SeveralMetrics(Evaluator):
    """As mmengine's; of what a user's own metric gives, numbers are plain ones, and all else is as JSON has
    it, or text where JSON has no word for it.

    Raises:
        UserError: Two metrics give numbers of one name: of ours when it is built, of others when they give
            them.
    """

    def __init__(self, metrics: Sequence[Any]):
        super().__init__(metrics)
        ours = [metric for metric in self.metrics if isinstance(metric, IRSTDMetric)]
        if len(ours) > 1:
            _together((metric, dict.fromkeys(metric.names())) for metric in ours)

    def evaluate(self, size: int) -> dict:
        return _together((metric, _plain(_evaluated(metric, size))) for metric in self.metrics)


def _evaluated(metric: Any, size: int) -> dict:
    try:
        return metric.evaluate(size)
    except TypeError as e:
        prefix = getattr(metric, 'prefix', None)
        # mmengine joins the prefix with each key
        found = re.fullmatch(r'sequence item 1: expected str instance, (\S+) found', str(e))
        if not prefix or found is None:
            raise
        raise UserError(
            f'evaluator: {type(metric).__name__} gives a number under a key of type {found[1]}, expected a '
            f'text, which its prefix {prefix!r} can stand before: give str(key) instead.'
        ) from None


def _plain(numbers: dict) -> dict[str, Any]:
    return {str(name): _plain_value(value) for name, value in numbers.items()}


def _plain_value(value: Any) -> Any:
    with suppress(AttributeError, RuntimeError, ValueError):  # it is no array, or one of several numbers
        value = value.item()
    # NaN, of which JSON makes nothing, is a number that is not the best
    return value if isinstance(value, int | float) else json.loads(json.dumps(plain(value), default=str))


def _together(found: Iterable[tuple[object, dict]]) -> dict:
    whose: dict[str, object] = {}
    numbers: dict = {}
    for metric, given in found:
        for name in given:
            if name in whose:
                # the user's, where one of them is
                of = whose[name] if isinstance(metric, IRSTDMetric) else metric
                kinds = f'{type(whose[name]).__name__} and {type(metric).__name__}'
                raise UserError(
                    f'evaluator: {kinds} both give a number {name!r}; give one of them a prefix: '
                    f"dict(type={type(of).__name__!r}, prefix='own', …)."
                )
        whose |= dict.fromkeys(given, metric)
        numbers |= given
    return numbers
