import hashlib
from pathlib import Path

import pytest

import madnet.datasets.catalogue as catalogue_module
from madnet.datasets import find_entry, get_entry, ids_sha256, known_datasets, split_ids
from madnet.errors import UserError

COUNTS = {
    ('NUAA-SIRST', 'idx_427'): {'train': 256, 'val': 85, 'trainval': 341, 'test': 86, 'fit': 256, 'all': 427},
    ('NUAA-SIRST', 'basicirstd'): {'train': 213, 'trainval': 213, 'test': 214, 'fit': 170, 'val': 43},
    ('NUAA-SIRST', 'idx_320'): {'train': 160, 'val': 64, 'trainval': 224, 'test': 96, 'fit': 160},
    ('NUDT-SIRST', 'basicirstd'): {'trainval': 663, 'test': 664, 'fit': 530, 'val': 133, 'all': 1327},
    ('NUDT-SIRST', 'irsam'): {'trainval': 1061, 'test': 266, 'fit': 849, 'val': 212, 'all': 1327},
    ('IRSTD-1K', 'basicirstd'): {'trainval': 800, 'test': 201, 'fit': 640, 'val': 160, 'all': 1001},
    ('IRSTD-1K', 'irsam'): {'trainval': 800, 'test': 200, 'fit': 640, 'val': 160},
    ('SIRST-AUG', 'folders'): {'train': 8525, 'trainval': 8525, 'test': 545, 'fit': 6825, 'val': 1700},
}


def test_every_split_set_is_counted_here():
    assert set(COUNTS) == {(e.name, s) for e in known_datasets().values() for s in e.split_sets}


@pytest.mark.parametrize(('name', 'split_set'), COUNTS)
def test_counts(name, split_set):
    for split, count in COUNTS[name, split_set].items():
        ids = split_ids(name, split, split_set)
        assert len(ids) == len(set(ids)) == count, split
        assert list(ids) == sorted(ids)


@pytest.mark.parametrize(('name', 'split_set'), COUNTS)
def test_parts_are_disjoint_and_whole(name, split_set):
    fit, val, trainval, test = (
        set(split_ids(name, s, split_set)) for s in ('fit', 'val', 'trainval', 'test')
    )
    assert not fit & val
    assert fit | val == trainval
    if not get_entry(name).split_sets[split_set].by_folder:
        assert not trainval & test


@pytest.mark.parametrize('entry', known_datasets().values(), ids=lambda e: e.name)
def test_packaged_files_are_those_of_the_catalogue(entry):
    """One id a line, LF, sorted; the file's own hash is the one in the table."""
    folder = Path(catalogue_module.__file__).parent / 'splits' / entry.name
    for split_set in entry.split_sets.values():
        for path in (folder / split_set.name).glob('*.txt'):
            data = path.read_bytes()
            assert b'\r' not in data
            assert data.endswith(b'\n')
            assert data.decode().split('\n')[:-1] == sorted(data.decode().split())
            assert hashlib.sha256(data).hexdigest() == split_set.hashes[path.stem]


def test_validation_keeps_scenes_of_sirst_aug_whole():
    scenes = {split: {int(i) // 25 for i in split_ids('SIRST-AUG', split)} for split in ('fit', 'val')}
    assert not scenes['fit'] & scenes['val']
    assert len(scenes['fit']) == 273
    assert len(scenes['val']) == 68


def test_damaged_list_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / 'splits' / 'NUAA-SIRST' / 'idx_427'
    folder.mkdir(parents=True)
    ids = list(split_ids('NUAA-SIRST', 'test'))
    (folder / 'test.txt').write_text('\n'.join(['Misc_9999', *ids[1:]]))
    monkeypatch.setattr(catalogue_module, '_HERE', tmp_path)
    catalogue_module.published_lists.cache_clear()
    try:
        with pytest.raises(UserError, match='86 ids that are not the 86 of the catalogue'):
            split_ids('NUAA-SIRST', 'test')
    finally:
        monkeypatch.undo()
        catalogue_module.published_lists.cache_clear()


def test_names():
    assert find_entry('nuaa_sirst') is find_entry('SIRST') is known_datasets()['NUAA-SIRST']
    assert find_entry('IRSTD1k').name == 'IRSTD-1K'
    assert find_entry('sirst_aug').name == 'SIRST-AUG'
    assert find_entry('sirst-v2').name == 'SIRST-V2'
    assert find_entry('no such set') is None


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('NUDT-SIRTS', 'test'), "Did you mean 'NUDT-SIRST'"),
        (('NUDT-SIRST', 'tset'), "Did you mean 'test'"),
        (('NUDT-SIRST', 'test', 'basicirst'), "Did you mean 'basicirstd'"),
    ],
)
def test_wrong_names_get_the_nearest(arguments, message):
    with pytest.raises(UserError, match=message) as error:
        split_ids(*arguments)
    assert '\n' not in str(error.value)


def test_hash_is_of_the_set_not_of_its_order():
    assert ids_sha256(['b', 'a']) == ids_sha256(['a', 'b']) == hashlib.sha256(b'a\nb\n').hexdigest()
    assert ids_sha256(['a']) != ids_sha256(['b'])


def test_an_entry_may_lack_lists_and_statistics():
    entry = get_entry('nudt-mirsdt')
    assert (entry.images, entry.default_split_set, entry.split_sets, entry.statistics) == (None, None, {}, {})
    assert entry.licence == 'unknown'
    assert set(entry.unchecked) == {'source', 'citation', 'base_size'}
    with pytest.raises(UserError, match='no lists of it are packaged'):
        split_ids('NUDT-MIRSDT', 'test')
    for entry in known_datasets().values():
        assert bool(entry.split_sets) == bool(entry.statistics) == bool(entry.default_split_set)
        assert entry.source.startswith('https://')
    shorts = [entry.short for entry in known_datasets().values()]
    assert len(set(shorts)) == len(shorts)


def test_statistics_are_sane():
    for entry in known_datasets().values():
        if not entry.statistics:
            continue
        for mode, channels in (('grey', 1), ('rgb', 3)):
            assert len(entry.statistics[mode]['mean']) == len(entry.statistics[mode]['std']) == channels
            assert all(20 < m < 150 for m in entry.statistics[mode]['mean'])
            assert all(30 < s < 80 for s in entry.statistics[mode]['std'])
        luma = sum(w * m for w, m in zip((0.299, 0.587, 0.114), entry.statistics['rgb']['mean'], strict=True))
        assert luma == pytest.approx(entry.statistics['grey']['mean'][0], abs=0.01)
