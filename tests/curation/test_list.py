import json

from madnet.datasets import known_datasets


def test_the_catalogue_and_what_is_here(run, make_set, monkeypatch):
    root = make_set('MDvsFA', ['0', '1'], '{}_1.png', '{}_2.png')
    (root / '7_1.png').write_bytes((root / '0_1.png').read_bytes())
    (root.parent / 'nudt').mkdir()
    monkeypatch.setenv('MADNET_DATA_ROOT', str(root.parent))
    code, out, _ = run('dataset', 'list')
    assert code == 0
    for entry in known_datasets().values():
        assert all(word in out for word in (entry.name, entry.source, entry.citation, entry.licence))
    assert "idx_320: train 160, val 64, trainval 224, test 96. The release's earlier lists" in out
    assert f'{root}: 3 images, 1 without mask (MDvsFA)' in out
    assert f'{root.parent / "nudt"}, in no layout that can be read' in out
    assert f'2 of {len(known_datasets())} found under {root.parent}' in out


def test_one_as_json(run, tmp_path, monkeypatch):
    monkeypatch.setenv('MADNET_DATA_ROOT', str(tmp_path))
    code, out, _ = run('dataset', 'list', 'irstd1k', '--json')
    [row] = json.loads(out)['datasets']
    assert code == 0
    assert (row['name'], row['licence'], row['images'], row['found']) == ('IRSTD-1K', 'MIT', 1001, [])
    assert row['split_sets']['basicirstd']['test'] == 201


def test_an_unknown_name_gets_the_nearest(run):
    code, _, err = run('dataset', 'list', 'DenseSRIST')
    assert code == 2
    assert "Did you mean 'DenseSIRST'" in err
