"""A few validation images with what was found on them, as training goes on."""

import numpy as np
import torch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from madnet.errors import expect_whole


@HOOKS.register_module()
class OverlayHook(Hook):
    """Hands images, truths and predictions to the visualiser (local files, TensorBoard).

    Args:
        interval: Epochs between two rounds; the last epoch always has one.
        images: Number of images a round, spread over the validation set.
    """

    priority = 'NORMAL'

    def __init__(self, interval: int = 10, images: int = 4):
        self.interval = interval
        self.images = expect_whole(images, 'OverlayHook.images', least=0)

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Draw the batch's image if it is one of the chosen."""
        epoch = runner.epoch if runner._train_loop is not None else 0
        if epoch % self.interval and epoch != runner.max_epochs:
            return
        batches = len(runner.val_dataloader)
        chosen = {int(i) for i in np.linspace(0, batches - 1, min(self.images, batches))}
        if batch_idx in chosen:
            image = to_rgb(data_batch['inputs'][0])
            runner.visualizer.add_datasample(
                f'val_{outputs[0].metainfo.get("img_id", batch_idx)}',
                image,
                data_sample=outputs[0],
                step=epoch,
            )


def to_rgb(inputs: torch.Tensor) -> np.ndarray:
    """A packed image (C, H, W), grey or BGR, as the visualiser takes it: (H, W, C), grey or RGB."""
    return np.ascontiguousarray(np.asarray(inputs.permute(1, 2, 0).cpu())[..., ::-1])
