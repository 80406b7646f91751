"""Clips from every source; what goes wrong in one is a line, and what was done before is whole."""

import csv
import io
import json
import signal
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from crossing_targets import synth_sequence
from PIL import Image
from streaming import served

from madnet.errors import UserError
from madnet.images import encode_png, notices
from madnet.inference import Predictor, clip_command
from madnet.inference.clip_outputs import ClipOutputs, _Lines
from madnet.inference.clip_source import open_clip, parse_raw

LENGTH = 24
SIZE = 96


@pytest.fixture(scope='module')
def frames():
    """A sequence with two targets that cross, and a speck in one frame."""
    images = [f.image for f in synth_sequence(0, 1, length=LENGTH, size=SIZE, targets=2)]
    images[10][80:82, 80:82] = 255
    return images


@pytest.fixture
def film(frames, tmp_path):
    video = cv2.VideoWriter(str(tmp_path / 'pass.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10, (SIZE, SIZE))
    for image in frames:
        video.write(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
    video.release()
    return tmp_path / 'pass.avi'


@pytest.fixture
def folder(frames, tmp_path):
    (tmp_path / 'pass').mkdir()
    for number, image in enumerate(frames):
        (tmp_path / 'pass' / f'{number:03}.png').write_bytes(encode_png(image))
    return tmp_path / 'pass'


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize('kind', ['folder', '.npy', '.tif', '.avi'])
def test_every_source(run, frames, film, folder, tmp_path, kind):
    path = {'folder': folder, '.avi': film}.get(kind, tmp_path / f'pass{kind}')
    if kind == '.npy':
        np.save(path, np.stack(frames))
    elif kind == '.tif':
        cv2.imwritemulti(str(path), frames)
    out = tmp_path / 'out'
    code, printed, err = run('predict', 'tophat', path, '--clip', '--out', out)
    assert (code, err) == (0, '')
    assert f'pass: {LENGTH} frames, ' in printed
    lines = lines_of(out / 'pass.jsonl')
    assert [line['frame'] for line in lines] == list(range(LENGTH))
    fps = 10 if kind == '.avi' else 25
    assert [line['time'] for line in lines] == pytest.approx([n / fps for n in range(LENGTH)])
    targets = [(line['frame'], t) for line in lines for t in line['targets']]
    assert len(targets) > 10
    rows = list(csv.DictReader((out / 'pass.csv').open()))
    assert [(int(r['frame']), int(r['area'])) for r in rows] == [(n, t['area']) for n, t in targets]
    video = cv2.VideoCapture(str(out / 'pass.mp4'))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == LENGTH
    assert video.get(cv2.CAP_PROP_FPS) == fps
    record = json.loads((out / 'pass.json').read_text())
    assert (record['frames'], record['fps']) == (LENGTH, fps)
    assert sorted(p.name for p in out.iterdir()) == [f'pass.{end}' for end in ('csv', 'json', 'jsonl', 'mp4')]


@pytest.mark.parametrize('kind', ['.gif', '.webp', '.png'])
def test_times_of_animations(frames, tmp_path, kind, monkeypatch, caplog):
    first, *others = map(Image.fromarray, frames[:4])
    path, plain = tmp_path / f'x{kind}', tmp_path / f'plain{kind}'
    first.save(path, save_all=True, append_images=others, duration=[100, 100, 500, 300])
    first.save(plain, save_all=True, append_images=others)
    monkeypatch.setattr(notices, '_said', set())
    clip = open_clip(str(path))
    assert [frame.time for frame in clip.frames()] == pytest.approx([0, 0.1, 0.2, 0.7])
    assert clip.fps == pytest.approx(4)
    assert [frame.time for frame in open_clip(str(path), fps=5).frames()] == [0, 0.2, 0.4, 0.6]
    assert not caplog.text
    assert [frame.time for frame in open_clip(str(plain)).frames()] == [0, 0.04, 0.08, 0.12]
    assert 'plain: times are those of 25 frames a second; --fps says otherwise' in caplog.text


@pytest.mark.parametrize(
    ('told', 'fps', 'expected'),
    [
        ([7.0, 7.5, 7.6, 9.0], None, [0, 0.5, 0.6, 2]),
        ([7.0, 7.5, 7.6, 9.0], 5, [0, 0.2, 0.4, 0.6]),
        ([1.0, 1.25, 1.2, 2.0], None, [0, 0.25, 0.35, 1]),  # they rise
        ([0.0] * 4, None, [0, 0.1, 0.2, 0.3]),  # nobody knows them
    ],
)
def test_times_of_videos(film, monkeypatch, told, fps, expected):
    class Capture:
        def __init__(self, where):
            self.video, self.told = opened(where), iter(told)

        def get(self, which):
            return 1000 * next(self.told) if which == cv2.CAP_PROP_POS_MSEC else self.video.get(which)

        def __getattr__(self, name):
            return getattr(self.video, name)

    opened = cv2.VideoCapture
    monkeypatch.setattr(cv2, 'VideoCapture', Capture)
    found = open_clip(str(film), fps).frames()
    assert [next(found).time for _ in expected] == pytest.approx(expected)


def test_packed_frames_fill_the_scale(frames, packed_tiff, tmp_path):
    deep = np.stack(frames[:3]).astype(np.uint16) * 64
    path = packed_tiff(tmp_path / 'packed.tif', deep, 14)
    for value_range in (None, (0, 16383)):
        found = Predictor('tophat', value_range=value_range).clip(path)
        shown = [result.prediction.image[..., 0] for result in found]
        np.testing.assert_allclose(shown, deep * (255 / 16383), atol=1e-3)


def test_a_packed_frame_says_nothing_of_those_after_it(frames, packed_tiff, tmp_path):
    deep = frames[0].astype(np.uint16) * 64
    cv2.imwrite(str(tmp_path / '0.png'), deep * 4)
    packed_tiff(tmp_path / '1.tif', deep[None], 14)
    cv2.imwrite(str(tmp_path / '2.png'), deep * 4)
    for shown in Predictor('tophat').clip(tmp_path):
        np.testing.assert_allclose(shown.prediction.image[..., 0], deep * (255 / 16383), atol=0.1)


def test_the_columns_of_targets_csv_as_images_have_them(run, folder, tmp_path):
    run('predict', 'tophat', folder, '--clip', '--out', tmp_path / 'clip', '--format', 'csv')
    run('predict', 'tophat', folder, '--out', tmp_path / 'images', '--format', 'csv')
    of_clip = [row[3:] for row in csv.reader((tmp_path / 'clip/pass.csv').open())]
    assert of_clip == [row[2:] for row in csv.reader((tmp_path / 'images/targets.csv').open())]
    assert len(of_clip) > 10


def test_the_same_as_frame_by_frame(run, folder, tmp_path):
    run(
        'predict',
        'tophat',
        folder,
        '--clip',
        '--out',
        tmp_path / 'clip',
        '--format',
        'jsonl',
        '--min-scr',
        '1',
    )
    run('predict', 'tophat', folder, '--out', tmp_path / 'images', '--format', 'json', '--min-scr', '1')
    as_images = json.loads((tmp_path / 'images/targets.json').read_text())
    images, of_clip = as_images['images'], json.loads((tmp_path / 'clip/pass.json').read_text())
    limits = ('threshold', 'min_area', 'min_scr', 'min_rank')
    assert [of_clip[key] for key in limits] == [as_images[key] for key in limits] == [0.5, 1, 1.0, 0.0]
    lines = lines_of(tmp_path / 'clip/pass.jsonl')
    numbered = [[{'number': n, **t} for n, t in enumerate(line['targets'], 1)] for line in lines]
    assert numbered == [image['targets'] for image in images]


def test_tracks(run, folder, tmp_path):
    code, printed, _ = run('predict', 'tophat', folder, '--track', '--out', tmp_path / 'out')
    assert code == 0
    assert 'dropped that lived for one frame' in printed
    lines = lines_of(tmp_path / 'out/pass.jsonl')
    assert [line['frame'] for line in lines] == list(range(LENGTH))
    assert all(t['track'] >= 1 for line in lines for t in line['targets'])
    # the speck
    assert not any(abs(t['x'] - 80.5) + abs(t['y'] - 80.5) < 2 for t in lines[10]['targets'])
    rows = list(csv.DictReader((tmp_path / 'out/pass.csv').open()))
    assert [int(r['track']) for r in rows] == [t['track'] for line in lines for t in line['targets']]


def test_standard_input_and_output(repository, frames):
    """14 bits through a pipe; a line comes for a frame before the next frame is there."""
    process = subprocess.Popen(
        [
            *(sys.executable, repository / 'tools/predict.py', 'tophat', '-', '--raw', f'{SIZE}x{SIZE}:>u2'),
            *('--value-range', '0', '16383', '--out', '-'),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    for number in range(2):
        process.stdin.write((frames[number].astype('>u2') * 64).tobytes())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())['frame'] == number
    out, err = process.communicate(b'123')
    assert process.returncode == 2
    assert out == b''
    assert err.decode().count('\n') == 2
    assert 'times are those of 25 frames a second' in err.decode()
    assert f'ends in the middle of frame 2 (3 of {2 * SIZE * SIZE} bytes)' in err.decode()


def test_broken_frames_and_the_rest(run, folder, tmp_path):
    (folder / '003.png').write_bytes(b'no image')
    (folder / '004.png').write_bytes(b'')
    (folder / '023.png').write_bytes(b'')
    code, _, err = run('predict', 'tophat', folder, '--track', '--out', tmp_path / 'out')
    assert code == 2
    assert err.count('\n') == 1
    assert f'3 of {LENGTH} frames' in err
    assert '003.png' in err
    lines = lines_of(tmp_path / 'out/pass.jsonl')
    assert [line['frame'] for line in lines] == list(range(LENGTH))
    assert [line['frame'] for line in lines if 'error' in line] == [3, 4, 23]
    assert cv2.VideoCapture(str(tmp_path / 'out/pass.mp4')).get(cv2.CAP_PROP_FRAME_COUNT) == LENGTH - 3


def test_a_number_ends_with_a_run_of_unreadable_frames(run, folder, tmp_path):
    for number in range(3, LENGTH - 2):
        (folder / f'{number:03}.png').write_bytes(b'no image')
    assert run('predict', 'tophat', folder, '--track', '--out', tmp_path / 'out')[0] == 2
    lines = lines_of(tmp_path / 'out/pass.jsonl')
    before, after = (
        {t['track'] for line in part for t in line['targets']} for part in (lines[:3], lines[-2:])
    )
    assert before
    assert after
    assert not before & after


def test_files_that_were_not_written_are_not_listed(run, tmp_path):
    (tmp_path / 'x.png').write_bytes(b'no image')
    code, printed, _ = run('predict', 'tophat', tmp_path / 'x.png', '--clip', '--out', tmp_path / 'out')
    assert code == 2
    listed = {word for word in printed.split() if word.startswith(str(tmp_path))}
    assert listed == {str(path) for path in (tmp_path / 'out').iterdir()}


def test_a_video_that_is_cut_off(run, film, folder, tmp_path):
    data = film.read_bytes()
    film.write_bytes(data[: len(data) // 2])
    (tmp_path / 'none.mp4').write_bytes(b'no video')
    out = tmp_path / 'out'
    code, _, err = run('predict', 'tophat', film, tmp_path / 'none.mp4', folder, '--clip', '--out', out)
    assert code == 2
    assert '2 of 3 clips could not be predicted whole, the rest is done' in err.splitlines()[-1]
    assert 'pass.avi' in err
    assert len(lines_of(out / 'pass_2.jsonl')) == LENGTH
    done = len(lines_of(out / 'pass.jsonl'))
    assert 0 < done < LENGTH
    assert cv2.VideoCapture(str(out / 'pass.mp4')).get(cv2.CAP_PROP_FRAME_COUNT) == done


def test_what_is_there_already(run, film, tmp_path):
    out = tmp_path / 'out'
    assert run('predict', 'tophat', film, '--clip', '--out', out, '--format', 'csv')[0] == 0
    before = (out / 'pass.csv').read_bytes()
    code, _, err = run('predict', 'tophat', film, '--clip', '--out', out)
    assert code == 2
    assert err.count('\n') == 1
    assert 'pass.json: are there already; remove them, or give another --out' in err
    assert (out / 'pass.csv').read_bytes() == before
    assert sorted(p.name for p in out.iterdir()) == ['pass.csv', 'pass.json']


def test_all_that_is_there_already_is_named_at_once(tmp_path):
    names = ('x.mp4', 'x.csv', 'x.json')
    for name in names[1:]:
        (tmp_path / name).touch()
    (tmp_path / names[0]).symlink_to('nowhere')
    with pytest.raises(UserError) as e:
        ClipOutputs(tmp_path, 'x', ['video', 'jsonl', 'csv'], 25)
    paths = ', '.join(str(tmp_path / name) for name in names)
    assert str(e.value) == f'{paths}: are there already; remove them, or give another --out.'


def test_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    class Full(io.FileIO):
        left = 30

        def write(self, data):
            if self.left <= 0:
                raise OSError(28, 'No space left on device')
            count = min(self.left, len(data))
            self.left -= count
            return super().write(bytes(data[:count]))

    lines = _Lines(tmp_path / 'x.jsonl')
    lines._file = Full(tmp_path / 'x.jsonl', 'ab')
    lines.add('{"frame": 0}\n')
    for _ in range(2):  # nor does a later one follow where one is missing
        with pytest.raises(UserError, match='No space left'):
            lines.add('{"frame": 1, "time": 0.04}\n')
        lines._file.left = 100
    lines.close()
    assert (tmp_path / 'x.jsonl').read_text() == '{"frame": 0}\n'


def test_a_full_disk_is_one_line(run, film, tmp_path, monkeypatch):
    monkeypatch.setattr('madnet.inference.clip_outputs._frames_in', lambda path: 0)
    code, _, err = run('predict', 'tophat', film, '--clip', '--out', tmp_path / 'out')
    assert code == 2
    assert err.count('\n') == 1
    assert 'pass.mp4: cannot be written whole' in err
    assert not any(p.suffix == '.mp4' for p in (tmp_path / 'out').iterdir())
    assert (tmp_path / 'out/pass.json').is_file()


def test_a_clip_that_no_video_holds_ends_alone(run, film, tmp_path):
    np.save(tmp_path / 'wide.npy', np.zeros((2, 32, 8200), np.uint8))
    out = tmp_path / 'out'
    code, _, err = run('predict', 'tophat', tmp_path / 'wide.npy', film, '--clip', '--out', out)
    assert code == 2
    assert 'wide.mp4: MPEG-4 has no video of 8200 × 32 pixels at 25 frames a second' in err
    assert 'no video of' in json.loads((out / 'wide.json').read_text())['problem']
    assert (out / 'pass.mp4').is_file()
    assert sorted(p.name for p in out.iterdir() if 'wide' in p.name) == [
        'wide.csv',
        'wide.json',
        'wide.jsonl',
    ]


@pytest.mark.skipif(
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason='whoever started the tests has Ctrl-C ignored'
)
def test_ctrl_c_ends_a_stream(repository, frames, tmp_path):
    out = tmp_path / 'out'
    process = subprocess.Popen(
        [
            *(
                sys.executable,
                repository / 'tools/predict.py',
                'tophat',
                '-',
                '--raw',
                f'{SIZE}x{SIZE}:uint8',
            ),
            *('--track', '--out', out),
        ],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    for image in frames[:5]:
        process.stdin.write(image.tobytes())
    process.stdin.flush()
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if (out / 'stdin.jsonl').exists() and len(lines_of(out / 'stdin.jsonl')) == 4:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    err = process.stderr.read().decode()
    assert process.wait(60) == 130
    assert 'Traceback' not in err
    assert len(lines_of(out / 'stdin.jsonl')) == 5
    assert json.loads((out / 'stdin.json').read_text())['problem'] == 'interrupted after 5 frames'
    assert cv2.VideoCapture(str(out / 'stdin.mp4')).get(cv2.CAP_PROP_FRAME_COUNT) == 5
    assert [p for p in out.iterdir() if p.name.startswith('.')] == []


@pytest.mark.parametrize(
    ('ending', 'reason', 'left'),
    [
        (KeyboardInterrupt(), 'interrupted', True),
        (MemoryError('too big'), 'MemoryError: too big,', False),
    ],
)
def test_the_record_says_what_ended_a_clip(film, folder, tmp_path, monkeypatch, caplog, ending, reason, left):
    def follow(*args):
        for result in whole(*args):
            if result.number == 3:
                raise ending
            yield result

    whole = clip_command.follow
    monkeypatch.setattr(clip_command, 'follow', follow)
    monkeypatch.setattr(notices, '_said', set())
    with pytest.raises(type(ending)):
        clip_command.predict_clips('tophat', [folder, film], out=tmp_path / 'out', formats='jsonl')
    record = json.loads((tmp_path / 'out/pass.json').read_text())
    assert record['problem'] == f'{reason} after 3 of {LENGTH} frames'
    assert record['frames'] == len(lines_of(tmp_path / 'out/pass.jsonl')) == 3
    assert (f'1 of 2 clips were not begun, from {film} on' in caplog.text) == left


def test_a_live_source_is_not_waited_for(monkeypatch):
    """A camera that is quicker than the network: what nobody has taken in time is left out."""
    from madnet.inference import clip
    from madnet.inference.clip_source import ClipFrame, ClipSource

    class Camera(ClipSource):
        live = True

        def frames(self):
            for number in range(60):
                time.sleep(0.005)
                yield ClipFrame(number, number / 200, np.zeros((4, 4), np.uint8))
            over.set()

    over = threading.Event()
    camera = Camera('camera', 200)
    reading = clip._Reading(camera)
    first = next(iter(reading))
    assert over.wait(60)
    rest = list(reading)
    numbers = [first.number, *(frame.number for frame in rest)]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 59
    assert camera.left_out == 60 - len(numbers) > 10
    assert threading.active_count() < 50


def test_from_python(frames, folder):
    results = list(Predictor('tophat').clip(folder, track=True))
    assert [r.number for r in results] == list(range(LENGTH))
    assert all(len(r.targets) == len(r.tracks) for r in results)
    assert results[0].prediction.score_map.shape == (SIZE, SIZE)


def test_each_clip_has_a_range_of_its_own(frames):
    """``'auto'`` is what the first frame of a clip says, also of the second clip."""
    clips = [[(level + 10.0 * image).astype(np.float32) for image in frames[:4]] for level in (8000, 20000)]
    predictor = Predictor('tophat', value_range='auto')
    alone = [len(r.targets) for r in Predictor('tophat', value_range='auto').clip(iter(clips[1]))]
    together = [[len(r.targets) for r in predictor.clip(iter(clip))] for clip in clips]
    assert together == [alone, alone]
    assert sum(alone)
    side_by_side = zip(*(predictor.clip(iter(clip)) for clip in clips), strict=True)
    assert [[len(r.targets) for r in results] for results in zip(*side_by_side, strict=True)] == together
    assert predictor.loader.value_range == 'auto'  # nor is it of an image after it


def test_the_record_says_range_and_temperature_of_clips_whose_names_differ(run, frames, tmp_path):
    for name in ('x_2', 'x', 'other/x'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / f'{name}.npy', np.stack(frames[:3]) * np.uint16(100))
    paths = [tmp_path / f'{name}.npy' for name in ('x_2', 'x', 'other/x')]
    how = ('--track', '--value-range', 'auto', '--out', tmp_path / 'out', '--format', 'jsonl')
    code, _, err = run('predict', 'tophat', *paths, *how)
    assert code == 0, err
    for name in ('x_2', 'x', 'x_2_2'):
        record = json.loads((tmp_path / f'out/{name}.json').read_text())
        assert record['value_range'][1] > record['value_range'][0] > 0
        assert record['temperature'] == 1


def test_frames_that_a_program_gives(frames, folder):
    given = list(Predictor('tophat').clip((frame for frame in frames), fps=50, track=True))
    read = list(Predictor('tophat').clip(folder, fps=50, track=True))
    assert [(r.number, r.time, r.tracks) for r in given] == [(r.number, r.time, r.tracks) for r in read]
    assert any(r.tracks for r in given)


def test_an_address_through_opencv(film, run, tmp_path):
    code, _, err = run('predict', 'tophat', f'file://{film}', '--out', tmp_path / 'out', '--format', 'jsonl')
    assert code == 0, err
    (lines,) = (tmp_path / 'out').glob('*.jsonl')
    assert lines_of(lines)[-1]['frame'] == LENGTH - 1


@pytest.mark.parametrize('kind', ['http', 'rtsp'])
def test_a_camera_on_the_network(kind, frames, run, tmp_path):
    """Motion JPEG as cameras give it; frames for which there is no time are left out, and it ends."""
    server, address = served(kind, frames)
    code, _, err = run('predict', 'tophat', address, '--out', tmp_path / 'out', '--format', 'jsonl')
    server.shutdown()
    assert code == 0, err
    (lines,) = (tmp_path / 'out').glob('127_0_0_1_*.jsonl')
    found = lines_of(lines)
    assert found[-1]['frame'] == LENGTH - 1
    assert len(found) > 2
    assert sum(len(line['targets']) for line in found) >= len(found) // 2


@pytest.mark.parametrize(
    'raw', [None, '512x640', '512x640:nope', '512:uint8', '0x5:uint8', '5x5x2:uint8', '5x5:U4']
)
def test_what_raw_frames_are(raw):
    with pytest.raises(UserError, match='raw'):
        parse_raw(raw)
    assert parse_raw('512x640x3:>u2') == ((512, 640, 3), np.dtype('>u2'))


def test_what_is_no_clip(tmp_path):
    for source in ('nowhere.mp4', str(tmp_path), '97', '²', '99999999999'):
        with pytest.raises(UserError):
            open_clip(source)


def test_options_that_do_not_fit(run, film):
    for options in (['--clip', '--jobs', '2'], ['--fps', '5'], ['--clip', '--format', 'coco']):
        code, _, err = run('predict', 'tophat', film, *options)
        assert code == 2
        assert 'Traceback' not in err
