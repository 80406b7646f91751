"""Training on several data sets together."""

import pytest

import madnet  # noqa: F401
from madnet.engine.bare_model import bare
from madnet.engine.config import load_config
from madnet.engine.runner import build_runner
from madnet.engine.train import train
from madnet.errors import UserError

JOINT = """
_base_ = ['{tiny}']
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='ConcatDataset',
        datasets=[
            dict(type='SyntheticSIRSTDataset', split='train', length=8, size=64, pipeline=p)
            for p in [_base_.train_pipeline]
            for _ in range(2)
        ],
    )
)
"""


def test_selection_reaches_every_set(repository):
    config = repository / 'configs/madnet/madnet_nano_joint.py'
    cfg = load_config(config)
    parts = cfg.train_dataloader.dataset.datasets
    assert [part.name for part in parts] == ['NUAA-SIRST', 'NUDT-SIRST', 'IRSTD-1K']
    assert {part.split for part in parts} == {'trainval'}
    assert all(part.exclude_near_test for part in parts)
    assert cfg.val_dataloader is None
    parts = load_config(config, {'selection': 'val'}).train_dataloader.dataset.datasets
    assert {part.split for part in parts} == {'fit'}
    with pytest.raises(UserError, match='Remove one of the two'):
        load_config(config, {'train_dataloader.dataset.split': 'test'})


def test_sets_are_seeded_apart_and_followed_through_the_epochs(tmp_path, tiny_config):
    path = tmp_path / 'joint.py'
    path.write_text(JOINT.format(tiny=tiny_config))
    cfg = load_config(path)
    cfg.work_dir = str(tmp_path / 'run')
    cfg.train_cfg.max_epochs = 2
    runner = build_runner(cfg)
    runner.train()
    first, second = runner.train_dataloader.dataset.datasets
    assert (first.seed, second.seed - first.seed) == (42, 1_000_003)
    assert first.epoch == second.epoch == 1
    assert len(runner.train_dataloader) == 4
    assert not (first[0]['inputs'] == second[0]['inputs']).all()


def test_a_joint_run_goes_on_where_it_was_stopped(tmp_path, tiny_config):
    path = tmp_path / 'joint.py'
    path.write_text(JOINT.format(tiny=tiny_config))
    # what follows the length of a run: the learning rate, and the epoch from which a loss counts
    same = ['param_scheduler.0.end=2', 'model.decode_head.loss_decode.1.begin=0.0']
    once, twice = (['train_cfg.max_epochs=1', *same], ['train_cfg.max_epochs=2', *same])
    whole = train(str(path), work_dir=str(tmp_path / 'whole'), options=twice)
    train(str(path), work_dir=str(tmp_path / 'parts'), options=once)
    parts = train(str(path), work_dir=str(tmp_path / 'parts'), options=twice, resume=True)
    a, b = (bare(runner.model).state_dict() for runner in (whole, parts))
    assert all(a[key].equal(b[key]) for key in a)
