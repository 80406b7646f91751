"""The real sets, where they are at hand."""

import cv2
import numpy as np
import pytest

from madnet.datasets import SIRSTDataset, find_near_duplicates, get_entry, split_ids
from madnet.errors import UserError
from madnet.images import read_image, read_mask

LOAD = [{'type': 'LoadSIRSTImage', 'channels': 1}, {'type': 'LoadSIRSTMask'}]


@pytest.fixture
def root(data_root):
    def find(name):
        folder = data_root / name
        if not folder.is_dir():
            pytest.skip(f'{name} is not at hand')
        return folder

    return find


@pytest.mark.parametrize(('name', 'images'), [('NUAA-SIRST', 427), ('NUDT-SIRST', 1327), ('IRSTD-1K', 1001)])
def test_whole_sets_hold_the_targets_of_the_catalogue(root, name, images):
    dataset = SIRSTDataset(root(name), 'all')
    assert len(dataset) == images == get_entry(name).images
    targets = 0
    for i in range(images):
        info = dataset.get_data_info(i)
        mask = read_mask(info['seg_map_path'])
        targets += cv2.connectedComponents((mask > 127).astype(np.uint8), connectivity=8)[0] - 1
    assert (
        targets == get_entry(name).targets == {'NUAA-SIRST': 533, 'NUDT-SIRST': 1863, 'IRSTD-1K': 1492}[name]
    )


@pytest.mark.parametrize('name', ['NUAA-SIRST', 'NUDT-SIRST', 'IRSTD-1K', 'SIRST-AUG'])
def test_every_split_set_is_there(root, name):
    for split_set in get_entry(name).split_sets:
        for split in ('trainval', 'fit', 'val', 'test'):
            dataset = SIRSTDataset(root(name), split, split_set=split_set)
            assert set(dataset.image_ids) <= set(split_ids(name, split, split_set))
            if name != 'SIRST-AUG' or split == 'test':
                assert dataset.image_ids == list(split_ids(name, split, split_set))


def test_misc_111_with_and_without_the_right_mask(root, tmp_path):
    original = root('NUAA-SIRST')
    dataset = SIRSTDataset(original, 'test', pipeline=LOAD)
    index = dataset.image_ids.index('Misc_111')
    mask = dataset[index]['gt_seg_map']
    assert mask.shape == (220, 325)
    assert mask.sum() == 37
    for folder in ('images', 'masks'):
        (tmp_path / 'NUAA-SIRST').mkdir(exist_ok=True)
        (tmp_path / 'NUAA-SIRST' / folder).symlink_to(original / folder)
    without = SIRSTDataset(tmp_path / 'NUAA-SIRST', 'test', pipeline=LOAD)
    np.testing.assert_array_equal(without[index]['gt_seg_map'], mask)


def test_list_with_overlap_is_refused(root):
    broken = 'RC-IRSTD_BROKEN_34_overlap'
    if not (root('NUDT-SIRST') / 'splits' / broken).is_dir():
        pytest.skip('the broken list is not at hand')
    with pytest.raises(UserError, match='34 ids are in both'):
        SIRSTDataset(root('NUDT-SIRST'), 'test', split_set=broken)


def test_lists_in_the_folder_are_those_of_the_package(root):
    for name, theirs, ours in (
        ('NUAA-SIRST', 'DNANet_50_50', 'basicirstd'),
        ('NUDT-SIRST', 'IRSAM_80_20_ids_end_in_png', 'irsam'),
        ('IRSTD-1K', 'BasicIRSTD_img_idx', 'basicirstd'),
    ):
        if not (root(name) / 'splits' / theirs).is_dir():
            pytest.skip(f'{theirs} is not at hand')
        for split in ('trainval', 'val', 'test'):
            dataset = SIRSTDataset(root(name), split, split_set=theirs)
            assert dataset.split_sha256 == get_entry(name).split_sets[ours].hashes[split]


@pytest.mark.parametrize('name', ['NUAA-SIRST'])
def test_statistics_of_the_training_images(root, name):
    dataset = SIRSTDataset(root(name), 'trainval')
    total = np.zeros(3)
    for i in range(len(dataset)):
        pixels = read_image(dataset.get_data_info(i)['img_path']).astype(np.float64)
        rgb = pixels[..., ::-1] if pixels.ndim == 3 else pixels[..., None].repeat(3, axis=2)
        grey = rgb @ (0.299, 0.587, 0.114)
        total += grey.size, grey.sum(), (grey**2).sum()
    mean = total[1] / total[0]
    assert mean == pytest.approx(get_entry(name).statistics['grey']['mean'][0], abs=0.01)
    std = np.sqrt(total[2] / total[0] - mean**2)
    assert std == pytest.approx(get_entry(name).statistics['grey']['std'][0], abs=0.01)


@pytest.mark.parametrize(('name', 'found'), [('NUAA-SIRST', 0), ('NUDT-SIRST', 32), ('IRSTD-1K', 4)])
def test_near_duplicates_are_those_of_the_catalogue(root, name, found):
    """As many as the description of the data sets counts; without them, none is left."""
    test = SIRSTDataset(root(name), 'test')
    training = SIRSTDataset(root(name), 'trainval')
    images = [[d.read_sample(i)[0] for i in range(len(d))] for d in (training, test)]
    pairs = find_near_duplicates(*images)
    near = {training.image_ids[i] for i, _, _ in pairs}
    assert len(near) == found
    clean = SIRSTDataset(root(name), 'trainval', exclude_near_test=True)
    assert set(clean.image_ids) == set(training.image_ids) - near
