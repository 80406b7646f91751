"""How a checkpoint came to be, from what lies in it."""

import pytest
import torch
from mmengine.config import Config

from madnet.engine.checkpoint_file import BEFORE, read_checkpoint
from madnet.engine.config import load_config
from madnet.engine.config.value_ranges import TrainedSet, fix_value_range, say_other_data
from madnet.engine.train import train
from madnet.engine.training_record import _config_in, read_as_trained, trained_on, training_of, training_parts
from madnet.images import notices
from madnet.records import TrainingInfo


def checkpoint(config, options=None, **meta):
    cfg = load_config(config, options)
    return {'meta': {'cfg': cfg.pretty_text, 'seed': 3, 'epoch': 2, **meta}}


def test_seed_recipe_and_choice(tiny_config):
    found = TrainingInfo.from_json(training_of(checkpoint(tiny_config, nIoU=0.5)))
    assert found.seed == 3
    assert found.recipe.startswith('3 epochs, batches of 4, ')
    assert found.epoch == "epoch 2 of 3, the best nIoU on 'val'"
    assert training_of(checkpoint(tiny_config))['epoch'] == 'epoch 2 of 3, chosen by nothing'
    assert found.stopped is None
    said = {'stopped early': 'at epoch 2 of 3'}
    assert training_of(checkpoint(tiny_config, **said))['stopped'] == 'at epoch 2 of 3'
    assert all(training_of(of_another) is None for of_another in ({}, {'meta': None}, {'meta': {'cfg': 'x'}}))


def test_what_it_was_trained_on_is_named_before_it_is_tested_elsewhere(repository, tiny_config, capsys):
    nano = repository / 'configs' / 'madnet' / 'madnet_nano.py'
    assert trained_on(checkpoint(nano)) == [TrainedSet('NUAA-SIRST', '')]
    several = trained_on(checkpoint(nano, {'dataset': ['nuaa', 'nudt']}))
    assert several == [TrainedSet('NUAA-SIRST', ''), TrainedSet('NUDT-SIRST', '')]
    assert trained_on(checkpoint(tiny_config)) == [TrainedSet('SyntheticSIRSTDataset', '')]
    assert trained_on(None) == trained_on({}) == trained_on({'meta': {'cfg': 'x'}}) == []
    capsys.readouterr()
    load_config(nano, dataset='nudt', trained_on=several)
    assert not capsys.readouterr().err
    trained = {'mean': [99.0], 'std': [50.0]}
    load_config(nano, dataset='irstd1k', statistics=trained, trained_on=several)
    first, second = capsys.readouterr().err.splitlines()
    assert first == 'trained on NUAA-SIRST, NUDT-SIRST, tested on IRSTD-1K'
    assert second.startswith("normalised by the checkpoint's mean")


def test_folders_of_one_name_are_told_apart(monkeypatch, capsys, caplog):
    monkeypatch.setattr(notices, '_said', set())

    def set_of(folder, **more):
        return {'type': 'SIRSTDataset', 'data_root': f'{folder}/frames', **more}

    def trained(**ranges):
        sets = [set_of(folder, value_range=given) for folder, given in ranges.items()]
        cfg = Config({'train_dataloader': {'dataset': {'type': 'ConcatDataset', 'datasets': sets}}})
        return {'meta': {'cfg': cfg.pretty_text}}

    def read(checkpoint, folder):
        cfg = Config({'test_dataloader': {'dataset': set_of(folder)}})
        fix_value_range(cfg, trained_on(checkpoint))
        say_other_data(cfg, trained_on(checkpoint))
        return cfg.test_dataloader.dataset.value_range, capsys.readouterr().err

    both, one = trained(A=(1000, 3600), B=(0, 200)), trained(A=(1000, 3600))
    assert read(both, 'A') == ((1000, 3600), '')
    assert read(both, 'B') == ((0, 200), '')
    found, said = read(both, 'C')
    assert found == 'type'
    assert 'by the range 1000 to 3600 and by the range 0 to 200' in said
    assert 'trained on frames (A/frames), frames (B/frames), tested on frames (C/frames)' in said
    assert read(one, 'A') == ((1000, 3600), '')
    assert read(one, 'B') == ((1000, 3600), 'trained on frames (A/frames), tested on frames (B/frames)\n')
    assert 'frames: grey values are read as in the training, by the range 1000 to 3600' in caplog.text
    bare = Config({'test_pipeline': [{'type': 'LoadSIRSTImage'}]})
    read_as_trained(bare, both)
    assert 'value_range' not in bare.test_pipeline[0]
    read_as_trained(bare, one)
    assert bare.test_pipeline[0].value_range == (1000, 3600)


