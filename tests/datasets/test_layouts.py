import pytest

from madnet.datasets import LAYOUTS, SIRSTDataset, read_folder
from madnet.datasets.layouts import layouts_in_words
from madnet.datasets.selection import select
from madnet.datasets.splits import clean_id, cut_validation, read_ids, split_of
from madnet.errors import UserError
from madnet.evaluation.folders import find_maps, pair_folders

IDS = ['a1', 'b2', 'c3', 'd4', 'e5', 'f6']
TRAIN, TEST = IDS[:4], IDS[4:]

# Title of the layout → (image pattern, mask pattern, lists).
WRITTEN = {
    'sirst v1': (
        'images/{}.png',
        'masks/{}_pixels0.png',
        {
            'idx_427/trainval.txt': TRAIN,
            'idx_427/train.txt': TRAIN[:3],
            'idx_427/val.txt': TRAIN[3:],
            'idx_427/test.txt': TEST,
            'idx_427/trainvaltest.txt': IDS,
        },
    ),
    'sirst v2': (
        'mixed/{}.png',
        'annotations/masks/{}_pixels0.png',
        {'splits/trainval_full.txt': TRAIN, 'splits/test_full.txt': TEST},
    ),
    'BasicIRSTD': (
        'images/{}.bmp',
        'masks/{}.png',
        {'img_idx/train_X.txt': TRAIN, 'img_idx/test_X.txt': TEST},
    ),
    'LESPS': ('images/{}.png', 'masks/{}.png', {'train_X.txt': TRAIN, 'test_X.txt': TEST}),
    'DNA-Net': ('images/{}.png', 'masks/{}.png', {'50_50/train.txt': TRAIN, '50_50/test.txt': TEST}),
    'IRSTD-1K': ('IRSTD1k_Img/{}.png', 'IRSTD1k_Label/{}.png', {'trainval.txt': TRAIN, 'test.txt': TEST}),
    'flat': ('images/{}.tif', 'masks/{}_mask.png', {'trainval.txt': TRAIN, 'test.txt': TEST}),
    'below splits/': (
        'images/{}.jpg',
        'masks/{}.bmp',
        {'splits/A/trainval.txt': TRAIN, 'splits/A/test.txt': TEST},
    ),
    'SIRSTdevkit': (
        'PNGImages/{}.png',
        'SIRST/BinaryMask/{}_pixels0.png',
        {'Splits/trainval_full.txt': TRAIN, 'Splits/test_full.txt': TEST},
    ),
}


@pytest.mark.parametrize('title', WRITTEN)
def test_layouts_with_lists(make_set, title):
    images, masks, lists = WRITTEN[title]
    root = make_set('mine', IDS, images, masks, lists)
    assert SIRSTDataset(root, 'trainval').image_ids == TRAIN
    assert SIRSTDataset(root, 'test').image_ids == TEST
    fit, val = SIRSTDataset(root, 'fit').image_ids, SIRSTDataset(root, 'val').image_ids
    assert val
    assert sorted(fit + val) == TRAIN
    if title == 'sirst v1':
        assert val == TRAIN[3:]
    image, mask = SIRSTDataset(root, 'test').read_sample(0)
    assert image.shape[:2] == mask.shape == (32, 40)
    assert (mask > 127).sum() == 9


@pytest.mark.parametrize('pattern', ['{}/images/X.png', 'images/{}/X.png'])
@pytest.mark.parametrize('training', ['trainval', 'train', 'training'])
def test_folders_by_part(make_set, pattern, training):
    for part, ids in ((training, TRAIN), ('test', TEST)):
        image = pattern.format(part).replace('X', '{}')
        root = make_set('mine', ids, image, image.replace('images', 'masks'))
    assert SIRSTDataset(root, 'trainval').image_ids == SIRSTDataset(root, 'train').image_ids == TRAIN
    assert SIRSTDataset(root, 'test').image_ids == TEST
    assert SIRSTDataset(root, 'all').image_ids == TRAIN + TEST
    fit, val = SIRSTDataset(root, 'fit').image_ids, SIRSTDataset(root, 'val').image_ids
    assert (tuple(fit), tuple(val)) == cut_validation(TRAIN)


