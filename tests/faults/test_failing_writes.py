"""Every call that writes fails in turn, in every tool: no damaged file is taken for whole, no good one is lost."""

import importlib.util
import json
import os
import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from failing_writes import _CAN_BE_SHORT, KINDS, supervised

import madnet.components  # noqa: F401  so that no fork has to import it
from madnet.engine.checkpoint import find_whole_checkpoint
from madnet.engine.checkpoint_file import read_checkpoint
from madnet.records.scalars import read_scalars

#: Failures for each tool; all of them, thousands, take an hour: MADNET_FAULTS=100000.
COUNT = int(os.environ.get('MADNET_FAULTS', '20'))
LEFTOVERS = ('.writing', '.part')


@dataclass(frozen=True)
class Row:
    """A tool.

    Attributes:
        call: Function of (folder with what is read, folder to write to, whether it is the second of two runs whose
            results differ) → the command line, from the tool's name on.
        again: Whether it may write over the results of an earlier run.
        partial: Whether its tables hold what was done where it could not do all.
    """

    call: Callable[[Path, Path, bool], list]
    again: bool = True
    partial: bool = False


def _train(world, out, second):
    return ['train', world / 'tiny.py', '--work-dir', out, *(['--resume'] if second else [])]


ROWS = {
    'evaluate': Row(
        lambda w, o, n: ['evaluate', w / ('others' if n else 'maps'), w / 'set/masks', '--out', o]
    ),
    'compare': Row(
        lambda w, o, n: (
            ['evaluate', '--compare', w / 'maps', w / ('maps' if n else 'others'), w / 'set/masks']
            + ['--out', o]
        )
    ),
    'predict': Row(
        lambda w, o, n: (
            ['predict', 'tophat', w / 'set/images', '--format', 'all', '--out', o]
            + ['--threshold', 0.6 if n else 0.5]
        ),
        partial=True,
    ),
    'predict_jobs': Row(
        lambda w, o, n: (
            ['predict', 'tophat', w / 'set/images', '--out', o, '--jobs', 2]
            + ['--threshold', 0.6 if n else 0.5]
        ),
        partial=True,
    ),
    'test': Row(
        lambda w, o, n: (
            ['test', w / f'test{n:d}.py', w / 'run/best.pth', '--out', o, '--save-scores']
            + ['--show-dir', o / 'pictures']
        )
    ),
    'report': Row(lambda w, o, n: ['report', w / f'scored{n:d}', '--out', o, '--gallery', 1]),
    'panel': Row(
        lambda w, o, n: (
            ['panel', w / 'set/images', w / 'set/masks', f'A={w / ("others" if n else "maps")}']
            + ['--out', o / 'grid']
        )
    ),
    'convert': Row(
        lambda w, o, n: (
            ['convert_checkpoint', 'madnet', w / 'run/best.pth', o / 'theirs.pth'] + ['--reverse']
        ),
        again=False,
    ),
    'pretrained': Row(
        lambda w, o, n: (
            ['pretrained', 'add', 'mine', w / 'tiny.py', w / 'run/best.pth']
            + ['--card', w / f'card{n:d}.md', '--folder', o]
        )
    ),
    'prepare': Row(lambda w, o, n: ['dataset', 'prepare', 'mine', w / 'set.zip', '--out', o / 'new'], False),
    'fix': Row(lambda w, o, n: ['dataset', 'check', w / 'set', '--fix', o / 'new'], False),
    'to_coco': Row(
        lambda w, o, n: ['dataset', 'convert', w / 'set', '--to', 'coco', '--out', o / 'new'], False
    ),
    'to_masks': Row(
        lambda w, o, n: ['dataset', 'convert', w / 'coco', '--to', 'madnet', '--out', o / 'new'], False
    ),
    'synth': Row(lambda w, o, n: ['dataset', 'synth', '--out', o / 'new', '--n', 3, '--size', 64], False),
    'stats': Row(lambda w, o, n: ['dataset', 'stats', w / ('set2' if n else 'set'), '--out', o]),
    'browse': Row(lambda w, o, n: ['dataset', 'browse', w / ('set2' if n else 'set'), '--out', o]),
    'train': Row(_train),
    'benchmark': Row(
        lambda w, o, n: [
            'benchmark',
            'models',
            w / 'tiny.py',
            '--sizes',
            64 if n else 32,
            '--json',
            o / 'a.json',
        ]
    ),
}


