"""What users bring, through the tools: understood alike by every tool, or refused by each in one line. Each
kind of input that once failed, in several forms."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from madnet.engine.checkpoint_file import read_checkpoint
from madnet.images import notices
from madnet.pretrained import get_pretrained

pytestmark = pytest.mark.slow

NANO = 'configs/madnet/madnet_nano.py'
SMALL = ('model.backbone.base_channels=2', 'train_dataloader.batch_size=2', 'train_cfg.max_epochs=2')
IDS = [f'{i:03}' for i in range(12)]


@pytest.fixture
def call(run, repository, tmp_path, monkeypatch, caplog):
    """``call('train', …)`` → (exit code, standard output, standard error with warnings), in a new folder that
    has the checkout's configs."""
    (tmp_path / 'configs').symlink_to(repository / 'configs')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))

    def in_the_folder(tool, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(notices, '_said', set())
        caplog.clear()
        code, out, err = run(tool, *arguments)
        return code, out, err + caplog.text

    return in_the_folder


@pytest.fixture
def refused(call):
    """Calls a tool, which is to end with code 2 and one line of error, and gives this line."""

    def run(*arguments):
        code, out, err = call(*arguments)
        lines = [line for line in err.splitlines() if line.startswith('error: ')]
        assert (code, len(lines)) == (2, 1), (out, err)
        return lines[0]

    return run


@pytest.fixture
def scored(call, tmp_path):
    """Calls ``test`` or ``evaluate``, which is to succeed, and gives the numbers of a protocol."""

    def run(*arguments, protocol='native'):
        code, _, err = call(*arguments, '--out', 'numbers')
        assert code == 0, err
        return json.loads((tmp_path / 'numbers' / 'metrics.json').read_text())['results'][protocol]

    return run


def scene(rng, side=64, targets=2):
    frame = cv2.GaussianBlur(rng.normal(60, 8, (side, side)), (0, 0), 3) + rng.normal(0, 2, (side, side))
    mask = np.zeros((side, side), np.uint8)
    rows, columns = np.mgrid[:side, :side]
    for _ in range(targets):
        y, x = (int(v) for v in rng.integers(8, side - 8, 2))
        frame += 140 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 4.5)
        mask[y - 2 : y + 3, x - 2 : x + 3] = 255
    return np.clip(frame, 0, 255).astype(np.uint8), mask


