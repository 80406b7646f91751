"""The site builds without a warning, and what its pages show works."""

import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmseg.registry import MODELS

import madnet  # noqa: F401
from madnet.cli import COMMANDS, parse
from madnet.config_files import config_names
from madnet.engine.config import load_config
from madnet.engine.test import run_test
from madnet.plain_yaml import read_yaml
from madnet.pretrained import list_pretrained

_ROOT = Path(__file__).resolve().parents[1]
PAGES = [_ROOT / 'README.md', *sorted((_ROOT / 'docs').glob('*.md'))]
_PREPARE = 'dataset prepare mine mine --out datasets/mine'
_TRAIN = 'train madnet_nano --dataset datasets/mine --cfg-options value_range=auto'
#: Pages whose commands need no public data set and are run, and what stands before them on other pages.
TRIED = {
    'start': (),
    'training': (_PREPARE,),
    'false_alarms': (_PREPARE, f'{_TRAIN} train_dataloader.batch_size=4 train_cfg.max_epochs=1'),
}


def _commands(page: Path) -> list[list[str]]:
    pattern = rf'^(?:    )?madnet ((?:{"|".join(COMMANDS)}) .*?)(?:  #.*)?$'
    lines = re.findall(pattern, page.read_text(encoding='utf-8'), re.M)
    return [shlex.split(line) for line in lines]


@pytest.fixture(scope='module')
def text():
    return {page.stem: page.read_text(encoding='utf-8') for page in PAGES}


#: docs/add_a_network.md makes the configs that it names, and has a test of its own.
_WITH_COMMANDS = [page for page in PAGES if _commands(page) and page.stem != 'add_a_network']


@pytest.mark.parametrize('page', _WITH_COMMANDS, ids=[page.stem for page in _WITH_COMMANDS])
def test_commands_are_understood(page, repository, monkeypatch):
    """Every option exists, and every config that is named."""
    monkeypatch.chdir(repository)
    for command, *arguments in _commands(page):
        if any(word.isupper() for word in arguments) or '…' in ' '.join(arguments):
            continue  # says what a command looks like, in capitals
        try:
            parsed = parse(command, arguments)
        except SystemExit as e:  # --list and the like end there
            if e.code:
                pytest.fail(f'{command} {arguments}')
            continue
        config = getattr(parsed, 'config', None)
        if isinstance(config, str) and not config.startswith('work_dirs/') and command != 'predict':
            content = page.read_text(encoding='utf-8')
            on_the_page = f'`{config}`' in content or f'```python\n# {config}\n' in content
            assert on_the_page or config in {*config_names(), *list_pretrained()} or Path(config).is_file()


def test_the_page_on_citing_is_up_to_date(text, repository):
    made = runpy.run_path(str(repository / 'docs' / 'build' / 'cite.py'))['page']
    assert made(read_yaml((repository / 'CITATION.cff').read_text(encoding='utf-8'))) == text['cite']


def test_configs_of_ten_lines_build(text, tmp_path, monkeypatch):
    blocks = dict(re.findall(r'```python\n# (\w+\.py)\n(.*?)```', text['training'], re.S))
    assert [*blocks] == ['mine.py', 'resnet.py', 'mynet.py', 'mine_net.py']
    for name, block in blocks.items():
        (tmp_path / name).write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    for name in blocks:
        if name != 'mynet.py':
            model = MODELS.build(load_config(tmp_path / name).model)
            assert sum(p.numel() for p in model.parameters()) < 1.5e6, name
    assert type(model.backbone).__name__ == 'ThreeStages'
    losses = model.decode_head.loss_decode
    assert losses(torch.zeros(2, 1, 8, 8), torch.zeros(2, 8, 8)) == 0.25


