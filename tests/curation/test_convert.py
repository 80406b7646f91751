import json
import shutil
import xml.etree.ElementTree as ElementTree
from unicodedata import normalize

import cv2
import numpy as np
import pytest
from PIL import Image

from madnet.curation import labels
from madnet.curation.coco_format import _split_in
from madnet.curation.labels import Shape, decode_rle, from_box, mask_of
from madnet.datasets import SIRSTDataset
from madnet.evaluation.components import find_components, run_lengths
from madnet.images import encode_png
from madnet.inference.outputs import PER_IMAGE
from madnet.inference.prediction import Prediction

IDS = [f's{n // 3}/f{n}' for n in range(9)]


@pytest.fixture
def masks(make_set):
    """Three sequences of three frames; blobs of random shape on a flat background, the last frame empty."""
    root = make_set('mine', IDS, lists={'train.txt': IDS[:4], 'val.txt': IDS[4:6], 'test.txt': IDS[6:]})
    rng = np.random.default_rng(5)
    for n, i in enumerate(IDS):
        mask = np.zeros((48, 60), bool)
        for y, x in rng.integers(8, 40, (2, 2)):
            mask[y - 3 : y + 3, x - 3 : x + 3] |= rng.random((6, 6)) < 0.6
        mask &= n < 8
        image = np.where(mask, 200, 90 + rng.integers(0, 3, mask.shape)).astype(np.uint8)
        (root / f'images/{i}.png').write_bytes(encode_png(image))
        (root / f'masks/{i}.png').write_bytes(encode_png(mask.astype(np.uint8) * 255))
    return root


def all_masks(root):
    data = SIRSTDataset(root, 'all')
    return {i: data.read_sample(n)[1] > 127 for n, i in enumerate(data.image_ids)}


def all_boxes(root):
    return {i: sorted(map(tuple, find_components(m).boxes.tolist())) for i, m in all_masks(root).items()}


def test_masks_to_coco_and_back_is_exact(masks, run, tmp_path):
    code, out, err = run('dataset', 'convert', masks, '--to', 'coco', '--out', tmp_path / 'coco')
    assert code == 0, err
    assert '9 images (train 4, val 2, test 3), masks → coco' in out
    test = json.loads((tmp_path / 'coco/annotations/instances_test.json').read_text())
    assert [i['file_name'] for i in test['images']] == [f'{i}.png' for i in IDS[6:]]
    assert run('dataset', 'convert', tmp_path / 'coco', '--to', 'madnet', '--out', tmp_path / 'back')[0] == 0
    before, after = all_masks(masks), all_masks(tmp_path / 'back')
    assert before.keys() == after.keys()
    assert all((before[i] == after[i]).all() for i in before)
    for split in ('train', 'val', 'test'):
        ids = [SIRSTDataset(root, split).image_ids for root in (masks, tmp_path / 'back')]
        assert ids[0] == ids[1]
    record = json.loads((tmp_path / 'back/dataset.json').read_text())
    assert record['made']['from'] == 'coco'
    assert 'as they are' in record['rule']
    targets = sum(map(len, all_boxes(masks).values()))
    assert record['done']['masks as they are'] == record['marks'] == targets


@pytest.mark.parametrize(
    ('bright', 'words'), [(1, '--mask-values 0 1'), (100, '--mask-values 0 100'), (None, 'inverted')]
)
def test_masks_of_other_values_are_refused_unless_told(masks, run, tmp_path, bright, words):
    before = all_boxes(masks)
    for path in (masks / 'masks').rglob('*.png'):
        target = cv2.imread(str(path), cv2.IMREAD_UNCHANGED) > 127
        stored = np.where(target, 0, 255) if bright is None else target * bright
        path.write_bytes(encode_png(stored.astype(np.uint8)))
    args = ('dataset', 'convert', masks, '--to', 'coco', '--out', tmp_path / 'coco')
    code, _, err = run(*args)
    assert code == 2
    assert words in err
    assert not (tmp_path / 'coco').exists()
    told = ('255', '0') if bright is None else ('0', bright)
    assert run(*args, '--mask-values', *told)[0] == 0
    assert run('dataset', 'convert', tmp_path / 'coco', '--to', 'madnet', '--out', tmp_path / 'back')[0] == 0
    assert all_boxes(tmp_path / 'back') == before


def test_coco_is_what_its_own_library_reads(masks, run, tmp_path):
    coco = pytest.importorskip('pycocotools.coco')
    assert run('dataset', 'convert', masks, '--to', 'coco', '--out', tmp_path / 'coco')[0] == 0
    read = coco.COCO(str(tmp_path / 'coco/annotations/instances_train.json'))
    truth = all_masks(masks)
    for image in read.loadImgs(read.getImgIds()):
        found = read.loadAnns(read.getAnnIds(image['id']))
        mask = sum(read.annToMask(a) for a in found)
        np.testing.assert_array_equal(mask, truth[image['file_name'][:-4]])
        assert sum(a['area'] for a in found) == mask.sum()


