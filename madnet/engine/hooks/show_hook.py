"""Writes a picture of every tested image."""

from pathlib import Path

from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from madnet.engine.hooks.overlay_hook import to_rgb
from madnet.engine.sample_names import name_of


@HOOKS.register_module()
class ShowHook(Hook):
    """Draws each tested image with its hits, misses and false alarms into a folder.

    Args:
        show_dir: Gets one ``<image>.png`` for each image; an id with folders in it comes to lie in those.
    """

    def __init__(self, show_dir: str):
        self.show_dir = Path(show_dir)

    def after_test_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Draw the images of a batch."""
        for image, sample in zip(data_batch['inputs'], outputs, strict=True):
            name = name_of(sample.metainfo)
            runner.visualizer.add_datasample(
                name,
                to_rgb(image),
                data_sample=sample,
                out_file=str(self.show_dir / f'{name}.png'),
            )