def test_folders_by_part_may_number_each_from_zero(make_set):
    for part, ids in (('train', IDS[:3]), ('val', IDS[:2]), ('test', IDS[:4])):
        root = make_set('mine', ids, part + '/images/{}.png', part + '/masks/{}.png')
    assert SIRSTDataset(root, 'val').image_ids == IDS[:2]
    assert SIRSTDataset(root, 'fit').image_ids == SIRSTDataset(root, 'train').image_ids == IDS[:3]
    assert len(SIRSTDataset(root, 'trainval')) == 5
    assert len(SIRSTDataset(root, 'all')) == 9
    test = SIRSTDataset(root, 'test')
    assert all('/test/images/' in test.get_data_info(i)['img_path'] for i in range(4))
    assert '/val/masks/' in SIRSTDataset(root, 'val').get_data_info(0)['seg_map_path']


def test_sequences_behind_links(make_set, tmp_path):
    root = make_set('mine', ['a/0', 'a/1'])
    other = make_set('other', ['0', '1'])
    for folder in ('images', 'masks'):
        (root / folder / 'b').symlink_to(other / folder)
    assert SIRSTDataset(root, 'all').image_ids == ['a/0', 'a/1', 'b/0', 'b/1']


@pytest.mark.parametrize('listed', [['0', 'day2/1'], ['0', 'day2']])
def test_lists_may_name_images_in_sub_folders_and_above_them(make_set, listed):
    root = make_set('mine', ['0', '1', 'day2/1', 'day2/2'], lists={'trainval.txt': listed, 'test.txt': ['1']})
    expected = ['0', 'day2/1'] if 'day2/1' in listed else ['0', 'day2/1', 'day2/2']
    assert SIRSTDataset(root, 'trainval').image_ids == expected
    assert SIRSTDataset(root, 'test').image_ids == ['1']


FRAMES = [f'seq_{s:02d}/frame_{f:04d}' for s in range(5) for f in range(1, 4)]


@pytest.mark.parametrize(
    ('images', 'masks'),
    [
        ('images/{}.png', 'masks/{}.png'),
        ('images/{}.png', 'masks/{}_mask.png'),
        ('mixed/{}.png', 'annotations/masks/{}_pixels0.png'),
        ('seq_xx/images/{}.png', 'seq_xx/masks/{}.png'),
    ],
)
@pytest.mark.parametrize('by_sequence', [False, True])
def test_sequences(make_set, images, masks, by_sequence):
    """Ids with slashes; a list may name frames, with or without an ending, or whole sequences."""
    for i in FRAMES:
        sequence, frame = i.split('/')
        per = [pattern.replace('seq_xx', sequence) for pattern in (images, masks)]
        root = make_set('mine', [frame if 'seq_xx' in images else i], *per)
    train = ['seq_00', 'seq_01', 'seq_02', 'seq_03'] if by_sequence else [f'{i}.png' for i in FRAMES[:12]]
    for where in ('', 'splits/') if 'mixed' in images else ('',):
        (root / where).mkdir(exist_ok=True)
        (root / where / 'train.txt').write_text('\n'.join(train))
        (root / where / 'test.txt').write_text('\n'.join(['seq_04'] if by_sequence else FRAMES[12:]))
    assert SIRSTDataset(root, 'all').image_ids == FRAMES
    assert SIRSTDataset(root, 'trainval').image_ids == FRAMES[:12]
    test = SIRSTDataset(root, 'test')
    assert test.image_ids == FRAMES[12:]
    assert test.get_data_info(0)['img_path'].endswith('frame_0001.png')
    image, mask = test.read_sample(2)
    assert image.shape == mask.shape == (32, 40)
    # frames of one sequence show nearly the same: none is cut in two
    fit, val = ({i.split('/')[0] for i in SIRSTDataset(root, s).image_ids} for s in ('fit', 'val'))
    assert len(val) == 1
    assert not fit & val


