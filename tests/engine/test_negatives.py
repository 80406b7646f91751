"""Hard negatives: mined from the images that are trained on, and put into crops."""

import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from madnet.datasets import SIRSTDataset
from madnet.datasets.transforms import RandomTargetCrop
from madnet.engine import test as test_module
from madnet.engine.hooks import NegativesHook, SaveScoresHook, ShowHook
from madnet.engine.hooks.negatives_hook import false_points
from madnet.engine.test import run_test
from madnet.errors import UserError
from madnet.records import NegativesFile

CLUTTER = (60, 20)  # of every image: a bright point that is no target


@pytest.fixture
def clutter_set(tmp_path):
    """Four frames of 80 × 100 with a target and a brighter point that is none."""
    root = tmp_path / 'mine'
    for k in range(4):
        image = np.random.default_rng(k).normal(60, 1, (80, 100)).round().astype(np.uint8)
        mask = np.zeros_like(image)
        image[20 + k : 23 + k, 70:73], mask[20 + k : 23 + k, 70:73] = 150, 255
        image[CLUTTER[0] - 1 : CLUTTER[0] + 2, CLUTTER[1] - 1 : CLUTTER[1] + 2] = 180
        image[CLUTTER] = 200
        for kind, pixels in (('images', image), ('masks', mask)):
            path = root / ('trainval' if k < 3 else 'test') / kind / f'a{k}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), pixels)
    return root


def test_ids_that_two_parts_have_in_common_are_refused(clutter_set, repository, tmp_path):
    (clutter_set / 'test').rename(clutter_set / 'val')
    for kind in ('images', 'masks'):
        (clutter_set / 'val' / kind / 'a3.png').rename(clutter_set / 'val' / kind / 'a1.png')
    classical = str(repository / 'configs' / 'classical' / 'classical.py')
    options = {'dataset': str(clutter_set), 'split': 'all', 'out': str(tmp_path / 'out')}
    assert run_test(classical, None, **options).dataset.images == 4
    for more in ({'save_negatives': True}, {'save_scores': True}, {'show_dir': str(tmp_path / 'show')}):
        if 'save_negatives' in more:
            options['split'] = 'trainval'
        with pytest.raises(UserError, match=r'1 ids stand for several images each \(a1\)'):
            run_test(classical, None, **options, **more)

    # of another package's, which have no ids
    class Foreign(list):
        get_data_info = list.__getitem__

    with pytest.raises(UserError, match=r'Foreign.* 1 ids stand for several images each \(0001\)'):
        test_module._refuse_repeated_ids(Foreign({'img_path': f'/there/{part}/0001.png'} for part in 'ab'))


def test_networks_of_two_channels_of_mmseg_keep_maps_pictures_and_negatives(tmp_path):
    """Named after the files, as such samples have no id; two in a batch."""
    logits = torch.zeros(2, 8, 9)
    logits[0, :, :] = 9.0
    logits[1, 4, 5] = 99.0
    samples = []
    for name in ('a', 'b'):
        sample = SegDataSample(metainfo={'img_path': f'/there/{name}.png'})
        sample.set_data({'seg_logits': PixelData(data=logits)})
        sample.set_data({'gt_sem_seg': PixelData(data=torch.zeros(1, 8, 9, dtype=torch.uint8))})
        samples.append(sample)
    batch = {'inputs': [torch.zeros(3, 8, 9, dtype=torch.uint8)] * 2}
    runner = SimpleNamespace(
        visualizer=SimpleNamespace(add_datasample=lambda *args, **kwargs: shown.append(args))
    )
    shown, negatives = [], NegativesHook()
    for hook in (negatives, SaveScoresHook(str(tmp_path)), ShowHook(str(tmp_path))):
        hook.after_test_iter(runner, 0, batch, samples)
    assert negatives.points == {'a': [[4, 5]], 'b': [[4, 5]]}
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a.png', 'b.png']
    assert [args[0] for args in shown] == ['a', 'b']


def test_false_detections_highest_first():
    scores, truth = np.zeros((30, 40)), np.zeros((30, 40), np.uint8)
    truth[5:8, 5:8] = 1
    scores[4:8, 5:12] = 0.9  # reaches over the target's edge
    scores[11, 5] = 0.8  # nearer than the margin
    scores[20, 30], scores[20, 31] = 0.6, 0.95
    scores[28, 2] = 0.7
    assert false_points(scores, truth) == [[20, 31], [28, 2]]
    assert false_points(scores, truth, most=1) == [[20, 31]]
    assert false_points(scores, truth, threshold=0.75) == [[20, 31]]
    assert false_points(scores, truth, margin=3) == [[20, 31], [11, 5], [28, 2]]


