"""One image, one name or one process does not end the prediction of a folder."""

import argparse
import json
import os
import signal
import threading
import time

import cv2
import numpy as np
import pytest

from madnet.classical.pool import map_in_pool, start_pool
from madnet.cli import predict as cli
from madnet.errors import UserError
from madnet.images import read_image
from madnet.inference import command, sharing
from madnet.inference.classical_predictor import ClassicalPredictor
from madnet.overlap import start_processes
from madnet.text import printable


@pytest.fixture
def images(tmp_path):
    """Six images with a target each; the third has a name that is not UTF-8, the fourth a formula's."""
    folder = tmp_path / 'images'
    folder.mkdir()
    image = np.full((40, 40), 60, np.uint8)
    image[20:22, 20:22] = 255
    data = cv2.imencode('.png', image)[1].tobytes()
    for name in (b'0.png', b'1.png', b'2\xff.png', b'3=\x1b[2J.png', b'=4.png', b'5.png'):
        with open(os.path.join(os.fsencode(folder), name), 'wb') as file:
            file.write(data)
    return folder


def _writing_in(processes, monkeypatch):
    """Let six images be many, and count the processes that write them."""
    started = []

    def start(number, *how):
        started.append(number)
        return start_processes(number, *how)

    monkeypatch.setattr(sharing, '_MANY', 6 if processes else 64)
    monkeypatch.setattr(sharing.os, 'cpu_count', lambda: 3)
    monkeypatch.setattr('madnet.overlap.start_processes', start)
    return started


def _json(out):
    return json.loads((out / 'targets.json').read_text(encoding='utf-8'))


def test_odd_names_are_done_and_shown(images, tmp_path):
    out = tmp_path / 'out'
    command.predict_files('tophat', [images], out=out, formats='all')
    table = (out / 'targets.csv').read_text(encoding='utf-8')
    assert '\x1b' not in table
    first = {line.split(',')[0] for line in table.splitlines()[1:]}
    assert first == {'0', '1', '2\\xff', '3=\\x1b[2J', "'=4", '5'}
    assert len(_json(out)['images']) == 6
    assert _json(out)['unreadable'] == []
    assert len(os.listdir(out / 'masks')) == len(os.listdir(out / 'overlays')) == 6


@pytest.mark.parametrize('processes', [False, True])
@pytest.mark.parametrize(
    ('error', 'told'),
    [
        (MemoryError(), '1.png: not enough memory; --tile needs less.'),
        (cv2.error('OpenCV: bad\n  size'), '1.png: error: OpenCV: bad size'),
        (RuntimeError('DefaultCPUAllocator: none'), '1.png: RuntimeError: DefaultCPUAllocator: none'),
        (UserError('bad.'), 'bad.'),
    ],
)
def test_no_image_ends_the_others_and_all_that_failed_are_listed(
    images, tmp_path, monkeypatch, error, told, processes
):
    _writing_in(processes, monkeypatch)
    score_all = ClassicalPredictor.score_all

    def fail_twice(self, pixels, shown):
        if shown[0].endswith(('/1.png', '/5.png')):
            raise error
        return score_all(self, pixels, shown)

    monkeypatch.setattr(ClassicalPredictor, 'score_all', fail_twice)
    with pytest.raises(UserError, match=r'2 of 6 images could not be predicted, the others are done') as e:
        command.predict_files(
            'tophat', [images], out=tmp_path / 'out', formats='masks,csv', processes=processes
        )
    assert 'targets.json' in str(e.value)
    found = _json(tmp_path / 'out')
    assert [os.path.basename(u['file']) for u in found['unreadable']] == ['1.png', '5.png']
    assert found['unreadable'][0]['reason'].endswith(told)
    assert all(u['reason'] and '\n' not in u['reason'] for u in found['unreadable'])
    assert len(found['images']) == 4


def test_processes_that_write_change_no_file(images, tmp_path, monkeypatch):
    (images / '1.png').write_bytes(b'no image')
    found = {}
    for processes in (False, True):
        started = _writing_in(True, monkeypatch)
        out = tmp_path / 'out'
        with pytest.raises(UserError, match=r'1 of 6 images could not be predicted, the others are done'):
            command.predict_files('tophat', [images], out=out, formats='all', processes=processes)
        assert started == [2] * processes
        found[processes] = {p.relative_to(out): p.read_bytes() for p in out.rglob('*') if p.is_file()}
        out.rename(tmp_path / f'out_{processes}')
    assert found[True] == found[False]
    assert len(found[True]) > 20


def test_a_command_may_write_in_processes_and_few_images_are_not_worth_them(images, tmp_path, monkeypatch):
    parser = argparse.ArgumentParser()
    cli.add_options(parser)
    assert cli.work(cli.parse(parser, ['tophat', str(images)])).keywords['processes']
    started = _writing_in(False, monkeypatch)
    command.predict_files('tophat', [images], out=tmp_path / 'out', processes=True)
    assert not started


def test_a_first_image_that_cannot_be_measured_does_not_end_the_others(images, tmp_path, monkeypatch):
    def fail_at_first(path, frame=None):
        if path.name == '0.png':
            raise cv2.error('OpenCV: bad size')
        return read_image(path, frame)

    monkeypatch.setattr('madnet.images.loader.read_image', fail_at_first)
    with pytest.raises(UserError, match=r'1 of 6 images could not be predicted, the others are done'):
        command.predict_files('tophat', [images], out=tmp_path, formats='json', value_range='auto')
    assert _json(tmp_path)['value_range'] == [60, 60.0 + 195]


