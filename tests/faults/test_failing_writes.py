"""Every call that writes fails in turn, in every tool: no file is damaged or lost, and it is one line."""

import json
import math
import os
import random
import resource
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from failing_writes import CAN_BE_SHORT, KINDS, supervised

import madnet.components  # noqa: F401  so that no fork has to import it
from madnet.cli import main
from madnet.engine.checkpoint import find_whole_checkpoint
from madnet.engine.checkpoint_file import read_checkpoint
from madnet.records.scalars import read_scalars

#: Failures for each tool: so many; ``each``, one for every call; or 100000, every kind at every call (hours).
COUNT = os.environ.get('MADNET_FAULTS', '20')
SMALLER = """
train_dataloader.update(batch_size=2, num_workers=1)
train_dataloader['dataset'].update(length=2, size=48)
val_dataloader['dataset'].update(length=1, size=48)
train_cfg.update(max_epochs=2)
"""
LEFTOVERS = ('.writing', '.part')


@dataclass(frozen=True)
class Row:
    """A tool.

    Attributes:
        line: The command line, from the tool's name on, with places for the folder that it reads from, the
            folder that it writes to, and ``n``: 1 for the first run, 2 for the one whose calls fail.
        again: Whether it may write over what an earlier run wrote.
        partial: Whether its tables hold what was done where it could not do all.
        share: Of the failures that others get, the part for a tool that takes seconds a run.
    """

    line: str
    again: bool = True
    partial: bool = False
    share: float = 1


EXPORT = 'export {world}/tiny.py {world}/run/best.pth --threshold 0.99 --licence {n} --force'
ROWS = {
    'evaluate': Row('evaluate {world}/maps{n} {world}/set/masks --out {out}'),
    'compare': Row('evaluate --compare {world}/maps0 {world}/maps{n} {world}/set/masks --out {out}'),
    'predict': Row('predict tophat {world}/set/images --format all --min-area {n} --out {out}', partial=True),
    'predict_jobs': Row(
        'predict tophat {world}/set/images --jobs 2 --min-area {n} --out {out}', partial=True
    ),
    'clip': Row(
        'predict tophat {world}/set/images --clip --fps {n} --out {out}/clip', again=False, partial=True
    ),
    'test': Row(
        'test {world}/test{n}.py {world}/run/best.pth --out {out} --save-scores --show-dir {out}/pictures'
    ),
    'report': Row('report {world}/scored{n} --out {out} --gallery 1'),
    'panel': Row('panel {world}/set/images {world}/set/masks A={world}/maps{n} --out {out}/grid'),
    'convert': Row('convert madnet {world}/run/best.pth {out}/a.pth --reverse', again=False),
    'export': Row(f'{EXPORT} --out {{out}}/a.onnx', share=0.2),
    'folded': Row(f'{EXPORT} --format folded --out {{out}}/a.safetensors', share=0.2),
    'pretrained': Row(
        'pretrained add mine {world}/tiny.py {world}/run/best.pth --card {world}/card{n}.md --folder {out}'
    ),
    'prepare': Row('dataset prepare mine {world}/set.zip --out {out}/new', again=False),
    'fix': Row('dataset check {world}/set --fix {out}/new', again=False),
    'to_coco': Row('dataset convert {world}/set --to coco --out {out}/new', again=False),
    'to_masks': Row('dataset convert {world}/coco --to madnet --out {out}/new', again=False),
    'synth': Row('dataset synth --n 2 --size 64 --out {out}/new', again=False),
    'stats': Row('dataset stats {world}/set{n} --out {out}'),
    'browse': Row('dataset browse {world}/set{n} --out {out}'),
    'benchmark': Row('benchmark models {world}/tiny.py --sizes 64 --json {out}/a.json'),
    'probe': Row('probe tophat --quick --only two --dataset synthetic --seed {n} --out {out}'),
    'train': Row('train {world}/tiny.py --work-dir {out}', again=False),
    'resume': Row('train {world}/tiny.py --work-dir {out} --resume'),
}


def _tool(line: str, file_limit: int | None = None) -> Callable[[], int]:
    """A tool as a function to call in a process of its own."""

    def call() -> int:
        torch.set_num_threads(1)
        cv2.setNumThreads(0)
        if file_limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
        return main(line.split())

    return call


