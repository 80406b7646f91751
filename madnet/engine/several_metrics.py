"""mmengine's evaluator of several metrics, which says whose numbers have the names of another's."""

from collections.abc import Iterable, Sequence
from typing import Any

from mmengine.evaluator import Evaluator

from madnet.engine.irstd_metric import IRSTDMetric
from madnet.errors import UserError


class SeveralMetrics(Evaluator):
    """As mmengine's.

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
        return _together((metric, metric.evaluate(size)) for metric in self.metrics)


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
