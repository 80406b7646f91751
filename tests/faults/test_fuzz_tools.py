"""Mutated images, masks, lists, score maps, checkpoints, archives and labels through the whole tools: a
result or one line, in time, and nothing written but where it was asked for."""

import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmseg.registry import MODELS
from mutations import changed, damaged, odd_archive, odd_picture, time_limit, writes_only_below

from madnet.engine.config import load_config

#: Mutants of each kind; 3,000 in all by MADNET_FUZZ=300.
COUNT = int(os.environ.get('MADNET_FUZZ', '12'))
#: Kinds of which one mutant in so many is tried, for they take seconds each.
SLOW_KINDS = {'training': 20, 'statistics': 10}
IDS = [f'{k}' for k in range(6)]
LISTS = {'train.txt': IDS[:4], 'test.txt': IDS[4:]}
#: Tools' options after which the output is a new folder, whole or not there.
FRESH = ('prepare', 'convert', 'synth', '--fix')


def scene(number: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    mask = np.zeros((48, 64), np.uint8)
    y, x = rng.integers(5, 40, 2)
    mask[y : y + 3, x : x + 4] = 255
    image = rng.normal(90, 6, mask.shape) + (mask > 0) * 80
    return image.clip(0, 255).astype(np.uint8), mask


@pytest.fixture(scope='module')
def whole(tmp_path_factory, tiny_text) -> Path:
    """A sound set in every form, score maps, an untrained network and its config."""
    root = tmp_path_factory.mktemp('whole')
    for folder in ('set/images', 'set/masks', 'maps', 'yolo/images', 'yolo/labels', 'voc/JPEGImages'):
        (root / folder).mkdir(parents=True)
    (root / 'voc/Annotations').mkdir()
    coco = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'target'}]}
    for k in IDS:
        image, mask = scene(int(k))
        for path, pixels in (('set/images', image), ('set/masks', mask), ('maps', image)):
            cv2.imwrite(str(root / path / f'{k}.png'), pixels)
        for folder in ('yolo/images', 'voc/JPEGImages'):
            shutil.copy(root / f'set/images/{k}.png', root / folder)
        x, y, w, h = cv2.boundingRect(mask)
        (root / f'yolo/labels/{k}.txt').write_text(
            f'0 {(x + w / 2) / 64} {(y + h / 2) / 48} {w / 64} {h / 48}\n'
        )
        box = f'<xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax>'
        (root / f'voc/Annotations/{k}.xml').write_text(
            f'<annotation><object><name>t</name><bndbox>{box}</bndbox></object></annotation>'
        )
        coco['images'].append({'id': int(k), 'file_name': f'{k}.png', 'width': 64, 'height': 48})
        runs = {'size': [48, 64], 'counts': [x * 48 + y, h, 48 * 64 - x * 48 - y - h]}
        coco['annotations'].append(
            {'image_id': int(k), 'category_id': 1, 'bbox': [x, y, w, h], 'keypoints': [x + 1, y + 1, 2]}
            | {'segmentation': random.Random(k).choice([runs, [[x, y, x + w, y, x, y + h]], []])}
        )
    shutil.copytree(root / 'yolo/images', root / 'coco/images')
    (root / 'coco/train.json').write_text(json.dumps(coco))
    for name, ids in LISTS.items():
        (root / 'set' / name).write_text('\n'.join(ids))
    (root / 'set/dataset.json').write_text(
        json.dumps({'schema': 1, 'name': 'mine', 'splits': {'a': {'test': 1}}})
    )
    (root / 'tiny.py').write_text(tiny_text)
    torch.manual_seed(0)
    state = MODELS.build(load_config(root / 'tiny.py').model).state_dict()
    torch.save({'state_dict': state, 'meta': {'epoch': 1, 'seed': 0}}, root / 'last.pth')
    return root


# Each of these damages a copy of it, and says which tool is called, and how.


def put_picture(folder: Path, name: str, rng: random.Random, picture: int) -> Path:
    """Put an odd file in a sound one's place."""
    image = scene(picture)[0]
    if rng.random() < 0.5:
        ending, data = '.png', damaged((folder / f'{name}.png').read_bytes(), rng)
    else:
        ending, data = odd_picture(image, rng)
    (folder / f'{name}.png').unlink()
    path = folder / f'{name}{ending}'
    path.write_bytes(data)
    return path


def dataset_call(where: Path, out: Path, rng: random.Random) -> list:
    return rng.choice(
        [
            ['dataset', 'check', where],
            ['dataset', 'check', where, '--fix', out],
            ['dataset', 'prepare', 'mine', where, '--out', out],
            [
                'dataset',
                'convert',
                where,
                '--to',
                rng.choice(['madnet', 'coco', 'yolo', 'voc']),
                '--out',
                out,
            ],
            ['dataset', 'browse', where, '--out', out],
            ['evaluate', where.parent / 'maps', '--dataset', where, '--out', out],
        ]
    )