def test_mined_and_cropped_around(clutter_set, repository, tmp_path, run):
    classical = repository / 'configs' / 'classical' / 'classical.py'
    options = ('--method', 'tophat', '--dataset', clutter_set, '--out', tmp_path / 'out', '--save-negatives')
    code, out, err = run('test', classical, *options, '--split', 'trainval')
    assert code == 0, err
    file = tmp_path / 'out' / 'negatives.json'
    assert str(file) in out
    found = NegativesFile.read(file)
    assert found.points == {'mine': {f'a{k}': [[*CLUTTER]] for k in range(3)}}

    crop = RandomTargetCrop(size=24, target_prob=0.5, margin=4, negatives=str(file), negative_prob=0.5)
    dataset = SIRSTDataset(clutter_set, 'trainval', pipeline=[{'type': 'LoadSIRSTImage', 'channels': 1}])
    clutter = targets = 0
    for k in range(90):
        image, mask = dataset.read_sample(k % 3)
        sample = {**dataset.get_data_info(k % 3), 'img': image.reshape(*image.shape[:2], -1)[..., :1]}
        sample |= {'gt_seg_map': (mask > 127).astype(np.uint8), 'seg_fields': ['gt_seg_map']}
        after = crop(sample)
        clutter += (after['img'] == 200).any()
        targets += after['gt_seg_map'].any()
    assert clutter + targets == 90  # the two are too far apart for one crop
    assert 30 < clutter < 60


def test_test_images_are_refused(clutter_set, repository):
    classical = str(repository / 'configs' / 'classical' / 'classical.py')
    for split in (None, 'test', 'all'):
        with pytest.raises(UserError, match='--split trainval'):
            run_test(
                classical,
                dataset=str(clutter_set),
                split=split,
                save_negatives=True,
                options={'model.method': 'tophat'},
            )


def test_two_sets_of_one_name_are_refused_before_they_are_tested(clutter_set, repository, monkeypatch):
    classical = str(repository / 'configs' / 'classical' / 'classical.py')
    other = clutter_set.parent / 'other' / clutter_set.name
    shutil.copytree(clutter_set, other)
    monkeypatch.setattr(test_module, '_score', None)
    with pytest.raises(UserError, match='2 data sets are called mine'):
        run_test(classical, dataset=f'{clutter_set},{other}', split='trainval', save_negatives=True)


def test_without_negatives_the_same_numbers_are_drawn(tmp_path):
    NegativesFile({'mine': {'a': [[5, 5]]}}).write(tmp_path / 'n.json')
    plain = RandomTargetCrop(size=24, target_prob=0.3)
    mined = RandomTargetCrop(size=24, target_prob=0.3, negatives=str(tmp_path / 'n.json'), negative_prob=0.4)
    labels = np.zeros((80, 90), np.uint8)
    labels[40, 40] = 1
    other = {'img_shape': (80, 90), 'gt_seg_map': labels, 'dataset_name': 'mine', 'img_id': 'without'}
    for seed in range(30):
        drawn = []
        for crop in (plain, mined):
            np.random.seed(seed)
            drawn.append(crop.draw(dict(other)))
        assert drawn[0] == drawn[1]


def test_what_does_not_fit(tmp_path):
    path = tmp_path / 'n.json'
    NegativesFile({'mine': {'a': [[50, 5]]}}).write(path)
    for wrong in ({'negatives': str(path)}, {'negative_prob': 0.2}):
        with pytest.raises(UserError, match='expected a file and a share') as told:
            RandomTargetCrop(**wrong)
        assert 'target_prob' not in str(told.value)
    with pytest.raises(UserError, match=r'target_prob=0\.8, negative_prob=0\.3, expected at most 1 together'):
        RandomTargetCrop(target_prob=0.8, negatives=str(path), negative_prob=0.3)
    with pytest.raises(UserError, match=r'none\.json: cannot be read'):
        RandomTargetCrop(negatives=str(tmp_path / 'none.json'), negative_prob=0.3)
    crop = RandomTargetCrop(size=16, target_prob=0, negatives=str(path), negative_prob=1)
    with pytest.raises(UserError, match='row 50, column 5 lies outside of a of mine, 40 × 40 pixels'):
        crop.draw({'img_shape': (40, 40), 'dataset_name': 'mine', 'img_id': 'a'})
