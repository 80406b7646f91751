import errno
import hashlib
import io
import json
import os
import shutil
import stat
import tarfile
import threading
import zipfile

import numpy as np
import pytest
from tqdm import tqdm

from madnet import fetching
from madnet.curation import preparing, unpacking
from madnet.datasets import SIRSTDataset, split_ids
from madnet.images import encode_png

IDS = [f'a{n}' for n in range(10)]


@pytest.fixture
def source(make_set):
    return make_set(
        'theirs', IDS, masks='masks/{}_pixels0.png', lists={'train.txt': IDS[:7], 'test.txt': IDS[7:]}
    )


@pytest.fixture
def archive(source, tmp_path):
    """A function of (file name) → the data set in an archive of that kind, one folder deep."""

    def make(name):
        path = tmp_path / name
        files = [p for p in sorted(source.rglob('*')) if p.is_file()]
        if name.endswith('.zip'):
            with zipfile.ZipFile(path, 'w') as opened:
                for file in files:
                    opened.write(file, file.relative_to(source.parent))
        else:
            with tarfile.open(path, f'w:{name.rpartition(".")[2]}'.replace('tar', '')) as opened:
                opened.add(source, source.name)
        return path

    return make


def test_a_tar_of_the_folder_itself(source, run, tmp_path):
    """As ``tar czf x.tar.gz -C theirs .`` makes it."""
    with tarfile.open(tmp_path / 'x.tar.gz', 'w:gz') as opened:
        opened.add(source, '.')
    code, _, err = run('dataset', 'prepare', 'mine', tmp_path / 'x.tar.gz', '--out', tmp_path / 'out')
    assert code == 0, err
    check(tmp_path / 'out', source)


@pytest.mark.parametrize('name', ['x.png', ' a'])
def test_an_id_that_no_list_can_hold_is_one_line(make_set, run, tmp_path, name):
    root = make_set('theirs', [name, *IDS])
    code, _, err = run('dataset', 'prepare', 'mine', root, '--out', tmp_path / 'out')
    assert (code, err.count('\n'), 'not an id that a list can hold' in err) == (2, 1, True), err


