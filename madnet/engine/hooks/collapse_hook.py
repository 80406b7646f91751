"""A warning when a network has stopped finding anything."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from torch import Tensor, nn

from madnet.engine.bare_model import bare
from madnet.models.losses import MaskBCELoss

BLACK = (
    'The network answers black everywhere, an easy way out where nearly all is background. What helps: '
    'SoftIoULoss over the batch (per_image=False), as per image a single false pixel costs a crop without '
    'target everything; more crops with a target (RandomTargetCrop.target_prob=0.8); less weight on coarse '
    'maps (loss_weights); a lower learning rate; larger crops. A MaskBCELoss keeps a network black if it is '
    'there from the first step: add it when targets are found.'
)
WHITE = (
    'The network calls most of the image target. Early in a run with an IoU loss this passes by itself; '
    'if it stays: a higher learning rate, SoftIoULoss over the batch (per_image=False), and a look at the '
    'masks (0 and 255?) and at the mean and std of data_preprocessor.'
)
SIDE = (
    'An IoU loss has no gradient on such a map, so it stays black, and what lies below it learns '
    'without it. A MaskBCELoss beside SoftIoULoss in decode_head.loss_decode brings most such maps back. A '
    'map whose pixels are larger than the targets may stay black: weigh it less (decode_head.loss_weights).'
)


@HOOKS.register_module()
class CollapseHook(Hook):
    """Notices that training has collapsed, and says once what to try.

    Networks for small targets fall into predicting no target at all, and stay there: the loss hardly differs
    from that of a network that finds some. It shows in validation: no pixel predicted (Pd and Fa are 0), or
    most of them (Fa above one half). And it shows in training, for every map of deep supervision: in a whole
    epoch not one pixel has a probability above one half (``decode_head.highest_logits``). Side maps may be
    black as long as a loss that revives them has yet to begin (``MaskBCELoss.begin``).

    Args:
        patience: Number of validations, or of epochs of training, in a row that must show it.
        after: Epochs at the start that do not count.
    """

    priority = 'LOW'

    def __init__(self, patience: int = 3, after: int = 5):
        self.patience = patience
        self.after = after
        self._row: list[str] = []
        self._warned: set[str] = set()
        self._peaks: dict[str, list[Tensor]] = defaultdict(list)
        self._black_epochs: dict[str, int] = {}

    def state_dict(self) -> dict[str, Any]:
        """What counts at the next look, for a checkpoint."""
        return {
            'row': self._row,
            'warned': sorted(self._warned),
            'peaks': {name: _highest(seen).cpu() for name, seen in self._peaks.items()},
            'black_epochs': self._black_epochs,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._row, self._warned = list(state['row']), set(state['warned'])
        self._black_epochs = dict(state['black_epochs'])
        self._peaks.clear()
        self._peaks.update({name: [peak] for name, peak in state['peaks'].items()})

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Look at the validation's metrics."""
        advice = self._advice(metrics or {})
        if advice is None or runner.epoch <= self.after:
            self._row.clear()
            return
        self._row = [known for known in self._row if known == advice] + [advice]
        if len(self._row) >= self.patience:
            self._warn_once(runner, advice, f'{len(self._row)} validations in a row, to epoch {runner.epoch}')

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs: dict | None = None) -> None:
        """Keep the highest logit of each map, on the device; of a hundred steps one remains."""
        head = getattr(bare(runner.model), 'decode_head', None)
        for name, peak in getattr(head, 'highest_logits', {}).items():
            self._peaks[name].append(peak)
            if len(self._peaks[name]) == 100:
                self._peaks[name] = [_highest(self._peaks[name])]

    def after_train_epoch(self, runner) -> None:
        """Look for maps that were black in all of the epoch."""
        peaks = {name: _highest(seen).item() for name, seen in self._peaks.items()}
        self._peaks.clear()
        if runner.epoch < self.after:  # counted from 0 here, from 1 in words
            return
        names = list(peaks)[-1:] if _help_is_coming(runner.model) else peaks
        black = {name: self._black_epochs.get(name, 0) + 1 for name in names if peaks[name] <= 0}
        self._black_epochs = black
        stuck = [name for name in peaks if black.get(name, 0) >= self.patience]
        if not stuck:
            return
        seen = f'no pixel in {self.patience} epochs of training, to epoch {runner.epoch + 1}'
        if list(peaks)[-1] in stuck:  # the prediction itself
            self._warn_once(runner, BLACK, seen)
        else:
            self._warn_once(runner, SIDE, f'{seen}, in the supervised map(s) {", ".join(stuck)}')

    def _warn_once(self, runner, advice: str, seen: str) -> None:
        if advice not in self._warned:
            self._warned.add(advice)
            runner.logger.warning(f'{seen}: {advice}')

    @staticmethod
    def _advice(metrics: dict) -> str | None:
        if 'Pd' not in metrics or 'Fa' not in metrics:
            return None
        if metrics['Pd'] == 0 and metrics['Fa'] == 0:
            return BLACK
        return WHITE if metrics['Fa'] > 0.5 else None


def _highest(peaks: list[Tensor]) -> Tensor:
    """Of numbers of one device, but for one of a checkpoint."""
    return torch.stack([peak.to(peaks[-1].device) for peak in peaks]).amax()


def _help_is_coming(model: nn.Module) -> bool:
    return any(isinstance(m, MaskBCELoss) and not m.active for m in model.modules())
