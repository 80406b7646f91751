"""Files with a few bytes or values changed, fed to what reads them: a result or one line, never more."""

import json
import os
import random

import cv2
import numpy as np
import pytest
import torch
import yaml
from mutations import changed, damaged, time_limit

from madnet.datasets.splits import read_ids
from madnet.engine.checkpoint import state_dict_of
from madnet.engine.checkpoint_file import read_checkpoint
from madnet.errors import UserError
from madnet.evaluation.folders import score_folder
from madnet.experiments.plan import read_plan
from madnet.inference import Predictor
from madnet.records import Comparison, MetricsFile, RunFile, read_per_image
from madnet.records.pretrained_index import read_index
from madnet.visualization.run_results import load_results

#: Mutants of each kind of file; thousands take minutes: MADNET_FUZZ=500.
COUNT = int(os.environ.get('MADNET_FUZZ', '40'))


def _png(seed: int, dtype=np.uint8) -> bytes:
    picture = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (24, 24)).astype(dtype)
    picture[4:7, 4:7] = np.iinfo(dtype).max
    return cv2.imencode('.png', picture)[1].tobytes()


def _encoded(ending: str) -> bytes:
    return cv2.imencode(ending, cv2.imdecode(np.frombuffer(_png(1), np.uint8), 0))[1].tobytes()


def _metrics() -> dict:
    details = {'intervals': {'IoU': [0.4, 0.6]}, 'roc': {'threshold': [0.0, 1.0], 'fpr': [1, 0]}}
    return {
        'schema': 1,
        'results': {'native': {'IoU': 0.5, 'nIoU': 0.4, 'Pd': 1.0, 'Fa': 1e-5}},
        'dataset': {'name': 'mine', 'split': 'test', 'images': 3},
        'config': 'a.py',
        'checkpoint': {'path': 'a.pth', 'sha256': '00'},
        'details': {'native': {**details, 'strata': {'size': [{'label': '≤ 9', 'targets': 3}]}}},
        'versions': {'madnet': '1'},
    }


def _checkpoint(path) -> bytes:
    state = {'a.weight': torch.arange(4000.0).reshape(40, 100), 'a.bias': torch.zeros(40)}
    torch.save({'state_dict': state, 'meta': {'epoch': 3}}, path)
    return path.read_bytes()


def _read_checkpoint(path):
    state_dict_of(read_checkpoint(path), path)


def _score(path):
    score_folder(path.parent, path.parent.parent / 'masks')


def _score_with_mask(path):
    score_folder(path.parent.parent / 'maps', path.parent)


PLAN = {
    'networks': ['acm', {'name': 'mine', 'config': 'a.py', 'label': 'x', 'options': {'a': 1}}],
    'datasets': ['NUAA-SIRST'],
    'seeds': [0, 1],
    'protocols': ['native'],
    'recipe': 'common',
    'options': {'train_cfg.max_epochs': 3},
}
_metrics_folder = {'read': lambda path: load_results([str(path.parent)])}


@pytest.fixture(scope='module')
def predictor():
    """A training-free detector, which takes images of any size."""
    return Predictor('tophat')


def _cases(tmp_path):
    """(name of the file, its bytes or its content, what reads it)."""
    return {
        'png': ('image.png', _png(0), None),
        'png16': ('image.png', _png(0, np.uint16), None),
        'tiff': ('image.tif', _encoded('.tif'), None),
        'jpeg': ('image.jpg', _encoded('.jpg'), None),
        'bmp': ('image.bmp', _encoded('.bmp'), None),
        'map': ('maps/0.png', _png(2), _score),
        'mask': ('masks/0.png', _png(3), _score_with_mask),
        'npy': ('maps/0.npy', _npy(), _score),
        'list': ('test.txt', b'a\nb.png\nseq/c\n', read_ids),
        'checkpoint': ('last.pth', _checkpoint(tmp_path / 'whole.pth'), _read_checkpoint),
        'metrics': ('metrics.json', _metrics(), MetricsFile.read),
        'report': ('metrics.json', _metrics(), _metrics_folder['read']),
        'run': ('run.json', {'schema': 1, 'config': 'a', 'seed': 0, 'minutes': 1.5}, RunFile.read),
        'comparison': ('comparison.json', {'schema': 1, 'kind': 'comparison', 'rows': [{}]}, Comparison.read),
        'index': ('index.json', _index(), lambda path: read_index(path.parent)),
        'per_image': ('per_image.csv', b'protocol,name,IoU\nnative,a,0.5\n', read_per_image),
        'plan': ('plan.yaml', PLAN, read_plan),
    }


