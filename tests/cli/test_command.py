"""The command ``madnet``: light where nothing is computed, and one line for what is wrong or missing."""

import os
import re
import site
import subprocess
import sys
from importlib.metadata import requires

import cv2
import numpy as np
import pytest

from madnet import __version__, cli
from madnet.cli import COMMANDS, main, probe
from madnet.cli.demo import _shown
from madnet.config_files import SHIPPED, config_and_weights, config_names, find_config_file
from madnet.errors import UserError
from madnet.inference.onnx_predictor import _session
from madnet.probing.command import SWEEPS
from madnet.requirements import EXTRAS, requirements, what_is_wrong
from madnet.starting import module_command

#: What only the extras bring.
HEAVY = ('torch', 'mmengine', 'mmcv', 'mmseg', 'matplotlib', 'jinja2', 'safetensors', 'onnxruntime')
LIGHT = f'import sys; sys.modules.update(dict.fromkeys({HEAVY})); from madnet.cli import main\n'


def fresh(code: str, *arguments: str) -> subprocess.CompletedProcess:
    """A fresh process that runs the code."""
    return subprocess.run(
        [sys.executable, '-c', code, *arguments], capture_output=True, text=True, check=False, timeout=300
    )


def test_of_a_damaged_image_one_line_is_told(tmp_path):
    path = tmp_path / 'x.bmp'
    cv2.imwrite(str(path), np.zeros((64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:-99])
    code = 'import sys; from madnet.cli import console; sys.exit(console())'
    done = fresh(code, 'predict', 'tophat', str(path), '--out', str(tmp_path / 'out'))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_help_of_all_is_quick_and_needs_no_extra():
    done = fresh(
        f'{LIGHT}'
        'import time\n'
        'from madnet.cli import COMMANDS\n'
        'for command in ["", *COMMANDS]:\n'
        '    before = time.process_time()\n'
        '    try:\n'
        '        main([command, "--help"] if command else ["--help"])\n'
        '    except SystemExit as e:\n'
        '        assert e.code == 0, command\n'
        '    took = time.process_time() - before\n'
        '    assert took < 0.5, (command, took)\n'
        'assert time.process_time() < 1.5\n'
        'assert "numpy" not in sys.modules\n'
    )
    assert done.returncode == 0, done.stderr
    for command in COMMANDS:
        assert f'usage: madnet {command} ' in done.stdout


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (['demo', 'tophat', '--dataset', 'nuaa'], 'are of a network that --config names'),
        (['panel', 'x', 'y', 'A=z', '--out', 'sub/dir/'], '--out sub/dir/: is a folder'),
        (['panel', 'x', 'y', 'A=z', '--out', 'grid', '--threshold', '5'], '--threshold must be a score'),
        (['predict', 'tophat', 'tests', '--jobs', '2', '--batch', '4'], 'take one image at a time'),
    ],
)
def test_options_without_sense_or_effect(arguments, words, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'tests').mkdir()
    (tmp_path / 'tests/a.png').touch()
    code, _, err = run(*arguments)
    assert code == 2
    assert words in err


@pytest.mark.parametrize(
    ('arguments', 'option', 'found', 'expected'),
    [
        ('models madnet_nano', '--threads', '0', 'a whole number from 1 on'),
        ('models madnet_nano', '--batch', '-1', 'a whole number from 0 on'),
        ('models madnet_nano', '--budget', '-1', 'seconds from 0 on'),
        ('models madnet_nano', '--budget', 'nan', 'seconds from 0 on'),
        ('predict', '--rounds', '0', 'a whole number from 1 on'),
        ('predict', '--batch', '0', 'a whole number from 1 on'),
        ('predict', '--pixels', '1e6', 'a whole number from 1 on'),
        ('scan', '--sizes', '-64', 'a whole number from 1 on'),
        ('train', '--steps', '0', 'a whole number from 1 on'),
        ('train', '--repeats', '0', 'a whole number from 1 on'),
        ('evaluation', '--slow-images', '0', 'a whole number from 1 on'),
    ],
)
def test_numbers_of_a_benchmark_that_make_no_sense(arguments, option, found, expected, capsys):
    with pytest.raises(SystemExit) as e:
        main(['benchmark', *arguments.split(), f'{option}={found}'])
    assert e.value.code == 2
    assert f"argument {option}: found '{found}', expected {expected}\n" in capsys.readouterr().err