def check(out, source):
    train, test = (SIRSTDataset(out, split) for split in ('trainval', 'test'))
    assert (train.image_ids, test.image_ids) == (IDS[:7], IDS[7:])
    for mine, theirs in zip(test.read_sample(1), SIRSTDataset(source, 'test').read_sample(1), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    record = json.loads((out / 'dataset.json').read_text())
    assert record['name'] == test.dataset_name == 'mine'
    assert record['images'] == 10
    for name, digest in record['sha256'].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert sorted(record['sha256']) == sorted(
        p.relative_to(out).as_posix() for p in out.rglob('*') if p.is_file() and p.name != 'dataset.json'
    )
    return record


@pytest.mark.parametrize('kind', ['folder', 'x.zip', 'x.tar', 'x.tar.gz', 'x.tar.xz', 'x.tar.bz2'])
def test_folders_and_archives(source, archive, run, tmp_path, kind):
    given = source if kind == 'folder' else archive(kind)
    code, out, err = run('dataset', 'prepare', 'mine', given, '--out', tmp_path / 'data' / 'm')
    assert code == 0, err
    assert '10 images with masks' in out
    assert ' of error' not in out
    assert 'images to test on cannot measure much' in out
    record = check(tmp_path / 'data' / 'm', source)
    assert record['made']['source'] == str(given)
    assert ('archive_sha256' in record['made']) == (kind != 'folder')
    assert os.listdir(tmp_path / 'data') == ['m']


@pytest.fixture
def server(archive, serve):
    return serve(archive('x.zip').read_bytes(), 'get/x.zip')


def test_an_address(server, source, run, tmp_path):
    handler, url = server
    sha = hashlib.sha256(handler.data).hexdigest()
    code, _, err = run('dataset', 'prepare', 'mine', url, '--out', tmp_path / 'out', '--sha256', sha)
    assert code == 0, err
    record = check(tmp_path / 'out', source)
    assert (record['made']['source'], record['made']['archive_sha256']) == (url, sha)
    # kept: no second download
    assert run('dataset', 'prepare', 'mine', url, '--out', tmp_path / 'two')[0] == 0
    assert handler.asked == [None]
    # another hash: refused, removed, and loaded anew the next time
    code, _, err = run('dataset', 'prepare', 'mine', url, '--out', tmp_path / 'three', '--sha256', 'ab' * 32)
    assert code == 2
    assert f'SHA-256 {sha}, expected' in err
    assert not (tmp_path / 'three').exists()
    assert [p.name for p in fetching.download_folder().iterdir()] == []


@pytest.mark.parametrize('ranges', [True, False])
def test_a_broken_download_goes_on(server, source, run, tmp_path, ranges):
    handler, url = server
    handler.ranges = ranges
    handler.cut = [1000, 700]
    assert run('dataset', 'prepare', 'mine', url, '--out', tmp_path / 'out')[0] == 0
    check(tmp_path / 'out', source)
    assert handler.asked == [None, 'bytes=1000-', 'bytes=1700-' if ranges else 'bytes=700-']


def test_a_later_run_goes_on_unless_the_file_has_changed(server, source, run, tmp_path):
    handler, url = server
    handler.cut = [500, 100, 100, 100]
    code, _, err = run('dataset', 'prepare', 'mine', url, '--out', tmp_path / 'out')
    assert code == 2
    assert '800 bytes are kept in' in err
    assert not (tmp_path / 'out').exists()
    handler.tag = '"2"'
    handler.asked.clear()
    assert run('dataset', 'prepare', 'mine', url, '--out', tmp_path / 'out')[0] == 0
    assert handler.asked == ['bytes=800-']
    check(tmp_path / 'out', source)


@pytest.mark.parametrize('url', ['http://', 'http://[bad', 'https:///x.zip', 'http://a:b/x.zip'])
def test_addresses_that_are_none(run, tmp_path, monkeypatch, url):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    code, _, err = run('dataset', 'prepare', 'mine', url, '--out', tmp_path / 'out')
    assert (code, err.count('\n'), err.startswith(f'error: {url}: ')) == (2, 1, True), err
    assert 'are kept' not in err


def test_a_source_that_may_not_be_read_is_not_taken_for_an_output(run, source, tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, 'Permission denied', str(path))

    monkeypatch.setattr(preparing, 'read_folder', refuse)
    code, _, err = run('dataset', 'prepare', 'mine', source, '--out', tmp_path / 'out')
    assert (code, err.startswith(f'error: {source}: Permission denied')) == (2, True), err
    assert [*tmp_path.glob('.writing-*')] == []


@pytest.mark.parametrize(
    ('option', 'value', 'expected'),
    [('--test-share', 1, 'a number from 0 on, below 1.'), ('--limit-gb', 0, 'a number above 0.')],
)
def test_an_option_out_of_its_range_is_named_alone(run, source, tmp_path, option, value, expected):
    code, _, err = run('dataset', 'prepare', 'mine', source, '--out', tmp_path / 'out', option, value)
    assert (code, err) == (2, f'error: {option}: found {value:.1f}, expected {expected}\n')


@pytest.mark.parametrize('name', ['', ' ', '../mine', 'a\x1b[31m'])
def test_names_that_are_none(run, source, tmp_path, name):
    code, _, err = run('dataset', 'prepare', name, source, '--out', tmp_path / 'out')
    assert (code, 'expected a word' in err) == (2, True), err


def test_what_came_before_an_interruption_is_kept(server, source, run, tmp_path, monkeypatch):
    handler, url = server
    handler.stalled = threading.Event()

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tqdm, 'update', interrupt)
        assert run('dataset', 'prepare', 'mine', url, '--out', tmp_path / 'out')[0] == 130
    handler.stalled.set()
    [part] = fetching.download_folder().glob('*.part')
    have = part.stat().st_size
    assert 0 < have <= 700
    assert run('dataset', 'prepare', 'mine', url, '--out', tmp_path / 'out')[0] == 0
    assert handler.asked == [None, f'bytes={have}-']
    check(tmp_path / 'out', source)


def test_a_dead_link_and_a_web_page(server, run, tmp_path):
    handler, url = server
    code, _, err = run('dataset', 'prepare', 'mine', url + 'missing', '--out', tmp_path / 'out')
    assert code == 2
    assert '404' in err
    handler.data = b'<!DOCTYPE html><p>log in'
    code, _, err = run('dataset', 'prepare', 'mine', url, '--out', tmp_path / 'out')
    assert code == 2
    assert 'a web page' in err


def _zip(path, entries):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as opened:
        for name, data, mode in entries:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            opened.writestr(info, data)


def _tar(path, entries):
    with tarfile.open(path, 'w:gz') as opened:
        for name, data, kind in entries:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(data), '/etc/passwd'
            opened.addfile(info, io.BytesIO(data))


