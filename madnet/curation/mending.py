"""A copy of a data set in which everything is mended that has one right form."""

from collections import defaultdict
from pathlib import Path

import numpy as np

from madnet.curation.inspection import INVERTED, Facts, Inspection, Key, find_duplicates, label
from madnet.curation.writing import TOO_FEW, NewSet, fresh_folder
from madnet.datasets.locate import range_of_set
from madnet.datasets.splits import cut_validation, few, how_cut
from madnet.errors import UserError
from madnet.evaluation.rules import half
from madnet.images import encode_png, fit_mask, read_image, read_mask
from madnet.progress import progress_bar
from madnet.text import printable

#: Above this share of target pixels a mask is turned round; between it and ``INVERTED`` a person has to look.
SURELY_INVERTED = 0.9
#: Begins what only a person can judge, among what was done.
NOT_MENDED = 'NOT mended'


def mend(found: Inspection, out: str | Path) -> str:
    """Write the copy; returns what was done, as text.

    Raises:
        UserError: ``out`` is there already, or nothing in the set can be used.
    """
    with fresh_folder(out) as folder:
        new = NewSet(folder)
        done = write_mended(found, new)
        made = {'by': 'madnet dataset check --fix', 'source': str(found.folder.root.resolve())}
        name, grey = found.entry.name if found.entry else found.name, range_of_set(found.folder.root)
        new.finish(name, grey, made=made, changes=done)
    return changes_text(new, done, out)


def changes_text(new: NewSet, done: dict[str, list[str]], out: str | Path) -> str:
    """What was written and changed, a line a kind."""
    lines = [f'{out}: {new.images:,} images with masks', *new.lists_in_words()]
    lines += [f'  {len(which)} × {what}: {few(which)}' for what, which in done.items()]
    return '\n'.join(map(printable, lines))


def write_mended(found: Inspection, new: NewSet, test_share: float | None = None) -> dict[str, list[str]]:
    """Write images, masks of 0 and 255 at their image's size, and lists.

    Args:
        found: What :func:`~madnet.curation.inspection.inspect` says.
        new: Where to write.
        test_share: Where no lists say what the parts are, this share becomes the test part, by the id's hash;
            None for no lists then.

    Returns:
        What was done → to which images.

    Raises:
        UserError: Nothing can be used, or a list cannot: only its author knows which images it meant.
    """
    _refuse_broken_lists(found)
    done: dict[str, list[str]] = defaultdict(list)
    kept: list[Key] = []
    faint = found.mostly_faint
    why_not = {key: _why_not(f, faint) for key, f in found.facts.items()}
    tested = {f.digest for key, f in found.facts.items() if key[0] == 'test' and not why_not[key]}
    for key, facts in progress_bar(found.facts.items(), total=len(found.facts), what='write'):
        if why_not[key]:
            done[why_not[key]].append(label(key))
            continue
        if key[0] not in ('', 'test') and facts.digest in tested:
            done['out of the training part, because it is in the test part'].append(label(key))
            continue
        kept.append(key)
        image, suffix = facts.pair.image.read_bytes(), facts.pair.image.suffix.lower()
        if facts.channels == 3 and facts.colour == 0 and facts.dtype in ('uint8', 'uint16'):
            image, suffix = encode_png(np.ascontiguousarray(read_image(facts.pair.image)[..., 0])), '.png'
            done['three equal channels stored as one'].append(label(key))
        mask, changes = _mended_mask(facts)
        for change in changes:
            done[change].append(label(key))
        new.add(key[1], image, suffix, mask, part=key[0])
    if not kept:
        reasons = ', '.join(f'{len(which)} × {what}' for what, which in done.items())
        raise UserError(f'{found.folder.root}: no image with a mask that can be used ({reasons}).')
    if not found.folder.by_part:
        _write_lists(found, new, set(kept), done, test_share)
    return dict(done)


def _refuse_broken_lists(found: Inspection) -> None:
    if _has_packaged_lists(found):
        return
    for finding in found.findings:
        if finding.kind == 'broken list':
            what = finding.what.removeprefix(f'{found.folder.root}/')
            raise UserError(
                f'{found.name}, lists {finding.which[0]}: {what}. Mend this list, or take it from the folder.'
            )