@pytest.fixture(scope='module')
def world(tmp_path_factory, tiny_text):
    """What the tools read: data sets, score maps, scored results, a training, configs, a model card."""
    root = tmp_path_factory.mktemp('world')
    rng = np.random.default_rng(0)
    for name in ('set1/images', 'set1/masks', 'maps0', 'maps1', 'maps2'):
        (root / name).mkdir(parents=True)
    for i in range(5):
        mask = np.zeros((48, 48), np.uint8)
        mask[10 + i : 13 + i, 20:23] = 255
        cv2.imwrite(str(root / f'set1/masks/{i}.png'), mask)
        image = np.maximum(mask, rng.integers(0, 60, mask.shape))
        cv2.imwrite(str(root / f'set1/images/{i}.png'), image.astype(np.uint8))
        for n in range(3):
            score = np.maximum(mask * 0.7, rng.integers(0, 160, mask.shape))
            cv2.imwrite(str(root / f'maps{n}/{i}.png'), score.astype(np.uint8))
    (root / 'set1/train.txt').write_text('0\n1\n2\n3\n')
    (root / 'set1/test.txt').write_text('4\n')
    shutil.copytree(root / 'set1', root / 'set')
    shutil.copytree(root / 'set1', root / 'set2')
    shutil.copy(root / 'set1/masks/1.png', root / 'set2/masks/0.png')
    shutil.make_archive(str(root / 'set'), 'zip', root, 'set')
    (root / 'tiny.py').write_text(tiny_text + SMALLER)
    for n in (1, 2):
        lines = f"test_dataloader['dataset'].update(length={n}, size=48)\n"
        (root / f'test{n}.py').write_text(tiny_text + lines)
        (root / f'scored{n}').mkdir()
        sections = '\n\n'.join(f'## {s}\n\n{n}.' for s in ('Data', 'Recipe', 'Numbers', 'Cost', 'Limits'))
        (root / f'card{n}.md').write_text(f'# mine\n\n{sections}\n')
    for line in (
        f'train {root}/tiny.py --work-dir {root}/run --cfg-options train_cfg.max_epochs=1',
        f'evaluate {root}/maps1 {root}/set/masks --out {root}/scored1',
        f'evaluate {root}/maps2 {root}/set/masks --out {root}/scored2',
        f'dataset convert {root}/set --to coco --out {root}/coco',
    ):
        done = supervised(_tool(line), root)
        assert done.code == 0, (line, done.err)
    return root


def _read(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file()}


