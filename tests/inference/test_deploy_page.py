"""The programs of docs/deploy.md, run as they stand there."""

import json
import re
import shutil
import subprocess
from dataclasses import fields

import cv2
import numpy as np
import pytest
from clutter import scene

from madnet.inference import OnnxPredictor, Predictor, export
from madnet.records.export_info import ExportInfo

pytest.importorskip('onnx')
pytest.importorskip('onnxruntime')


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp('exported')
    export.export_network(Predictor('madnet_nano', device='cpu'), folder / 'madnet_nano.onnx')
    return folder / 'madnet_nano.onnx'


def program(repository, language, word):
    """The block of the page in a language that holds a word."""
    text = (repository / 'docs/deploy.md').read_text()
    (found,) = [b for b in re.findall(rf'```{language}\n(.*?)```', text, re.S) if word in b]
    return found


def test_the_camera_loop(repository, exported, monkeypatch, capsys):
    frames = [scene(64, 80, seed=k).astype(np.uint16) * 64 for k in range(3)]

    class Camera:
        def __init__(self, number):
            self.frames = iter(frames)

        def set(self, key, value):
            pass

        def read(self):
            frame = next(self.frames, None)
            return frame is not None, frame

    monkeypatch.setattr(cv2, 'VideoCapture', Camera)
    monkeypatch.chdir(exported.parent)
    text = program(repository, 'python', 'VideoCapture')
    assert len(text.splitlines()) <= 20
    exec(compile(text, 'docs/deploy.md', 'exec'), {})
    predictor = OnnxPredictor(exported, value_range=(0, 16383), threads=4)
    expected = [f'{t.x:.1f} {t.y:.1f} {t.peak:.2f}' for f in frames for t in predictor(f).targets]
    assert expected
    assert capsys.readouterr().out.splitlines() == expected


def test_the_program_for_node(repository, exported, tmp_path):
    node = shutil.which('node')
    if (
        node is None
        or subprocess.run([node, '-e', 'require("onnxruntime-node")'], capture_output=True).returncode
    ):
        pytest.skip('no Node.js, or no onnxruntime-node where NODE_PATH points')
    (tmp_path / 'detect.js').write_text(program(repository, 'js', 'onnxruntime-node'))
    image = scene(90, 121, seed=4)
    image.tofile(tmp_path / 'frame.raw')
    command = [node, tmp_path / 'detect.js', exported, tmp_path / 'frame.raw', '121', '90']
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    expected = OnnxPredictor(exported, threads=1)(image).targets
    assert expected
    assert [t['area'] for t in found] == [t.area for t in expected]
    for a, b in zip(found, expected, strict=True):
        assert (a['x'], a['y'], a['peak']) == pytest.approx((b.x, b.y, b.peak), abs=1e-3)


def test_the_page_says_what_stands_in_a_file(repository):
    table = (repository / 'docs/deploy.md').read_text().partition('| key | meaning |')[2].partition('\n\n')[0]
    named = {key for row in table.splitlines() for key in re.findall(r'`(\w+)`', row.partition(' | ')[0])}
    assert named == {each.name for each in fields(ExportInfo)}