@pytest.mark.parametrize('folder', ['{}', '{}2017', 'images/{}'])
def test_images_of_one_name_in_two_parts_are_not_taken_for_one(run, tmp_path, folder):
    greys, root = {'train': 40, 'test': 90}, tmp_path / 'parts'
    (root / 'annotations').mkdir(parents=True)
    for part, grey in greys.items():
        (root / folder.format(part)).mkdir(parents=True)
        (root / folder.format(part) / 'a.png').write_bytes(encode_png(np.full((20, 20), grey, np.uint8)))
        image = {'id': 1, 'file_name': 'a.png', 'width': 20, 'height': 20}
        content = {'images': [image], 'annotations': [], 'categories': [{'id': 1, 'name': 'target'}]}
        (root / f'annotations/instances_{part}.json').write_text(json.dumps(content))
    for form, name in (
        ('yolo', 'images/{0}/a'),
        ('coco', 'images/{0}_a'),
        ('voc', 'JPEGImages/{0}_a'),
        ('madnet', 'images/{0}_a'),
    ):
        code, _, err = run('dataset', 'convert', root, '--to', form, '--out', tmp_path / form)
        assert code == 0, err
        found = {part: cv2.imread(str(tmp_path / form / f'{name.format(part)}.png'), 0) for part in greys}
        assert {part: image[0, 0] for part, image in found.items()} == greys
    (root / 'annotations/instances_test.json').rename(root / 'annotations/instances.json')
    code, _, err = run('dataset', 'convert', root, '--to', 'voc', '--out', tmp_path / 'unsure')
    assert (code, 'name the JSON after its part' in err) == (2, True), err


@pytest.mark.parametrize(
    ('lists', 'part', 'sizes'),
    [
        ({'train.txt': IDS}, '', 'train 7, val 2'),
        ({'trainval.txt': IDS[:2], 'test.txt': IDS[2:4]}, '', 'train 2, test 2'),
        (None, 'train/', 'train 7, val 2'),
        (None, 'test/', 'test 9'),
    ],
)
def test_a_part_that_is_not_there_is_left_out(make_set, run, tmp_path, lists, part, sizes):
    ids = [i.replace('/', '') for i in IDS]
    lists = lists and {name: [i.replace('/', '') for i in listed] for name, listed in lists.items()}
    root = make_set('mine', ids, f'{part}images/{{}}.png', f'{part}masks/{{}}.png', lists)
    code, out, err = run('dataset', 'convert', root, '--to', 'coco', '--out', tmp_path / 'coco')
    assert (code, f'({sizes})' in out) == (0, True), (out, err)


def test_options_that_a_form_knows_nothing_of_are_refused(masks, run, tmp_path):
    assert run('dataset', 'convert', masks, '--to', 'yolo', '--out', tmp_path / 'yolo')[0] == 0
    for root, option, what in (
        (masks, ('--classes', '0'), '(masks) has no classes'),
        (tmp_path / 'yolo', ('--split-set', '0'), '(yolo) has no lists of several authors'),
        (tmp_path / 'yolo', ('--mask-values', '0', '1'), '(yolo) has no masks'),
    ):
        code, _, err = run('dataset', 'convert', root, '--to', 'coco', '--out', tmp_path / 'no', *option)
        assert (code, f'{option[0]}: {root} {what}.' in err) == (2, True), err


def test_voc_lists_that_hold_an_image_twice(masks, run, tmp_path):
    assert run('dataset', 'convert', masks, '--to', 'voc', '--out', tmp_path / 'voc')[0] == 0
    lists = tmp_path / 'voc/ImageSets/Main'
    both = (lists / 'train.txt').read_text() + (lists / 'val.txt').read_text()
    (lists / 'trainval.txt').write_text(both)
    code, out, err = run('dataset', 'convert', tmp_path / 'voc', '--to', 'voc', '--out', tmp_path / 'again')
    assert code == 0, err
    assert '9 images (train 4, val 2, trainval 6, test 3)' in out
    assert (tmp_path / 'again/ImageSets/Main/trainval.txt').read_text() == both
    places = [tmp_path / name for name in ('coco', 'back', 'yolo', 'alone', 'read')]
    assert run('dataset', 'convert', tmp_path / 'voc', '--to', 'coco', '--out', places[0])[0] == 0
    assert run('dataset', 'convert', places[0], '--to', 'madnet', '--out', places[1])[0] == 0
    assert SIRSTDataset(places[1], 'val').image_ids == IDS[4:6]
    assert run('dataset', 'convert', tmp_path / 'voc', '--to', 'yolo', '--out', places[2])[0] == 0
    assert sorted(p.name for p in (places[2] / 'images').iterdir()) == ['test', 'train', 'val']
    # a list of both alone is what YOLO calls train
    for name in ('train', 'val'):
        (lists / f'{name}.txt').unlink()
    assert run('dataset', 'convert', tmp_path / 'voc', '--to', 'yolo', '--out', places[3])[0] == 0
    for kind in ('images', 'labels'):
        (places[3] / kind / 'train').rename(places[3] / kind / 'trainval')
    out = run('dataset', 'convert', places[3], '--to', 'coco', '--out', places[4])[1]
    assert '9 images (train 6, test 3)' in out
    (lists / 'trainval.txt').write_text(both + IDS[8])
    code, _, err = run('dataset', 'convert', tmp_path / 'voc', '--to', 'madnet', '--out', tmp_path / 'leak')
    assert (code, "in both 'trainval' and 'test'" in err) == (2, True), err