def save(path, pixels, palette=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == '.npy':
        np.save(path, pixels)
    elif palette:
        image = Image.fromarray(pixels, 'P')
        image.putpalette([v for colour in palette for v in colour] + [0] * (768 - 3 * len(palette)))
        image.save(path)
    else:
        assert cv2.imwrite(str(path), pixels)


@pytest.fixture
def make(tmp_path):
    """``make(name, mask, image, ending, palette)`` writes images, masks, and lists of 8 and 4 ids; masks are
    ``mask(m)`` of one of 0 and 255."""

    def write(name, mask=lambda m: m, image=lambda i: i, ending='.png', palette=None):
        root, rng = tmp_path / name, np.random.default_rng(0)
        for i in IDS:
            frame, truth = scene(rng)
            pixels = image(frame)
            save(root / 'images' / f'{i}{".tif" if pixels.dtype.kind == "f" else ".png"}', pixels)
            save(root / 'masks' / f'{i}{ending}', mask(truth), palette)
        (root / 'train.txt').write_text('\n'.join(IDS[:8]) + '\n')
        (root / 'test.txt').write_text('\n'.join(IDS[8:]) + '\n')
        return name

    return write


@pytest.fixture
def perfect(tmp_path, make):
    """A folder of maps that are the truth of every set that ``make`` writes."""
    make('truth')
    (tmp_path / 'truth' / 'masks').rename(tmp_path / 'perfect')
    return 'perfect'


KEYS = ('IoU', 'nIoU', 'Pd', 'Fa', 'AUC')


@pytest.mark.parametrize(
    ('mask', 'ending', 'values'),
    [
        (lambda m: m // 255, '.png', (0, 1)),
        (lambda m: m // 255 * 100, '.png', (0, 100)),
        (lambda m: (m // 255).astype(np.uint16), '.tif', (0, 1)),
        (lambda m: (m // 255 * 5).astype(np.int32), '.npy', (0, 5)),
        (lambda m: 255 - m, '.bmp', (255, 0)),
    ],
)
def test_masks_of_two_other_values(call, refused, scored, make, perfect, tmp_path, mask, ending, values):
    make('plain')
    make('mine', mask, ending=ending)
    typed, words = f'mask_values=[{values[0]},{values[1]}]', [str(v) for v in values]
    for arguments in (
        ('train', NANO, '--dataset', 'mine', '--cfg-options', *SMALL),
        ('test', 'madnet_nano', '--dataset', 'mine', '--out', 'out'),
    ):
        assert typed in refused(*arguments)
    assert f'--mask-values {" ".join(words)}' in refused('evaluate', perfect, '--dataset', 'mine')
    expected = scored('test', 'madnet_nano', '--dataset', 'plain')
    told = scored('test', 'madnet_nano', '--dataset', 'mine', '--cfg-options', typed)
    assert [told[k] for k in KEYS] == [expected[k] for k in KEYS]
    assert scored('evaluate', perfect, '--dataset', 'mine', '--mask-values', *words)['IoU'] == 1
    (tmp_path / 'ids.txt').write_text('\n'.join(IDS[8:]))
    folder = scored('evaluate', perfect, 'mine/masks', '--ids', 'ids.txt', '--mask-values', *words)
    assert folder['IoU'] == 1
    (tmp_path / 'own.py').write_text(
        f"_base_ = ['./{NANO}']\ndata_root = 'mine'\nmask_values = {values}\nselection = 'last'\n"
    )
    code, out, err = call('train', 'own.py', '--work-dir', 'w', '--cfg-options', *SMALL)
    assert code == 0, err
    assert 'mine, trainval: 8 images of 64 × 64 pixels, 15 targets, 0 empty masks' in out
    if values[0] == 0:
        step = [{'type': 'LoadSIRSTImage', 'channels': 1}, {'type': 'LoadSIRSTMask', 'threshold': 0}]
        (tmp_path / 'threshold.py').write_text(
            f"_base_ = ['./{NANO}']\ndataset = 'mine'\nreplace_steps = dict(LoadSIRSTMask={step[1:]})\n"
        )
        zero = scored('test', 'threshold.py', 'madnet_nano')
        assert [zero[k] for k in KEYS] == [expected[k] for k in KEYS]


@pytest.mark.parametrize(
    ('mask', 'ending', 'palette'),
    [
        (lambda m: m // 255, '.png', ((0, 0, 0), (128, 0, 0))),
        (lambda m: m // 255 * 15, '.png', ((0, 0, 0), *((64, 0, 0),) * 14, (192, 128, 128))),
        (lambda m: m // 255, '.gif', ((0, 0, 0), (255, 255, 255))),
        (lambda m: np.dstack([0 * m, 0 * m, m]), '.png', None),
        (lambda m: m.astype(np.uint16) * 257, '.png', None),
        (lambda m: m > 0, '.npy', None),
    ],
)
def test_masks_of_other_kinds_are_the_same_truth(scored, make, perfect, mask, ending, palette):
    make('plain')
    make('mine', mask, ending=ending, palette=palette)
    expected = scored('test', 'madnet_nano', '--dataset', 'plain')
    found = scored('test', 'madnet_nano', '--dataset', 'mine')
    assert [found[k] for k in KEYS] == [expected[k] for k in KEYS]
    for arguments in (('--dataset', 'mine'), ('mine/masks', '--ids', 'mine/test.txt')):
        assert scored('evaluate', perfect, *arguments)['IoU'] == 1


@pytest.mark.parametrize(
    ('mask', 'size'),
    [
        (lambda m: cv2.copyMakeBorder(m, 0, 1, 0, 1, cv2.BORDER_CONSTANT), '65 × 65'),
        (lambda m: m[:-2, :-2], '62 × 62'),
        (lambda m: m[:, :40], '40 × 64'),
    ],
)
def test_masks_of_another_size(refused, make, perfect, mask, size):
    make('mine', mask)
    for arguments in (
        ('train', NANO, '--dataset', 'mine', '--cfg-options', *SMALL),
        ('test', 'madnet_nano', '--dataset', 'mine', '--out', 'out'),
    ):
        line = refused(*arguments)
        assert f'a mask of {size} pixels for an image of 64 × 64' in line
        assert 'So are' in line
    assert '4 files do not fit' in refused('evaluate', perfect, '--dataset', 'mine')


def test_masks_at_another_scale_are_brought_to_their_images_by_all(call, scored, make, perfect):
    make('mine', lambda m: m.repeat(2, 0).repeat(2, 1))
    make('plain')
    pairs = [scored('test', 'madnet_nano', '--dataset', name) for name in ('plain', 'mine')]
    assert pairs[0] == pairs[1]
    code, _, err = call('evaluate', perfect, '--dataset', 'mine')
    assert 'by nearest neighbour' in err
    assert code == 0


@pytest.mark.parametrize(
    ('kind', 'ending'), [(np.uint8, '.png'), (np.uint16, '.png'), (np.uint8, '.npy'), (np.uint8, '.tif')]
)
def test_predicted_labels(refused, scored, make, tmp_path, kind, ending):
    make('plain')
    for i in IDS[8:]:
        mask = cv2.imread(str(tmp_path / 'plain' / 'masks' / f'{i}.png'), 0)
        save(tmp_path / 'labels' / f'{i}{ending}', (mask // 255).astype(kind))
    arguments = ('evaluate', 'labels', 'plain/masks', '--ids', 'plain/test.txt')
    assert '--labels' in refused(*arguments)
    assert '--labels' in refused('evaluate', 'labels', '--dataset', 'plain', '--protocol', 'all')
    assert scored(*arguments, '--labels')['IoU'] == 1


def test_misc_111_counts_alike_in_test_and_evaluate(scored, call, data_root, tmp_path):
    arguments = ('madnet_nano', '--dataset', 'nuaa', '--save-scores')
    expected = scored('test', *arguments, '--protocol', 'all')
    masks = data_root / 'NUAA-SIRST' / 'masks'
    ids = data_root / 'NUAA-SIRST' / 'splits' / 'idx_427' / 'test.txt'
    for where in ((masks, '--ids', ids), ('--dataset', 'nuaa'), (masks, '--dataset', 'nuaa')):
        found = scored('evaluate', 'numbers/scores', *where)
        assert len((tmp_path / 'numbers' / 'per_image.csv').read_text().splitlines()) == 1 + 86
        for key in KEYS[:-1]:
            assert found[key] == pytest.approx(expected[key], abs=1e-9), key
    _, out, _ = call('evaluate', 'numbers/scores', '--dataset', 'nuaa')
    assert 'many pixels of these maps share the lowest score' in out


@pytest.mark.parametrize('selection', ['last', 'val'])
def test_a_training_that_diverges_stops_at_once(call, make, tmp_path, selection):
    make('plain')
    train = ('train', NANO, '--dataset', 'plain', '--work-dir', 'w', '--cfg-options', *SMALL)
    code, _, err = call(*train)
    assert code == 0, err
    before = {n: (tmp_path / 'w' / n).read_bytes() for n in ('last.pth', 'previous.pth', 'best.pth')}
    wild = ('optim_wrapper.optimizer.lr=1e6', 'optim_wrapper.clip_grad=None', 'param_scheduler=[]')
    for more in ((), ('--skip-nonfinite', '2')):
        code, _, err = call(*train, f'selection={selection}', *wild, *more)
        assert code == 1
        assert sum(line.startswith('failed: ') for line in err.splitlines()) == 1
        if not more:
            assert 'plain/images/' in err
        assert not [*(tmp_path / 'w').glob('*.pth')]
    [aside] = (tmp_path / 'w').glob('before_*')
    assert before == {name: (aside / name).read_bytes() for name in before}


def test_resuming_with_something_else(call, refused, make):
    make('plain')
    make('moved')
    make('negative', image=lambda i: 255 - i)
    # no statistics of a set of one's own, by which it would be known
    fixed = ('model.data_preprocessor.mean=[80.]', 'model.data_preprocessor.std=[30.]')
    train = ('train', NANO, '--dataset', 'plain', '--work-dir', 'w', '--cfg-options', *SMALL, *fixed)

    def other(name):
        return ('train', NANO, '--dataset', name, *train[4:], 'train_cfg.max_epochs=4')

    code, _, err = call(*train)
    assert code == 0, err
    for option in ('optim_wrapper.optimizer.lr=1e-4', 'model.backbone.base_channels=4',
                   'train_dataloader.batch_size=3'):  # fmt: skip
        line = refused(*train, option, 'train_cfg.max_epochs=4', '--resume')
        assert option.partition('=')[0] in line
    assert 'expected 2 or more' in refused(*train, 'train_cfg.max_epochs=1', '--resume')
    assert 'last.pth had 0, expected its 6' in refused(*other('negative'), '--resume')
    code, out, err = call(*other('moved'), '--resume')
    assert code == 0, err
    assert 'the schedule is laid anew over all 4' in out + err
    assert 'trained to epoch 4' in out


def test_several_sets_at_once(call, make, tmp_path):
    make('plain')
    make('other', lambda m: m // 255, palette=((0, 0, 0), (128, 0, 0)))
    steps = [
        {'type': 'LoadSIRSTImage', 'channels': 1},
        {'type': 'LoadSIRSTMask'},
        {'type': 'PackSIRSTInputs'},
    ]
    one = {'type': 'SIRSTDataset', 'split': 'test', 'pipeline': steps}
    both = {'type': 'ConcatDataset', 'datasets': [{**one, 'data_root': name} for name in ('plain', 'other')]}
    (tmp_path / 'concat.py').write_text(
        f"_base_ = ['./{NANO}']\ndataset = 'plain'\ntest_evaluator = dict(protocols=['acm', 'basicirstd'])\n"
        f'test_dataloader = dict(dataset={ {**both, "_delete_": True} })\n'
    )
    (tmp_path / 'list.py').write_text(f"_base_ = ['./{NANO}']\ndataset = ['plain', 'other']\n")
    rows = []
    for arguments in (
        ('concat.py', 'madnet_nano', '--protocol', 'native'),
        ('list.py', 'madnet_nano'),
        ('madnet_nano', '--dataset', 'plain,other'),
    ):
        code, out, err = call('test', *arguments, '--out', 'out')
        assert code == 0, err
        rows.append(
            [line.split() for line in out.splitlines() if line.split()[0] in ('plain', 'other', 'all')]
        )
        rows[-1] = [row for row in rows[-1] if len(row) > 5]
        assert [row[0] for row in rows[-1]] == ['plain', 'other', 'all']
    assert rows[0] == rows[1] == rows[2]
    code, out, err = call('test', 'concat.py', 'madnet_nano', '--out', 'out')
    assert [*json.loads((tmp_path / 'out' / 'metrics.json').read_text())['results']] == ['acm', 'basicirstd']


@pytest.mark.parametrize('wrapper', ['net', 'model', 'model_state_dict', 'state_dict', 'weights_of_mine'])
def test_checkpoints_in_other_wrappers(refused, scored, make, tmp_path, wrapper):
    make('plain')
    state = read_checkpoint(str(get_pretrained('madnet_nano').weights))
    state = state.get('state_dict', state)
    counters = {'total_ops': torch.zeros(1), 'total_params': torch.zeros(1)}
    extra = {'epoch': 3, 'iou': np.float64(0.5), 'best': np.float32(1)}
    torch.save({**extra, wrapper: {**state, **counters}}, tmp_path / 'mine.pth')
    statistics = ('model.data_preprocessor.mean=[99.423]', 'model.data_preprocessor.std=[57.959]')
    found = scored('test', NANO, 'mine.pth', '--dataset', 'plain', '--cfg-options', *statistics)
    assert found == scored('test', 'madnet_nano', '--dataset', 'plain')
    torch.save({wrapper: {'a.weight': torch.ones(3)}, 'iou': np.float64(0.5)}, tmp_path / 'other.pth')
    for arguments in (
        ('test', NANO, 'other.pth', '--dataset', 'plain'),
        ('train', NANO, '--load-from', 'other.pth', '--dataset', 'plain', '--cfg-options', *SMALL),
        ('predict', '--config', NANO, '--checkpoint', 'other.pth', 'plain/images', '--dataset', 'plain'),
    ):
        assert 'is of another architecture than the config' in refused(*arguments)


@pytest.mark.parametrize(
    'content', [b'<!DOCTYPE html><html>404</html>', b'version https://git-lfs', b'\0' * 64, b'']
)
def test_files_that_are_no_checkpoints(refused, make, tmp_path, content):
    make('plain')
    (tmp_path / 'mine.pth').write_bytes(content)
    for arguments in (
        ('test', NANO, 'mine.pth', '--dataset', 'plain'),
        ('train', NANO, '--load-from', 'mine.pth', '--dataset', 'plain', '--cfg-options', *SMALL),
    ):
        assert '--trust-checkpoint' not in refused(*arguments)


@pytest.mark.parametrize(
    ('option', 'said'),
    [
        ('selectoin=test', "'selection'"),
        ('modle.backbone.base_channels=8', "'model'"),
        ('model.backbone.base_chanels=8', "'base_channels'"),
        ('train_dataloader.batchsize=2', "'batch_size'"),
        ('train_dataloader.batch_size=0', 'from 1 on'),
        ('train_dataloader.batch_size=-1', 'from 1 on'),
        ('train_dataloader.num_workers=two', 'from 0 on'),
        ('train_cfg.max_epochs=0', 'from 1 on'),
    ],
)
def test_options_that_are_wrong(refused, make, tmp_path, option, said):
    make('plain')
    train = ('--dataset', 'plain', '--work-dir', 'w')
    assert said in refused('train', NANO, *train, '--cfg-options', option)
    key, _, value = option.partition('=')
    *above, last = key.split('.')
    text = value if value.lstrip('-').isdigit() else repr(value)
    text = f'dict({last}={text})' if above else text
    for name in reversed(above[1:]):
        text = f'dict({name}={text})'
    (tmp_path / 'mine.py').write_text(f"_base_ = ['./{NANO}']\n{(above or [last])[0]} = {text}\n")
    assert said in refused('train', 'mine.py', *train)


def test_frames_of_cameras(call, refused, tmp_path):
    rng = np.random.default_rng(1)
    frame, _ = scene(rng, 128)
    folder = tmp_path / 'frames'
    kelvin = (270 + frame / 8).astype(np.float32)
    save(folder / 'kelvin.tif', kelvin)
    assert '--value-range 27' in refused('predict', 'madnet_nano', 'frames/kelvin.tif', '--out', 'out')
    # degrees Celsius might be grey values, if dark ones
    save(folder / 'celsius.npy', kelvin.astype(np.float64) - 273.15)
    save(folder / 'counts.png', (20000 + 10.0 * frame).astype(np.uint16))
    for name, low in (('counts.png', '2'), ('celsius.npy', '3.')):
        code, _, err = call('predict', 'madnet_nano', f'frames/{name}', '--out', 'out')
        assert code == 0
        assert f'--value-range {low}' in err
    for arguments in (
        ('frames/kelvin.tif', '--value-range', '270', '302'),
        ('--value-range', '-3.15', '28.85', 'frames/celsius.npy'),
        ('frames/counts.png', '--value-range=auto'),
        ('--value-range', 'auto', 'frames/counts.png', '--format', 'json'),
    ):
        code, out, err = call('predict', 'madnet_nano', *arguments, '--out', 'out')
        assert code == 0, err
        assert '2 targets in 1 image' in out, arguments


def test_every_kind_of_file_is_read_or_named(call, tmp_path):
    folder, rng = tmp_path / 'mixed', np.random.default_rng(5)
    frames = [scene(rng, 96)[0] for _ in range(12)]
    for pixels, name in zip(frames, ('a.png', 'b.bmp', 'c.tif', 'd.jpg', 'e.webp', 'f.npy'), strict=False):
        save(folder / name, pixels)
    np.savez(folder / 'g.npz', frames[6])
    first, *others = [Image.fromarray(f) for f in frames[:3]]
    first.save(folder / 'h.gif', save_all=True, append_images=others)
    cv2.imwritemulti(str(folder / 'i.tif'), frames[:4])
    (folder / 'raw.json').write_text('{"height": 96, "width": 96, "dtype": "uint8"}')
    (folder / 'j.raw').write_bytes(frames[7].tobytes())
    video = cv2.VideoWriter(str(folder / 'k.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 5, (96, 96))
    for pixels in frames[:2]:
        video.write(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR))
    video.release()
    for name in ('notes.md', 'x.heic', 'y.heic'):
        (folder / name).write_text('no image')
    code, _, err = call('predict', 'madnet_nano', 'mixed', '--out', 'out', '--format', 'json')
    assert code == 0, err
    assert '3 files are left out, of a kind that is not read: 2 .heic, 1 .md' in err
    found = json.loads((tmp_path / 'out' / 'targets.json').read_text())['images']
    names = [image['name'] for image in found]
    assert len(names) == 7 + 3 + 4 + 1 + 2
    assert {'h_0002', 'i_0003', 'j', 'k_0001'} <= set(names)
    assert [len(image['targets']) for image in found].count(2) >= 16


def test_a_set_without_targets(call, refused, make, tmp_path):
    make('empty', lambda m: 0 * m)
    make('plain')
    assert 'no target in any mask' in refused('train', NANO, '--dataset', 'empty', '--cfg-options', *SMALL)
    code, out, err = call('test', 'madnet_nano', '--dataset', 'empty', '--out', 'out', '--save-scores')
    assert (code, 'false/image' in out, 'IoU' in out) == (0, True, False), err
    code, again, err = call('evaluate', 'out/scores', '--dataset', 'empty')
    assert code == 0, err
    assert out.splitlines()[2] == again.splitlines()[2]
    code, out, _ = call('train', NANO, '--dataset', 'plain,empty', '--work-dir', 'w', '--cfg-options', *SMALL)
    assert code == 0


def test_a_plain_runner_takes_no_config_without_a_part(repository, tmp_path):
    program = (
        'from mmengine.config import Config\nfrom mmengine.runner import Runner\nimport sys\n'
        'cfg = Config.fromfile(sys.argv[1]); cfg.work_dir = "w"\n'
        'print(Runner.from_cfg(cfg).build_dataloader(cfg.train_dataloader).dataset.split)\n'
    )
    for name in ('madnet_nudt', 'madnet/madnet_nano', 'mim_nuaa'):
        command = [sys.executable, '-c', program, str(repository / 'configs' / f'{name}.py')]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300,
                              env={**os.environ, 'PYTHONPATH': str(repository)})  # fmt: skip
        assert done.returncode
        assert 'no split is named' in done.stderr
