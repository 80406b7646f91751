"""docs/claims.md is what was measured, of weights that the registry knows."""

import runpy
from pathlib import Path

from madnet.records import ClaimsFile, get_pretrained

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_up_to_date():
    make_page = runpy.run_path(str(ROOT / 'docs' / 'build' / 'claims.py'))['make_page']
    page = (ROOT / 'docs' / 'claims.md').read_text(encoding='utf-8')
    assert page == make_page(ROOT), 'run python docs/build/claims.py'
    assert '-0.00' not in page


def test_what_was_measured_is_what_the_registry_claims():
    files = sorted((ROOT / 'experiments' / 'claims').glob('*.json'))
    assert files
    for file in files:
        found = ClaimsFile.read(file)
        entry = get_pretrained(file.stem)
        assert (found.name, found.sha256, found.origin) == (entry.name, entry.sha256, entry.origin)
        places = {(c.dataset, c.split_set, c.split, c.views) for c in entry.claims}
        for claim in found.claims:
            where = claim.dataset
            assert (where.name, where.split_set, where.split, claim.views) in places
            low, high = claim.intervals['IoU']
            assert low <= claim.measured['IoU'] <= high
