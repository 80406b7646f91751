"""What docs/your_data.md shows must work, and the messages that it explains must be those of the code."""

import ast
import json
import re
import shlex

import cv2
import numpy as np
import pytest

from madnet.records import MetricsFile


@pytest.fixture(scope='module')
def page(repository) -> str:
    return (repository / 'docs' / 'your_data.md').read_text(encoding='utf-8')


@pytest.mark.slow
def test_every_command_works(page, camera_place, run, monkeypatch):
    commands = [shlex.split(line) for line in re.findall(r'^    madnet (.*)$', page, re.M)]
    assert len(commands) > 20
    for command, *arguments in commands:
        if command == 'train':  # what it learns is another test's affair
            assert '--cfg-options' in arguments
            arguments.append('train_cfg.max_epochs=1')
        monkeypatch.chdir(camera_place)
        code, out, err = run(command, *arguments)
        wrong = arguments == ['check', 'mine']
        assert code == int(wrong), (command, arguments, out, err)
    found = (camera_place / 'found' / 'targets.csv').read_text().splitlines()
    assert len(found) == 1 + 8
    for folder in ('tested', 'tophat'):
        assert MetricsFile.read(camera_place / folder / 'metrics.json').dataset.images == 3
    for name in ('statistics', 'gallery', 'seen', 'compared', 'report'):
        assert (camera_place / name / 'index.html').is_file()
    assert json.loads((camera_place / 'planted' / 'tracks.json').read_text())
    masks = [cv2.imread(str(path), 0) for path in (camera_place / 'from_boxes' / 'masks').iterdir()]
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