@pytest.mark.parametrize('processes', [False, True])
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_tables_of_what_is_done(images, tmp_path, monkeypatch, number, processes):
    _writing_in(processes, monkeypatch)

    score_all = ClassicalPredictor.score_all

    def stop_at_the_fourth(self, pixels, shown):
        if shown[0].endswith('/5.png'):
            os.kill(os.getpid(), number)
            time.sleep(1)
        return score_all(self, pixels, shown)

    if number == signal.SIGINT and signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip('Ctrl-C is ignored where these tests were started')
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(ClassicalPredictor, 'score_all', stop_at_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        command.predict_files(
            'tophat', [images], out=tmp_path / 'out', formats='csv,json', processes=processes
        )
    assert signal.getsignal(signal.SIGTERM) == before
    found = _json(tmp_path / 'out')
    done = len(found['images'])
    assert done + len(found['not_done']) == 6
    assert os.path.basename(found['not_done'][0]) == '5.png'
    assert len((tmp_path / 'out' / 'targets.csv').read_text().splitlines()) == done + 1


def test_a_full_disk_leaves_what_was_there(images, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    command.predict_files('tophat', [images], out=out, formats='masks,csv,json')
    before = {p: p.read_bytes() for p in out.rglob('*') if p.is_file()}

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(UserError, match=r'No space left.* 6 of 6 images were not predicted'):
        command.predict_files('tophat', [images], out=out, formats='masks,csv,json')
    assert {p: p.read_bytes() for p in out.rglob('*') if p.is_file()} == before


@pytest.mark.parametrize('processes', [False, True])
def test_a_folder_in_the_way_of_a_map_is_one_line(images, tmp_path, monkeypatch, processes):
    _writing_in(processes, monkeypatch)
    (tmp_path / 'out' / 'masks' / '1.png').mkdir(parents=True)
    with pytest.raises(UserError, match=r'1\.png: found a folder, expected a file') as e:
        command.predict_files(
            'tophat', [images], out=tmp_path / 'out', formats='masks,csv', processes=processes
        )
    assert '\n' not in str(e.value)
    found = _json(tmp_path / 'out')
    done = [image['name'] for image in found['images']]
    assert '0' in done
    assert '1' not in done
    assert len(found['not_done']) == 6 - len(done)
    # those after it may have been on their way, and are whole then
    assert len([p for p in (tmp_path / 'out' / 'masks').iterdir() if p.is_file()]) == len(done)


def test_a_planted_link_is_not_followed(images, tmp_path):
    victim = tmp_path / 'victim'
    victim.write_text('image,mine')
    (tmp_path / 'out' / 'masks').mkdir(parents=True)
    for name in ('masks/0.png', 'masks/.0.png.writing', 'targets.csv'):
        (tmp_path / 'out' / name).symlink_to(victim)
    command.predict_files('tophat', [images], out=tmp_path / 'out', formats='masks,csv')
    assert victim.read_text() == 'image,mine'
    assert not (tmp_path / 'out' / 'masks' / '0.png').is_symlink()


@pytest.mark.parametrize('jobs', [2, 1])
def test_a_killed_process_is_one_line_and_leaves_tables(images, tmp_path, monkeypatch, jobs):
    _writing_in(True, monkeypatch)
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    stop = threading.Event()
    me = os.getpid()

    def kill_a_child_after_the_first_image():
        while not stop.is_set() and not (tmp_path / 'out' / 'masks' / '0.png').exists():
            time.sleep(0.01)
        for pid in map(int, filter(str.isdigit, os.listdir('/proc'))):
            try:
                with open(f'/proc/{pid}/stat') as file:
                    parent = int(file.read().rpartition(')')[2].split()[1])
                with open(f'/proc/{pid}/cmdline') as file:
                    command_line = file.read()
            except OSError:
                continue
            if parent == me and 'spawn_main' in command_line:
                os.kill(pid, signal.SIGKILL)
                return

    for i in range(200):
        (images / f'x{i}.png').write_bytes((images / '0.png').read_bytes())
    killer = threading.Thread(target=kill_a_child_after_the_first_image)
    killer.start()
    try:
        who = '--jobs 2' if jobs == 2 else 'writing'
        with pytest.raises(UserError, match=rf'{who}: a process was killed.* not predicted') as e:
            command.predict_files(
                'pstnn', [images], out=tmp_path / 'out', formats='masks,csv,json', jobs=jobs, processes=True
            )
    finally:
        stop.set()
        killer.join()
    assert '\n' not in str(e.value)
    found = _json(tmp_path / 'out')
    assert len(found['images']) + len(found['not_done']) == 206
    assert found['not_done']
    written = {printable(p.stem) for p in (tmp_path / 'out' / 'masks').iterdir()}
    assert {printable(image['name']) for image in found['images']} <= written


def test_a_killed_process_of_a_test_is_one_line():
    # starts threads of OpenCV, which a fork must not inherit: it would wait for them for ever
    cv2.setNumThreads(2)
    cv2.GaussianBlur(np.zeros((2000, 2000)), (9, 9), 2)
    pool = start_pool(1)
    with pytest.raises(UserError, match=r'--workers: a process was killed'):
        map_in_pool(pool, os._exit, [1])
    pool.shutdown()