PLAIN = stat.S_IFREG | 0o644
EVIL = {
    'up.zip': (_zip, [('a/../../evil.png', b'x', PLAIN)], 'outside'),
    'root.zip': (_zip, [('/tmp/evil.png', b'x', PLAIN)], 'outside'),
    'back.zip': (_zip, [('..\\evil.png', b'x', PLAIN)], 'outside'),
    'link.zip': (_zip, [('images', b'/etc', stat.S_IFLNK | 0o777)], 'a link'),
    'twice.zip': (_zip, [('a.png', b'x', PLAIN), ('A.png', b'y', PLAIN)], 'twice'),
    'bomb.zip': (_zip, [('a.png', b'\0' * 3_000_000, PLAIN)], 'would unpack to more'),
    'up.tar.gz': (_tar, [('../evil.png', b'x', tarfile.REGTYPE)], 'outside'),
    'root.tar.gz': (_tar, [('/tmp/evil.png', b'x', tarfile.REGTYPE)], 'outside'),
    'sym.tar.gz': (_tar, [('images', b'', tarfile.SYMTYPE)], 'a link'),
    'hard.tar.gz': (_tar, [('images', b'', tarfile.LNKTYPE)], 'a link'),
    'pipe.tar.gz': (_tar, [('images', b'', tarfile.FIFOTYPE)], 'a link'),
    'bomb.tar.gz': (_tar, [('a.png', b'\0' * 3_000_000, tarfile.REGTYPE)], 'would unpack to more'),
    'empty.zip': (_zip, [('readme.txt', b'x', PLAIN)], 'no data set in a layout'),
}


def test_a_name_that_is_no_utf8_is_one_line(run, source, tmp_path):
    for folder, end in (('images', b'.png'), ('masks', b'_pixels0.png')):
        before = source / folder / f'a0{end.decode()}'
        before.rename(os.fsdecode(bytes(source / folder) + b'/\xff' + end))
    code, _, err = run('dataset', 'prepare', 'mine', source, '--out', tmp_path / 'out')
    assert (code, err.count('\n'), 'not a name in UTF-8' in err) == (2, 1, True), err


@pytest.mark.filterwarnings('ignore:Duplicate name')
@pytest.mark.parametrize('name', EVIL)
def test_archives_that_are_refused(run, tmp_path, monkeypatch, name):
    monkeypatch.setattr(unpacking, 'FREE', 1_000_000)
    place = tmp_path / 'here'
    place.mkdir()
    write, entries, message = EVIL[name]
    write(tmp_path / name, entries)
    code, _, err = run('dataset', 'prepare', 'mine', tmp_path / name, '--out', place / 'out')
    assert code == 2
    assert message in err
    assert err.count('\n') == 1
    assert list(place.iterdir()) == []
    assert not (tmp_path / 'evil.png').exists()


def test_damaged_archives_are_one_line(archive, run, tmp_path):
    rng = np.random.default_rng(0)
    for name in ('x.zip', 'x.tar.gz'):
        whole = archive(name).read_bytes()
        for n in range(12):
            data = bytearray(whole[: rng.integers(1, len(whole))] if n % 2 else whole)
            for at in rng.integers(0, len(data), 20):
                data[at] ^= int(rng.integers(1, 256))
            (tmp_path / name).write_bytes(data)
            code, _, err = run('dataset', 'prepare', 'mine', tmp_path / name, '--out', tmp_path / f'out{n}')
            assert code in (0, 2)
            assert err.count('\n') == (code == 2)


def test_what_is_said_of_a_cut_is_what_was_done(make_set, run, tmp_path, caplog):
    root = make_set('theirs', [f'seq_{n}/{f}' for n in range(2) for f in range(3)])
    data = SIRSTDataset(root, 'val')
    said = '3 of them for validation (by a hash of the folder, 1 of 2, each kept whole as a sequence)'
    assert (len(data), said in caplog.text) == (3, True)
    code, out, err = run('dataset', 'prepare', 'mine', root, '--out', tmp_path / 'out')
    assert code == 0, err
    assert '3 of 6 images became the test part, by a hash of the folder, 1 of 2, each kept whole' in out
    root = make_set('flat', IDS)
    code, out, err = run('dataset', 'prepare', 'mine', root, '--out', tmp_path / 'flat_out')
    assert (code, '2 of 10 images became the test part, by a hash of the id' in out) == (0, True), (out, err)


@pytest.mark.parametrize(('count', 'share'), [(1, '0.2'), (2, '0.2'), (2, '0.9')])
def test_too_few_images_are_not_cut(make_set, run, tmp_path, count, share):
    root = make_set('theirs', IDS[:count])
    command = ('dataset', 'prepare', 'mine', root, '--out', tmp_path / 'out', '--test-share', share)
    code, out, err = run(*command)
    assert (code, 'too few images to set a test part aside' in out) == (0, True), (out, err)
    assert 'became' not in out
    assert not (tmp_path / 'out/splits').exists()
    assert len(SIRSTDataset(tmp_path / 'out', 'trainval')) == count