def test_parts_by_other_names_and_in_other_folders(masks, run, tmp_path):
    code, _, err = run('dataset', 'convert', masks, '--to', 'yolo', '--out', tmp_path / 'training_yolo')
    assert code == 0, err
    for kind in ('images', 'labels'):
        (tmp_path / 'training_yolo' / kind / 'val').rename(tmp_path / 'training_yolo' / kind / 'valid')
    out = run('dataset', 'convert', tmp_path / 'training_yolo', '--to', 'coco', '--out', tmp_path / 'c')[1]
    assert 'train 4, val 2, test 3' in out
    # beside it val/ of other images, and trainval/ of both with one more: none is lost, none comes twice
    for kind in ('images', 'labels'):
        at = tmp_path / 'training_yolo' / kind
        shutil.copytree(at / 'train', at / 'trainval')
        shutil.copytree(at / 'valid', at / 'trainval', dirs_exist_ok=True)
        (at / 'val').mkdir()
    for name in ('images/val/v.png', 'images/trainval/more.png'):
        (tmp_path / 'training_yolo' / name).write_bytes(encode_png(np.full((48, 60), len(name), np.uint8)))
    out = run('dataset', 'convert', tmp_path / 'training_yolo', '--to', 'coco', '--out', tmp_path / 'all')[1]
    assert 'train 5, val 3, test 3' in out
    for kind in ('images', 'labels'):
        shutil.copytree(
            tmp_path / 'training_yolo' / kind / 'train', tmp_path / 'training_yolo' / kind / 'training'
        )
    twice = next((tmp_path / 'training_yolo/images/training').rglob('*.png'))
    twice.write_bytes(encode_png(np.zeros((48, 60), np.uint8)))
    err = run('dataset', 'convert', tmp_path / 'training_yolo', '--to', 'coco', '--out', tmp_path / 'no')[2]
    assert str(twice) in err
    assert 'two images of one name, in folders of one part' in err
    root = tmp_path / 'training_coco'
    shutil.copytree(tmp_path / 'c', root)
    for path in (root / 'annotations').iterdir():
        path.rename(root / path.name)
    (root / 'instances_val.json').rename(root / 'more.json')
    out = run('dataset', 'convert', root, '--to', 'yolo', '--out', tmp_path / 'merged')[1]
    assert '9 images' in out
    # what names no part is trained on, too
    assert len([*(tmp_path / 'merged/images/train').rglob('*.png')]) == 6
    assert run('dataset', 'convert', root, '--to', 'voc', '--out', tmp_path / 'voc')[0] == 0


def test_a_whole_beside_parts_adds_what_they_lack(masks, run, tmp_path):
    """One JSON of everything, and those of parts: no test image is trained on, none is in two lists."""
    assert run('dataset', 'convert', masks, '--to', 'coco', '--out', tmp_path / 'c')[0] == 0
    files = [tmp_path / f'c/annotations/instances_{split}.json' for split in ('train', 'val', 'test')]
    parts = [json.loads(path.read_text()) for path in files]
    whole: dict = {'images': [], 'annotations': [], 'categories': parts[0]['categories']}
    for n, part in enumerate(parts):
        whole['images'] += [{**i, 'id': 100 * n + i['id']} for i in part['images']]
        whole['annotations'] += [{**a, 'image_id': 100 * n + a['image_id']} for a in part['annotations']]
    files[0].with_name('latest.json').write_text(json.dumps(whole))  # a name with "test" in it
    files[1].unlink()
    for form, lists in (('yolo', 'images/train'), ('voc', 'ImageSets/Main'), ('madnet', 'splits/converted')):
        code, _, err = run('dataset', 'convert', tmp_path / 'c', '--to', form, '--out', tmp_path / form)
        assert code == 0, err
        if form == 'yolo':
            assert len([*(tmp_path / form / lists).rglob('*.png')]) == 6  # four of train, two of no part
        else:
            ids = [i for p in (tmp_path / form / lists).iterdir() for i in p.read_text().split()]
            assert sorted(ids) == sorted(IDS)


@pytest.mark.parametrize(
    ('name', 'split'),
    [
        *(
            ('instances_val2017', 'val'),
            ('Training', 'train'),
            ('a-testing_3', 'test'),
            ('trainval', 'trainval'),
        ),
        *((name, '') for name in ('valley_night', 'testbed', 'trainstation', 'values', 'latest')),
    ],
)
def test_a_part_is_named_by_whole_words(name, split):
    assert _split_in(name) == split


def test_outlines_of_one_object_add_up():
    square = np.array([[1, 1], [7, 1], [7, 7], [1, 7]], float)
    for outlines, area in (((square, square), 36), ((square, square + 3), 63)):
        assert mask_of([Shape('outline', outlines)], np.zeros((12, 12), np.uint8), {}, 0.25).sum() == area


def test_run_lengths():
    rng = np.random.default_rng(0)
    pycoco = pytest.importorskip('pycocotools.mask')
    for share in (0, 0.1, 0.5, 1):
        mask = rng.random((7, 11)) < share
        counts = run_lengths(*np.nonzero(mask), mask.shape)
        np.testing.assert_array_equal(decode_rle(counts, mask.shape), mask)
        packed = pycoco.encode(np.asfortranarray(mask.astype(np.uint8)))
        np.testing.assert_array_equal(decode_rle(packed['counts'], mask.shape), mask)
    assert decode_rle([3, 4], (2, 2)) is None