def images(work: Path, out: Path, rng: random.Random) -> list:
    path = put_picture(work / 'set/images', rng.choice(IDS), rng, 0)
    if rng.random() < 0.5:
        return dataset_call(work / 'set', out, rng)
    more = rng.choice([[], ['--value-range', 'auto'], ['--value-range', '0', '4000'], ['--tile', '64']])
    return ['predict', 'tophat', rng.choice([path, path.parent]), '--out', out, '--format', 'all', *more]


def masks(work: Path, out: Path, rng: random.Random) -> list:
    put_picture(work / 'set/masks', rng.choice(IDS), rng, 0)
    more = rng.choice([[], ['--mask-values', '0', '255'], ['--protocol', 'all', '--size', '64'], ['--boxes']])
    evaluate = ['evaluate', work / 'maps', work / 'set/masks', '--out', out, *more]
    return rng.choice([evaluate, dataset_call(work / 'set', out, rng)])


def score_maps(work: Path, out: Path, rng: random.Random) -> list:
    for _ in range(rng.choice([1, 1, 6])):
        name = rng.choice([p.stem for p in (work / 'maps').glob('*.png')])
        put_picture(work / 'maps', name, rng, int(name))
    more = rng.choice(
        [
            [],
            ['--logits'],
            ['--labels'],
            ['--protocol', 'all', '--size', '64'],
            ['--allow-missing', '--images', work / 'set/images'],
            ['--threshold', '0.2', '--boxes'],
        ]
    )
    return ['evaluate', work / 'maps', work / 'set/masks', '--out', out, *more]


def lists(work: Path, out: Path, rng: random.Random) -> list:
    path = work / 'set' / rng.choice([*LISTS])
    words = [
        *IDS,
        '7',
        '../images/1',
        '/etc/passwd',
        '',
        '1.png',
        '\x1b[31m',
        'a' * 5000,
        '*',
        '.',
        '1\r',
        'é',
    ]
    text = rng.choice(['\n', '\r\n', ' ', '\0']).join(rng.choices(words, k=rng.randrange(8))).encode()
    path.write_bytes(
        rng.choice([text, b'\xef\xbb\xbf' + text, text.decode().encode('utf-16'), damaged(b'1\n2', rng)])
    )
    ids = ['evaluate', work / 'maps', work / 'set/masks', '--ids', path, '--out', out]
    best = [
        'evaluate',
        work / 'maps',
        '--dataset',
        f'{work}/set',
        '--threshold',
        'best:trainval',
        '--out',
        out,
    ]
    return rng.choice([ids, best, dataset_call(work / 'set', out, rng)])


def records(work: Path, out: Path, rng: random.Random) -> list:
    path = work / 'set/dataset.json'
    mutant = json.dumps(changed(json.loads(path.read_text()), rng)).encode()
    path.write_bytes(damaged(mutant, rng) if rng.random() < 0.4 else mutant)
    return dataset_call(work / 'set', out, rng)


def labels(work: Path, out: Path, rng: random.Random) -> list:
    form, name = rng.choice([('coco', 'train.json'), ('yolo', 'labels/1.txt'), ('voc', 'Annotations/1.xml')])
    path = work / form / name
    if form == 'coco' and rng.random() < 0.7:
        path.write_text(json.dumps(changed(json.loads(path.read_text()), rng)))
    elif form == 'yolo' and rng.random() < 0.5:
        numbers = ['0', '0.5', '-1', 'nan', 'inf', '1e300', 'x', '7', '0.1']
        path.write_text(' '.join(rng.choices(numbers, k=rng.randrange(12))))
    elif form == 'voc' and rng.random() < 0.5:
        odd = rng.choice(['nan', 'inf', '-5', '1e300', '', 'x', '<a/>', '70'])
        text = path.read_text()
        at = text.index(f'<{rng.choice(["xmin", "ymin", "xmax", "ymax"])}>') + 6
        path.write_text(text[:at] + odd + text[text.index('<', at) :])
    else:
        path.write_bytes(damaged(path.read_bytes(), rng))
    to = rng.choice(['madnet', 'madnet', 'coco', 'yolo', 'voc'])
    return ['dataset', 'convert', work / form, '--to', to, '--out', out]


def archives(work: Path, out: Path, rng: random.Random) -> list:
    whole = (p for p in sorted((work / 'set').rglob('*')) if p.is_file())
    ending, data = odd_archive({p.relative_to(work / 'set').as_posix(): p.read_bytes() for p in whole}, rng)
    path = work / f'archive{ending}'
    path.write_bytes(data)
    return ['dataset', 'prepare', 'mine', path, '--out', out]


def checkpoints(work: Path, out: Path, rng: random.Random) -> list:
    path = work / 'last.pth'
    if rng.random() < 0.6:
        path.write_bytes(damaged(path.read_bytes(), rng))
    else:
        content = torch.load(path, weights_only=True)
        state = content['state_dict']
        key = rng.choice([*state])
        like = state[key].float()
        odd = [torch.zeros(3), None, 'x', 3, torch.full_like(like, np.nan), torch.full_like(like, 9e9), {}]
        odd += [like.to(torch.float16), like.to_sparse() if like.ndim else 0]
        state[rng.choice([key, f'{key}x', 'module.' + key])] = rng.choice(odd)
        torch.save(rng.choice([content, state, {'net': state}, [state], {'meta': 3, 'state_dict': 4}]), path)
    config, frame = work / 'tiny.py', work / 'set/images/1.png'
    return rng.choice(
        [
            ['test', config, path, '--out', out],
            ['predict', '--config', config, '--checkpoint', path, frame, '--out', out],
            ['predict', '--config', config, '--checkpoint', path, frame, '--out', out],
            [
                'convert',
                rng.choice(['madnet', 'mim']),
                path,
                out / 'new.pth',
                *rng.choice([[], ['--reverse']]),
            ],
        ]
    )