@pytest.mark.parametrize('pattern', ['{}/images/X.png', 'images/{}/X.png', '{}/S/images/F.png'])
def test_sequences_in_folders_by_part(make_set, pattern):
    for part, ids in (('train', FRAMES[:12]), ('test', FRAMES[12:])):
        for i in ids:
            image = pattern.format(part).replace('S', i.split('/')[0]).replace('F', i.split('/')[1])
            image = image.replace('X', i)
            root = make_set('mine', [i], image, image.replace('images', 'masks'))
    assert SIRSTDataset(root, 'trainval').image_ids == FRAMES[:12]
    assert SIRSTDataset(root, 'test').image_ids == FRAMES[12:]


@pytest.mark.parametrize(
    ('pattern', 'listed', 'parts'),
    [
        ('images/{}/{}.png', 'splits/mine/{}.txt', ['train'] * 6),
        ('images/{}/{}.png', '{}.txt', ['train', 'train', 'val', 'val', 'test', 'test']),
        ('{}/images/{}.png', '{}.txt', ['train', 'train', 'val', 'val', 'test', 'test']),
    ],
)
def test_lists_whose_ids_begin_with_the_folder_of_a_part_win(make_set, pattern, listed, parts):
    ids = sorted(f'{part}/{i}' for part, i in zip(parts, IDS, strict=True))
    training, test = ids[1:5], [ids[0], ids[5]]
    lists = {listed.format('train'): training, listed.format('test'): test}
    for i in ids:
        image = pattern.format(*i.split('/'))
        root = make_set('mine', [i], image, image.replace('images', 'masks'), lists)
    assert SIRSTDataset(root, 'trainval').image_ids == training
    assert SIRSTDataset(root, 'test').image_ids == test
    # a list that is wrong is said, not passed over
    path = root / listed.format('test')
    path.write_text(f'{ids[0]}\n{ids[0]}\n')
    with pytest.raises(UserError, match='listed more than once'):
        SIRSTDataset(root, 'test')
    # without lists of such ids, the names of the folders say the parts
    path.write_text('\n'.join(IDS[:2]))
    (root / listed.format('train')).unlink()
    assert SIRSTDataset(root, 'trainval').split_set == 'folders'


def test_one_sequence_is_cut_by_frames_and_two_by_sequence():
    fit, val = cut_validation(FRAMES[:3] * 1 + [f'seq_00/x{n}' for n in range(7)])
    assert (len(fit), len(val)) == (8, 2)
    fit, val = cut_validation(FRAMES[:6])
    assert (len(fit), len(val)) == (3, 3)


def test_mdvsfa_pairs(make_set):
    root = make_set('mine', ['0', '1', '12'], '{}_1.png', '{}_2.png')
    dataset = SIRSTDataset(root, 'all')
    assert dataset.image_ids == ['0', '1', '12']
    assert dataset.get_data_info(2)['img_path'].endswith('12_1.png')
    assert dataset.get_data_info(2)['seg_map_path'].endswith('12_2.png')
    with pytest.raises(UserError, match="only 'all' and the training part are"):
        SIRSTDataset(root, 'test')


def test_without_lists_all_is_for_training(make_set, caplog):
    root = make_set('own', IDS)
    assert SIRSTDataset(root, 'trainval').image_ids == SIRSTDataset(root, 'all').image_ids == sorted(IDS)
    fit, val = (SIRSTDataset(root, part).image_ids for part in ('fit', 'val'))
    assert sorted(fit + val) == sorted(IDS)
    assert val
    assert caplog.text.count(f'all {len(IDS)} images are its training part') == 1
    with pytest.raises(UserError, match='madnet dataset prepare'):
        SIRSTDataset(root, 'test')