@pytest.mark.parametrize('form', ['yolo', 'voc'])
def test_boxes_survive(masks, run, tmp_path, form):
    """Boxes of masks → text → boxes: the same to the pixel."""
    assert run('dataset', 'convert', masks, '--to', form, '--out', tmp_path / form)[0] == 0
    assert run('dataset', 'convert', tmp_path / form, '--to', 'coco', '--out', tmp_path / 'coco')[0] == 0
    found = {}
    for path in (tmp_path / 'coco/annotations').iterdir():
        content = json.loads(path.read_text())
        names = {i['id']: i['file_name'][:-4] for i in content['images']}
        for name in names.values():
            found[name] = []
        for a in content['annotations']:
            x, y, w, h = a['bbox']
            found[names[a['image_id']]].append(tuple(round(v, 4) for v in (x, y, x + w, y + h)))
    assert {i: sorted(b) for i, b in found.items()} == all_boxes(masks)


def test_labels_that_predict_wrote_are_boxes_with_a_confidence(masks, run, tmp_path):
    yolo, truth, found = tmp_path / 'yolo', all_masks(masks), []
    assert run('dataset', 'convert', masks, '--to', 'yolo', '--out', yolo)[0] == 0
    for predicted in (False, True):
        for path in (yolo / 'labels').rglob('*.txt') if predicted else ():
            scores = np.where(truth[f'{path.parent.name}/{path.stem}'], np.float32(0.9), np.float32(0))
            path.write_bytes(PER_IMAGE['yolo'][2](Prediction('', scores, 0.5)))
            assert all(line.endswith(' 0.900000') for line in path.read_text().splitlines())
        out = tmp_path / str(predicted)
        assert run('dataset', 'convert', yolo, '--to', 'madnet', '--out', out)[0] == 0
        found.append({i: mask.tolist() for i, mask in all_masks(out).items()})
    assert found[0] == found[1]


def test_boxes_in_rounded_shares_give_the_masks_of_exact_ones(masks, run, tmp_path):
    found = []
    for form in ('yolo', 'voc'):
        assert run('dataset', 'convert', masks, '--to', form, '--out', tmp_path / form)[0] == 0
        if form == 'yolo':
            for path in (tmp_path / 'yolo/labels').rglob('*.txt'):
                lines = [[f'{float(v):.6f}' for v in line.split()] for line in path.read_text().splitlines()]
                path.write_text(''.join(f'0 {" ".join(line[1:])}\n' for line in lines))
        back = tmp_path / f'{form}_back'
        assert run('dataset', 'convert', tmp_path / form, '--to', 'madnet', '--out', back)[0] == 0
        found.append(all_masks(back))
    assert found[0].keys() == found[1].keys()
    for name, mask in found[0].items():
        np.testing.assert_array_equal(mask, found[1][name])


def test_voc_and_yolo_as_their_readers_expect(masks, run, tmp_path):
    for form in ('voc', 'yolo'):
        assert run('dataset', 'convert', masks, '--to', form, '--out', tmp_path / form)[0] == 0
    path = tmp_path / 'voc/JPEGImages/s0/f0.png'
    path.rename(path.with_suffix('.PNG'))
    assert run('dataset', 'convert', tmp_path / 'voc', '--to', 'coco', '--out', tmp_path / 'coco')[0] == 0
    (x0, y0, x1, y1), *_ = find_components(all_masks(masks)['s0/f0']).boxes.tolist()
    box = ElementTree.parse(tmp_path / 'voc/Annotations/s0/f0.xml').find('object/bndbox')
    assert [int(box.findtext(k)) for k in ('xmin', 'ymin', 'xmax', 'ymax')] == [x0 + 1, y0 + 1, x1, y1]
    assert (tmp_path / 'voc/ImageSets/Main/test.txt').read_text().split() == IDS[6:]
    line = (tmp_path / 'yolo/labels/train/s0/f0.txt').read_text().splitlines()[0].split()
    assert line[0] == '0'
    expected = ((x0 + x1) / 120, (y0 + y1) / 96, (x1 - x0) / 60, (y1 - y0) / 48)
    np.testing.assert_allclose(np.array(line[1:], float), expected, atol=1e-8)
    assert (tmp_path / 'yolo/labels/test/s2/f8.txt').read_text() == ''
    assert 'test: images/test' in (tmp_path / 'yolo/data.yaml').read_text()


