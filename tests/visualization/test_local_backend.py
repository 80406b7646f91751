"""What a training logs is whole, or the file is named that could not be written."""

import errno
import os
import shutil

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmseg.registry import HOOKS, VISUALIZERS

import madnet  # noqa: F401
from madnet.engine.checkpoint_file import read_checkpoint
from madnet.engine.train import train
from madnet.errors import UserError
from madnet.records.scalars import read_scalars


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


def test_curves_end_where_they_cannot_be_written_and_nothing_else_does(
    visualizer, tmp_path, monkeypatch, caplog
):
    def half(value, file, **kwargs):
        file.write('{"lo')
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    visualizer.add_scalars({'loss': 1.0}, 1)
    with monkeypatch.context() as full:
        full.setattr('mmengine.visualization.vis_backend.dump', half)
        visualizer.add_scalars({'loss': 2.0}, 2)
    visualizer.add_scalars({'loss': 3.0}, 3)
    assert [row['loss'] for row in read_scalars(tmp_path / 'vis_data/scalars.json')] == [1.0]
    [said] = caplog.messages
    assert 'scalars.json: cannot be written (No space left on device): the curves end here' in said


def test_a_training_goes_on_without_its_log(tiny_config, tmp_path, caplog):
    @HOOKS.register_module(name='RemoveLog', force=True)
    class _(Hook):
        def before_train_epoch(self, runner):
            shutil.rmtree(runner.log_dir, ignore_errors=True)

    options = {
        'train_cfg.max_epochs': 2,
        'train_dataloader.dataset.length': 4,
        'custom_hooks': [{'type': 'RemoveLog'}],
        'default_hooks.logger.interval': 1,
        'default_hooks.overlay.interval': 1,
    }
    train(str(tiny_config), work_dir=str(tmp_path / 'w'), options=options)
    assert (tmp_path / 'w/best.pth').is_file()
    assert read_checkpoint(tmp_path / 'w/last.pth')['meta']['epoch'] == 2
    assert sum('the curves end here' in message for message in caplog.messages) == 1
