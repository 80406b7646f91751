import logging

import numpy as np
import pytest
from mmseg.registry import DATASETS
from PIL import Image
from torch.utils.data import DataLoader

from madnet.datasets import SIRSTDataset, ids_sha256, split_ids
from madnet.errors import UserError

LOAD = [{'type': 'LoadSIRSTImage', 'channels': 1}, {'type': 'LoadSIRSTMask'}]


@pytest.fixture
def warnings_logged():
    """Lines of madnet's own logger."""
    logger = logging.getLogger('madnet')
    lines = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def nuaa(make_set, name='NUAA-SIRST', **kwargs):
    return make_set(name, list(split_ids('NUAA-SIRST', 'test')), **kwargs)


def test_registered_and_described(make_set):
    root = nuaa(make_set)
    dataset = DATASETS.build(
        {'type': 'SIRSTDataset', 'data_root': str(root), 'split': 'test', 'pipeline': LOAD}
    )
    ids = split_ids('NUAA-SIRST', 'test')
    assert dataset.metainfo['classes'] == ('background', 'target')
    described = dataset.describe()
    held = {kind: described.pop(f'{kind}_sha256') for kind in ('images', 'masks')}
    assert held['images'] != held['masks']
    assert [len(each) for each in held.values()] == [64, 64]
    assert described == {
        'name': 'NUAA-SIRST',
        'split': 'test',
        'split_set': 'idx_427',
        'images': 86,
        'split_sha256': ids_sha256(ids),
    }
    sample = dataset[3]
    assert sample['img_id'] == ids[3]
    assert sample['sample_idx'] == 3
    assert sample['dataset_name'] == 'NUAA-SIRST'
    assert sample['base_size'] == (512, 512)
    assert sample['img'].shape == (32, 40, 1)
    assert sample['gt_seg_map'].sum() == 9
    assert sample['seg_fields'] == ['gt_seg_map', 'gt_mask']
    with pytest.raises(UserError, match='base_size: found -1, expected a whole number from 1 on'):
        SIRSTDataset(root, 'test', base_size=-1)
    subset = SIRSTDataset(root, 'test', indices=5)
    assert subset.describe()['split_sha256'] == ids_sha256(ids[:5])


def test_found_under_data_root_by_any_of_its_names(make_set, monkeypatch):
    root = nuaa(make_set, 'sirst')
    monkeypatch.setenv('MADNET_DATA_ROOT', str(root.parent))
    dataset = SIRSTDataset(name='NUAA-SIRST', split='test')
    assert dataset.dataset_name == 'NUAA-SIRST'
    assert len(dataset) == 86
    assert len(SIRSTDataset(root.parent, 'test', name='NUAA')) == 86


def test_missing_set_says_all_that_helps(tmp_path, monkeypatch):
    monkeypatch.setenv('MADNET_DATA_ROOT', str(tmp_path))
    with pytest.raises(UserError) as error:
        SIRSTDataset(name='NUDT-SIRST', split='test')
    message = str(error.value)
    assert '\n' not in message
    for piece in (
        str(tmp_path / 'NUDT-SIRST'),
        'https://github.com/YeRen123455',
        'images/X.png + masks/X.png',
        'MADNET_DATA_ROOT',
        'madnet_synthetic',
    ):
        assert piece in message
    with pytest.raises(UserError, match="Did you mean 'NUDT-SIRST'"):
        SIRSTDataset(name='NUDT-SIRTS', split='test')
    with pytest.raises(UserError, match=str(tmp_path / 'nowhere')):
        SIRSTDataset(tmp_path / 'nowhere', 'test')
    (tmp_path / 'frames').mkdir()
    for n in range(3):
        (tmp_path / 'frames' / f'{n}.png').touch()
    with pytest.raises(UserError, match=r'frames: holds 3 images, but no masks .*madnet predict') as error:
        SIRSTDataset(tmp_path / 'frames', 'all')
    assert 'http' not in str(error.value)
    with pytest.raises(UserError, match='needs name'):
        SIRSTDataset(split='test')


