"""What a resumed training may do differently, by configs alone."""

import shutil
from itertools import pairwise

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from madnet.engine.checkpoint import VALIDATION_HASHES
from madnet.engine.resuming import changed_draw, refuse_changes, refuse_other_images
from madnet.engine.train import train
from madnet.errors import UserError

TEACHER = {'type': 'TeacherHook', 'teacher': 'madnet_tiny', 'share': 0.4}


def config(value_range=None, mask_values=None, hooks=(), epochs=4, minutes=None, **steps):
    dataset = {'type': 'SIRSTDataset', 'value_range': value_range, 'mask_values': mask_values}
    pipeline = [{'type': 'LoadSIRSTImage', 'channels': 1, **steps}, {'type': 'PackSIRSTInputs'}]
    sets = {'type': 'ConcatDataset', 'datasets': [{**dataset, 'pipeline': pipeline}]}
    length = {'max_epochs': epochs} if minutes is None else {'max_epochs': epochs, 'minutes': minutes}
    return Config(
        {
            'train_dataloader': {'batch_size': 4, 'dataset': sets},
            'train_cfg': length,
            'custom_hooks': list(hooks),
            'default_hooks': {'timer': {'type': 'IterTimerHook'}, 'logger': None},
        }
    )


def resume(before, now, minutes=None):
    budget = {} if minutes is None else {'time budget': {'minutes': minutes, 'over': False}}
    refuse_changes({'cfg': before.pretty_text, 'epoch': 1, **budget}, now, 4, 1, 'last.pth')


@pytest.mark.parametrize(
    ('before', 'now', 'said'),
    [
        ({'value_range': (60, 180)}, {}, 'datasets.0.value_range: found None, expected [60, 180]'),
        ({'value_range': 'type'}, {'value_range': (60, 180)}, 'value_range: found [60, 180], expected None'),
        ({'mask_values': (0, 1)}, {'mask_values': (0, 2)}, 'mask_values: found [0, 2], expected [0, 1]'),
        ({'bit_depth': 14}, {}, 'pipeline.0.bit_depth: found None, expected 14'),
        ({'hooks': [TEACHER]}, {}, 'TeacherHook.0.share: found None, expected 0.4'),
        ({}, {'hooks': [TEACHER]}, 'TeacherHook.0.share: found 0.4, expected None'),
        ({'hooks': [TEACHER]}, {'hooks': [{**TEACHER, 'share': 1}]}, 'share: found 1, expected 0.4'),
    ],
)
def test_what_a_network_learns_from_cannot_change(before, now, said):
    with pytest.raises(UserError) as e:
        resume(config(**before), config(**now))
    assert said in str(e.value)
    assert '\n' not in str(e.value)


def test_what_means_the_same_and_what_else_changes_is_taken():
    for value_range in (None, 'type'):
        resume(config(hooks=[TEACHER]), config(value_range, hooks=[TEACHER, {'type': 'ShowHook'}], epochs=9))
        resume(config(value_range), config())


JUDGED = {
    'model.test_cfg.mode': 'whole',
    'val_dataloader.dataset.type': 'SIRSTDataset',
    'val_dataloader.dataset.split': 'val',
    'val_dataloader.dataset.data_root': '/data/own',
    'val_dataloader.dataset.value_range': 'type',
    'val_evaluator': {'type': 'IRSTDMetric', 'protocols': ('native',), 'name': 3},
    'default_hooks.checkpoint.save_best': 'nIoU',
}


