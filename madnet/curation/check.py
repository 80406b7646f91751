"""All that is wrong with a data set, by severity."""

import sys

from madnet.curation.inspection import as_record, as_text, inspect
from madnet.curation.mending import NOT_MENDED, mend
from madnet.errors import UserError
from madnet.files import json_text


def check(
    source: str, fix: str | None = None, split_set: str | None = None, examples: int = 4, json: bool = False
) -> int:
    """Print the findings, mend a copy; returns 1 where there are errors, or with ``fix`` where the copy
    still has what only a person can judge, else 0."""
    if examples < 1:
        raise UserError(f'--examples: found {examples}, expected 1 or more.')
    found = inspect(source, split_set)
    print(json_text(as_record(found)) if json else as_text(found, examples), end='' if json else '\n')
    if fix:
        done = mend(found, fix)
        print(done, file=sys.stderr if json else sys.stdout)  # which holds nothing but JSON then
        return int(NOT_MENDED in done)
    return int(any(f.severity == 'error' for f in found.findings))