def test_sets_without_lists_are_cut(make_set, run, tmp_path):
    root = make_set('theirs', [f'seq_{n}/{f}' for n in range(5) for f in range(2)])
    code, out, err = run('dataset', 'prepare', 'mine', root, '--out', tmp_path / 'out')
    assert code == 0, err
    assert '2 of 10 images became the test part, by a hash of the folder, 1 of 5, each kept whole' in out
    test = SIRSTDataset(tmp_path / 'out', 'test').image_ids
    assert len({i.split('/')[0] for i in test}) == 1
    assert len(test) == 2
    assert len(SIRSTDataset(tmp_path / 'out', 'trainval')) == 8
    # parts by folder stay so
    for part in ('train', 'test'):
        root = make_set('parts', IDS[:3], f'{part}/images/{{}}.png', f'{part}/masks/{{}}.png')
    for n, path in enumerate((root / 'test/images').iterdir()):
        path.write_bytes(encode_png(np.random.default_rng(9 + n).integers(0, 99, (32, 40), np.uint8)))
    assert run('dataset', 'prepare', 'mine', root, '--out', tmp_path / 'two')[0] == 0
    assert len(SIRSTDataset(tmp_path / 'two', 'trainval')) == len(SIRSTDataset(tmp_path / 'two', 'test')) == 3