@pytest.mark.parametrize(
    ('changed', 'said'),
    [
        ({'val_dataloader.dataset.split': 'test'}, "dataset.split: found 'test', expected 'val', as in the"),
        ({'val_dataloader.dataset.name': 'irstd1k'}, "dataset.name: found 'IRSTD-1K', expected 'own'"),
        ({'val_dataloader.dataset.value_range': (60, 180)}, 'value_range: found [60, 180], expected None'),
        ({'val_dataloader': None}, "dataset.split: found None, expected 'val'"),
        ({'val_evaluator.name': 4}, 'val_evaluator.name: found 4, expected 3'),
        ({'val_evaluator.protocols': ('toolbox',)}, "protocols: found ['toolbox'], expected ['native']"),
        ({'model.test_cfg.mode': 'slide'}, "model.test_cfg.mode: found 'slide', expected 'whole'"),
        ({'default_hooks.checkpoint.save_best': 'F1'}, "save_best: found 'F1', expected 'nIoU'"),
        ({'default_hooks.checkpoint.rule': 'less'}, "rule: found 'less', expected None"),
    ],
)
def test_epochs_are_judged_alike_once_one_has_been(changed, said):
    before, now = config(), config()
    before.merge_from_dict(JUDGED)
    now.merge_from_dict({**JUDGED, **changed})
    meta = {'cfg': before.pretty_text, 'epoch': 1}
    refuse_changes({**meta, 'validated': False}, now, 4, 1, 'last.pth')
    with pytest.raises(UserError) as e:
        refuse_changes({**meta, 'validated': True}, now, 4, 1, 'last.pth')
    assert said in str(e.value)
    assert '\n' not in str(e.value)


def test_what_no_number_of_a_validation_depends_on_may_change():
    before, now = config(), config()
    before.merge_from_dict(JUDGED)
    speed = {'val_dataloader.dataset.cache': True, 'val_dataloader.batch_size': 8}
    moved = {'val_dataloader.dataset.data_root': '/moved/own', 'val_dataloader.dataset.value_range': None}
    now.merge_from_dict({**JUDGED, **speed, **moved, 'default_hooks.checkpoint.interval': 5})
    meta = {'cfg': before.pretty_text, 'epoch': 1, 'validated': True}
    refuse_changes(meta, now, 4, 1, 'last.pth')


@pytest.mark.parametrize('order', [1, -1])
def test_a_set_may_be_given_by_its_name_or_its_folder(order):
    configs = []
    for given in ({'name': 'irstd1k'}, {'data_root': '/d/IRSTD-1k'}, {'data_root': '/d/x', 'base_size': 512}):
        configs.append(config())
        configs[-1].merge_from_dict({'val_dataloader.dataset': {'type': 'SIRSTDataset', **given}})
    for before, now in pairwise([*configs, configs[0]][::order]):
        meta = {'cfg': before.pretty_text, 'epoch': 1, 'validated': True, VALIDATION_HASHES: ['']}
        refuse_changes(meta, now, 4, 1, 'last.pth')
    before, now, another = configs[::order] if order > 0 else [configs[1], configs[0], configs[2]]
    meta = {'cfg': before.pretty_text, 'epoch': 1, 'validated': True}  # of before images were compared
    refuse_changes(meta, now, 4, 1, 'last.pth')
    with pytest.raises(UserError, match=r'name: found .x., expected .IRSTD-1K'):
        refuse_changes(meta, another, 4, 1, 'last.pth')


def test_the_images_of_a_validation_stay_once_one_has_been(tiny_config, make_set, tmp_path):
    ids = ['a', 'b']
    own = make_set('own', ids)
    moved = shutil.copytree(own, tmp_path / 'moved')
    relabelled = shutil.copytree(own, tmp_path / 'relabelled')
    cv2.imwrite(str(relabelled / 'masks' / 'b.png'), np.pad([[255]], [(9, 22), (9, 30)]))
    other = make_set('other', ['p', 'q', *ids])
    said = {relabelled: 'found 4 images and masks, .* had 3', other: 'found 8 images and masks, .* had 4'}
    text = tiny_config.read_text().replace('max_epochs=3', 'max_epochs=1')
    steps = [{'type': f'LoadSIRST{what}'} for what in ('Image', 'Mask')]
    steps[0]['channels'] = 1
    pipeline = [*steps, {'type': 'PackSIRSTInputs'}]
    for root in (own, moved, relabelled, other):
        given = {'type': 'SIRSTDataset', 'data_root': str(root), 'name': 'own', 'split': 'all'}
        dataset = {'_delete_': True, **given, 'pipeline': pipeline}
        tiny_config.write_text(f'{text}\nval_dataloader = dict(dataset={dataset})\n')
        run = {'work_dir': str(tmp_path / 'run'), 'resume': root != own}
        if root not in said:
            train(str(tiny_config), **run)
            continue
        with pytest.raises(UserError, match=rf'val_dataloader\.dataset: {said[root]}') as e:
            train(str(tiny_config), **run)
        assert '\n' not in str(e.value)


