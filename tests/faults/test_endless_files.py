"""A pipe or a device under the name of a file is said to be one; nobody waits for its end."""

import os

import pytest


@pytest.fixture
def endless(request, tmp_path):
    """Puts a pipe, or a link to a device that never ends, under a name."""

    def put(path):
        path.unlink(missing_ok=True)
        if request.param == 'pipe':
            os.mkfifo(path)
        else:
            path.symlink_to('/dev/zero')

    return put


LINES = {
    'set/train.txt': ('dataset', 'check', '{root}/set'),
    'set/images/a.png': ('dataset', 'check', '{root}/set'),
    'set/masks/a.png': ('evaluate', '{root}/set/masks', '{root}/set/images'),
    'ids.txt': ('evaluate', '{root}/set/masks', '{root}/set/masks', '--ids', '{root}/ids.txt'),
    'plan.yaml': ('compare', '{root}/plan.yaml', '--dry-run'),
    'set/Annotations/a.xml': ('dataset', 'convert', '{root}/set', '--to', 'madnet', '--out', '{root}/out'),
    'a.npy': ('predict', 'tophat', '{root}/a.npy', '--out', '{root}/out'),
    'metrics.json': ('report', '{root}/metrics.json', '--out', '{root}/out'),
}


@pytest.mark.parametrize('endless', ['pipe', 'device'], indirect=True)
@pytest.mark.parametrize('name', LINES)
def test_nobody_waits_for_its_end(run, make_set, endless, tmp_path, name):
    make_set('set', ['a', 'b', 'c'])
    (tmp_path / name).parent.mkdir(exist_ok=True)
    endless(tmp_path / name)
    code, out, err = run(*(word.format(root=tmp_path) for word in LINES[name]))
    assert code in (1, 2)
    assert 'Traceback' not in err
    assert err.count('\n') <= 2
    assert os.path.basename(name).rpartition('.')[0] in out + err