def backgrounds(work: Path, out: Path, rng: random.Random) -> list:
    path = put_picture(work / 'set/images', rng.choice(IDS), rng, 0)
    return ['dataset', 'synth', '--out', out, '--n', '6', '--backgrounds', path.parent]


def statistics(work: Path, out: Path, rng: random.Random) -> list:
    put_picture(work / 'set' / rng.choice(['images', 'masks']), rng.choice(IDS), rng, 0)
    return ['dataset', 'stats', work / 'set', '--out', out]


def training(work: Path, out: Path, rng: random.Random) -> list:
    put_picture(work / 'set' / rng.choice(['images', 'masks']), rng.choice(IDS), rng, 0)
    options = ['train_dataloader.batch_size=2', 'train_cfg.max_epochs=1', 'model.backbone.base_channels=2']
    config = work / 'own.py'
    base = Path(__file__).resolve().parents[2] / 'configs/madnet/madnet_nano.py'
    config.write_text(f"_base_ = ['{base}']\n")
    return ['train', config, '--dataset', work / 'set', '--work-dir', out, '--cfg-options', *options]


KINDS = (
    *(images, masks, score_maps, lists, records, labels, archives, checkpoints, backgrounds),
    *(statistics, training),
)


def state_of(folder: Path) -> dict[str, tuple]:
    """Every path below a folder with its size and time."""
    return {str(p): (s.st_size, s.st_mtime_ns) for p in folder.rglob('*') if (s := p.lstat()) and p.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize('kind', KINDS, ids=lambda kind: kind.__name__)
def test_a_result_or_one_line_of_whole_tools(kind, whole, tmp_path, run, monkeypatch):
    temporary, cache, place = (tmp_path / name for name in ('temporary', 'cache', 'place'))
    for folder in (temporary, cache):
        folder.mkdir()
    monkeypatch.setenv('XDG_CACHE_HOME', str(cache))
    monkeypatch.setenv('MPLCONFIGDIR', str(cache))
    monkeypatch.setattr(tempfile, 'tempdir', str(temporary))
    monkeypatch.setattr(sys, 'dont_write_bytecode', True)
    monkeypatch.chdir(tmp_path)
    count = max(1, COUNT // SLOW_KINDS.get(kind.__name__, 1))
    rng = random.Random(kind.__name__)
    codes, wrong, begin = {}, [], time.process_time()
    for number in range(count):
        work, out = tmp_path / 'work', place / 'out'
        shutil.copytree(whole, work)
        place.mkdir()
        call = kind(work, out, rng)
        before = state_of(work)
        said = f'{number}: {" ".join(str(a).replace(str(tmp_path), "") for a in call)[:300]}'
        try:
            with time_limit(said), writes_only_below(place, cache, temporary) as outside:
                code, printed, err = run(*call)
        except BaseException as e:  # SystemExit and KeyboardInterrupt too are no way to end here
            wrong.append(f'{said}: {type(e).__name__}: {str(e)[:300]}')
            shutil.rmtree(work)
            shutil.rmtree(place)
            if isinstance(e, KeyboardInterrupt):
                break
            continue
        codes[code] = codes.get(code, 0) + 1
        lines = [line for line in err.splitlines() if line.startswith(('error: ', 'failed: '))]
        named = code == 0 or len(lines) == 1 or (code == 1 and call[1] == 'check' and not lines)
        if code not in (0, 1, 2) or not named or 'Traceback' in err or '\x1b[31m' in printed + err:
            wrong.append(f'{said}: code {code}: {err[-300:]!r}')
        if outside or state_of(work) != before:
            changes = {k for k, _ in {*before.items()} ^ {*state_of(work).items()}}
            wrong.append(f'{said}: written outside: {sorted({*outside, *changes})[:4]}')
        left = [p.name for p in [*place.rglob('.writing-*'), *temporary.iterdir()]]
        # made by torch for its next run, and by Python until the process ends
        left = [name for name in left if not name.startswith(('torchinductor', 'pymp-'))]
        left += ['out'] if code == 2 and out.exists() and {*FRESH} & {*map(str, call)} else []
        if left:
            wrong.append(f'{said}: left over: {left[:4]}')
        shutil.rmtree(work)
        shutil.rmtree(place)
    spent = f'{time.process_time() - begin:.0f} s of CPU'
    print(f'{kind.__name__}: {count} mutants, {spent}, exit codes {dict(sorted(codes.items()))}')
    assert not wrong, f'{len(wrong)} of {count}:\n' + '\n'.join(wrong[:20])
