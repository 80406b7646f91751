"""Every experiment has its page, and every link of the documentation leads somewhere."""

import re
from pathlib import Path

import pytest

from madnet.records import Comparison

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = sorted(path for path in (ROOT / 'experiments').iterdir() if path.is_dir())
PAGES = sorted(
    page
    for pattern in ('*.md', 'docs/*.md', 'experiments/**/*.md', 'madnet/pretrained/*.md')
    for page in ROOT.glob(pattern)
)


@pytest.mark.parametrize('page', PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r'\]\(([^)#:]+)(?:#[^)]*)?\)', page.read_text(encoding='utf-8')):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize('folder', EXPERIMENTS, ids=lambda p: p.name)
def test_an_experiment_says_what_it_asked_and_what_came_out(folder):
    text = (folder / 'README.md').read_text(encoding='utf-8')
    for part in ('**Question.**', '**Plan.**', '**What came out'):
        assert part in text, part
    assert f'({folder.name})' in (ROOT / 'experiments' / 'README.md').read_text(encoding='utf-8')
    for file in folder.glob('comparison*.json'):
        assert Comparison.read(file).rows


def test_the_results_page_is_two_screens():
    assert len((ROOT / 'docs' / 'results.md').read_text(encoding='utf-8').splitlines()) <= 120
