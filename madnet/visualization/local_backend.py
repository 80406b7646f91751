"""A training's config and pictures as files, whole, or with an error that names the file; its curves as far
as they can be written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import VISBACKENDS
from mmengine.visualization import LocalVisBackend as Upstream
from mmengine.visualization.vis_backend import force_init_env

from madnet.files import replacing, write_whole
from madnet.images import encode_png
from madnet.images.notices import say_once


@VISBACKENDS.register_module(force=True)
class LocalVisBackend(Upstream):
    """In the place of mmengine's, which leaves half a config, says nothing of a picture that it lost, and
    ends a training whose curves cannot be written."""

    _ended = False

    @force_init_env
    def add_config(self, config: Config, **kwargs) -> None:
        """Write the config."""
        with replacing(self._config_save_file) as temporary:
            config.dump(temporary)

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """Write a picture, (H, W, 3) uint8 RGB, as ``<name>_<step>.png``."""
        write_whole(Path(self._img_save_dir, f'{name}_{step}.png'), encode_png(image[..., ::-1]))

    def _dump(self, value_dict: dict, file_path: str, file_format: str) -> None:
        if self._ended:  # perhaps with half a line, which none can follow
            return
        try:
            super()._dump(value_dict, file_path, file_format)
        except OSError as e:
            if not Path(file_path).parents[2].is_dir():  # the run's own folder is gone, not that of its log
                raise
            self._ended = True
            say_once(f'{file_path}: cannot be written ({e.strerror}): the curves end here.')
