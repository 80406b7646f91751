"""What the README names exists; its commands are tried with those of the site."""

import re
import shlex

import pytest


def test_every_config_it_names_exists(repository):
    readme = (repository / 'README.md').read_text(encoding='utf-8')
    named = set(re.findall(r'madnet (?:train|test) (\w+)', readme))
    assert 'madnet_nano' in named
    for name in named:
        assert [*(repository / 'configs').rglob(f'{name}.py')], name


def test_every_link_leads_somewhere(repository):
    readme = (repository / 'README.md').read_text(encoding='utf-8')
    for target in re.findall(r'\]\(([^)#:]+)\)', readme):
        assert (repository / target).exists(), target


@pytest.mark.slow
def test_its_commands_work_one_after_the_other(repository, camera_place, run):
    readme = (repository / 'README.md').read_text(encoding='utf-8').partition('## Five commands')[2]
    lines = re.findall(r'^    madnet (.*?)(?:  +#.*)?$', readme, re.M)
    assert [line.split()[0] for line in lines] == ['predict', 'dataset', 'train', 'test', 'report']
    here = {'scenes/': 'frames', 'path/to/frames': 'mine'}
    for line in lines:
        command = [here.get(word, word) for word in shlex.split(line)]
        if command[0] == 'train':
            command += ['--cfg-options', 'train_cfg.max_epochs=1', 'train_dataloader.batch_size=4']
        code, out, err = run(*command)
        assert code == 0, (command, out, err)
    code, _, err = run(*shlex.split(lines[3])[:3], '--dataset', 'mine')
    assert (code, 'has seen all' in err) == (2, True)
