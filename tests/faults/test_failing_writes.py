"""Every call that writes fails in turn: no damaged file is taken for whole, and no good one is lost."""

import os
import random

import cv2
import numpy as np
import pytest
import torch
from failing_writes import KINDS, failing_writes
from mmseg.registry import MODELS

from madnet.engine.config import load_config
from madnet.engine.convert import convert_checkpoint
from madnet.engine.evaluate import evaluate_folder
from madnet.engine.test import run_test
from madnet.errors import UserError
from madnet.inference.command import predict_files
from madnet.visualization.report import build_report
from madnet.visualization.run_results import load_results

#: Faults for each tool; all of them in turn take minutes: MADNET_FAULTS=100000.
COUNT = int(os.environ.get('MADNET_FAULTS', '20'))
#: How a whole file ends, where two runs do not give the same bytes.
ENDS = {
    '.pdf': b'%%EOF\n',
    '.html': b'</html>\n',
    '.png': b'IEND\xaeB`\x82',
    '.json': b'}\n',
    '.csv': b'\n',
    '.md': b'\n',
    '.tex': b'\n',
}


@pytest.fixture(scope='module')
def maps(tmp_path_factory):
    """Folders of three masks, of score maps, of other score maps and of images."""
    root = tmp_path_factory.mktemp('maps')
    rng = np.random.default_rng(0)
    for folder in ('masks', 'scores', 'others', 'images'):
        (root / folder).mkdir()
    for i in range(3):
        mask = np.zeros((48, 48), np.uint8)
        mask[10 + i : 13 + i, 20:23] = 255
        cv2.imwrite(str(root / 'masks' / f'{i}.png'), mask)
        for folder in ('scores', 'others'):
            score = np.maximum(mask * 0.7, rng.integers(0, 160, mask.shape)).astype(np.uint8)
            cv2.imwrite(str(root / folder / f'{i}.png'), score)
        cv2.imwrite(str(root / 'images' / f'{i}.png'), np.maximum(mask, rng.integers(0, 60, mask.shape)))
    return root


def _evaluate(root, out, second):
    evaluate_folder(str(root / ('others' if second else 'scores')), str(root / 'masks'), 'native', str(out))


def _predict(root, out, second):
    predict_files('tophat', [root / 'images'], out=out, formats='all', threshold=0.6 if second else 0.5)


def _test(root, out, second):
    config = root / f'config{int(second)}.py'
    config.write_text(
        f"_base_ = ['{os.getcwd()}/configs/madnet_synthetic.py']\n"
        "model = dict(_delete_=True, type='ClassicalDetector', method='tophat')\n"
        f'test_dataloader = dict(num_workers=0, dataset=dict(length={2 + second}, size=64))\n'
    )
    run_test(str(config), out=str(out), show_dir=str(out / 'pictures'), save_scores=True)


def _report(root, out, second):
    results = root / f'results{int(second)}'
    if not results.exists():
        _evaluate(root, results, second)
    build_report(load_results([str(results)]), out, title=f'title {second}', gallery=1)


def _convert(root, out, second):
    source = root / 'source.pth'
    if not source.exists():
        model = MODELS.build(
            load_config('configs/madnet_synthetic.py', {'model.backbone.base_channels': 2}).model
        )
        torch.save({'state_dict': model.state_dict()}, source)
    (out / 'converted.pth').unlink(missing_ok=True)
    convert_checkpoint('madnet', str(source), str(out / 'converted.pth'), reverse=True)


def _files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob('*') if p.is_file()}


def _is_whole(name, data, known):
    if data in (k.get(name) for k in known):
        return True
    ending = ENDS.get(os.path.splitext(name)[1])
    return ending is not None and len(data) > 20 and data.endswith(ending)


@pytest.mark.slow
@pytest.mark.parametrize(
    'tool', [_evaluate, _predict, _test, _report, _convert], ids=lambda f: f.__name__[1:]
)
def test_every_call_that_writes_fails_in_turn(tool, maps, tmp_path, repository, monkeypatch):
    monkeypatch.chdir(repository)
    out = tmp_path / 'out'
    out.mkdir()
    tool(maps, out, second=True)
    new = _files(out)
    tool(maps, out, second=False)
    old = _files(out)
    with failing_writes(out) as counter:
        tool(maps, out, second=True)
    assert counter.calls > 3
    cases = [(at, kind) for at in range(1, counter.calls + 1) for kind in KINDS]
    for at, kind in random.Random(0).sample(cases, min(COUNT, len(cases))):
        for name, data in old.items():
            (out / name).write_bytes(data)
        error = None
        with failing_writes(out, at, kind) as faults:
            try:
                tool(maps, out, second=True)
            except UserError as e:
                error = str(e)
        case = f'{kind} at call {at}: {faults.failed}; {error}'
        # what cannot be synced or linked may be done without; a file that cannot be written may not
        assert (
            error
            or not faults.failed.startswith(('open', 'os.open', 'write', 'replace'))
            or (os.path.isdir(faults.failed.split(' ', 1)[1]))
        ), case
        found = _files(out)
        assert not [name for name in found if '.writing-' in name], case
        assert tool is _convert or set(old) <= set(found), case
        for name, data in found.items():
            assert _is_whole(name, data, (old, new)), f'{case}: {name} is damaged'