@pytest.mark.parametrize(
    ('name', 'pixels', 'depth'),
    [
        ('grey.png', np.zeros((48, 60), np.uint16), '1'),
        ('colour.jpg', np.zeros((48, 60, 3), np.uint8), '3'),
        ('deep.tif', np.zeros((48, 60, 3), np.uint16), '3'),  # of which Pillow knows nothing
        ('alpha.png', np.zeros((48, 60, 4), np.uint8), '4'),
        ('array.npy', np.zeros((48, 60, 3), np.float32), '3'),
        ('palette.png', None, '3'),
    ],
)
def test_voc_says_the_channels_of_each_file(tmp_path, run, name, pixels, depth):
    path = tmp_path / 'mine/images' / name
    for folder in ('images', 'masks'):
        (tmp_path / 'mine' / folder).mkdir(parents=True)
    (tmp_path / f'mine/masks/{path.stem}.png').write_bytes(encode_png(np.zeros((48, 60), np.uint8)))
    if pixels is None:
        Image.new('P', (60, 48)).save(path)
    elif path.suffix == '.npy':
        np.save(path, pixels)
    else:
        cv2.imwrite(str(path), pixels)
    code, _, err = run('dataset', 'convert', tmp_path / 'mine', '--to', 'voc', '--out', tmp_path / 'voc')
    assert code == 0, err
    tree = ElementTree.parse(tmp_path / f'voc/Annotations/{path.stem}.xml')
    assert tree.findtext('size/depth') == depth


def test_a_box_grows_from_its_brightest_pixel():
    grey = np.full((30, 30), 50, np.float32)
    grey[10:15, 10:15] = 70
    grey[12, 11:14] = 100
    grey[10, 18] = 95  # bright, apart, outside of the box
    mask, done = from_box(grey, (10, 10, 15, 15), level=0.5)
    assert done == 'boxes as ellipses'  # three of 25 pixels: less than a quarter of the box
    mask, done = from_box(grey, (11, 11, 14, 14), level=0.5)
    assert done == 'boxes grown'
    assert np.argwhere(mask).tolist() == [[12, 11], [12, 12], [12, 13]]
    mask, done = from_box(grey, (10, 10, 15, 15), level=0.25)
    assert done == 'boxes grown'
    assert mask[10:15, 10:15].all()
    assert mask.sum() == 25


def test_a_box_without_a_target_that_stands_out_is_an_ellipse():
    rng = np.random.default_rng(0)
    grey = rng.normal(100, 5, (40, 40)).astype(np.float32)
    mask, done = from_box(grey, (10, 10, 18, 16), 0.25)
    assert done == 'boxes as ellipses'
    assert mask[10:16, 10:18].sum() == mask.sum()
    assert mask[12:14, 10:18].all()
    assert not mask[10, 10]
    assert mask.sum() == pytest.approx(np.pi / 4 * 48, rel=0.1)
    mask, _ = from_box(np.zeros((9, 9), np.float32), (4, 4, 5, 5))
    assert np.argwhere(mask).tolist() == [[4, 4]]
    assert not from_box(grey, (50, 50, 60, 60))[0].any()


def test_points_grow_or_are_squares():
    grey = np.full((30, 30), 50, np.uint8)
    grey[12:15, 12:14] = 120
    counts = {}
    shapes = [labels.Shape('point', (12.5, 11.5)), labels.Shape('point', (25.5, 25.5))]
    mask = mask_of(shapes, grey, counts)
    assert counts == {'points grown': 1, 'points as squares': 1}
    assert mask[12:15, 12:14].all()
    assert mask[24:27, 24:27].all()
    assert mask.sum() == 6 + 9


def test_outlines_take_the_pixels_whose_centre_is_inside():
    counts = {}
    square = np.array([(3, 2), (9, 2), (9, 6), (3, 6)], float)
    tiny = np.array([(20.1, 20.1), (20.3, 20.1), (20.2, 20.3)])
    shapes = [labels.Shape('outline', (square,)), labels.Shape('outline', (tiny,))]
    mask = mask_of(shapes, np.zeros((30, 30), np.uint8), counts)
    assert mask[2:6, 3:9].all()
    assert mask[20, 20]
    assert mask.sum() == 25
    beyond = np.array([(-9, 5.1), (-9, 5.3), (0.4, 5.3), (0.4, 5.1)])  # its middle is not in the image
    for outline, pixel in ((beyond, [5, 0]), (beyond[:, ::-1], [0, 5])):
        mask = mask_of([labels.Shape('outline', (outline,))], np.zeros((30, 30), np.uint8), {})
        assert np.argwhere(mask).tolist() == [pixel]
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:30, :30] + 0.5
    hull = cv2.convexHull(rng.uniform(2, 28, (7, 2)).astype(np.float32))[:, 0]
    ours = mask_of([labels.Shape('outline', (hull,))], np.zeros((30, 30), np.uint8), {})
    path = pytest.importorskip('matplotlib.path').Path([*hull, hull[0]])
    theirs = path.contains_points(np.stack([x.ravel(), y.ravel()], 1)).reshape(30, 30)
    np.testing.assert_array_equal(ours, theirs)


IMAGE = {'id': 1, 'file_name': 'a.png', 'width': 30, 'height': 20}
BOX = {'id': 1, 'image_id': 1, 'category_id': 1, 'bbox': [3, 4, 5, 6]}