def test_two_images_are_too_few_for_validation(make_set):
    root = make_set('own', IDS[:2])
    assert len(SIRSTDataset(root, 'trainval')) == 2
    with pytest.raises(UserError, match=r"no images of split 'val'.*selection=last"):
        SIRSTDataset(root, 'val')


def test_a_known_set_without_its_lists_is_refused(make_set):
    root = make_set('NUDT-SIRST', IDS)
    with pytest.raises(UserError, match="only 'all' is known"):
        SIRSTDataset(root, 'trainval', split_set='folder')


def test_a_folder_of_images_is_no_mdvsfa(make_set):
    root = make_set('mine', ['Misc_1'], 'Misc_1.png', 'Misc_9.png')
    assert read_folder(root) is None


def test_lists_of_several_authors_must_be_named(make_set):
    lists = {'A/train.txt': TRAIN, 'A/test.txt': TEST, 'B/train.txt': IDS[1:], 'B/test.txt': IDS[:1]}
    root = make_set('mine', IDS, lists=lists)
    with pytest.raises(UserError, match=r'name one by split_set: A, B\.'):
        SIRSTDataset(root, 'test')
    assert SIRSTDataset(root, 'test', split_set='B').image_ids == IDS[:1]
    with pytest.raises(UserError, match=r'split_set .C. is not the name'):
        SIRSTDataset(root, 'test', split_set='C')


def test_lists_by_other_names(make_set):
    lists = {'training.txt': IDS[:3], 'valid.txt': IDS[3:4], 'testing.txt': IDS[4:]}
    root = make_set('mine', IDS, lists=lists)
    assert SIRSTDataset(root, 'fit').image_ids == IDS[:3]
    assert SIRSTDataset(root, 'val').image_ids == IDS[3:4]
    assert SIRSTDataset(root, 'test').image_ids == IDS[4:]


def test_lists_in_the_wild(tmp_path):
    """CRLF, no final newline, byte-order mark, blank lines, ids with or without an extension."""
    path = tmp_path / 'test.txt'
    path.write_bytes(b'\xef\xbb\xbf000092.png\r\nMisc_1\r\n\r\nv1.2_frame')
    assert read_ids(path) == ('000092', 'Misc_1', 'v1.2_frame')
    assert clean_id(' x.PNG ') == clean_id('.\\x.BMP') == 'x'
    for line in ('././a/b.png', 'a//b', 'a/./b', './/a/b.PNG'):
        assert clean_id(line) == 'a/b'
    assert (clean_id('./'), clean_id('/a//b.png')) == ('.', '/a//b')
    for encoding in ('utf-16', 'utf-16-le'):
        path.write_text('a\nb\n', encoding)
        with pytest.raises(UserError, match=r'test\.txt: not a readable list .*; save it as UTF-8\.$'):
            read_ids(path)
    path.write_text(f'{NFC}\n{NFD}.png\n', 'utf-8')
    assert {clean_id(line) for line in path.read_text('utf-8').splitlines()} == {NFC}
    with pytest.raises(UserError, match=f'{NFC} listed more than once'):
        read_ids(path)
    path.write_text('a\nb\na\n')
    with pytest.raises(UserError, match='a listed more than once'):
        read_ids(path)


def test_overlapping_lists_are_refused_with_the_ids(make_set):
    root = make_set('mine', IDS, lists={'train.txt': IDS[:4], 'test.txt': IDS[2:]})
    for split in ('train', 'test', 'fit'):
        with pytest.raises(UserError, match=r'2 ids are in both .*\(c3, d4\)'):
            SIRSTDataset(root, split)


def test_a_validation_list_alone_is_not_called_too_small(make_set):
    root = make_set('mine', IDS, lists={'val.txt': TRAIN, 'test.txt': TEST})
    with pytest.raises(UserError, match=r"no images of split 'fit'; lists 'lists' name test 2, val 4\.$"):
        SIRSTDataset(root, 'fit')


