"""A word in time when a network has stopped to find anything."""

from mmengine.hooks import Hook
from mmseg.registry import HOOKS

BLACK = (
    'The network answers black everywhere, an easy way out where nearly all is background. What helps: '
    'more crops with a target (RandomTargetCrop.target_prob=0.8); SoftIoULoss over the batch '
    '(per_image=False), as per image a single false pixel costs a crop without target everything; a '
    'MaskBCELoss beside it; less weight on coarse maps (loss_weights); a lower learning rate; larger crops.'
)
WHITE = (
    'The network calls most of the image target. Early in a run with an overlap loss this passes by itself; '
    'if it stays: a higher learning rate, a MaskBCELoss beside the overlap loss, and a look at the masks '
    '(0 and 255?) and at the mean and std of data_preprocessor.'
)


@HOOKS.register_module()
class CollapseHook(Hook):
    """Notices that training has collapsed, and says once what to try.

    Networks for small targets fall into predicting no target at all, and stay there: the loss hardly differs
    from that of a network that finds some. It shows in validation alone: no pixel predicted (Pd and Fa are
    0), or most of them (Fa above one half).

    Args:
        patience: So many validations in a row must show it.
        after: Epochs at the start that do not count.
    """

    priority = 'LOW'

    def __init__(self, patience: int = 3, after: int = 5):
        self.patience = patience
        self.after = after
        self._row: list[str] = []
        self._told: set[str] = set()

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Look at the validation's metrics."""
        advice = self._advice(metrics or {})
        if advice is None or runner.epoch <= self.after:
            self._row.clear()
            return
        self._row = [known for known in self._row if known == advice] + [advice]
        if len(self._row) >= self.patience and advice not in self._told:
            self._told.add(advice)
            seen = f'{len(self._row)} validations in a row, to epoch {runner.epoch}'
            runner.logger.warning(f'{seen}: {advice}')

    @staticmethod
    def _advice(metrics: dict) -> str | None:
        if 'Pd' not in metrics or 'Fa' not in metrics:
            return None
        if metrics['Pd'] == 0 and metrics['Fa'] == 0:
            return BLACK
        return WHITE if metrics['Fa'] > 0.5 else None