def test_missing_images_are_counted_and_named(make_set):
    root = nuaa(make_set)
    (root / 'images' / 'Misc_70.png').unlink()
    (root / 'images' / 'Misc_100.png').unlink(missing_ok=True)
    with pytest.raises(UserError, match=r'of the 86 images .* are not there \(.*Misc_70'):
        SIRSTDataset(root, 'test')


def test_images_without_mask_are_named(make_set):
    root = nuaa(make_set)
    (root / 'masks' / 'Misc_70.png').unlink()
    with pytest.raises(
        UserError, match=r'1 of the 86 images .* no mask \(Misc_70\); looked for masks/Misc_70'
    ):
        SIRSTDataset(root, 'test')


def test_partial_copy_of_sirst_aug(make_set, warnings_logged):
    ids = [f'{i:06d}' for i in range(0, 8525, 250)]
    make_set('SIRST-AUG', ids, 'trainval/images/{}.png', 'trainval/masks/{}_mask.png')
    root = make_set('SIRST-AUG', ids[:2], 'test/images/{}.png', 'test/masks/{}_mask.png')
    dataset = SIRSTDataset(root, 'trainval')
    assert dataset.image_ids == ids
    assert dataset.split_sha256 == ids_sha256(ids)
    assert len(warnings_logged) == 1
    assert '35 of 8525 images' in warnings_logged[0]
    fit, val = SIRSTDataset(root, 'fit'), SIRSTDataset(root, 'val')
    assert sorted(fit.image_ids + val.image_ids) == ids
    with pytest.raises(UserError, match='543 of the 545 images'):
        SIRSTDataset(root, 'test')
    with pytest.raises(UserError, match='8490 of the 8525'):
        SIRSTDataset(root, 'trainval', allow_partial=False)


def test_known_set_in_folders_by_part(make_set):
    make_set('NUDT-SIRST', ['000001', '000002'], 'trainval/images/{}.png', 'trainval/masks/{}.png')
    root = make_set('NUDT-SIRST', ['000003'], 'test/images/{}.png', 'test/masks/{}.png')
    dataset = SIRSTDataset(root, 'test')
    assert dataset.image_ids == ['000003']
    assert dataset.split_set == 'folders'
    make_set('NUDT-SIRST', ['000001'], 'test/images/{}.png', 'test/masks/{}.png')
    with pytest.raises(UserError, match=r'in both .*000001'):
        SIRSTDataset(root, 'test')


def test_flat_copy_of_sirst_aug_uses_its_lists(make_set):
    ids = ['000000', '000001', '008525']
    root = make_set('SIRST-AUG', ids, lists={'img_idx/train_A.txt': ids[:2], 'img_idx/test_A.txt': ids[2:]})
    assert SIRSTDataset(root, 'test').image_ids == ['008525']
    with pytest.raises(UserError, match='parts the set by folders'):
        SIRSTDataset(root, 'test', split_set='folders')


def test_misc_111(make_set, caplog):
    root = nuaa(make_set)
    index = split_ids('NUAA-SIRST', 'test').index('Misc_111')
    draw_mask(root / 'masks' / 'Misc_111.png', (80, 64))
    dataset = SIRSTDataset(root, 'test', pipeline=LOAD)
    assert dataset[index]['gt_mask'].shape == (32, 40)
    assert dataset[index]['gt_mask'].shape == (32, 40)
    assert len([line for line in caplog.messages if 'Misc_111' in line]) == 1
    draw_mask(root / 'fixes' / 'Misc_111.png', (40, 32))
    dataset = SIRSTDataset(root, 'test', pipeline=LOAD)
    assert dataset[index]['seg_map_path'].endswith('fixes/Misc_111.png')


