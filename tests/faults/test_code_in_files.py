"""A file that is read runs nothing, whoever reads it: marker files must not appear."""

import functools
import http.server
import json
import pickle
import threading

import mmengine
import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader, load_checkpoint
from mmseg.registry import MODELS
from torch import nn

from madnet.engine.checkpoint_file import read_checkpoint, trusting
from madnet.engine.config import load_config
from madnet.engine.train import train
from madnet.errors import UserError


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return open, (self.marker, 'w')


@pytest.fixture
def marker(tmp_path):
    return tmp_path / 'PWNED'


@pytest.fixture
def evil(tmp_path, marker):
    """A checkpoint that writes the marker."""
    path = tmp_path / 'evil.pth'
    torch.save({'state_dict': {'weight': torch.zeros(1)}, 'x': Evil(marker)}, path)
    return path


PRETRAINED = {
    'backbone': 'model = dict(backbone=dict(init_cfg={init}))',
    'head': 'model = dict(decode_head=dict(init_cfg={init}))',
    'model': 'model = dict(init_cfg={init})',
    'resnet': "model = dict(backbone=dict(_delete_=True, type='ResNet', depth=18, in_channels=1, "
    "norm_cfg=dict(type='BN'), init_cfg={init}), neck=dict(in_channels=[64, 128, 256, 512]))",
    'old_way': "model = dict(backbone=dict(_delete_=True, type='ResNet', depth=18, in_channels=1, "
    "norm_cfg=dict(type='BN')), pretrained={path!r}, neck=dict(in_channels=[64, 128, 256, 512]))",
    'load_from': 'load_from = {path!r}',
    'prefix': 'model = dict(backbone=dict(init_cfg=dict({init}, prefix="backbone.")))',
}


@pytest.mark.parametrize('kind', PRETRAINED)
def test_training_trusts_no_weights_to_start_from(kind, tmp_path, tiny_config, evil, marker, monkeypatch):
    monkeypatch.chdir(tmp_path)
    init = f"dict(type='Pretrained', checkpoint={str(evil)!r})"
    config = tmp_path / 'pretrained.py'
    config.write_text("_base_ = './tiny.py'\n" + PRETRAINED[kind].format(init=init, path=str(evil)) + '\n')
    with pytest.raises(UserError, match='--trust-checkpoint') as e:
        train(str(config))
    assert str(evil) in str(e.value)
    assert not marker.exists()


def test_the_tool_refuses_in_one_line(run, tmp_path, tiny_config, evil, marker, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ['model.backbone.init_cfg.type=Pretrained', f'model.backbone.init_cfg.checkpoint={evil}']
    code, _, err = run('train', tiny_config, '--cfg-options', *options, 'train_cfg.max_epochs=1')
    assert code == 2
    assert 'Traceback' not in err
    assert err.strip().splitlines()[-1].startswith(f'error: checkpoint {evil}: holds pickled')
    assert not marker.exists()


def test_training_runs_it_when_trusted(tmp_path, tiny_config, evil, marker, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {'model.init_cfg': {'type': 'Pretrained', 'checkpoint': str(evil)}, 'train_cfg.max_epochs': 1}
    options |= {'train_dataloader.dataset.length': 4, 'val_dataloader.dataset.length': 1}
    train(str(tiny_config), options=options, trust_checkpoint=True)
    assert marker.exists()


def test_no_scheme_of_mmengine_runs_code(tmp_path, evil, marker, monkeypatch):
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    (tmp_path / 'open_mmlab.json').write_text(json.dumps({'evil': 'evil.pth'}))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = lambda *args: None
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f'http://127.0.0.1:{server.server_port}'
        for name in (str(evil), 'open-mmlab://evil', f'{address}/evil.pth'):
            with pytest.raises(UserError, match='--trust-checkpoint'):
                CheckpointLoader.load_checkpoint(name)
            with pytest.raises(UserError, match='--trust-checkpoint'):
                load_checkpoint(nn.Linear(1, 1), name)
        assert not marker.exists()
        with pytest.raises(UserError, match='cannot be fetched'):
            CheckpointLoader.load_checkpoint(f'{address}/none.pth')
        server.shutdown()
    with pytest.raises(UserError, match='nothing_like_it'):
        CheckpointLoader.load_checkpoint('open-mmlab://nothing_like_it')
    with pytest.raises(UserError, match='no such file'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'nothing.pth'))
    with trusting(True):
        CheckpointLoader.load_checkpoint(str(evil))
    assert marker.exists()


def test_getattr_is_no_way_around(tmp_path, marker):
    class Chain:
        def __reduce__(self):
            return getattr, (HistoryBuffer, '__init__')

    torch.save({'a': Chain()}, tmp_path / 'a.pth')
    with pytest.raises(UserError, match='--trust-checkpoint'):
        read_checkpoint(tmp_path / 'a.pth')


def test_what_common_checkpoints_hold_needs_no_trust(tmp_path):
    import argparse

    content = {
        'net': {'a': torch.ones(3)},
        'iou': np.float64(0.5),
        'epoch': np.int64(3),
        'flag': np.bool_(True),
        'curve': np.arange(3.0),
        'args': argparse.Namespace(lr=0.1),
        'loss': HistoryBuffer([1.0, 2.0], [1, 1]),
    }
    torch.save(content, tmp_path / 'a.pth')
    found = read_checkpoint(tmp_path / 'a.pth')
    assert (found['iou'], found['epoch'], bool(found['flag']), found['args'].lr) == (0.5, 3, True, 0.1)
    assert found['curve'].tolist() == [0, 1, 2]
    assert found['loss'].mean() == 1.5
    # the same under the names of NumPy 1
    data = pickle.dumps(np.float64(0.5), protocol=2).replace(b'numpy._core', b'numpy.core')
    assert b'numpy.core.multiarray' in data


YAML = 'x: !!python/object/apply:builtins.open ["{marker}", "w"]\n'


@pytest.mark.parametrize('ending', ['yaml', 'yml'])
def test_yaml_is_data(ending, tmp_path, marker):
    path = tmp_path / f'c.{ending}'
    path.write_text(YAML.format(marker=marker))
    for read in (load_config, mmengine.load, mmengine.Config.fromfile):
        with pytest.raises(UserError):
            read(str(path))
    (tmp_path / 'on_top.py').write_text(f"_base_ = './c.{ending}'\n")
    with pytest.raises(UserError):
        load_config(tmp_path / 'on_top.py')
    assert not marker.exists()
    path.write_text('a: !!python/tuple [1, 2]\n')
    assert mmengine.load(str(path)) == {'a': (1, 2)}


@pytest.mark.parametrize('ending', ['json', 'yaml'])
def test_a_config_is_python(ending, tmp_path):
    (tmp_path / f'c.{ending}').write_text('{}')
    with pytest.raises(UserError, match=rf"c\.{ending}: found the ending '.{ending}', expected .py"):
        load_config(tmp_path / f'c.{ending}')


def test_class_weights_are_no_pickle(tmp_path, marker):
    (tmp_path / 'w.pkl').write_bytes(pickle.dumps(Evil(marker)))
    with pytest.raises(UserError, match='class_weight'):
        MODELS.build({'type': 'CrossEntropyLoss', 'class_weight': str(tmp_path / 'w.pkl')})
    assert not marker.exists()
    (tmp_path / 'w.json').write_text('[1.0, 2.0]')
    built = MODELS.build({'type': 'CrossEntropyLoss', 'class_weight': str(tmp_path / 'w.json')})
    assert built.class_weight == [1.0, 2.0]
