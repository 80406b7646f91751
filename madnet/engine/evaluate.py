"""What ``madnet evaluate`` does: score or compare folders, print, write."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import madnet
from madnet.datasets.catalogue import Entry, find_entry, identify_split, known_datasets, split_ids
from madnet.datasets.contents import KINDS, Contents
from madnet.datasets.locate import locate, name_of
from madnet.datasets.selection import select
from madnet.datasets.sources import find_sources
from madnet.datasets.splits import few, ids_sha256
from madnet.engine.several_sets import (
    ScoredSet,
    content_of,
    detections_of,
    everything,
    labels_of,
    per_image_of,
    results_text,
)
from madnet.errors import UserError
from madnet.evaluation.evaluator import Evaluator
from madnet.evaluation.folders import compare_folders, find_maps, score_folder
from madnet.evaluation.protocols import ProtocolLike, get_protocols
from madnet.evaluation.targets import KEEP_ALL, Least
from madnet.evaluation.thresholds import choose_operating_point, refuse_limits_beside
from madnet.files import expect_writable, plain, write_json
from madnet.records import MetricsFile, as_text, column, text_table, write_results

_SHOWN = 10
#: Where ranks come of scores in files.
SATURATED = (
    'ranks come of the stored scores: a logit above 16 (in 16-bit files above 11) is rounded, and its rank '
    'is not that of madnet test, whose cuts, like those of model cards, hold for maps of logits (--logits).'
)
# the highest logit that scores of 16 bits tell from its neighbours
_ROUNDED = 11
# where ties leave more of AUC or AP open than this, a line says so; and than that, it is no number to show
_OPEN, _WIDE = 0.005, 0.05


@dataclass(frozen=True)
class _Images:
    """The images of one set that are scored.

    Attributes:
        about: What ``metrics.json`` says of the set: name, split.
        masks: Folder of the masks, or id → file.
        options: Of :func:`~madnet.evaluation.folders.score_folder`, with what the set knows.
        entry: The known data set of which the ids may tell the part; None where the part is known, or the
            set is not.
    """

    about: dict[str, str | None]
    masks: str | Mapping[str, Path]
    options: dict[str, Any]
    entry: Entry | None = None


def evaluate_folder(
    pred_dir: str,
    mask_dir: str | None,
    protocols: str,
    out: str | None,
    dataset: str | None = None,
    split: str = 'test',
    threshold: str | float | None = None,
    fa_budget: float | None = None,
    least: Least = KEEP_ALL,
    **options,
) -> MetricsFile:
    """Score a folder, print the table, write ``metrics.json`` and ``per_image.csv`` under ``out`` if given.

    Args:
        pred_dir: Score maps; of several sets, in a sub-folder for each, by its name, as ``madnet test
            --save-scores`` writes them, or all in one where no two images have the same id.
        mask_dir: Masks; None for those of the data set.
        protocols: Names with commas, or ``'all'``.
        out: Folder, or None.
        dataset: A name of the catalogue or a folder, whose split says which images are scored; several with
            commas are scored one by one, and together.
        split: Which part of it.
        threshold: Probability above which is target, in place of the protocols' own; ``'best:val'`` for the
            one with the best IoU on the maps of that part of the data, which lie in ``pred_dir`` too.
        fa_budget: As of :func:`~madnet.engine.test.run_test`, by the maps of the validation part, which lie
            in ``pred_dir`` too.
        least: What a component above 0.5 must have at least to count.
        **options: Of :func:`~madnet.evaluation.folders.score_folder`.

    Returns:
        What ``metrics.json`` holds.

    Raises:
        UserError: As :func:`~madnet.evaluation.folders.score_folder`; no masks, or a threshold that is none.
    """
    if out:
        expect_writable(Path(out, MetricsFile.FILE))
    asked = {name: value for name, value in asdict(least).items() if value != getattr(KEEP_ALL, name)}
    refuse_limits_beside(threshold, asked)
    options['least'] = least
    if options.get('boxes') and not any(p.extended for p in get_protocols(protocols)):
        raise UserError(f'--boxes: found protocol {protocols}, expected native among them, which adds boxes.')

    def score(part: str, protocols, **more) -> tuple[dict[str, ScoredSet], tuple[str, ...]]:
        return _score(pred_dir, _choose_images(mask_dir, dataset, part, {**options, **more}), protocols)

    def counted(part: str, protocols: Sequence[ProtocolLike]) -> Evaluator:
        if dataset is None:
            raise UserError(f'a choice on {part!r} needs --dataset, which says what images these are.')
        try:
            # the ids name images that are scored, not these
            return everything(score(part, protocols, ids=None)[0])
        except UserError as e:
            raise UserError(
                f'a choice on {part!r} needs the score maps of that part in {pred_dir} too (madnet test … '
                f'--split {part} --save-scores writes them): {str(e).partition(". Nothing was scored")[0]}'
            ) from None

    point = choose_operating_point(protocols, threshold, fa_budget, [split], counted)
    sets, left_out = score(split, point.protocols)
    content = {
        'predictions': str(pred_dir),
        **{held: True for held in ('labels', 'from_logits') if options.get(held)},
        'masks': str(mask_dir or dataset),
        **({'least': asdict(least)} if asked else {}),
        **point.said_of(everything(sets)),
        **_without_open(content_of(sets), sets),
        'left_out': left_out,
        'versions': {'madnet': madnet.__version__, 'numpy': np.__version__},
    }
    report = MetricsFile.from_json(plain(content))
    print(f'{pred_dir}: {report.dataset.images} images' + (f', {len(left_out)} left out' if left_out else ''))
    for label, one in (report.sets or {}).items():
        print(f'{label}: {one.dataset.images} images')
    print(results_text(report))
    if options.get('boxes'):
        for protocol, values in report.results.items():
            found = [f'{k} {as_text(k, values[k])}' for k in ('AP50', 'AP50-95', 'AP_centre') if k in values]
            if found:
                print(f'{protocol}: {", ".join(found)}')
    _tell_lost_order(everything(sets), point.protocols[0].name, 'threshold_chosen_on' in point.threshold)
    asked_rank = least.min_rank or fa_budget is not None
    if not (options.get('from_logits') or options.get('labels')) and (asked_rank or _saturated(sets)):
        print(SATURATED)
    if out:
        for path in write_results(out, report, per_image_of(sets), detections_of(sets)):
            print(f'written {path}')
    return report


def _without_open(content: dict[str, Any], sets: Mapping[str, ScoredSet]) -> dict[str, Any]:
    """What ``content_of`` says, with None for AUC and AP where ties leave them open by several points."""
    parts = [(content, everything(sets))]
    parts += [(part, sets[label].evaluator) for label, part in content.get('sets', {}).items()]
    for part, evaluator in parts:
        for protocol, values in part['results'].items():
            for metric, (low, high) in _lost_order(evaluator, protocol).items():
                if high - low > _WIDE:
                    values[metric] = None
    return content


def _lost_order(evaluator: Evaluator, protocol: str) -> dict[str, tuple[float, float]]:
    histogram = evaluator.counted(protocol).histogram
    return histogram.lost_order() if histogram else {}


def _tell_lost_order(evaluator: Evaluator, protocol: str, chosen: bool) -> None:
    """Say where rounded scores leave it open how large AUC and AP are, and which threshold is best."""
    possible = _lost_order(evaluator, protocol).items()
    wide = {metric: high - low for metric, (low, high) in possible if high - low > _OPEN}
    if wide:
        named = ', '.join(f'{metric}{" left out" if by > _WIDE else ""}' for metric, by in wide.items())
        ranges = ' and '.join(
            f'{metric} {as_text(metric, low)} to {as_text(metric, high)}'
            for metric, (low, high) in possible
            if metric in wide
        )
        print(
            f'{named}: many pixels of these maps share the lowest score; maps that tell them apart, such as '
            f'logits in .npy, would give {ranges}'
            + (', and perhaps a better threshold among these pixels' if chosen else '')
        )


def _saturated(sets: Mapping[str, ScoredSet]) -> bool:
    """Whether the score of a detection by ``native`` is one that files round."""
    return any(row['logit'] > _ROUNDED for row in detections_of(sets))


def _score(
    pred_dir: str, images: Mapping[str, _Images], protocols
) -> tuple[dict[str, ScoredSet], tuple[str, ...]]:
    """Counts of each set, and what was left out."""
    sets: dict[str, ScoredSet] = {}
    left_out: list[str] = []
    for label, folder in _folders_of(pred_dir, images).items():
        chosen = images[label]
        evaluator, problems = score_folder(folder, chosen.masks, protocols, **chosen.options)
        known = identify_split(chosen.entry, evaluator.names) if chosen.entry else None
        about = {'images': len(evaluator), 'split_sha256': ids_sha256(evaluator.names)}
        about |= _held(chosen, evaluator.names)
        sets[label] = ScoredSet({**(known or chosen.about), **about}, evaluator)
        left_out += [f'{label}: {p}' for p in problems] if len(images) > 1 else problems
    return sets, tuple(left_out)


def _held(chosen: _Images, names: Sequence[str]) -> dict[str, str]:
    """``images_sha256`` and ``masks_sha256`` of what was scored; not of masks some of which were mended."""
    masks = None if chosen.options.get('mended') else chosen.masks
    given = {'images': chosen.options.get('image_dir'), 'masks': masks}
    found = {KINDS[kind]: find_maps(files, kind) for kind, files in given.items() if files}
    return Contents.of([{'img_id': i, **{k: f.get(i) for k, f in found.items()}} for i in names]).digests()


def _folders_of(pred_dir: str, images: Mapping[str, _Images]) -> dict[str, Path]:
    """Where the maps of each set lie."""
    own = {label: Path(pred_dir, label) for label in images}
    if len(images) > 1 and any(map(Path.is_dir, own.values())):
        return own
    seen: set[str] = set()
    for label, one in images.items() if len(images) > 1 else ():
        twice = sorted(seen.intersection(one.options['ids']))
        if twice:
            raise UserError(
                f'{pred_dir}: {len(twice)} images of {label} have ids that another set has too '
                f'({few(twice)}); put the maps of each into its folder: {", ".join(map(str, own.values()))}.'
            )
        seen.update(one.options['ids'])
    return dict.fromkeys(images, Path(pred_dir))


def _choose_images(
    mask_dir: str | None, dataset: str | None, split: str, options: dict[str, Any]
) -> dict[str, _Images]:
    """The images of each set, by its name; of a folder of masks alone, all that it holds."""
    if dataset is None:
        if mask_dir is None:
            raise UserError('expected MASK_DIR, or --dataset, whose masks are used.')
        entry, mended = _known_by_folder(Path(mask_dir))
        return {mask_dir: _Images({'name': mask_dir}, mask_dir, {'mended': mended, **options}, entry)}
    if mask_dir is not None:
        entry = find_entry(dataset)
        if entry is None:
            raise UserError(
                f'--dataset {dataset}: beside MASK_DIR expected one data set of the catalogue, for its lists '
                f'({", ".join(known_datasets())}); give --ids for lists of your own.'
            )
        ids = options.get('ids') or split_ids(entry.name, split)
        more = {'mended': _known_by_folder(Path(mask_dir))[1], **options, 'ids': ids}
        return {entry.name: _Images({'name': mask_dir}, mask_dir, more, entry)}
    sources = [source.arguments for source in find_sources(dataset)]
    given = [f'--{k.replace("image_dir", "images")}' for k in ('ids', 'image_dir') if options.get(k)]
    if len(sources) > 1 and given:
        raise UserError(f'--dataset {dataset}: {given[0]} is for one data set; leave it out, or score one.')
    labels = labels_of([{**arguments, 'split': split} for arguments in sources])
    return {
        label: _images_of(arguments, split, options) for label, arguments in zip(labels, sources, strict=True)
    }


def _images_of(arguments: dict[str, str], split: str, options: dict[str, Any]) -> _Images:
    """The images of a part of a data set, with its own masks."""
    folder, entry, name = locate(arguments.get('data_root'), arguments.get('name'))
    selection = select(folder, entry, name, split)
    pairs = dict(selection.pairs)
    if len(pairs) < len(selection.pairs):
        raise UserError(f'{name}, {split!r}: images of two parts have the same id; score each part alone.')
    images, masks = ({i: getattr(pair, kind) for i, pair in pairs.items()} for kind in ('image', 'mask'))
    more = {'ids': options.get('ids') or [*pairs], 'image_dir': options.get('image_dir') or images}
    about: dict[str, str | None] = {'name': name}
    if not options.get('ids'):
        about |= {'split': split, 'split_set': selection.split_set}
    return _Images(about, masks, {**options, **more}, entry if options.get('ids') else None)


def _known_by_folder(mask_dir: Path) -> tuple[Entry | None, dict[str, Path]]:
    """The known data set that a folder above is by its name, if one is; and the masks in it that the
    catalogue knows to be right where the release's are wrong: what a data set reads instead."""
    for root in list(mask_dir.resolve().parents)[:2]:
        entry = find_entry(name_of(root))
        if entry:
            return entry, {i: root / fix for i, fix in entry.mask_fixes.items() if (root / fix).is_file()}
    return None, {}


