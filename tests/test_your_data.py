"""What docs/your_data.md shows must work, and the messages that it explains must be those of the code."""

import ast
import json
import re
import shlex

import cv2
import numpy as np
import pytest
from PIL import Image

from madnet.records import MetricsFile


@pytest.fixture(scope='module')
def page(repository) -> str:
    return (repository / 'docs' / 'your_data.md').read_text(encoding='utf-8')


def frame(seed: int) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """A frame of a 16-bit sensor, its mask of 0 and 1, and the place (x, y) of its one target."""
    rng = np.random.default_rng(seed)
    grey = cv2.GaussianBlur(rng.normal(60, 8, (64, 64)), (0, 0), 3) + rng.normal(0, 2, (64, 64))
    x, y = (int(v) for v in rng.integers(8, 56, 2))
    rows, columns = np.mgrid[:64, :64]
    grey += 140 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 4.5)
    mask = (np.hypot(rows - y, columns - x) < 2.5).astype(np.uint8)
    return (20000 + 10 * np.clip(grey, 0, 255)).astype(np.uint16), mask, (x, y)


@pytest.fixture
def place(tmp_path, repository, monkeypatch):
    """An empty folder with what the page begins with, and the tools and configs of the checkout."""
    for name in ('tools', 'configs'):
        (tmp_path / name).symlink_to(repository / name)
    for folder in ('frames', 'mine/images', 'mine/masks', 'boxes/images'):
        (tmp_path / folder).mkdir(parents=True)
    coco = {'images': [], 'annotations': [], 'categories': [{'id': 1, 'name': 'target'}]}
    for i in range(24):
        pixels, mask, (x, y) = frame(i)
        if i < 8:
            cv2.imwrite(str(tmp_path / 'frames' / f'{i:03}.png'), pixels)
        else:
            cv2.imwrite(str(tmp_path / 'mine' / 'images' / f'{i:03}.png'), pixels)
            Image.fromarray(mask).save(tmp_path / 'mine' / 'masks' / f'{i:03}.png')
        if i < 4:
            cv2.imwrite(str(tmp_path / 'boxes' / 'images' / f'{i:03}.png'), pixels)
            coco['images'].append({'id': i, 'file_name': f'{i:03}.png', 'width': 64, 'height': 64})
            box = {'id': i, 'image_id': i, 'category_id': 1, 'bbox': [x - 3, y - 3, 7, 7], 'area': 49}
            coco['annotations'].append({**box, 'iscrowd': 0})
    (tmp_path / 'boxes' / 'annotations.json').write_text(json.dumps(coco))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.delenv('MADNET_DATA_ROOT', raising=False)
    return tmp_path


@pytest.mark.slow
def test_every_command_works(page, place, run, monkeypatch):
    commands = [shlex.split(line) for line in re.findall(r'^    python (tools/.*)$', page, re.M)]
    assert len(commands) > 20
    for tool, *arguments in commands:
        if tool == 'tools/train.py':  # what it learns is another test's affair
            assert '--cfg-options' in arguments
            arguments.append('train_cfg.max_epochs=1')
        monkeypatch.chdir(place)
        code, out, err = run(tool[len('tools/') : -len('.py')], *arguments)
        wrong = arguments == ['check', 'mine']
        assert code == int(wrong), (tool, arguments, out, err)
    found = (place / 'found' / 'targets.csv').read_text().splitlines()
    assert len(found) == 1 + 8
    for folder in ('tested', 'tophat'):
        assert MetricsFile.read(place / folder / 'metrics.json').dataset.images == 3
    for name in ('statistics', 'gallery', 'seen', 'compared', 'report'):
        assert (place / name / 'index.html').is_file()
    assert json.loads((place / 'planted' / 'tracks.json').read_text())
    masks = [cv2.imread(str(path), 0) for path in (place / 'from_boxes' / 'masks').iterdir()]
    assert [np.unique(m).tolist() for m in masks] == [[0, 255]] * 4


def _texts(tree: ast.AST) -> list[str]:
    """Every string of a file; what an f-string fills in is a ``…``."""
    texts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            texts.append(''.join(v.value if isinstance(v, ast.Constant) else '…' for v in node.values))
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            texts.append(''.join(_texts(node.left) + _texts(node.right)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
    return texts


def test_every_message_is_one_of_the_code(page, repository):
    table = page.partition('## What each message means')[2]
    rows = [line.split('|')[1] for line in table.splitlines() if line.startswith('| `')]
    messages = [text for row in rows for text in re.findall(r'`([^`]+)`', row)]
    assert len(messages) > 20
    files = [*(repository / 'madnet').rglob('*.py'), *(repository / 'tools').glob('*.py')]
    texts = [t for f in files for t in _texts(ast.parse(f.read_text(encoding='utf-8')))]
    for message in messages:
        pattern = re.compile('.*'.join(re.escape(part.strip()) for part in message.split('…')), re.S)
        assert any(pattern.search(text) for text in texts), message


def test_every_link_leads_somewhere(page, repository):
    headings = {
        re.sub(r'[^\w\- ]', '', h.lower()).replace(' ', '-') for h in re.findall(r'^#+ (.*)$', page, re.M)
    }
    for target in re.findall(r'\]\(([^)]+)\)', page):
        path, _, anchor = target.partition('#')
        assert (repository / 'docs' / path).exists(), target
        assert path or anchor in headings, target
    for name in ('README.md', 'datasets/README.md', 'docs/inference.md'):
        assert 'your_data.md' in (repository / name).read_text(encoding='utf-8'), name