def _has_packaged_lists(found: Inspection) -> bool:
    """Whether lists of the catalogue say what the parts are, whatever the folder's own hold."""
    return bool(found.entry and found.entry.split_sets.keys() & found.splits.keys())


def _why_not(facts: Facts, faint: bool) -> str:
    """What keeps a pair out of the copy, or ``''``; ``faint`` where most masks of the set have low values
    only: two of them stand for background and target then. Others may be a target, which would be lost in an
    empty mask."""
    if facts.usable and facts.above_zero and not facts.areas and not (faint and facts.n_values == 2):
        return (
            f'{NOT_MENDED}, left out: mask without a value above 127 (dataset convert --to madnet '
            '--mask-values takes the values of background and targets)'
        )
    return f'left out: {", ".join(facts.trouble)}' if facts.trouble else ''


def _mended_mask(facts: Facts) -> tuple[np.ndarray, list[str]]:
    """(H, W) bool, and what was changed."""
    path, size = facts.pair.mask, facts.size
    assert path is not None, facts  # a pair without a mask, or that cannot be read, is not kept
    assert size is not None, facts
    raw = read_mask(path, strict=False)
    mask, changes = fit_mask(raw, size[::-1], path, facts.pair.image), []
    if mask.shape != raw.shape:
        changes.append("mask brought to its image's size")
    if facts.above_zero and not facts.areas:  # the two low values that _why_not lets through
        higher = mask == mask.max()
        if higher.mean() > SURELY_INVERTED:
            return ~higher, [*changes, 'inverted mask of two low values turned round']
        if higher.mean() > INVERTED:
            changes.append(f'{NOT_MENDED}, look at it: of two low values most pixels have the higher')
        return higher, [*changes, 'mask of two low values: the higher is target']
    if facts.share > SURELY_INVERTED:
        return ~half(mask), [*changes, 'inverted mask turned round']
    if facts.share > INVERTED:
        changes.append(f'{NOT_MENDED}, look at it: most pixels are target')
    elif facts.n_values > 2 or not set(facts.values) <= {0, 255}:
        changes.append('grey mask cut at > 127')
    return half(mask), changes


def _write_lists(
    found: Inspection, new: NewSet, kept: set[Key], done: dict[str, list[str]], test_share: float | None
) -> None:
    for name, splits in found.splits.items():
        seen = {found.facts[k].digest for k in splits.get('test', ())}
        out = f'out of the training part of {name}, because it is in the test part'
        lists: dict[str, list[str]] = {split: [] for split in splits}
        for split, keys in splits.items():
            for key in filter(kept.__contains__, keys):
                if split != 'test' and found.facts[key].digest in seen:
                    done[out].append(label(key))
                else:
                    lists[split].append(key[1])
        if _has_packaged_lists(found) and not all(lists.values()):  # of a copy in part, or broken ones
            done['lists left out, of which no image of a part is here'].append(name)
        else:
            new.add_lists(name, lists)
    if not found.splits and test_share:
        by_id = {key[1]: key for key in sorted(kept)}
        train, test = cut_validation(by_id, share=test_share)
        if not (train and test):
            done[f'no lists say what the parts are: {TOO_FEW}'] += by_id
            return
        digests = {i: found.facts[key].digest for i, key in by_id.items()}
        seen = {digests[i] for i in test}
        same = [i for i in train if digests[i] in seen]
        if 0 < len(same) < len(train):  # else nothing would be left to train on
            done['out of the training part, because it is in the test part'] += same
            train = tuple(i for i in train if digests[i] not in seen)
        lists = {'trainval': list(train), 'test': list(test)}
        new.add_lists('hashed', lists)
        found.splits['hashed'] = {split: [by_id[i] for i in ids] for split, ids in lists.items()}
        find_duplicates(found)  # what was inside of one part may be in two now
        why = (
            f'no lists say what the parts are: {len(test)} of {len(by_id)} images became the test part, '
            f'{how_cut(by_id, test)}'
        )
        folders = {i.rpartition('/')[0] for i in by_id}
        if len(folders) == 1 and '' not in folders:
            why += ' (frames of the only sequence, so that both parts show nearly the same)'
        done[why] += test