def compare(
    dir_a: str,
    dir_b: str,
    mask_dir: str | None,
    protocol: str,
    out: str | None,
    dataset: str | None = None,
    split: str = 'test',
    **options,
) -> dict:
    """Compare two folders, print the test and the images that differ most, write ``compare.json`` if asked.

    Args:
        dir_a: Score maps of A.
        dir_b: Score maps of B.
        mask_dir, dataset, split: As of :func:`evaluate_folder`.
        protocol: One name.
        out: Folder, or None.
        **options: Of :func:`~madnet.evaluation.folders.compare_folders`.

    Returns:
        What ``compare.json`` holds.
    """
    written = Path(out, 'compare.json') if out else None
    if written:
        expect_writable(written)
    images = [*_choose_images(mask_dir, dataset, split, options).values()]
    if len(images) != 1:
        raise UserError(f'--dataset {dataset}: --compare takes one data set.')
    report = compare_folders(dir_a, dir_b, images[0].masks, protocol, **images[0].options)
    print(f'A {dir_a}\nB {dir_b}\n{len(report["images"])} images, protocol {report["protocol"]}')
    rows = [['', 'A', 'B', 'B − A', '95 % interval', 'p']]
    for metric, numbers in report['metrics'].items():
        low, high = (as_text(metric, v) for v in numbers['interval'])
        cells = [as_text(metric, numbers[k]) for k in ('a', 'b', 'difference')]
        rows.append([column(metric).title, *cells, f'{low} … {high}', f'{numbers["p"]:.4f}'])
    print(text_table(rows))
    differing = [row for row in report['images'] if row['difference']][:_SHOWN]
    if differing:
        print('\nwhere they differ most')
        rows = [[r['name'], *(as_text('IoU', r[k]) for k in ('a', 'b', 'difference'))] for r in differing]
        print(text_table([['image, IoU %', 'A', 'B', 'B − A'], *rows]))
    if written:
        print(f'written {write_json(written, report)}')
    return report