def test_png_wins_where_an_id_has_several_files(make_set):
    root = make_set('mine', IDS, 'images/{}.jpg')
    make_set('mine', IDS, 'images/{}.png')
    dataset = SIRSTDataset(root, 'all')
    assert len(dataset) == len(IDS)
    assert dataset.get_data_info(0)['img_path'].endswith('.png')


def test_split_of_what_lists_do_not_tell():
    assert split_of({'train': ['a']}, 'test') is None
    assert split_of({'test': ['a']}, 'train') is None
    assert split_of({'train': ['b'], 'val': ['a']}, 'trainval') == ('a', 'b')
    assert split_of({'trainval': ['b', 'a'], 'val': ['a']}, 'fit') == ('b',)


def test_cut_does_not_depend_on_order():
    ids = [f'{i:06d}' for i in range(100)]
    assert cut_validation(ids) == cut_validation(reversed(ids))
    _, val = cut_validation(ids, group=10)
    assert len(val) == 20
    assert len({int(i) // 10 for i in val}) == 2


def test_words_name_every_layout():
    words = layouts_in_words()
    assert '\n' not in words
    for layout in LAYOUTS:
        assert layout.images.replace('{part}', '{trainval,test}').removeprefix('.') in words


def test_lists_in_img_idx_are_one_set(make_set):
    root = make_set('mine', ['a', 'b'], lists={'img_idx/train.txt': ['a'], 'img_idx/test.txt': ['b']})
    assert [*read_folder(root).lists] == ['lists']
    assert SIRSTDataset(root, 'test').image_ids == ['b']


NFC, NFD = 'caf\u00e9', 'cafe\u0301'


@pytest.mark.parametrize(('image', 'mask', 'listed'), [(NFD, NFD, NFC), (NFC, NFC, NFD), (NFD, NFC, NFC)])
def test_names_in_another_unicode_form_are_found(make_set, image, mask, listed):
    """macOS writes names in form D; lists are typed in form C."""
    root = make_set('mine', ['a', 'b'])
    for folder, name in (('images', image), ('masks', mask)):
        (root / folder / 'b.png').rename(root / folder / f'{name}.png')
    (root / 'trainval.txt').write_text('a')
    (root / 'test.txt').write_text(listed)
    [(image_id, pair)] = select(read_folder(root), None, 'mine', 'test').pairs
    assert (image_id, pair.image.stem, pair.mask.stem) == (NFC, image, mask)


def test_sequences_in_another_unicode_form_are_found(make_set):
    root = make_set('mine', [f'{s}/{i}' for s in 'ab' for i in '01'], 'images/{}.png', 'masks/{}.png')
    for folder in ('images', 'masks'):
        (root / folder / 'b').rename(root / folder / NFD)
    assert read_folder(root).frames_of((NFC,)) == (f'{NFC}/0', f'{NFC}/1')
    assert read_folder(root).frames_of((f'{NFC}/1',)) == (f'{NFC}/1',)


def test_two_unicode_forms_of_one_name_are_refused(make_set):
    root = make_set('mine', ['a', NFC, NFD])
    with pytest.raises(UserError, match=r'masks: .* and .* one image, names .* only in Unicode normal form'):
        read_folder(root)
    with pytest.raises(UserError, match=r"stand for 'caf.', names that differ only in Unicode normal form"):
        find_maps(root / 'masks', 'masks')


def test_maps_are_paired_with_masks_in_another_unicode_form(make_set):
    root = make_set('mine', ['a', NFD])
    other = make_set('other', ['a', NFC])
    pairs = pair_folders(other / 'masks', root / 'masks', ids=[NFD])
    assert [(name, pred.stem, mask.stem) for name, pred, mask in pairs.found] == [(NFC, NFC, NFD)]
    assert pairs.problems == ()