def test_what_a_run_began_with_is_kept_where_it_goes_on(tiny_config, tmp_path):
    small = ['train_dataloader.dataset.length=4', 'val_dataloader.dataset.length=1']
    short = [*small, 'train_cfg.max_epochs=1']
    train(str(tiny_config), work_dir=str(tmp_path / 'first'), options=short)
    weights, run = str(tmp_path / 'first' / 'last.pth'), tmp_path / 'tuned'
    train(str(tiny_config), work_dir=str(run), load_from=weights, options=short)
    content = read_checkpoint(run / 'last.pth')
    content['meta'][BEFORE] = [
        {'record': 'what is gone by now', 'split': 'fit', 'contents': 'a' * 12 + 'b' * 12}
    ]
    torch.save(content, run / 'last.pth')
    for resume, began in ((True, weights), (str(tmp_path / 'first' / 'last.pth'), None)):
        folder = run if resume is True else tmp_path / 'goes_on'
        train(
            str(tiny_config), work_dir=str(folder), resume=resume, options=[*small, 'train_cfg.max_epochs=2']
        )
        content = read_checkpoint(folder / 'last.pth')
        assert _config_in(content).get('load_from') == began
        assert [len(p.keys) for p in training_parts(folder / 'last.pth')] == [2] * (began is not None)
        assert training_of(content)['recipe'].endswith('from given weights') == (began is not None)


def test_digests_tell_the_recipe_and_nothing_else(tiny_config):
    plain = training_of(checkpoint(tiny_config))['digests']
    same = {'randomness.seed': 7, 'work_dir': 'elsewhere', 'train_dataloader.num_workers': 1}
    hooks = load_config(tiny_config).custom_hooks
    same |= {'custom_hooks': [*hooks, {'type': 'EarlyStoppingHook', 'monitor': 'nIoU'}]}
    same['default_hooks.checkpoint.interval'] = 2
    assert training_of(checkpoint(tiny_config, same))['digests'] == plain
    for key, value, part in (
        ('model.backbone.base_channels', 4, 'model'),
        ('train_dataloader.batch_size', 2, 'train_dataloader'),
        ('load_from', 'x.pth', 'load_from'),
        ('default_hooks.checkpoint.best_from', 0.5, 'default_hooks.checkpoint'),
        ('custom_hooks', [{**hooks[0], 'decay': 0.5}], 'EMAHook'),
        ('custom_hooks', [*hooks, {'type': 'TeacherHook', 'teacher': 'madnet_tiny'}], 'TeacherHook'),
    ):
        other = training_of(checkpoint(tiny_config, {key: value}))['digests']
        assert [k for k in plain if plain[k] != other[k]] == [part]
    teachers = [{'type': 'TeacherHook', 'teacher': f'a/seed{seed}.safetensors'} for seed in (1, 2)]
    one, two = (
        training_of(checkpoint(tiny_config, {'custom_hooks': [*hooks, t]}))['digests'] for t in teachers
    )
    assert one == two != plain


@pytest.mark.parametrize(
    'text',
    [
        "open('made', 'w')",
        "a = __import__('os').system('touch made')",
        'a = dict(b=open("made", "w"))',
        '(((',
        3,
    ],
)
def test_a_config_in_a_checkpoint_is_never_run(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert training_of({'meta': {'cfg': text}}) is None
    assert not (tmp_path / 'made').exists()
    assert training_of({}) is training_of({'meta': None}) is None
