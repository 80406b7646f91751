"""Names from outside in every output: no terminal, spreadsheet, page or encoding is at their mercy."""

import csv
import io
import os
import re

import cv2
import numpy as np
import pytest

from madnet.datasets.splits import cut_validation, ids_sha256

NAMES = [
    *(
        b'raw\xff',
        b'=HYPERLINK("http:x")',
        b'+1+1',
        b'-a',
        b'@SUM',
        b"'=1",
        b'esc\x1b[31mred',
        b'line\nbreak',
    ),
    *(
        b'<img src=x onerror=alert(1)>',
        b'rtl\xe2\x80\xae',
        b'q"uo\'te',
        b'a|b',
        b'tab\tx',
        b'bell\x07',
        b'a,b',
    ),
]
CONTROL = re.compile(r'[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]')


@pytest.fixture(scope='module')
def odd_set(tmp_path_factory):
    """A data set, images and masks, whose files have such names."""
    root = tmp_path_factory.mktemp('odd')
    rng = np.random.default_rng(0)
    for folder in ('images', 'masks'):
        (root / folder).mkdir()
    for n, name in enumerate(NAMES):
        mask = np.zeros((32, 32), np.uint8)
        mask[3 + n : 6 + n, 8:11] = 255
        image = np.maximum(mask, rng.integers(0, 60, mask.shape).astype(np.uint8))
        for folder, pixels in (('images', image), ('masks', mask)):
            path = os.path.join(os.fsencode(root / folder), name + b'.png')
            with open(path, 'wb') as file:
                file.write(cv2.imencode('.png', pixels)[1].tobytes())
    return root


def _check(text: str) -> None:
    found = CONTROL.search(text)
    assert not found, ascii(text[max(0, found.start() - 60) : found.end() + 20])
    text.encode()


def _check_files(folder) -> set[str]:
    endings = set()
    for path in folder.rglob('*'):
        if path.suffix not in ('.csv', '.json', '.md', '.html', '.tex', '.txt'):
            continue
        endings.add(path.suffix)
        text = path.read_text(encoding='utf-8')
        if path.suffix != '.json':  # data, where a name is what it is, in JSON's own escapes
            _check(text)
        if path.suffix in ('.html', '.md'):
            assert '<img src=x' not in text
        if path.suffix == '.csv':
            for row in csv.reader(io.StringIO(text)):
                for cell in row:
                    assert not re.match(r'[=+@]|-(?![\d.])', cell), cell
    return endings


def test_names_in_every_output(run, odd_set, tmp_path):
    images, masks = odd_set / 'images', odd_set / 'masks'
    for line, endings in (
        (['predict', 'tophat', images, '--format', 'all'], {'.csv', '.json', '.txt'}),
        (['evaluate', tmp_path / 'predict/scores', masks, '--allow-missing'], {'.csv', '.json'}),
        (['evaluate', '--compare', images, tmp_path / 'predict/scores', masks, '--allow-missing'], {'.json'}),
        (['dataset', 'stats', odd_set], {'.json', '.html'}),
        (['dataset', 'browse', odd_set], {'.html'}),
    ):
        out = (
            tmp_path
            / (line[0] if line[1] != '--compare' else 'compare')
            / ('' if line[0] != 'dataset' else line[1])
        )
        code, text, err = run(*line, '--out', out)
        assert code == 0, err
        _check(text)
        _check(err)
        assert endings <= _check_files(out), line
    results = tmp_path / 'evaluate'
    code, text, err = run(
        *(
            'report',
            f'<img src=x onerror=1>\x1b[31m={results}',
            f'=cmd|x={results}',
            '--out',
            tmp_path / 'report',
        ),
        *('--images', images, '--masks', masks, '--title', '<img src=x>\x1b[1m'),
    )
    assert code == 0, err
    _check(text)
    _check(err)
    assert {'.html', '.csv', '.md', '.tex'} <= _check_files(tmp_path / 'report')


def test_a_set_that_can_not_list_its_names_is_one_line(run, odd_set, tmp_path):
    for line in (['prepare', 'mine', odd_set], ['convert', odd_set, '--to', 'coco']):
        code, _, err = run('dataset', *line, '--out', tmp_path / line[0])
        assert (code, err.count('\n')) in ((2, 1), (0, 0)), err
        _check(err)


def test_ids_that_are_not_utf8_are_cut_and_identified():
    ids = [os.fsdecode(b'raw%d\xff' % n) for n in range(10)]
    fit, val = cut_validation(ids)
    assert sorted(fit + val) == ids
    assert len(ids_sha256(ids)) == 64


def test_a_terminal_of_another_encoding_ends_no_tool(repository, tmp_path):
    """Also what is printed of a name that this terminal cannot show is printed, escaped."""
    import subprocess
    import sys

    code = 'import sys; from madnet.engine.cli import run_tool; sys.exit(run_tool(print, "a\\udcff \\u2192"))'
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, env={**os.environ, 'PYTHONIOENCODING': 'latin-1'}
    )
    assert (done.returncode, done.stdout) == (0, b'a\\udcff \\u2192\n'), done.stderr