def _put(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


ENDS = {'.jsonl': b'\n', '.pdf': b'%%EOF\n', '.html': b'</html>', '.csv': b'\n', '.md': b'\n', '.tex': b'\n'}


def _is_whole(path: Path) -> bool:
    """Whether a file that is another at each run can be read to its end."""
    if path.suffix in ('.log', '.lock') or path.name.startswith(('events.', '.lock')):
        return True  # goes on growing, and nothing is read from it
    if path.suffix == '.pth':
        return bool(read_checkpoint(path))
    if path.parent.name == 'vis_data' and path.suffix == '.json':
        return read_scalars(path) is not None
    if path.suffix == '.json':
        return isinstance(json.loads(path.read_text()), dict)
    if path.suffix == '.py':
        compile(path.read_text(), path, 'exec')
        return path.read_text().endswith('\n')
    if path.suffix in ('.png', '.jpg'):
        return cv2.imread(str(path), cv2.IMREAD_UNCHANGED) is not None
    if path.suffix == '.mp4':
        return cv2.VideoCapture(str(path)).read()[0]
    return path.read_bytes().endswith((ENDS[path.suffix], ENDS[path.suffix] + b'\n'))


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


def _cases(calls: list[tuple[str, str]]) -> list[tuple[int, str]]:
    """(number of the call, kind of failure) in random order, one of each call before the second of any."""
    cases = [
        (at, kind)
        for at, (call, _) in enumerate(calls, 1)
        for kind in KINDS
        if kind != 'short' or call in CAN_BE_SHORT
    ]
    random.Random(0).shuffle(cases)
    first = dict(reversed(cases))
    return sorted(cases, key=lambda case: first[case[0]] != case[1])


class Runs:
    """A tool's two runs: what lies there after the first, and after the second, which is to fail."""

    def __init__(self, name: str, world: Path, out: Path):
        self.row, self.world, self.out = ROWS[name], world, out
        self.old: dict[str, bytes] = {}
        _put(out, self.old)
        if name == 'resume':
            self.old = _read(world / 'run')
        elif self.row.again:
            self._whole_run(1, out)
            self.old = _read(out)
        _put(out, self.old)
        self.calls = self._whole_run(2, out)
        self.new = _read(out)
        _put(out, self.old)
        self._whole_run(2, out)
        #: What is the same in every run, to the byte; pages say when they were made.
        self.same = {n for n, data in _read(out).items() if self.new.get(n) == data and n[-5:] != '.html'}

    def run(self, n: int, out: Path, at=None, kind='ENOSPC', file_limit=None):
        line = self.row.line.format(world=self.world, out=out, n=n)
        return supervised(_tool(line, file_limit), out, at, kind)

    def _whole_run(self, n: int, out: Path) -> list[tuple[str, str]]:
        done = self.run(n, out)
        assert done.code == 0, done.err
        assert done.calls
        return done.calls

    def faults(self, outcome, out: Path, kind: str) -> list[str]:
        # a config names the folder
        same = {n for n in self.same if out == self.out or not n.endswith('.py')}
        return _faults(outcome, out, self.old, self.new, same, kind, self.row)


@pytest.mark.slow
@pytest.mark.parametrize('name', ROWS)
def test_every_call_that_writes_fails_in_turn(name, world, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / 'out'
    runs = Runs(name, world, out)
    cases = _cases(runs.calls)
    count = len(runs.calls) if COUNT == 'each' else math.ceil(int(COUNT) * runs.row.share)
    chosen = cases[:count]
    wrong, codes = [], Counter()
    for at, kind in sorted(chosen):
        _put(out, runs.old)
        outcome = runs.run(2, out, at, kind)
        if outcome.failed is None:  # fewer calls this time
            codes['not reached'] += 1
            continue
        codes[outcome.code] += 1
        found = runs.faults(outcome, out, kind)
        if name == 'resume' and not found:
            found = _resume_faults(out)
        for fault in found:
            wrong.append(f'{kind} at {at}, {" ".join(outcome.failed)}: {fault}')
            print(wrong[-1], flush=True)
    print(f'{name}: {len(runs.calls)} calls, {len(chosen)} of {len(cases)} failures, codes {dict(codes)}')
    assert not wrong, f'{len(wrong)} of {len(chosen)}:\n' + '\n'.join(wrong[:40])
    assert codes['not reached'] <= len(chosen) // 4


@pytest.mark.slow
@pytest.mark.parametrize('name', ROWS)
def test_real_limits(name, world, tmp_path, monkeypatch, small_disk, make_read_only):
    """``ulimit -f``, a file system without space, and one that is read-only."""
    monkeypatch.chdir(tmp_path)
    runs = Runs(name, world, tmp_path / 'out')
    sizes = {n: len(data) for n, data in runs.new.items()}
    written = max(size for n, size in sizes.items() if runs.new[n] != runs.old.get(n))
    wrong = []
    for limit in ('ulimit', 'full', 'read-only'):
        out, file_limit = tmp_path / 'out', None
        if limit == 'ulimit':
            file_limit = max(written // 2, 8192)  # what is said must find room
        else:
            # half of what the second run would need
            pages = sum(-(-len(data) // 4096) + 1 for data in runs.old.values()) + 4
            out = small_disk(4 * pages + written // 2048)
        _put(out, runs.old)
        if limit == 'read-only':
            make_read_only(out)
        outcome = runs.run(2, out, file_limit=file_limit)
        wrong += [f'{limit}: {fault}' for fault in _as_failed(runs, outcome, out)]
        if outcome.code == 0 and limit == 'read-only':
            wrong.append('read-only: code 0')
    wrong += _followed_links(runs, tmp_path / 'out')
    assert not wrong, '\n'.join(wrong)


def _followed_links(runs: Runs, out: Path) -> list[str]:
    """What is wrong where links to a file of somebody else's lie under the names that a run writes."""
    _put(out, {})
    victim, wrong = out.with_name('victim'), []
    victim.write_text('not yours')
    for name in _without_times(runs.new):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).symlink_to(victim)
    outcome = runs.run(2, out)
    if outcome.code not in (0, 2) or 'Traceback' in outcome.err:
        wrong.append(f'links: code {outcome.code}: {outcome.err[-600:]}')
    if victim.read_text() != 'not yours':
        wrong.append('links: wrote through one')
    return wrong


def _as_failed(runs: Runs, outcome, out: Path) -> list[str]:
    outcome.failed = 'write', str(out)
    return runs.faults(outcome, out, 'real')


def _resume_faults(out: Path) -> list[str]:
    path, content = find_whole_checkpoint(out, lambda line: None)
    return [] if content['meta']['epoch'] >= 1 else [f'{path.name} is of epoch {content["meta"]["epoch"]}']
