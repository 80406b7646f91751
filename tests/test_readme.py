"""What the README names exists; its commands are tried with those of the site."""

import re


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
