"""Writes the score map of every tested image."""

from pathlib import Path

from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from madnet.engine.irstd_metric import target_probability
from madnet.engine.sample_names import name_of
from madnet.files import write_whole
from madnet.images import encode_png
from madnet.images.score_maps import sixteen_bits


@HOOKS.register_module()
class SaveScoresHook(Hook):
    """Keeps score maps as 16-bit PNG, for reports and for scoring again with ``madnet evaluate``.

    Args:
        folder: Gets one ``<image>.png`` for each image, probability 0–1 as 0–65535, at the image's own size.
    """

    def __init__(self, folder: str):
        self.folder = Path(folder)

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Write the maps of a batch."""
        for sample in outputs:
            pixels = sixteen_bits(target_probability(sample.seg_logits.data))
            write_whole(self.folder / f'{name_of(sample.metainfo)}.png', encode_png(pixels))