def coco(tmp_path, **changes):
    root = tmp_path / 'c'
    root.mkdir()
    (root / 'a.png').write_bytes(encode_png(np.full((20, 30), 9, np.uint8)))
    content = {
        'images': [IMAGE],
        'annotations': [BOX],
        'categories': [{'id': 1, 'name': 'ship'}, {'id': 2, 'name': 'bird'}],
    }
    (root / 'all.json').write_text(json.dumps(content | changes))
    return root


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'images': [{'id': 1, 'file_name': '../a.png', 'width': 30, 'height': 20}]}, 'leads out'),
        ({'images': [{'id': 1, 'file_name': 'b.png', 'width': 30, 'height': 20}]}, 'b.png is not in'),
        ({'images': [{'id': 1, 'file_name': 'a.png', 'width': 31, 'height': 20}]}, '30 × 20 pixels'),
        (
            {'annotations': [BOX, {'id': 9, 'image_id': '1', 'bbox': [1, 2, 3, 4]}]},
            "annotations[1] (id 9): found image_id '1', expected the id of an image, as 1.",
        ),
        ({'annotations': [{'image_id': 1, 'bbox': 'x'}]}, "annotations[0]: not in COCO's form"),
        ({'annotations': [{'image_id': 1}]}, 'annotations[0]: marks nothing; expected bbox'),
        ({'annotations': [BOX | {'bbox': [31, 4, 5, 6]}]}, 'none of its 1 marks lies in its image'),
        ({'images': [IMAGE, IMAGE | {'file_name': 'b.png'}]}, 'the id 1 twice in images (a.png, b.png)'),
        (
            {'categories': [{'id': 1, 'name': 'ship'}, {'id': 1, 'name': 'bird'}]},
            'the id 1 twice in categories (ship, bird)',
        ),
        (
            {'annotations': [{'image_id': 1, 'segmentation': {'size': [20, 30], 'counts': [5, 5]}}]},
            'do not fill',
        ),
    ],
)
def test_wrong_coco_is_one_line(run, tmp_path, changes, message):
    root = coco(tmp_path, **changes)
    for form in ('madnet', 'voc'):
        code, _, err = run('dataset', 'convert', root, '--to', form, '--out', tmp_path / 'out')
        assert (code, err.count('\n'), message in err) == (2, 1, True), err
        assert not (tmp_path / 'out').exists()


def test_records_of_one_id_that_say_the_same_are_one(run, tmp_path):
    ship = {'id': 1, 'name': 'ship'}
    alike = {'images': [IMAGE, IMAGE | {'license': 2}], 'categories': [ship, ship | {'supercategory': 'x'}]}
    root = coco(tmp_path, **alike)
    code, _, err = run('dataset', 'convert', root, '--to', 'madnet', '--out', tmp_path / 'out')
    assert (code, err) == (0, '')


def test_key_points_outlines_and_the_name_of_a_single_file(run, tmp_path):
    points = {'keypoints': [0, 0, 0, 5.5, 4.5, 2, 20.5, 9.5, 1], 'bbox': [0, 0, 0, 0]}
    triangle = {'segmentation': [[1, 1, 2, 2], [10, 10, 20, 10, 10, 18]]}  # and a piece of two corners
    common = {'image_id': 1, 'category_id': 1}
    root = coco(tmp_path, annotations=[common | points, common | triangle]).rename(tmp_path / 'test_frames')
    out = tmp_path / 'out'
    code, _, err = run('dataset', 'convert', root / 'all.json', '--to', 'coco', '--out', out)
    assert code == 0, err
    marks = json.loads((out / 'annotations/instances_all.json').read_text())['annotations']
    assert [m['bbox'][:2] for m in marks] == [[4, 3], [19, 8], [10, 10]]
    assert marks[2]['area'] == 40


def test_classes_and_wrong_arguments(run, tmp_path):
    root = coco(tmp_path)
    arguments = ['dataset', 'convert', root / 'all.json', '--to', 'madnet', '--out', tmp_path / 'out']
    assert run(*arguments, '--classes', 'ship')[0] == 0
    assert json.loads((tmp_path / 'out/dataset.json').read_text())['marks'] == 1
    arguments[-1] = tmp_path / 'two'
    assert run(*arguments, '--classes', 'bird')[0] == 0
    assert json.loads((tmp_path / 'two/dataset.json').read_text())['marks'] == 0
    (tmp_path / 'e').mkdir()
    empty = {'image_id': 1, 'segmentation': {'size': [20, 30], 'counts': [600]}}
    again = coco(tmp_path / 'e', annotations=[empty])
    assert run('dataset', 'convert', again, '--to', 'coco', '--out', tmp_path / 'e/out')[0] == 0
    arguments[-1] = tmp_path / 'three'
    assert 'there are ship, bird' in run(*arguments, '--classes', 'brid')[2]
    assert '--level 2' in run(*arguments, '--level', '2')[2]
    (tmp_path / 'nothing').mkdir()
    code, _, err = run('dataset', 'convert', tmp_path / 'nothing', '--to', 'coco', '--out', tmp_path / 'four')
    assert code == 2
    assert 'neither COCO' in err
    (tmp_path / 'a.zip').write_bytes(b'PK\x03\x04\xff')
    code, _, err = run('dataset', 'convert', tmp_path / 'a.zip', '--to', 'coco', '--out', tmp_path / 'four')
    assert (code, "a.zip: not COCO's JSON; give the folder" in err) == (2, True), err


