"""What is wrong with a data set is said when it is opened."""

import os

import cv2
import numpy as np
import pytest
from PIL import Image

from madnet.curation.sources import read
from madnet.datasets import SIRSTDataset, contents
from madnet.datasets.checks import kept
from madnet.datasets.contents import hash_of
from madnet.datasets.statistics import folder_statistics
from madnet.errors import UserError
from madnet.images import notices

LOAD = [{'type': 'LoadSIRSTImage', 'channels': 1}, {'type': 'LoadSIRSTMask'}]
IDS = [f'{i:03d}' for i in range(6)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(notices, '_said', set())


@pytest.fixture
def folder(make_set):
    return make_set('mine', IDS, lists={'train.txt': IDS[:4], 'test.txt': IDS[4:]})


def change_masks(folder, change, ids=IDS):
    for i in ids:
        path = folder / 'masks' / f'{i}.png'
        Image.fromarray(change(np.array(Image.open(path)))).save(path)


def opened(folder, **options):
    return SIRSTDataset(folder, 'train', pipeline=LOAD, **options)


def test_facts(folder):
    facts = opened(folder).facts
    assert (facts.images, facts.targets, facts.empty) == (4, 4, 0)
    assert (facts.widths, facts.heights) == ((40, 40), (32, 32))
    assert str(facts).startswith('4 images of 40 × 32 pixels, 4 targets, 0 empty masks, grey values 0–')


def test_packed_images_fill_the_scale_wherever_a_set_is_read(folder, packed_tiff, capsys):
    given = [np.array(Image.open(folder / 'images' / f'{i}.png')) for i in IDS]
    expected = [image.astype(np.uint16) * 64 * (255 / 16383) for image in given]
    for i, image in zip(IDS, given, strict=True):
        (folder / 'images' / f'{i}.png').unlink()
        packed_tiff(folder / 'images' / f'{i}.tif', image[None].astype(np.uint16) * 64, 14)
    for options in ({}, {'cache': True}, {'value_range': (0, 16383)}):
        samples = [s['img'][..., 0] for s in opened(folder, **options)]
        np.testing.assert_allclose(samples, expected[:4], atol=1e-3)
        found = folder_statistics(opened(folder, **options))[0]
        assert found['mean'] == pytest.approx([np.mean(expected[:4])], abs=1e-2)
    np.testing.assert_allclose(read(opened(folder), 0).grey, expected[0], atol=1e-3)
    assert 'little contrast' not in capsys.readouterr().err


@pytest.mark.parametrize('value', [1, 100])
def test_low_masks_are_refused_unless_told_and_then_the_same(folder, value):
    truth = [s['gt_mask'] for s in opened(folder)]
    change_masks(folder, lambda m: m // 255 * np.uint8(value))
    with pytest.raises(UserError, match=rf'highest values: {value} .*mask_values=\[0,{value}\]'):
        opened(folder)
    loaders = [LOAD[0], {**LOAD[1], 'mask_values': (0, value)}]
    zero = [LOAD[0], {**LOAD[1], 'threshold': 0}]
    told = [
        opened(folder, mask_values=(0, value)),
        opened(folder, mask_values=(0, value), cache=True),
        SIRSTDataset(folder, 'train', pipeline=loaders),
        SIRSTDataset(folder, 'train', pipeline=zero, cache=True),
    ]
    for dataset in told:
        assert dataset.facts.targets == 4
        for k, sample in enumerate(dataset):
            np.testing.assert_array_equal(sample['gt_mask'], truth[k])
            np.testing.assert_array_equal(sample['gt_seg_map'], truth[k] > 127)
            np.testing.assert_array_equal(dataset.read_sample(k)[1], truth[k])
    with pytest.raises(UserError, match='give one of them'):
        SIRSTDataset(folder, 'train', pipeline=zero, mask_values=(0, value))


def test_a_few_faint_masks_are_told_and_some_are_refused(make_set, caplog):
    ids = [f'{i:03d}' for i in range(60)]
    folder = make_set('mine', ids, lists={'train.txt': ids, 'test.txt': []})
    change_masks(folder, lambda m: m // 255 * np.uint8(90), ids[:1])
    assert opened(folder).facts.empty == 1
    assert any('1 of 60 masks have grey values up to 90 only' in m for m in caplog.messages)
    change_masks(folder, lambda m: m // 255, ids[1:2])
    with pytest.raises(UserError, match='2 of 60 masks'):
        opened(folder)


def test_inverted_masks(folder):
    change_masks(folder, lambda m: 255 - m)
    with pytest.raises(UserError, match=r'look inverted: mask_values=\[255,0\]'):
        opened(folder)
    assert opened(folder, mask_values=(255, 0)).facts.targets == 4


@pytest.mark.parametrize(
    ('change', 'values'),
    [
        (lambda m: (m // 255).astype(np.uint16) * 4095, [0, 4095]),
        (lambda m: np.where(m > 127, 0, 4095).astype(np.uint16), [0, 4095]),
        (lambda m: np.where(m > 127, 0, 65535).astype(np.uint16), [65535, 0]),
        (lambda m: m == 0, [1, 0]),
        (lambda m: m // 255 * np.uint8(1 + np.arange(m.shape[1]) % 2), [0, 1, 2]),
        (lambda m: m // 255 + np.uint8(1), [1, 2]),
    ],
)
def test_the_option_that_is_printed_opens_the_set(folder, change, values):
    change_masks(folder, change)
    with pytest.raises(UserError) as error:
        opened(folder)
    assert f'mask_values=[{",".join(map(str, values))}]' in str(error.value)
    opened(folder, mask_values=values)


def test_values_that_no_option_can_name(folder):
    for path in (folder / 'masks').iterdir():
        np.save(path.with_suffix('.npy'), np.float32(0.25) * (np.array(Image.open(path)) > 127))
        path.unlink()
    with pytest.raises(UserError, match=r'mask_values cannot name their values \(0, 0\.25\); save them as'):
        opened(folder)


def test_a_mask_of_another_size(folder):
    change_masks(folder, lambda m: np.pad(m, ((0, 1), (0, 1))), IDS[2:3])
    with pytest.raises(UserError, match=r'002\.png: a mask of 41 × 33 pixels for an image of 40 × 32'):
        opened(folder)
    change_masks(folder, lambda m: m[:-1, :-1].repeat(2, 0).repeat(2, 1), IDS[2:3])
    assert opened(folder)[2]['gt_mask'].shape == (32, 40)


def test_only_changed_files_are_read_again(folder, monkeypatch):
    from madnet.datasets import checks

    seen = []
    row = checks._row
    monkeypatch.setattr(checks, '_row', lambda *a: seen.append(a[0]) or row(*a))
    opened(folder)
    assert len(seen) == 4
    opened(folder)
    assert len(seen) == 4
    change_masks(folder, lambda m: m * 0, IDS[:1])
    assert opened(folder).facts.empty == 1


def test_only_files_that_change_are_hashed_again(make_set, monkeypatch):
    folders = [make_set('mine', IDS) / kind for kind in ('images', 'masks')]
    files = [file for folder in folders for file in sorted(folder.iterdir())]
    read = []
    monkeypatch.setattr(contents, 'hash_of', lambda path: read.append(str(path)) or hash_of(path))
    expected = [*map(hash_of, files)]
    for asked, of_them in ((files, 12), (files, 0), (files[:3], 0), (files[::-1], 0)):
        assert contents.hashes(asked) == [expected[files.index(file)] for file in asked]
        assert len(read) == of_them
        read.clear()
    files[1].write_bytes(files[1].read_bytes() + b'?')
    files[2].unlink()
    expected[1:3] = hash_of(files[1]), ''
    assert expected[1]
    assert contents.hashes(files) == contents.hashes(files) == expected
    assert read == [str(files[1])]


def test_what_raw_pixels_are_described_by_counts_too(tmp_path):
    file, description = tmp_path / 'a.raw', tmp_path / 'raw.json'
    file.write_bytes(bytes(8))
    answers = iter(range(9))

    def ask():
        return kept('tried', None, [file], lambda: {'at': next(answers)})[0]['at']

    assert ask() == ask() == 0
    for dtype, expected in (('>u2', 1), ('<u2', 2)):
        description.write_text(f'{{"height": 2, "width": 2, "dtype": "{dtype}"}}')
        os.utime(description, ns=(1, 1))
        assert ask() == ask() == expected


def test_a_replaced_file_of_the_same_size_and_time_is_read_again(tmp_path):
    file = tmp_path / 'a.png'
    found = []
    for content in (b'black', b'white'):
        file.unlink(missing_ok=True)
        file.write_bytes(content)
        os.utime(file, ns=(1, 1))
        found.append(kept('tried', None, [file], lambda: {'is': file.read_text()})[0]['is'])
    assert found == ['black', 'white']


def test_empty_masks_and_skipped_files_are_told(folder, caplog):
    change_masks(folder, lambda m: m * 0)
    (folder / 'images' / 'notes.doc').touch()
    (folder / 'images' / '000.bmp').write_bytes((folder / 'images' / '001.png').read_bytes())
    opened(folder)
    said = ' '.join(caplog.messages)
    assert 'all 4 masks are empty' in said
    assert '1 files are left out, of a kind that is not read: 1 .doc' in said
    assert 'the second image of an id: 1 .bmp' in said


def test_images_in_sub_folders_beside_others_are_told(folder, make_set, caplog):
    opened(folder)
    assert not caplog.messages
    make_set('mine', ['day2/0', 'day2/1', 'day2/night/0'])
    assert len(opened(folder)) == 4
    [line] = caplog.messages
    assert '3 images in sub-folders left out' in line
    assert f'the first: {folder / "images/day2/0.png"}' in line


def counts(folder):
    for i in IDS:
        path = folder / 'images' / f'{i}.png'
        Image.fromarray(20000 + 10 * np.array(Image.open(path)).astype(np.uint16)).save(path)


def test_deep_frames_of_little_contrast(folder, caplog):
    counts(folder)
    assert np.ptp(opened(folder)[0]['img']) < 15
    assert any('--value-range 20' in m for m in caplog.messages)
    notices._said.discard('low contrast')
    caplog.clear()
    opened(folder, value_range=(0, 65000))
    [line] = caplog.messages
    assert 'which leaves little contrast (said' in line  # no advice where a range was given
    told = opened(folder, value_range=(20000, 22550))
    grey = np.array(Image.open(folder / 'images' / '000.png')).astype(float)
    np.testing.assert_allclose(told[0]['img'][..., 0], (grey - 20000) / 10, atol=1e-3)
    auto, test = opened(folder, value_range='auto'), SIRSTDataset(folder, 'test', value_range='auto')
    assert auto.value_range == test.value_range
    assert np.ptp(auto[0]['img']) > 250
    step = [{**LOAD[0], 'value_range': 'auto'}, LOAD[1]]
    np.testing.assert_array_equal(SIRSTDataset(folder, 'train', pipeline=step)[1]['img'], auto[1]['img'])


def test_floats_without_a_range_are_refused(folder):
    for i in IDS:
        grey = np.array(Image.open(folder / 'images' / f'{i}.png'))
        (folder / 'images' / f'{i}.png').unlink()
        cv2.imwrite(str(folder / 'images' / f'{i}.tif'), 270 + grey.astype(np.float32) / 8)
    with pytest.raises(UserError, match='value_range'):
        opened(folder)
    assert len(opened(folder, value_range=(270, 302))) == 4


def test_several_frames_are_refused(folder):
    (folder / 'images' / '001.png').unlink()
    cv2.imwritemulti(str(folder / 'images' / '001.tif'), [np.zeros((32, 40), np.uint8)] * 3)
    with pytest.raises(UserError, match='holds 3 frames where one image is expected'):
        opened(folder)
