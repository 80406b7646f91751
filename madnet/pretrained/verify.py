"""Claims checked: weights of the registry, scored as they are claimed to score and under ``native``."""

import io
import platform
import tempfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from itertools import groupby
from pathlib import Path

import torch

import madnet
from madnet.datasets.sirst_dataset import SIRSTDataset
from madnet.datasets.sources import find_sources
from madnet.engine.checkpoint_file import read_registered, taking
from madnet.engine.irstd_metric import IRSTDMetric
from madnet.engine.test import run_test
from madnet.errors import UserError, nearest
from madnet.evaluation.protocols import get_protocol, get_protocols
from madnet.files import expect_writable
from madnet.records import (
    COLUMNS,
    CheckedClaim,
    Claim,
    ClaimsFile,
    MetricsFile,
    PretrainedEntry,
    TrainingPart,
    claim_rows,
    column,
    get_pretrained,
    text_table,
)
from madnet.records.claims_file import HEADS


def verify_weights(
    name: str,
    file: str | Path | None = None,
    out: str | Path | None = None,
    dataset: str | None = None,
) -> ClaimsFile:
    """Score weights on the images that claims are about, under the claim's protocol and ``native``.

    Args:
        name: Of the registry.
        file: The weights as they were published, compared with the registered SHA-256; None for those that
            ship, lie in the cache or can be fetched.
        out: Folder for ``claims.json``; default ``work_dirs/claims/<name>``.
        dataset: Names, with commas, of the data sets whose claims are checked; None for all.

    Returns:
        What ``claims.json`` holds.

    Raises:
        UserError: An unknown name, another file than the registered one, nothing claimed or of an unknown
            metric or protocol, or a data set that is not at hand; nothing is scored then.
    """
    entry = get_pretrained(name)
    claims = _chosen(entry, dataset)
    check_claims(claims, name)
    path = Path(out or f'work_dirs/claims/{name}') / ClaimsFile.FILE
    expect_writable(path)
    checked = []
    with taking(name, file):
        read_registered(entry)
        for claim in claims:
            _open(claim)
        for place, group in groupby(claims, key=_place):
            checked += _check(name, [*group], place)
    found = ClaimsFile(
        name=name,
        about=entry.about,
        sha256=entry.sha256,
        claims=checked,
        origin=entry.origin,
        trained_on=', '.join(map(_in_words, entry.data)),
        versions={
            'madnet': madnet.__version__,
            'torch': torch.__version__,
            'python': platform.python_version(),
        },
    )
    print(f'{claims_text(found)}\nnumbers  {found.write(path)}')
    return found


def check_claims(claims: Sequence[Claim], where: object) -> None:
    """Raise a UserError where a claim is by a protocol that does not exist, or of what a test by it does not
    measure: its number would stand beside none.

    Args:
        claims: In the order of the file.
        where: What the claims stand in.
    """
    for number, claim in enumerate(claims):
        try:
            measured = [name for name in IRSTDMetric(get_protocol(claim.protocol)).names() if name in COLUMNS]
            for key in claim.values:
                if key not in measured:
                    raise UserError(
                        f'metric {key!r} is not what a test measures, expected {", ".join(measured)}.'
                        + nearest(key, measured)
                    )
        except UserError as e:
            raise UserError(f'{where}: claims[{number}], on {claim.dataset}: {e}') from None


def _in_words(part: TrainingPart) -> str:
    words = ' '.join(filter(None, (part.dataset, part.split_set, part.split)))
    return f'{words} ({part.images})' if part.images else words


def _chosen(entry: PretrainedEntry, dataset: str | None) -> list[Claim]:
    if not entry.claims:
        raise UserError(f'{entry.name}: the registry has no claim of it, so there is nothing to check.')
    names = [s.arguments.get('name') or s.arguments['data_root'] for s in find_sources(dataset)]
    claimed = [claim.dataset for claim in entry.claims]
    for name in names:
        if name not in claimed:
            raise UserError(
                f'{entry.name}: nothing is claimed on {name}, but on {", ".join(dict.fromkeys(claimed))}.'
                + nearest(name, claimed)
            )
    return [claim for claim in entry.claims if not names or claim.dataset in names]


def _open(claim: Claim) -> None:
    """Raise where the images of a claim are not at hand, or not those of its lists."""
    [source] = find_sources(claim.dataset)
    SIRSTDataset(**source.arguments, split=claim.split, split_set=claim.split_set)


def _place(claim: Claim) -> tuple:
    return claim.dataset, claim.split_set, claim.split, claim.views


def _check(name: str, claims: Sequence[Claim], place: tuple) -> list[CheckedClaim]:
    """Claims on one and the same images, by one test."""
    dataset, split_set, split, views = place
    # the test's own table, and where its files lie for a moment, are nobody's concern
    with tempfile.TemporaryDirectory() as scratch, redirect_stdout(io.StringIO()):
        found = run_test(
            name,
            out=scratch,
            dataset=dataset,
            split=split,
            views=views,
            options={'split_set': split_set} if split_set else None,
            protocols=get_protocols([*(claim.protocol for claim in claims), 'native']),
        )
    return [_checked(claim, found) for claim in claims]


def _checked(claim: Claim, found: MetricsFile) -> CheckedClaim:
    name = get_protocol(claim.protocol).name
    return CheckedClaim(
        dataset=found.dataset,
        protocol=name,
        claimed={key: value / column(key).scale for key, value in claim.values.items()},
        measured=found.results[name],
        intervals=found.details_of(name).intervals or {},
        native=found.results['native'],
        native_intervals=found.details_of('native').intervals or {},
        views=claim.views,
        source=claim.source,
        note=claim.note,
    )


def claims_text(found: ClaimsFile) -> str:
    """What was claimed and what was measured, for people."""
    lines = [f'{found.name}: {found.about}']
    for head, rows in claim_rows(found):
        lines += ['', head, text_table([HEADS, *rows])]
    return '\n'.join(lines)