@pytest.mark.parametrize(
    ('test', 'message'),
    [
        (b'a7\na8\na7\n', 'test.txt: a7 listed more than once; each id may appear once'),
        ('a7\nü8\n'.encode('latin-1'), 'test.txt: not a readable list of image ids'),
        (
            b'images/a7.png masks/a7.png\n',
            "ids for test is there (the first: 'images/a7.png masks/a7'); expected such as 'a0'",
        ),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_and_not_replaced(source, run, tmp_path, test, message):
    (source / 'test.txt').write_bytes(test)
    for command in (
        ('prepare', 'mine', source, '--out'),
        ('prepare', 'mine', source, '--split-set', 'lists', '--out'),
        ('check', source, '--fix'),
    ):
        code, out, err = run('dataset', *command, tmp_path / 'out')
        assert (code, err.count('\n')) == (2, 1)
        assert message in err
        assert 'no lists' not in out
        assert not (tmp_path / 'out').exists()
    (source / 'test.txt').unlink()
    assert run('dataset', 'prepare', 'mine', source, '--out', tmp_path / 'out')[0] == 0


def test_lists_of_several_authors_must_be_named(make_set, run, tmp_path):
    lists = {'A/train.txt': IDS[:4], 'A/test.txt': IDS[4:], 'B/train.txt': IDS[1:], 'B/test.txt': IDS[:1]}
    root = make_set('theirs', IDS, lists=lists)
    code, _, err = run('dataset', 'prepare', 'mine', root, '--out', tmp_path / 'out')
    assert code == 2
    assert '--split-set: A, B' in err
    assert run('dataset', 'prepare', 'mine', root, '--out', tmp_path / 'out', '--split-set', 'B')[0] == 0
    assert SIRSTDataset(tmp_path / 'out', 'test').image_ids == IDS[:1]


def test_a_known_set_is_known_under_any_folder(make_set, run, tmp_path):
    ids = split_ids('NUAA-SIRST', 'all')[:3]
    root = make_set('download', list(ids))
    code, out, _ = run('dataset', 'prepare', 'nuaa', root, '--out', tmp_path / 'elsewhere')
    assert code == 0
    assert 'listed in idx_427, but not in the folder' in out
    record = json.loads((tmp_path / 'elsewhere' / 'dataset.json').read_text())
    assert (record['name'], record['made']['licence']) == ('NUAA-SIRST', 'none stated')
    assert SIRSTDataset(tmp_path / 'elsewhere', 'all', split_set='idx_320', allow_partial=True).entry


def test_the_result_trains(make_set, run, tmp_path, repository, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    root = make_set('theirs', [f'seq_{n}/{f}' for n in range(5) for f in range(2)])
    for path in (root / 'images').rglob('*.png'):
        path.write_bytes(encode_png(np.random.default_rng(1).integers(0, 99, (64, 64), np.uint8)))
        mask = np.zeros((64, 64), np.uint8)
        mask[20:24, 20:24] = 255
        (root / 'masks' / path.relative_to(root / 'images')).write_bytes(encode_png(mask))
    assert run('dataset', 'prepare', 'mine', root, '--out', tmp_path / 'out')[0] == 0
    monkeypatch.chdir(tmp_path)
    config = tmp_path / 'small.py'
    config.write_text(
        f"_base_ = ['{repository}/configs/madnet/madnet_nano.py']\n"
        'model = dict(backbone=dict(base_channels=2))\n'
        'train_cfg = dict(max_epochs=1)\n'
        'train_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=False)\n'
        'replace_steps = dict(RandomTargetCrop=dict(size=64))\n'
    )
    options = ['--dataset', tmp_path / 'out', '--work-dir', tmp_path / 'work']
    code, _, err = run('train', config, *options)
    assert code == 0, err
    scores = tmp_path / 'scores'
    code, _, err = run(
        'test',
        config,
        tmp_path / 'work' / 'last.pth',
        '--dataset',
        tmp_path / 'out',
        '--save-scores',
        '--out',
        scores,
    )
    assert code == 0, err
    [saved] = {p.parent.name for p in scores.rglob('*.png')}
    assert saved.startswith('seq_')
    assert f'{saved}/0' in (scores / 'per_image.csv').read_text()
    # the same numbers from the folders alone
    results = json.loads((scores / 'metrics.json').read_text())['results']
    masks = tmp_path / 'masks'
    shutil.copytree(tmp_path / 'out' / 'masks' / saved, masks / saved)
    maps = scores / 'scores'
    code, _, err = run('evaluate', maps, masks, '--out', tmp_path / 'again')
    assert code == 0, err
    again = json.loads((tmp_path / 'again' / 'metrics.json').read_text())['results']
    assert again['native']['IoU'] == results['native']['IoU']


def test_a_full_disk_is_not_called_a_damaged_archive(run, make_set, tmp_path, monkeypatch):
    archive = shutil.make_archive(str(tmp_path / 'a'), 'zip', make_set('set', ['a', 'b']))

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr('madnet.curation.unpacking._copy', full)
    code, _, err = run('dataset', 'prepare', 'mine', archive, '--out', tmp_path / 'out')
    assert code == 2
    assert err.startswith(
        f'error: {tmp_path}/out: cannot be written (No space left on device). Free some space'
    )
    assert not (tmp_path / 'out').exists()


def test_a_test_part_that_is_drawn_shares_no_image_with_the_training(make_set, tmp_path, run):
    ids = [f'{kind}{n}' for kind in 'ab' for n in range(10)]
    source = make_set('twice', ids)
    for n in range(10):  # each image is stored twice
        shutil.copy(source / f'images/a{n}.png', source / f'images/b{n}.png')
    code, out, err = run('dataset', 'prepare', 'twice', source, '--out', tmp_path / 'out')
    assert code == 0, err
    assert 'out of the training part, because it is in the test part' in out
    pixels = {i: (tmp_path / f'out/images/{i}.png').read_bytes() for i in ids}
    parts = [{pixels[i] for i in SIRSTDataset(tmp_path / 'out', s).image_ids} for s in ('trainval', 'test')]
    assert parts[1]
    assert not parts[0] & parts[1]


def test_near_duplicates_are_told_of_the_parts_that_are_drawn(make_set, tmp_path, run):
    ids = [f'{kind}{n}' for kind in 'ab' for n in range(10)]
    source = make_set('near', ids)
    rng = np.random.default_rng(3)
    for n in range(10):  # a scene, and the same with another offset
        scene = rng.integers(20, 200, (4, 5), np.uint8).repeat(8, 0).repeat(8, 1)
        for kind, offset in (('a', 0), ('b', 9)):
            (source / f'images/{kind}{n}.png').write_bytes(encode_png(scene + np.uint8(offset)))
    code, out, err = run('dataset', 'prepare', 'near', source, '--out', tmp_path / 'out')
    assert code == 0, err
    (line,) = (line for line in out.splitlines() if 'near-duplicates across parts' in line)
    assert line.split()[0] == 'warning'
    assert 'test images of hashed that a training image also shows' in line
    assert 'only sequence' not in out
    for kind in ('images', 'masks'):
        (source / kind).rename(source / 'frames')
        (source / kind).mkdir()
        (source / 'frames').rename(source / kind / 'seq')
    code, out, err = run('dataset', 'prepare', 'near', source, '--out', tmp_path / 'alone')
    assert (code, 'frames of the only sequence, so that both parts' in out) == (0, True), (out, err)