@pytest.mark.slow
@pytest.mark.parametrize('page', TRIED)
def test_commands_work(page, camera_place, repository, run, monkeypatch):
    monkeypatch.chdir(camera_place)
    for line in TRIED[page]:
        assert run(*line.split())[0] == 0
    shutil.copytree('frames', 'empty_frames')  # what they show plays no part here
    content = (repository / 'docs' / f'{page}.md').read_text(encoding='utf-8')
    for name, block in re.findall(r'```python\n# (\w+\.py)\n(.*?)```', content, re.S):
        Path(name).write_text(block)
    monkeypatch.syspath_prepend(camera_place)
    for command, *arguments in _commands(repository / 'docs' / f'{page}.md'):
        if {'nuaa', 'nudt', '…'} & {*arguments}:
            continue
        if command == 'train' and '--minutes' not in arguments and '--print-config' not in arguments:
            options = ['train_cfg.max_epochs=1', 'train_dataloader.batch_size=4']
            if 'datasets/mine' in arguments:
                options.append('value_range=auto')
            arguments += ['--cfg-options', *options]
        monkeypatch.chdir(camera_place)
        code, out, err = run(command, *arguments)
        assert code == 0, (command, arguments, out, err)


def test_mmseg_trains_by_the_config_of_its_page(text, tmp_path, monkeypatch, run):
    """By mmengine's Runner, as mmseg's own tools do, on twelve small images."""
    import cv2
    import numpy as np
    from mmengine.config import Config
    from mmengine.runner import Runner

    [block] = re.findall(r'```python\n(.*?)```', text['in_your_mmseg_project'], re.S)
    rng = np.random.default_rng(0)
    for folder in ('images', 'labels'):
        (tmp_path / 'mine' / folder).mkdir(parents=True)
    for i in range(4):
        mask = np.zeros((64, 64), np.uint8)
        mask[20:23, 30:33] = 1
        image = rng.integers(0, 60, (64, 64, 3), np.uint8) + 150 * mask[..., None]
        cv2.imwrite(str(tmp_path / f'mine/images/{i}.png'), image)
        cv2.imwrite(str(tmp_path / f'mine/labels/{i}.png'), mask)
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'config.py').write_text(block.replace('256', '64').replace('max_iters=1000', 'max_iters=2'))
    config = Config.fromfile('config.py')
    config.work_dir = 'work'
    runner = Runner.from_cfg(config)
    runner.train()
    theirs = runner.test()
    assert float(f'{2e-5:.{runner.log_processor.num_digits}f}') == 2e-5, 'an Fa in the log'
    config.test_evaluator |= {'output_dir': 'labels', 'keep_results': True}  # as --out of mmseg's test does
    config.load_from = 'work/iter_2.pth'
    Runner.from_cfg(config).test()
    options = ('--labels', '--mask-values', '0', '1', '--out', 'scored')
    assert run('evaluate', 'labels', 'mine/labels', *options)[0] == 0
    scored = json.loads((tmp_path / 'scored/metrics.json').read_text())['results']['native']
    assert {k: scored[k] for k in ('IoU', 'Pd', 'Fa')} == {k: theirs[k] for k in ('IoU', 'Pd', 'Fa')}
    ours = run_test('config.py', 'work/iter_2.pth', out='ours').results['native']
    assert ours['IoU'] == pytest.approx(theirs['IoU'])


def test_the_site_builds_without_a_warning(repository, tmp_path):
    pytest.importorskip('sphinx_book_theme', reason='the site needs the extra docs: pip install -e .[docs]')
    pytest.importorskip('sphinx_copybutton')
    pytest.importorskip('myst_parser')
    command = [sys.executable, '-m', 'sphinx', '-b', 'html', '-c', 'docs', '-q', '-W', '--keep-going']
    done = subprocess.run(
        [*command, '.', str(tmp_path / 'site')], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    pages = {p.relative_to(tmp_path / 'site').as_posix() for p in (tmp_path / 'site').rglob('*.html')}
    assert {'index.html', 'docs/start.html', 'docs/api/models.html', 'experiments/joint/README.html'} <= pages
    for page in pages:
        if (
            page.startswith('docs/api/') and page != 'docs/api/index.html'
        ):  # what cannot be imported is left empty
            assert 'class="sig' in (tmp_path / 'site' / page).read_text(encoding='utf-8'), page
        content = (tmp_path / 'site' / page).read_text(encoding='utf-8')
        for link in re.findall(r'<a [^>]*href="([^"#:]+)(?:#[^"]*)?"', content):
            assert ((tmp_path / 'site' / page).parent / link).exists(), (page, link)