def _npy() -> bytes:
    import io

    out = io.BytesIO()
    np.save(out, np.linspace(0, 1, 576, dtype=np.float32).reshape(24, 24))
    return out.getvalue()


def _index() -> dict:
    from madnet.records.pretrained_index import FOLDER, INDEX

    return json.loads((FOLDER / INDEX).read_text(encoding='utf-8'))


KINDS = (
    *('png', 'png16', 'tiff', 'jpeg', 'bmp', 'map', 'mask', 'npy', 'list', 'checkpoint', 'metrics', 'report'),
    *('run', 'comparison', 'index', 'per_image', 'plan'),
)


@pytest.mark.slow
@pytest.mark.parametrize('kind', KINDS)
def test_a_result_or_one_line(kind, tmp_path, predictor, capfd):
    name, content, read = _cases(tmp_path)[kind]
    read = read or predictor
    path = tmp_path / 'work' / name
    path.parent.mkdir(parents=True)
    for other in ('maps', 'masks'):
        folder = tmp_path / 'work' / other
        folder.mkdir(exist_ok=True)
        if folder != path.parent:
            (folder / '0.png').write_bytes(_png(5))
    rng = random.Random(kind)
    before = {p for p in tmp_path.rglob('*') if p != path}
    wrong = []
    for number in range(COUNT):
        mutant = content
        if not isinstance(content, bytes):
            mutant = changed(content, rng)
            text = yaml.safe_dump(mutant) if path.suffix == '.yaml' else json.dumps(mutant)
            mutant = text.encode()
        if isinstance(content, bytes) or number % 4 == 0:
            mutant = damaged(mutant, rng)
        path.write_bytes(mutant)
        try:
            with time_limit(f'{kind} {number}'):
                read(path)
        except UserError as e:
            if not str(e).isprintable():
                wrong.append(f'{number}: more than one line of text: {e}')
        except Exception as e:
            wrong.append(f'{number}: {type(e).__name__}: {str(e)[:150]} <- {mutant[:200]!r}')
    assert not wrong, f'{len(wrong)} of {COUNT}:\n' + '\n'.join(wrong[:12])
    assert {p for p in tmp_path.rglob('*') if p != path} == before


@pytest.mark.parametrize(
    'text',
    [
        'networks: [{name: 3}]\ndatasets: 3\n',
        'networks: [{name: a, config: null}]\n',
        'networks: acm\ndatasets: [NUAA-SIRST]\noptions: 3\n',
        'networks: acm\nprotocols: 3\n',
        'networks: acm\nseeds: [[1]]\n',
        'networks: acm\nrecipe: [1]\n',
        'networks: [{name: a, label: [1]}]\n',
        'networks: acm\nwork_dir: 3\n',
        'networks: acm\nnames: {3: 4}\n3: 4\n',
        'networks: ' + '[' * 5000 + ']' * 5000,
    ],
)
def test_odd_plans_are_one_line(tmp_path, text):
    path = tmp_path / 'plan.yaml'
    path.write_text(text)
    with pytest.raises(UserError, match=r'plan\.yaml: '):
        read_plan(path)


@pytest.mark.parametrize('models', [None, [], {'a': {}}, {'a': 3}])
def test_odd_indices_of_weights_are_one_line(tmp_path, models):
    from madnet.records import get_pretrained

    (tmp_path / 'index.json').write_text(json.dumps({'schema': 1, 'models': models}))
    with pytest.raises(UserError, match=r'index\.json'):
        get_pretrained('a', tmp_path)


@pytest.mark.parametrize('text', ['', "_base_ = ['{configs}/_base_/models/madnet.py']\n", 'model = 3\n'])
@pytest.mark.parametrize('tool', ['train', 'test'])
def test_configs_without_parts_are_one_line(run, tmp_path, repository, tool, text):
    config = tmp_path / 'part.py'
    config.write_text(text.format(configs=repository / 'configs'))
    code, _, err = run(tool, config, '--work-dir' if tool == 'train' else '--out', tmp_path / 'out')
    assert code == 2
    assert err.count('\n') == 1
    assert 'part.py' in err
    assert not (tmp_path / 'out').exists()
