"""The progress bar of training and testing."""

import sys
import time

import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from tqdm import tqdm

from madnet.progress import progress_bar


@HOOKS.register_module()
class ProgressHook(Hook):
    """One bar over the whole training, one over a test; a line an epoch that stays.

    The bar shows epoch, loss, learning rate and the score of the best epoch so far; tqdm adds speed and ETA.
    Where standard error is no terminal, the bar is left out and only the lines are printed.

    Args:
        score: The validation metric to show.
    """

    priority = 'LOWEST'  # the checkpoint's hook says which epoch is the best

    def __init__(self, score: str = 'nIoU'):
        self.score = score
        self._bar: tqdm | None = None
        self._losses: list = []
        self._rate = 0.0
        self._shown_at = 0.0

    def _open(self, total: int, initial: int, what: str, unit: str) -> None:
        if is_main_process():
            self._bar = progress_bar(total=total, initial=initial, what=what, unit=unit)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def before_train(self, runner) -> None:
        """Open the bar at the batch where training starts or goes on."""
        self._open(runner.max_iters, runner.iter, 'train', 'batch')

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        """Keep the learning rate of the step, before the schedules go on to the next one's."""
        self._rate = runner.optim_wrapper.get_lr()['lr'][0]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Move the bar."""
        if self._bar is None:
            return
        self._losses.append(outputs['loss'].detach())
        if self._bar.disable:
            return
        if time.monotonic() - self._shown_at < 0.5:
            self._bar.update()  # a number read in every step would keep a GPU waiting
            return
        self._shown_at = time.monotonic()
        self._bar.total = runner.max_iters  # an estimate where training goes by minutes
        self._bar.set_description(_place(runner, runner.epoch + 1), refresh=False)
        shown = {'loss': f'{self._losses[-1].item():.3f}', 'lr': f'{self._rate:.1e}'}
        best = runner.message_hub.runtime_info.get('best_metrics', {}).get(self.score)
        if best is not None:
            shown[f'best {self.score}'] = f'{100 * best:.2f}'
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def after_train_epoch(self, runner) -> None:
        """Print the line of an epoch that no validation follows."""
        if not runner.train_loop.validation_due:
            self._print_line(runner, runner.epoch + 1, {})

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """Print the line of the epoch that was validated."""
        self._print_line(runner, runner.epoch, metrics or {})

    def _print_line(self, runner, epoch: int, metrics: dict) -> None:
        if self._bar is None:
            return
        # an epoch's mean, not its last batch: with eight images a batch, one loss says little
        line = [_place(runner, epoch)]
        if self._losses:  # else only its validation was left
            line += [f'loss {torch.stack(self._losses).mean().item():.4f}', f'lr {self._rate:.2e}']
        self._losses.clear()
        line += [f'{k} {100 * metrics[k]:.2f}' for k in ('IoU', 'nIoU', 'Pd') if k in metrics]
        line += [f'Fa {1e6 * metrics["Fa"]:.1f}e-6'] if 'Fa' in metrics else []
        if metrics and runner.message_hub.runtime_info.get('best_epoch') == epoch:
            line.append('best so far')
        tqdm.write('  '.join(line), file=sys.stderr)
        sys.stderr.flush()

    def after_train(self, runner, metrics: dict | None = None) -> None:
        """Close the bar."""
        self._close()

    after_test_epoch = after_train

    def before_test_epoch(self, runner) -> None:
        """Open the bar of a test."""
        self._open(len(runner.test_dataloader.dataset), 0, 'test', 'image')

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Move the bar by the images of the batch."""
        if self._bar is not None:
            self._bar.update(len(outputs))


def _place(runner, epoch: int) -> str:
    """Where a training is: of so many epochs or, where nobody knows their number before the end, minutes."""
    budget = getattr(runner.train_loop, 'budget', None)
    if budget is None:
        return f'epoch {epoch}/{runner.max_epochs}'
    return f'epoch {epoch}, {budget.spent / 60:.1f} of {budget.minutes:g} min'