def test_a_run_cannot_be_cut_to_the_epochs_that_are_done():
    done = {'cfg': config(epochs=4).pretty_text, 'epoch': 3}
    for length in (4, 5):
        refuse_changes(done, config(epochs=length), 4, 1, 'last.pth')
    refuse_changes(done | {'epoch': 4}, config(epochs=4), 4, 1, 'last.pth')
    for length in (2, 3):  # of 3, another epoch may have begun too
        with pytest.raises(UserError, match=rf'found {length}, expected 4, .* above the 3 that') as e:
            refuse_changes(done, config(epochs=length), 4, 1, 'last.pth')
        assert '\n' not in str(e.value)
    due = done | {'validation_due': True}
    refuse_changes(due, config(epochs=3), 4, 1, 'last.pth')
    with pytest.raises(UserError, match=r'found 2, expected 4, .* above the 2 that'):
        refuse_changes(due, config(epochs=2), 4, 1, 'last.pth')


def test_the_schedule_that_is_laid_over_minutes_stays():
    resume(config(minutes=3.0), config(minutes=5.0), minutes=3.0)
    with pytest.raises(UserError, match=r'train_cfg\.max_epochs: found 20, expected 4, as in the run'):
        resume(config(minutes=3.0), config(epochs=20, minutes=3.0), minutes=3.0)
    with pytest.raises(UserError, match='Add --minutes 3'):
        resume(config(minutes=3.0), config(epochs=20), minutes=3.0)


def test_the_images_stay():
    a, b, c = 'a' * 12, 'b' * 12, 'c' * 12
    where, end = ('train_dataloader.dataset', 'images'), ('last.pth', pytest.fail)
    refuse_other_images(*where, [a + b, ''], [a + b, ''], *end)
    refuse_other_images(*where, None, [a], *end)  # of an older run
    for other, said in (([a + c, ''], 'found 2 images, of which'), ([b + a, ''], 'had 2'), ([a], 'had 1')):
        with pytest.raises(UserError, match=said) as e:
            refuse_other_images(*where, [a + b, ''], other, *end)
        assert 'expected its 2, in the same order. Files are compared by their bytes: if they' in str(e.value)


def test_training_masks_that_were_saved_anew_are_a_warning(tiny_config, make_set, tmp_path, capfd):
    root = make_set('own', ['a', 'b'])
    load = [{'type': 'LoadSIRSTImage', 'channels': 1}, {'type': 'LoadSIRSTMask'}]
    steps = [*load, {'type': 'RandomTargetCrop', 'size': 32}, {'type': 'PackSIRSTInputs'}]
    given = {'type': 'SIRSTDataset', 'data_root': str(root), 'split': 'all', 'pipeline': steps}
    loader = {'batch_size': 2, 'dataset': {'_delete_': True, **given}}
    tiny_config.write_text(f'{tiny_config.read_text()}\ntrain_dataloader = {loader}\n')
    run = {'config': str(tiny_config), 'work_dir': str(tmp_path / 'run')}
    train(**run, options=['train_cfg.max_epochs=1'])
    mask = str(root / 'masks/a.png')
    cv2.imwrite(mask, cv2.imread(mask, cv2.IMREAD_GRAYSCALE), [cv2.IMWRITE_PNG_COMPRESSION, 0])
    capfd.readouterr()
    for said in (True, False):
        train(**run, resume=True, options=['train_cfg.max_epochs=2'])
        out = ' '.join(capfd.readouterr().out.split())
        assert said == ('train_dataloader.dataset: found 2 masks, of which the run of' in out)
        assert said == ('had 1, expected its 2, in the same order. Files are compared by their bytes' in out)


@pytest.mark.parametrize('part', ['sampler', 'batch_sampler', 'collate_fn'])
def test_all_that_draws_images_is_compared(part):
    loader = {part: {'type': 'A', 'hard': False}}
    before = Config({'train_dataloader': loader}).pretty_text
    for hard in (False, True):
        now = Config({'train_dataloader': {part: {'type': 'A', 'hard': hard}}})
        assert changed_draw({'cfg': before}, now).startswith(f'train_dataloader.{part}.hard: True') == hard