def test_yolo_and_voc_that_are_wrong(run, tmp_path):
    for folder in ('images', 'labels', 'JPEGImages', 'Annotations'):
        (tmp_path / 'w' / folder).mkdir(parents=True)
    image = encode_png(np.zeros((20, 30), np.uint8))
    (tmp_path / 'w/images/a.png').write_bytes(image)
    (tmp_path / 'w/labels/a.txt').write_text('0 0.5 0.5 0.1\n')
    arguments = ['dataset', 'convert', tmp_path / 'w', '--to', 'madnet', '--out', tmp_path / 'out']
    code, _, err = run(*arguments)
    assert (code, 'a.txt, line 1: found' in err) == (2, True)
    (tmp_path / 'w/labels/a.txt').write_text('0 0.5 0.5 0.1 0.1\n')
    code, _, err = run(*arguments, '--classes', '0,7')
    assert (code, '--classes 0,7, but there are 0.' in err) == (2, True)
    (tmp_path / 'w/JPEGImages/a.png').write_bytes(image)
    for text, message in (
        (
            '<annotation><size><width>60</width><height>40</height></size></annotation>',
            '30 × 20 pixels, its labels say 60 × 40.',
        ),
        ('<annotation><size><width>x</width></size></annotation>', 'a size without numbers'),
        ('<annotation><object><name>x</name></object></annotation>', 'an object without numbers'),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', 'declares entities'),
        ('<annotation>', 'not readable as XML'),
        (
            '<annotation><object><bndbox><xmin>1</xmin><ymin>nan</ymin><xmax>4</xmax><ymax>5</ymax></bndbox>'
            '</object></annotation>',
            'an object without numbers',
        ),
    ):
        (tmp_path / 'w/Annotations/a.xml').write_text(text)
        code, _, err = run(*arguments)
        assert (code, message in err) == (2, True), err


TRIANGLE = '0 0.4 0.4 0.6 0.4 0.5 0.6\n'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('0 25.5 12.5 3 3\n', "'0 25.5 12.5 3 3' (pixels?), expected shares"),
        ('0 0.5 0.5 0.1 -0.1\n', 'expected shares'),
        ('0 0.5 0.5 0.1 0.1 0.93 2\n', 'a number of a track behind a box?'),
        ('0 0.5 0.5 0.1 0.1 0.93 1\n', 'a box with a track or a key point behind it, or a triangle'),
        (TRIANGLE, 'a box with a track or a key point behind it, or a triangle'),
        ('0 0.9 0.4 0.6 0.4 0.5 1.005\n', ''),  # no box, for it would lie outside
        (TRIANGLE + '0 0.4 0.4 0.6 0.4 0.5 0.6 0.4 0.5\n', ''),
        (TRIANGLE + '0 0.9 0.9 0.93 0.9 0.91 0.93\n', ''),
        (TRIANGLE.strip() + ' 0.5 0.6\n', ''),
        ('0 1.02 0.5 0.1 0.1\n', ''),  # a target that leaves the frame
        ('0 0.9 0.5 1.04 0.5 1.04 0.6 0.9 0.6\n', ''),  # a pixel over the border
    ],
)
def test_yolo_lines_of_other_units_or_two_meanings(run, tmp_path, text, message):
    for folder in ('images', 'labels'):
        (tmp_path / 'w' / folder).mkdir(parents=True)
    (tmp_path / 'w/images/a.png').write_bytes(encode_png(np.zeros((20, 30), np.uint8)))
    (tmp_path / 'w/labels/a.txt').write_text(text)
    out = tmp_path / 'out'
    code, _, err = run('dataset', 'convert', tmp_path / 'w', '--to', 'coco', '--out', out)
    assert (code, err.count('\n'), message in err) == (2 * bool(message), bool(message), True), err
    assert ('a.txt, line 1: found' in err, out.exists()) == (bool(message), not message)


@pytest.mark.slow
def test_round_trip_of_a_real_set(data_root, run, tmp_path):
    if not (data_root / 'NUAA-SIRST').is_dir():
        pytest.skip('NUAA-SIRST is not at hand')
    assert run('dataset', 'convert', 'nuaa', '--to', 'coco', '--out', tmp_path / 'coco')[0] == 0
    assert run('dataset', 'convert', tmp_path / 'coco', '--to', 'madnet', '--out', tmp_path / 'back')[0] == 0
    back, real = SIRSTDataset(tmp_path / 'back', 'all'), SIRSTDataset(name='NUAA-SIRST', split='all')
    assert back.image_ids == real.image_ids
    for n in range(len(real)):
        np.testing.assert_array_equal(back.read_sample(n)[1] > 127, real.read_sample(n)[1] > 127)


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'least'), [('NUAA-SIRST', 0.85), ('NUDT-SIRST', 0.85), ('IRSTD-1K', 0.77)])
def test_boxes_of_200_real_targets(data_root, name, least):
    """Mean IoU of the grown masks with the true ones: what labels.LEVEL states."""
    if not (data_root / name).is_dir():
        pytest.skip(f'{name} is not at hand')
    data, scores = SIRSTDataset(name=name, split='all'), []
    for n in np.random.default_rng(0).permutation(len(data)):
        image, mask = data.read_sample(int(n))
        if mask.shape != image.shape[:2]:
            continue
        truth = find_components(mask > 127)
        grey = labels.as_grey(image)
        for number, box in enumerate(truth.boxes):
            true, found = truth.labels == number + 1, from_box(grey, box)[0]
            scores.append((true & found).sum() / (true | found).sum())
        if len(scores) >= 200:
            break
    assert np.mean(scores[:200]) > least


