"""What a training logs is whole, or the file is named that could not be written."""

import errno
import os

import numpy as np
import pytest
from mmengine.config import Config
from mmseg.registry import VISUALIZERS

import madnet  # noqa: F401
from madnet.errors import UserError


@pytest.fixture
def visualizer(tmp_path):
    return VISUALIZERS.build(
        {
            'type': 'IRSTDVisualizer',
            'name': str(tmp_path),
            'vis_backends': [{'type': 'LocalVisBackend'}],
            'save_dir': str(tmp_path),
        }
    )


def test_a_picture_that_can_not_be_written_is_told(visualizer, tmp_path):
    picture = np.zeros((8, 9, 3), np.uint8)
    picture[..., 0] = 200
    visualizer.add_image('a', picture, 1)
    (tmp_path / 'vis_data/vis_image/a_2.png').mkdir()
    with pytest.raises(UserError, match=r'a_2\.png: found a folder'):
        visualizer.add_image('a', picture, 2)


def test_a_config_is_written_whole_or_not_at_all(visualizer, tmp_path, monkeypatch):
    visualizer.add_config(Config({'a': 1}))
    place = tmp_path / 'vis_data/config.py'
    assert place.read_text() == 'a = 1\n'

    def half(self, file):
        file.write_text('a =')
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Config, 'dump', half)
    with pytest.raises(UserError, match=r'config\.py: cannot be written \(No space left on device\)'):
        visualizer.add_config(Config({'a': 2}))
    assert place.read_text() == 'a = 1\n'
    assert sorted(p.name for p in place.parent.iterdir() if p.is_file()) == ['config.py']


def test_scalars_that_can_not_be_written_name_their_file(visualizer, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr('mmengine.visualization.vis_backend.dump', full)
    with pytest.raises(OSError, match='No space left') as e:
        visualizer.add_scalars({'loss': 1.0}, 1)
    assert e.value.filename.endswith('scalars.json')