def _tool(repository: Path, words: list) -> Callable[[], int]:
    """A tool as a function to call in a process of its own."""

    def call() -> int:
        torch.set_num_threads(1)
        cv2.setNumThreads(0)
        path = repository / 'tools' / f'{words[0]}.py'
        spec = importlib.util.spec_from_file_location(f'tool_{words[0]}', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.argv = [str(path), *map(str, words[1:])]
        return module.main()

    return call


@pytest.fixture(scope='module')
def world(tmp_path_factory, repository, tiny_text):
    """What the tools read: data sets, score maps, scored results, a training, configs, a model card."""
    root = tmp_path_factory.mktemp('world')
    rng = np.random.default_rng(0)
    for name in ('set/images', 'set/masks', 'maps', 'others'):
        (root / name).mkdir(parents=True)
    for i in range(3):
        mask = np.zeros((48, 48), np.uint8)
        mask[10 + i : 13 + i, 20:23] = 255
        cv2.imwrite(str(root / f'set/masks/{i}.png'), mask)
        image = np.maximum(mask, rng.integers(0, 60, mask.shape))
        cv2.imwrite(str(root / f'set/images/{i}.png'), image.astype(np.uint8))
        for folder in ('maps', 'others'):
            score = np.maximum(mask * 0.7, rng.integers(0, 160, mask.shape))
            cv2.imwrite(str(root / folder / f'{i}.png'), score.astype(np.uint8))
    (root / 'set/train.txt').write_text('0\n1\n')
    (root / 'set/test.txt').write_text('2\n')
    shutil.make_archive(str(root / 'set'), 'zip', root, 'set')
    shutil.copytree(root / 'set', root / 'set2')
    cv2.imwrite(str(root / 'set2/masks/0.png'), np.roll(cv2.imread(str(root / 'set2/masks/0.png'), 0), 5))
    (root / 'tiny.py').write_text(
        tiny_text + 'train_dataloader.update(batch_size=2, num_workers=1)\n'
        "train_dataloader['dataset'].update(length=4, size=48)\nval_dataloader['dataset'].update(length=2, size=48)\n"
    )
    for n in range(2):
        length = f"test_dataloader['dataset'].update(length={2 + n}, size=48)\n"
        (root / f'test{n}.py').write_text(tiny_text + length)
        sections = '\n\n'.join(
            f'## {s}\n\nAs said, {n}.' for s in ('Data', 'Recipe', 'Numbers', 'Cost', 'Limits')
        )
        (root / f'card{n}.md').write_text(f'# mine\n\n{sections}\n')
    for words in (
        ['train', root / 'tiny.py', '--work-dir', root / 'run', '--cfg-options', 'train_cfg.max_epochs=2'],
        ['evaluate', root / 'maps', root / 'set/masks', '--out', root / 'scored0'],
        ['evaluate', root / 'others', root / 'set/masks', '--out', root / 'scored1'],
        ['dataset', 'convert', root / 'set', '--to', 'coco', '--out', root / 'coco'],
    ):
        done = supervised(_tool(repository, words), root)
        assert done.code == 0, (words, done.err)
    return root


def _read(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file()}


def _put(folder: Path, files: dict[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


ENDS = {'.pdf': b'%%EOF\n', '.html': b'</html>\n', '.csv': b'\n', '.md': b'\n', '.tex': b'\n'}


def _is_whole(path: Path) -> bool:
    """Whether a file that is another at each run can be read to its end."""
    if path.suffix in ('.log', '.lock') or path.name.startswith(('events.', '.lock')):
        return True  # goes on growing, and nothing is read from it
    if path.suffix == '.pth':
        return bool(read_checkpoint(path))
    if path.name == 'scalars.json' or path.parent.name == 'vis_data':
        return read_scalars(path) is not None
    if path.suffix == '.json':
        return isinstance(json.loads(path.read_text()), dict)
    if path.suffix == '.py':
        compile(path.read_text(), path, 'exec')
        return path.read_text().endswith('\n')
    if path.suffix in ('.png', '.jpg'):
        return cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is not None
    return path.read_bytes().endswith(ENDS[path.suffix])


def _without_times(names) -> set[str]:
    """Names without those that hold the time at which a run began."""
    return {n for n in names if not any(part[:8].isdigit() for part in n.split('/'))}


def _faults(outcome, out: Path, old: dict, new: dict, same: set[str], kind: str, row: Row) -> list[str]:
    """What is wrong with how a tool ended."""
    wrong = []
    lines = outcome.err.splitlines()
    if outcome.hung:
        wrong.append('hangs')
    if 'Traceback' in outcome.err or 'Logging error' in outcome.err or outcome.code not in (0, 1, 2):
        wrong.append(f'code {outcome.code}: {outcome.err[-600:]}')
    elif outcome.code:
        if sum(line.startswith(('error: ', 'failed: ')) for line in lines) != 1:
            wrong.append(f'code {outcome.code}, not one line: {outcome.err[-600:]}')
        elif str(out) not in lines[-1]:
            wrong.append(f'no path in: {lines[-1]}')
    found = _read(out) if out.exists() else {}
    removes = outcome.failed[0].startswith(('unlink', 'rmdir')) or kind == 'read-only'
    if not removes:
        wrong += [f'left over: {n}' for n in found if any(word in n for word in LEFTOVERS)]
    for name, data in found.items():
        if data in (old.get(name), new.get(name)) or any(word in name for word in LEFTOVERS):
            continue
        try:
            whole = (name not in same or row.partial) and _is_whole(out / name)
        except Exception as e:
            whole = False
            name = f'{name} ({type(e).__name__}: {e})'
        if not whole:
            wrong.append(f'damaged: {name}')
    lost = _without_times(old) - set(found)
    if lost:
        wrong.append(f'lost: {sorted(lost)}')
    if outcome.code == 0:
        missing = {n for n in _without_times(new) if n not in found or (n in same and found[n] != new[n])}
        if missing:
            wrong.append(f'code 0, but not written: {sorted(missing)}; said: {outcome.err[-300:]}')
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize('name', ROWS)
def test_every_call_that_writes_fails_in_turn(name, world, tmp_path, repository, monkeypatch):
    row, out = ROWS[name], tmp_path / 'out'
    monkeypatch.chdir(tmp_path)

    def run(second, at=None, kind='ENOSPC'):
        return supervised(_tool(repository, row.call(world, out, second)), out, at, kind)

    old = {}
    _put(out, old)
    if row.again:
        first = run(False) if name != 'train' else None
        old = _read(world / 'run') if name == 'train' else _read(out)
        assert name == 'train' or first.code == 0, first.err
    seconds = []
    for _ in range(2):
        _put(out, old)
        done = run(True)
        assert done.code == 0, done.err
        assert done.touched
        seconds.append(_read(out))
    new = seconds[1]
    same = {n for n in new if seconds[0].get(n) == new[n]}
    assert len(done.calls) > 3
    cases = [
        (at, kind)
        for at, (call, _) in enumerate(done.calls, 1)
        for kind in KINDS
        if kind != 'short' or call in _CAN_BE_SHORT
    ]
    random.Random(0).shuffle(cases)
    first = dict(
        reversed(cases)
    )  # of each call, the one that comes first: no call is left out for another's sake
    cases.sort(key=lambda case: first[case[0]] != case[1])
    chosen = cases[:COUNT]
    wrong, codes = [], Counter()
    for at, kind in sorted(chosen):
        _put(out, old)
        outcome = run(True, at, kind)
        if outcome.failed is None:  # fewer calls this time
            codes['not reached'] += 1
            continue
        codes[outcome.code] += 1
        found = _faults(outcome, out, old, new, same, kind, row)
        if name == 'train' and not found:
            found = _train_faults(out)
        wrong += [f'{kind} at {at}, {outcome.failed[0]} {outcome.failed[1]}: {fault}' for fault in found]
    print(f'{name}: {len(done.calls)} calls, {len(chosen)} of {len(cases)} failures, codes {dict(codes)}')
    assert not wrong, f'{len(wrong)} of {len(chosen)}:\n' + '\n'.join(wrong[:40])


def _train_faults(out: Path) -> list[str]:
    epoch = find_whole_checkpoint(out, lambda line: None)[1]['meta']['epoch']
    return [] if epoch >= 2 else [f'the newest whole checkpoint is of epoch {epoch}']