def draw_mask(path, size):
    path.parent.mkdir(exist_ok=True)
    Image.new('L', size).save(path)


@pytest.mark.parametrize(
    ('spoil', 'message'),
    [
        (
            lambda root: draw_mask(root / 'masks/Misc_70.png', (40, 36)),
            'a mask of 40 × 36 pixels for .* 40 × 32',
        ),
        (
            lambda root: (root / 'images/Misc_70.png').write_text('hello'),
            r'Misc_70.png: not an image \(5 bytes\)',
        ),
        (
            lambda root: (root / 'images/Misc_70.png').write_bytes(b''),
            r'Misc_70.png: not an image \(0 bytes\)',
        ),
        (lambda root: (root / 'images/Misc_70.png').unlink(), 'Misc_70.png: cannot be read'),
    ],
)
def test_bad_files_are_one_line(make_set, spoil, message):
    root = nuaa(make_set)
    dataset = SIRSTDataset(root, 'test', pipeline=LOAD)
    spoil(root)
    with pytest.raises(UserError, match=message) as error:
        dataset[dataset.image_ids.index('Misc_70')]
    assert '\n' not in str(error.value)


def test_cache_gives_the_same_and_is_not_written_to(make_set):
    root = make_set('mine', ['a', 'b'])

    def spoil(results):
        results['img'] += 1
        results['gt_mask'] += 1
        return results

    plain = SIRSTDataset(root, 'all', pipeline=LOAD)
    cached = SIRSTDataset(root, 'all', pipeline=[*LOAD, spoil], cache=True)
    first, again = cached[1], cached[1]
    np.testing.assert_array_equal(first['img'], again['img'])
    np.testing.assert_array_equal(first['img'], plain[1]['img'] + 1)
    np.testing.assert_array_equal(first['gt_mask'], again['gt_mask'])
    (root / 'images' / 'a.png').unlink()
    assert cached[0]['img'].shape == (32, 40, 1)


def test_base_size_of_an_unknown_set(make_set):
    root = make_set('mine', ['a'])
    resize = [*LOAD, {'type': 'PublishedTestResize'}]
    with pytest.raises(UserError, match='PublishedTestResize: no size given, and none known for mine'):
        SIRSTDataset(root, 'all', pipeline=resize)[0]
    assert SIRSTDataset(root, 'all', pipeline=resize, base_size=64)[0]['img'].shape == (64, 64, 1)


def test_masks_of_twice_the_size_are_read_at_their_images_size(make_set):
    root = make_set('mine', ['a'])
    image, mask = SIRSTDataset(root, 'all').read_sample(0)
    Image.fromarray(mask.repeat(2, 0).repeat(2, 1)).save(root / 'masks/a.png')
    found = SIRSTDataset(root, 'all').read_fitted(0)
    for one, other in zip(found, (image, mask), strict=True):
        np.testing.assert_array_equal(one, other)


def test_workers_have_the_cache_and_read_no_file(make_set):
    root = make_set('Set', ['a', 'b', 'c', 'd'])
    cached = SIRSTDataset(root, 'all', pipeline=LOAD, cache=True)
    expected = [cached[i]['img'] for i in range(4)]
    for path in root.rglob('*.png'):
        path.unlink()
    loader = DataLoader(cached, batch_size=None, num_workers=2, multiprocessing_context='fork')
    for sample, image in zip(loader, expected, strict=True):
        assert (np.asarray(sample['img']) == image).all()


@pytest.mark.parametrize('kind', ['SIRSTDataset', 'SyntheticSIRSTDataset'])
def test_no_split_is_the_default(make_set, kind):
    arguments = {'data_root': str(nuaa(make_set))} if kind == 'SIRSTDataset' else {'length': 2}
    with pytest.raises(UserError, match=r'no split is named: say split= one of train, val') as error:
        DATASETS.build({'type': kind, **arguments})
    assert '\n' not in str(error.value)