def test_models_of_one_name_are_told_apart():
    assert _shown('a/best.onnx', ['tophat']) == 'best.onnx'
    assert _shown('b/best.onnx', ['best.onnx']) == 'b/best.onnx'
    with pytest.raises(UserError, match='there is another b/best'):
        _shown('c/b/best.onnx', ['best.onnx', 'b/best.onnx'])


@pytest.mark.parametrize(
    'command',
    [
        ['predict', '--list'],
        ['train', '--list'],
        ['predict', 'tophat', 'scene.png', '--out', 'found'],
        ['evaluate', '--list-protocols'],
        ['evaluate', 'maps', 'masks'],
        ['evaluate', 'maps', '--dataset', 'mine'],
        ['dataset', 'list'],
        ['dataset', 'check', 'mine'],
        ['doctor'],
    ],
)
def test_light_commands_need_no_extra(command, make_set, tmp_path, monkeypatch):
    root = make_set('mine', ['a', 'b'], 'test/images/{}.png', 'test/masks/{}.png')
    monkeypatch.chdir(tmp_path)
    (root / 'test' / 'images' / 'a.png').rename('scene.png')
    (root / 'test' / 'masks' / 'a.png').unlink()
    for folder in ('maps', 'masks'):
        (tmp_path / folder).symlink_to(root / 'test' / 'masks')
    done = fresh(f'{LIGHT}sys.exit(main({command}))')
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_what_is_missing_is_one_line():
    done = fresh(f'{LIGHT}sys.exit(main(["train", "madnet_nudt"]))')
    assert done.returncode == 2
    assert done.stderr == ('error: torch is not installed, which this needs: pip install "madnet[train]"\n')
    assert 'madnet[report]' in what_is_wrong(ModuleNotFoundError(name='matplotlib'))
    part = ModuleNotFoundError("No module named 'numpy._part'", name='numpy._part')
    assert what_is_wrong(part).startswith(
        "numpy is installed, but cannot be loaded: No module named 'numpy._part'"
    )
    assert 'madnet[runtime]' in what_is_wrong(ModuleNotFoundError(name='onnxruntime'))
    assert what_is_wrong(ModuleNotFoundError(name='numpy')).endswith('pip install "madnet"')
    assert what_is_wrong(ModuleNotFoundError(name='no_library_of_ours')) is None


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Makes an import of libraries fail that are installed, in this process and in fresh ones."""

    def break_(reason, *modules):
        for module in modules:
            (tmp_path / 'broken' / module).mkdir(parents=True)
            (tmp_path / 'broken' / module / '__init__.py').write_text(f'raise {reason}\n')
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.syspath_prepend(tmp_path / 'broken')
        monkeypatch.setenv('PYTHONPATH', os.pathsep.join([str(tmp_path / 'broken'), *sys.path]))

    return break_


@pytest.mark.parametrize('reason', ['ImportError("libx.so: gone")', 'OSError("libx.so: gone")'])
def test_what_cannot_be_loaded_is_one_line(broken, reason):
    broken(reason, 'torch')
    done = fresh('import sys; from madnet.cli import main; sys.exit(main(["train", "madnet_nudt"]))')
    assert done.returncode == 2
    assert done.stderr == (
        'error: torch is installed, but cannot be loaded: libx.so: gone; madnet doctor says more\n'
    )


def test_doctor_tells_what_cannot_be_loaded(broken):
    broken('ImportError("libx.so: gone")', 'torch', 'mmcv', 'cv2')
    done = fresh('import sys; from madnet.cli import main; sys.exit(main(["doctor"]))')
    assert (done.returncode, done.stderr) == (0, '')
    said = 'installed, but cannot be loaded: libx.so: gone; install what that names, or these anew'
    assert f'\nno   data sets, training-free detectors, metrics: opencv-python {said}\n' in done.stdout
    assert f'with networks and shipped weights: torch, onedl-mmcv {said}\n' in done.stdout
    assert '\nyes  prediction with exported networks, without PyTorch: onnxruntime ' in done.stdout
    assert '\nGPU: not known without torch (libx.so: gone)\n' in done.stdout
    assert '\ndata sets: not known, ' in done.stdout


def test_an_exported_network_tells_why_its_runtime_cannot_be_loaded(broken, monkeypatch):
    broken('ImportError("libx.so: gone")', 'onnxruntime')
    with pytest.raises(UserError, match=r'^onnxruntime is installed, but cannot be loaded: libx\.so: gone; '):
        _session(b'', None, 'CPUExecutionProvider', 'nano.onnx')
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(UserError, match=r'^onnxruntime is not installed.*"madnet\[runtime\]"$'):
        _session(b'', None, 'CPUExecutionProvider', 'nano.onnx')


def test_a_data_set_that_is_not_there_is_said_before_pytorch_is_imported(tmp_path, monkeypatch):
    monkeypatch.setenv('MADNET_DATA_ROOT', str(tmp_path))
    done = fresh(f'{LIGHT}sys.exit(main(["test", "madnet_nano", "--dataset", "nuaa"]))')
    assert done.returncode == 2
    assert done.stderr.startswith('error: data set NUAA-SIRST not found: looked for a readable folder')
    done = fresh(f'{LIGHT}sys.exit(main(["evaluate", "maps", "masks", "--dataset", "nuaa"]))')
    assert 'no folder' in done.stderr  # the lists are enough


def test_requirements_are_those_of_the_metadata():
    assert len(requirements()) > 15
    said = {
        line.split(';')[0].split('[')[0].split('<')[0].split('>')[0].strip() for line in requires('madnet')
    }
    assert {r.name for r in requirements()} <= said
    assert {r.extra for r in requirements()} == set(EXTRAS)
    assert not [r for r in requirements() if r.problem and not r.extra]


def test_an_unknown_command(capsys):
    with pytest.raises(SystemExit) as e:
        main(['trian'])
    assert e.value.code == 2
    assert capsys.readouterr().err.endswith("no command 'trian'. Did you mean 'train' or 'pretrained'?\n")
    assert main(['--version']) == 0
    assert main([]) == 2


def test_configs_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config_file('madnet_nudt') == SHIPPED / 'madnet_nudt.py'
    assert find_config_file('acm_toolbox') == SHIPPED / 'acm' / 'acm_toolbox.py'
    assert find_config_file('configs/acm/acm.py') == SHIPPED / 'acm' / 'acm.py'
    with pytest.raises(UserError, match="'madnet_nudt'"):
        find_config_file('madnet_nutd')
    with pytest.raises(UserError, match="'mim_nano' or 'madnet_nano'"):  # not dnanet, as near a spelling
        find_config_file('nano')
    (tmp_path / 'configs').mkdir()
    mine = tmp_path / 'configs' / 'madnet_nudt.py'
    mine.write_text('')
    assert find_config_file('madnet_nudt').resolve() == mine
    assert len(config_names()) > 50
    (tmp_path / 'acm').mkdir()  # a work folder of the same name
    assert find_config_file('acm') == SHIPPED / 'acm' / 'acm.py'
    with pytest.raises(UserError, match='is a folder'):
        find_config_file(tmp_path)


def test_a_folder_of_a_training_is_config_and_weights(tmp_path, run):
    (tmp_path / 'net.py').write_text('')
    assert config_and_weights(str(tmp_path)) == (str(tmp_path), None)
    for name in ('last.pth', 'best.pth'):
        (tmp_path / name).write_bytes(b'')
        assert config_and_weights(str(tmp_path)) == (str(tmp_path / 'net.py'), str(tmp_path / name))
    pair = str(tmp_path / 'net.py'), str(tmp_path / 'last.pth')
    assert config_and_weights(pair[1]) == config_and_weights(str(tmp_path), pair[1]) == pair
    assert config_and_weights(*pair) == pair
    assert config_and_weights('madnet_nano') == ('madnet_nano', None)
    with pytest.raises(UserError, match=r'expected a config before other\.pth'):
        config_and_weights(pair[1], 'other.pth')
    (tmp_path / 'net.py').unlink()
    more = {'predict': [tmp_path], 'calibrate': ['--dataset', '.']}
    for command in ('test', 'predict', 'export', 'probe', 'calibrate'):
        code, _, err = run(command, pair[1], *more.get(command, []))
        assert code == 2
        assert err.startswith(f'error: {pair[1]}: these are weights; beside weights expected one config,')
        assert err.count('\n') == 1


def test_configs_are_listed_with_size_and_recipe(run):
    code, out, _ = run('train', '--list')
    assert code == 0
    for line in (
        r'madnet_nano +243,686  MAD-Net of width 4 by the common recipe, .*: 1/15 of the published cost',
        r'madnet_nudt +–  MAD-Net on NUDT-SIRST by the published recipe',
    ):
        assert re.search(rf'^{line}$', out, re.MULTILINE)


def test_names_of_configs_are_told_apart():
    paths = [p for p in SHIPPED.rglob('*.py') if '_base_' not in p.parts]
    assert len({p.stem for p in paths}) == len(paths)


@pytest.mark.parametrize(
    ('line', 'offered', 'not_offered'),
    [
        ('train madnet_nu', 'madnet_nuaa madnet_nudt', ''),
        ('train madnet_nano --dataset nu', 'nuaa nudt nunu.png', ''),
        ('train madnet_nano --dataset nuaa,nu', 'nuaa,nudt nuaa,nunu.png', ''),
        ('predict madnet_nano frames --format ', 'png csv video', 'nunu.png'),
        ('predict madnet_nano frames --format png,c', 'png,csv', ''),
        ('predict madnet_nan', 'madnet_nano', ''),
        ('predict nu', 'nunu.png', ''),
        ('export madnet_nan', 'madnet_nano', ''),
        ('verify les', 'lesps_acm', ''),
        ('pretrained card ', 'madnet_nano', 'nunu.png'),
        ('dataset check nu', 'nuaa nunu.png', ''),
        ('dataset list ', 'nuaa', 'nunu.png'),
        ('probe madnet_nano --only sc', 'scr scale', ''),
        ('benchmark models madnet_nan', 'madnet_nano', ''),
        ('test madnet_nano --protocol na', 'native', ''),
        ('test madnet_nano --split t', 'test trainval', ''),
    ],
)
def test_completion(tmp_path, monkeypatch, line, offered, not_offered):
    argcomplete = pytest.importorskip('argcomplete')
    (tmp_path / 'nunu.png').touch()
    monkeypatch.chdir(tmp_path)
    found = []
    monkeypatch.setattr(argcomplete, 'autocomplete', lambda parser: found.append(parser))
    cli._complete()
    (finder,) = (argcomplete.CompletionFinder(parser) for parser in found)
    *words, last = line.split(' ')
    completions = {each.strip() for each in finder._get_completions(['madnet', *words], last, '', None)}
    assert completions >= {*offered.split()}
    assert not completions & {*not_offered.split()}


def test_completion_in_a_process_of_its_own():
    pytest.importorskip('argcomplete')
    line = 'madnet predict madnet_nan'
    done = subprocess.run(
        [sys.executable, '-c', f'{LIGHT}from madnet.cli import console; console()'],
        env={
            **os.environ,
            '_ARGCOMPLETE': '1',
            'COMP_LINE': line,
            'COMP_POINT': str(len(line)),
            '_ARGCOMPLETE_STDOUT_FILENAME': '/dev/stdout',
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert 'madnet_nano' in done.stdout, done.stderr


def test_names_of_sweeps_that_are_completed_are_all():
    assert set(probe.SWEEPS) == set(SWEEPS)


def test_no_process_is_started_by_minus_m(repository):
    for path in (repository / 'madnet').rglob('*.py'):
        assert "'-m', 'madnet" not in path.read_text('utf-8'), path


@pytest.mark.parametrize(
    ('command', 'shown'),
    [
        ([sys.executable, '-m', 'madnet', '--help'], 'madnet COMMAND'),
        ([sys.executable, '-S', '-m', 'madnet', '--version'], __version__),
        (module_command('calendar', '2026', '2'), 'February 2026'),
    ],
    ids=['command', 'command without what an installation imports', 'process of its own'],
)
def test_a_file_of_the_current_folder_is_not_taken_for_a_library(command, shown, tmp_path, repository):
    for name in ('argparse', 'calendar', 'enum', 'pathlib', 're', 'threading', 'typing'):
        (tmp_path / f'{name}.py').write_text('raise SystemExit("the wrong one")')
    where = [str(repository), *site.getsitepackages()]
    env = {**os.environ, 'PYTHONPATH': os.pathsep.join(where)}
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert shown in done.stdout, done.stderr


def test_an_exported_file_keeps_two_numbers(capsys):
    assert main(['export', 'madnet_nano', '--value-range', 'auto', '--out', 'x.onnx']) == 2
    assert 'dataset stats FRAMES measures them' in capsys.readouterr().err