@pytest.mark.parametrize('form', ['voc', 'yolo', 'coco'])
@pytest.mark.parametrize(('images', 'labels', 'lists'), [('NFD', 'NFC', 'NFD'), ('NFC', 'NFD', 'NFC')])
def test_names_in_another_unicode_form_are_the_same(make_set, run, tmp_path, form, images, labels, lists):
    name = 'caf\u00e9'
    root = make_set('mine', [name, 'b'], lists={'train.txt': [name], 'test.txt': ['b']})
    made = tmp_path / 'made'
    assert run('dataset', 'convert', root, '--to', form, '--out', made)[0] == 0
    for path in sorted(made.rglob(f'{name}.*')):
        kind = labels if path.suffix in ('.xml', '.txt') else images
        path.rename(path.with_name(normalize(kind, path.name)))
    for path in [*made.glob('ImageSets/Main/*.txt'), *made.glob('annotations/*.json')]:
        path.write_text(normalize(lists, path.read_text()))
    code, _, err = run('dataset', 'convert', made, '--to', 'madnet', '--out', tmp_path / 'back')
    assert code == 0, err
    back = all_masks(tmp_path / 'back')
    assert (back.keys(), [mask.any() for mask in back.values()]) == ({name, 'b'}, [True, True])
    assert SIRSTDataset(tmp_path / 'back', 'trainval').image_ids == [name]
    if form != 'coco':
        ending = {'voc': 'xml', 'yolo': 'txt'}[form]
        [label] = made.rglob(normalize(labels, f'{name}.{ending}'))
        shutil.copy(label, label.with_name(normalize(images, label.name)))
        code, _, err = run('dataset', 'convert', made, '--to', 'madnet', '--out', tmp_path / 'no')
        assert (code, 'NFC against NFD' in err) == (2, True), err


def test_voc_images_without_an_xml_are_named(masks, run, tmp_path):
    assert run('dataset', 'convert', masks, '--to', 'voc', '--out', tmp_path / 'voc')[0] == 0
    shutil.rmtree(tmp_path / 'voc/ImageSets')
    lost = sorted((tmp_path / 'voc/Annotations').rglob('*.xml'))[:2]
    for path in lost:
        path.unlink()
    code, out, err = run('dataset', 'convert', tmp_path / 'voc', '--to', 'yolo', '--out', tmp_path / 'yolo')
    assert code == 0, err
    assert '7 images' in out
    assert f'{lost[0].stem}.png: 2 images without an XML' in err


def test_pictures_in_labels_are_no_yolo(masks, run, tmp_path):
    shutil.copytree(masks / 'masks', tmp_path / 'both/masks')
    shutil.copytree(masks / 'images', tmp_path / 'both/images')
    (tmp_path / 'both/labels').mkdir()
    (tmp_path / 'both/labels/classes.txt').write_text('target\n')
    code, out, err = run('dataset', 'convert', tmp_path / 'both', '--to', 'coco', '--out', tmp_path / 'coco')
    assert (code, 'masks → coco' in out) == (0, True), err
    (tmp_path / 'both/labels/classes.txt').unlink()
    (tmp_path / 'both/labels').rmdir()
    (tmp_path / 'both/masks').rename(tmp_path / 'both/labels')
    arguments = ('dataset', 'convert', tmp_path / 'both', '--to', 'coco', '--out', tmp_path / 'no')
    code, _, err = run(*arguments)
    assert (code, err.count('\n')) == (2, 1)
    assert 'YOLO (images/, labels/*.txt)' in err
    assert 'images/X.png + masks/X.png' in err
    # nor do labels of other names make a set without targets
    (tmp_path / 'both/labels/other.txt').write_text('0 0.5 0.5 0.1 0.1\n')
    code, _, err = run(*arguments)
    assert (code, err.count('\n')) == (2, 1)
    assert 'other.txt: no image has this name' in err


def test_labelled_images_in_no_part_are_named(masks, run, tmp_path):
    for form in ('yolo', 'voc'):
        code, _, err = run('dataset', 'convert', masks, '--to', form, '--out', tmp_path / form)
        assert (code, 'left out' in err) == (0, False), err
    for kind in ('images', 'labels'):
        (tmp_path / 'yolo' / kind / 'train').rename(tmp_path / 'yolo' / kind / 'other')
    for root in (masks, tmp_path / 'voc/ImageSets/Main'):
        (root / 'train.txt').unlink(missing_ok=True)
    (tmp_path / 'voc/ImageSets/Main/trainval.txt').unlink(missing_ok=True)
    for root, first in (
        (tmp_path / 'yolo', 'labels/other/s0/f0.txt: 4 label files whose image'),
        (tmp_path / 'voc', 'JPEGImages/s0/f0.png: 4 labelled images in no list'),
        (masks, 'images/s0/f0.png: 4 images with a mask, in no list'),
    ):
        out = tmp_path / f'{root.name}_out'
        code, text, err = run('dataset', 'convert', root, '--to', 'coco', '--out', out)
        assert (code, ': 5 images' in text, f'{root / first}' in err) == (0, True, True), err
